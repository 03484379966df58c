"""What both forms of the transport are made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import ssl

    from .proxy import Proxies

__all__ = ["Balancing", "HttpVersion", "Options", "Target", "target_of"]

HttpVersion: TypeAlias = 'Literal["1.1", "2"]'
Balancing: TypeAlias = 'Literal["pick_first", "round_robin"]'

_PORTS = {"http": 80, "https": 443}


class Options:
    """See `HTTPTransport`, which explains them. A plain class: to make a dataclass of it takes as long as to connect."""

    http_version: HttpVersion | None
    ssl_context: ssl.SSLContext | None
    unix_socket: str | None
    proxies: Proxies
    connect_timeout: float
    idle_timeout: float
    max_age: float | None
    max_connections: int
    max_streams: int
    balancing: Balancing
    keepalive_time: float | None
    keepalive_timeout: float
    keepalive_permit_without_calls: bool

    def __init__(self, **options: Any) -> None:
        self.__dict__.update(options)


class Target(NamedTuple):
    """Where requests of one kind go.

    Attributes:
        scheme: http or https.
        authority: what the request names.
        host: the name or address to connect to.
        port: its port.
        version: the only HTTP version that serves; None for what ALPN finds.

    """

    scheme: str
    authority: str
    host: str
    port: int
    version: HttpVersion | None


def target_of(origin: str, http2: bool | None, options: Options) -> Target:
    """Where a request goes, and by which HTTP version. Raises ValueError."""
    scheme, mark, authority = origin.partition("://")
    if not mark or scheme not in _PORTS or not authority.isascii() or not authority.isprintable() or "/" in authority:
        raise ValueError(f"{origin!r} is no origin such as https://example.com:8443")
    host, port = authority, ""
    if authority.endswith("]") or ":" not in authority:
        pass
    else:
        host, _, port = authority.rpartition(":")
    if not host or (port and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise ValueError(f"{origin!r} has no host, or a port that is none")
    version = options.http_version
    if version is None and (http2 or scheme == "http"):
        version = "2" if http2 else "1.1"
    return Target(scheme, authority, host.strip("[]"), int(port) if port else _PORTS[scheme], version)
