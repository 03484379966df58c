"""HTTP proxies: which one a request goes through, and what is said to it (RFC 9110, 9.3.6; RFC 9112, 3.2.2)."""

from __future__ import annotations

import os
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from ..transport import Gone, TransportError
from .message import AUTHORIZATION
from .parser import NEED_DATA, ProtocolError, http1

if TYPE_CHECKING:
    from .options import Target

__all__ = ["Proxies", "Proxy", "Tunnel"]

_HEAD_MAX: Final = 1 << 16


class Proxy(NamedTuple):
    """A proxy: where it is, and the field lines that it wants to see."""

    host: str
    port: int
    fields: bytes


def _proxy(url: str) -> Proxy:
    """Raises ValueError."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme != "http" or not host:
        raise ValueError("a proxy is given as http://[user:password@]host[:port]: no other kind is served")
    fields = b""
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        fields = b"%b: Basic %b\r\n" % (AUTHORIZATION, b64encode(secret))
    return Proxy(host, port or 80, fields)


class Proxies:
    """Which proxy a request goes through.

    Args:
        proxy: the one for all requests; None for what the environment says.
        trust_env: whether to ask the environment: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`.

    Raises:
        ValueError: a proxy of a kind that is not served.

    """

    def __init__(self, proxy: str | None, *, trust_env: bool) -> None:
        self._fixed = None if proxy is None else _proxy(proxy)
        self._environment: dict[str, str] = {}
        # The library that reads them takes long to import, so it is asked only if there is something to read.
        if trust_env and proxy is None and any(name.lower().endswith("_proxy") for name in os.environ):
            from urllib.request import getproxies_environment

            self._environment = getproxies_environment()

    def of(self, target: Target) -> Proxy | None:
        """The proxy for a target; None for none. Raises ValueError."""
        if self._fixed is not None:
            return self._fixed
        url = self._environment.get(target.scheme) or self._environment.get("all")
        if not url:
            return None
        from urllib.request import proxy_bypass

        if proxy_bypass(f"{target.host}:{target.port}") or _listed(target.host, self._environment.get("no", "")):
            return None
        try:
            return _proxy(url)
        except ValueError as error:
            name = "ALL" if target.scheme not in self._environment else target.scheme.upper()
            raise ValueError(f"the environment's {name}_PROXY is of no use (trust_env=False ignores it): {error}") from None


def _listed(host: str, listed: str) -> bool:
    """Whether a host is in a list of hosts that need no proxy, by a form that the standard library does not know: `10.0.0.0/8`,
    `[::1]`, `*.example.com`.
    """
    from ipaddress import ip_address, ip_network  # seldom needed, and long to import

    entries = [entry.strip().lower() for entry in listed.split(",")]
    if any(entry.startswith("*.") and host.lower().endswith(entry[1:]) for entry in entries):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    for entry in entries:
        with suppress(ValueError):
            if address in ip_network(entry.strip("[]"), strict=False):
                return True
    return False


class Tunnel:
    """Asking a proxy for a connection to a target, without I/O."""

    def __init__(self, proxy: Proxy, target: Target) -> None:
        host = f"[{target.host}]" if ":" in target.host else target.host
        authority = f"{host}:{target.port}".encode()
        self.request = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (authority, authority, proxy.fields)
        self._parser = http1()
        self._parser.send_request(b"CONNECT", authority, b"1.1", [(b"host", authority)])
        self._received = b""

    def receive(self, data: bytes) -> bytes | None:
        """Bytes came. None: the answer is not whole; otherwise the tunnel is there, and this came through it already.

        Raises TransportError: the proxy refuses.
        """
        if not data:
            raise TransportError(Gone.REFUSED, "the proxy closed the connection")
        self._received += data
        head, mark, rest = self._received.partition(b"\r\n\r\n")
        if not mark:
            if len(self._received) > _HEAD_MAX:
                raise TransportError(Gone.REFUSED, "the proxy's answer has no end")
            return None
        try:
            event = self._parser.receive_event(head + mark)
        except ProtocolError as error:
            raise TransportError(Gone.REFUSED, "the proxy's answer is not HTTP") from error
        status = 0 if event is NEED_DATA else getattr(event, "status_code", 0)
        if 100 <= status < 200:
            self._received = b""
            return self.receive(rest) if rest else None
        if not 200 <= status < 300:
            raise TransportError(Gone.REFUSED, f"the proxy refuses the connection with status {status}")
        return rest
