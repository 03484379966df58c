"""What both forms of the transport begin with: options, and what happens to them in a forked child."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

from ..._wasm.configuration import unknown_option
from .options import Options
from .proxy import Proxies
from .tls import TlsContexts

if TYPE_CHECKING:
    import ssl
    from typing import Never

    from .options import Balancing, HttpVersion

__all__ = ["Configured", "keep_in_child"]


class Configured:
    """A transport with its options."""

    def __init__(
        self,
        *,
        http_version: HttpVersion | None = None,
        ssl_context: ssl.SSLContext | None = None,
        unix_socket: str | os.PathLike[str] | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        connect_timeout: float = 20.0,
        idle_timeout: float = 90.0,
        max_age: float | None = None,
        max_connections: int = 256,
        max_streams: int = 100,
        balancing: Balancing = "pick_first",
        keepalive_time: float | None = None,
        keepalive_timeout: float = 20.0,
        keepalive_permit_without_calls: bool = False,
        **others: Never,
    ) -> None:
        """Make a transport.

        Args:
            http_version: the only HTTP version to speak, "1.1" or "2". None: over cleartext HTTP/1.1, and HTTP/2 for what only
                that can carry (gRPC); over TLS what ALPN finds.
            ssl_context: how TLS is done: trusted authorities, a certificate to show (`load_cert_chain`), and so on, by the
                standard library's `ssl`. The transport sets its ALPN protocols. None: `ssl.create_default_context()`.
            unix_socket: the path of a Unix socket that all connections go to.
            proxy: an HTTP proxy that all connections go through, `http://[user:password@]host[:port]`.
            trust_env: whether to use the proxies that the environment names, if `proxy` is None: `HTTPS_PROXY`, `HTTP_PROXY`,
                `ALL_PROXY`, less `NO_PROXY`.
            connect_timeout: seconds that connecting may take, TLS included.
            idle_timeout: seconds after which a connection that carries nothing is closed.
            max_age: seconds after which a connection takes no more requests. None: never.
            max_connections: to one target at the same time. Calls beyond that wait in line.
            max_streams: requests under way on one HTTP/2 connection. The peer may allow fewer.
            balancing: `pick_first`: use the first of a name's addresses that answers. `round_robin`: connect to all of them,
                and let requests go around.
            keepalive_time: seconds after which an HTTP/2 connection that has heard nothing is asked for a sign of life (PING).
                None: never. Servers close connections that ask too often: see theirs before you go below some minutes.
            keepalive_timeout: seconds that the answer may take, before the connection is given up.
            keepalive_permit_without_calls: whether to ask also while no request is under way.

        Raises:
            TypeError: an option of the wrong kind, or one that there is not.
            ValueError: options that make no sense.

        """
        for name in others:
            raise unknown_option("a transport", name, vars(Configured)["__init__"].__kwdefaults__)
        self._options = Options(
            http_version=http_version,
            ssl_context=ssl_context,
            unix_socket=unix_socket,
            proxies=Proxies(proxy, trust_env=trust_env),
            connect_timeout=connect_timeout,
            idle_timeout=idle_timeout,
            max_age=max_age,
            max_connections=max_connections,
            max_streams=max_streams,
            balancing=balancing,
            keepalive_time=keepalive_time,
            keepalive_timeout=keepalive_timeout,
            keepalive_permit_without_calls=keepalive_permit_without_calls,
        )
        self._tls = TlsContexts(ssl_context, http_version)
        self._begin()
        _transports.add(self)

    def _begin(self) -> None:
        """Begin without any connection."""
        raise NotImplementedError

    def _forked(self) -> None:
        """This is a child: the connections are its parent's. Begin again without."""
        raise NotImplementedError


_transports: weakref.WeakSet[Configured] = weakref.WeakSet()
_parents: list[Any] = []


def keep_in_child(what: object) -> None:
    """Keep what a child inherits as it is: closing a connection, even by forgetting it, would be seen by the parent's peer."""
    _parents.append(what)


def _after_fork_in_child() -> None:
    for transport in list(_transports):
        transport._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
