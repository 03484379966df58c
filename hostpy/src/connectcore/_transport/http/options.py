"""What both forms of the transport are made with."""

from __future__ import annotations

import math
import os
import ssl
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from .proxy import Proxies

__all__ = ["Balancing", "HttpVersion", "Options", "Target", "target_of"]

HttpVersion: TypeAlias = 'Literal["1.1", "2"]'
Balancing: TypeAlias = 'Literal["pick_first", "round_robin"]'

_PORTS = {"http": 80, "https": 443}
_CHOICES: Final = {"http_version": (None, "1.1", "2"), "balancing": ("pick_first", "round_robin")}
_SECONDS: Final = ("connect_timeout", "idle_timeout", "max_age", "keepalive_time", "keepalive_timeout")
_MAYBE_NONE: Final = ("max_age", "keepalive_time")
_LONGEST: Final = 1e9
"""Seconds, 31 years, that longer times are cut to: more is more than some clocks take."""

_COUNTS: Final = ("max_connections", "max_streams")


class Options:
    """See `HTTPTransport`, which explains them. A plain class: to make a dataclass of it takes as long as to connect.

    Raises:
        TypeError: one is of the wrong kind.
        ValueError: one makes no sense.

    """

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
        for name, choices in _CHOICES.items():
            if options[name] not in choices:
                raise ValueError(f"{name} must be {' or '.join(repr(each) for each in choices)}, not {options[name]!r}")
        for name in _SECONDS:
            _check_number(name, options[name], (int, float), "a positive number of seconds", none=name in _MAYBE_NONE)
            options[name] = options[name] and min(options[name], _LONGEST)
        for name in _COUNTS:
            _check_number(name, options[name], (int,), "a whole number from 1", none=False)
        if options["unix_socket"] is not None:
            options["unix_socket"] = os.fsdecode(options["unix_socket"])
            if not options["unix_socket"]:
                raise ValueError("unix_socket must be the path of a socket, or None, not empty")
        _check_context(options["ssl_context"])
        self.__dict__.update(options)


def _check_number(name: str, given: Any, kinds: tuple[type[float], ...], wanted: str, *, none: bool) -> None:
    if given is None and none:
        return
    if isinstance(given, bool) or not isinstance(given, kinds):
        raise TypeError(f"{name} must be {wanted}{', or None' if none else ''}, not {given!r}")
    if not 0 < given < math.inf:  # NaN, too
        raise ValueError(f"{name} must be {wanted}{', or None' if none else ''}, not {given}")


def _check_context(context: object) -> None:
    if context is None:
        return
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"ssl_context must be an ssl.SSLContext, not {context!r}: ssl.create_default_context() makes one")
    if context.protocol is ssl.PROTOCOL_TLS_SERVER:
        raise ValueError("ssl_context is a server's: ssl.create_default_context() without a purpose makes a client's")


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
