"""The async transport."""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import TYPE_CHECKING, Any, Self

from ..transport import Gone, TransportError
from .async_balance import Spread
from .async_exchange import AsyncExchange
from .async_pool import Place
from .options import Options, target_of
from .proxy import Proxies
from .tls import TlsContexts

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from ..transport import Request
    from .options import Balancing, HttpVersion, Target

__all__ = ["HTTPTransport"]

_TRIES = 3


class HTTPTransport:
    """Sends requests over HTTP/1.1 and HTTP/2, in the caller's own event loop (asyncio or uvloop).

    It keeps connections and uses them again, and may be used from any number of event loops, each with connections of its own.
    What was made before a fork serves the child too, which makes its own connections. When a loop shuts down its async
    generators, as `asyncio.run` does at its end, the loop's connections are closed; `close` does it earlier.
    """

    def __init__(
        self,
        *,
        http_version: HttpVersion | None = None,
        ssl_context: ssl.SSLContext | None = None,
        unix_socket: str | None = None,
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
            ValueError: options that make no sense.

        """
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
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}
        self._last: _Pool | None = None  # the pool that was used last
        _transports.add(self)

    async def open(self, request: Request) -> AsyncExchange:
        """Send a request and wait for the head of its response. Raises TransportError, OSError and ValueError."""
        loop = asyncio.get_running_loop()
        pool = self._last
        if pool is None or pool.loop is not loop:
            pool = await self._pool(loop)
        entry = pool.targets.get((request.origin, request.http2))
        if entry is None:
            entry = pool.add(request.origin, request.http2)
        target, spread = entry
        tries = _TRIES
        while True:
            tries -= 1
            place = spread.place or await spread.next()
            connection = place.take()
            while connection is None or connection.closed:
                try:
                    connection = await place.wait()
                except TransportError as error:
                    if error.reason is Gone.REFUSED and spread.refused(place):
                        break
                    raise
            if connection is None or connection.closed:
                continue
            exchange = AsyncExchange(request, connection)
            kept = not connection.fresh
            connection.fresh = False
            try:
                connection.start(exchange, target.scheme, target.authority)
                await exchange.head()
            except TransportError:
                if not tries or not _again(exchange, kept=kept):
                    await exchange.close()
                    raise
                exchange.unstart()
            except BaseException:
                await exchange.close()
                raise
            else:
                return exchange

    async def close(self) -> None:
        """Close the connections of the running event loop. What is under way on them fails."""
        loop = asyncio.get_running_loop()
        pool = self._pools.pop(loop, None)
        if pool is not None:
            if pool is self._last:
                self._last = None
            await pool.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _pool(self, loop: asyncio.AbstractEventLoop) -> _Pool:
        pool = self._pools.get(loop)
        if pool is None:
            for other in [other for other in self._pools if other.is_closed()]:
                self._pools.pop(other, None)
            pool = _Pool(loop, self._options, self._tls)
            self._pools[loop] = pool
            await pool.begin()
        self._last = pool
        return pool

    def _forked(self) -> None:
        """This is a child: the connections are its parent's."""
        _parents.extend(self._pools.values())
        self._pools = {}
        self._last = None


class _Pool:
    """The connections of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: Options, tls: TlsContexts) -> None:
        self.loop = loop
        self.targets: dict[tuple[str, bool | None], tuple[Target, Spread]] = {}
        self._options = options
        self._tls = tls
        self._spreads: dict[Target, Spread] = {}
        self._life: AsyncGenerator[None] | None = None
        self._sweep: asyncio.TimerHandle | None = None

    def add(self, origin: str, http2: bool | None) -> tuple[Target, Spread]:
        """Where requests to an origin go. Raises ValueError."""
        target = target_of(origin, http2, self._options)
        spread = self._spreads.get(target)
        if spread is None:
            spread = self._spreads[target] = Spread(
                lambda addresses: Place(self.loop, target, self._options, self._tls, addresses)
            )
        entry = self.targets[(origin, http2)] = (target, spread)
        return entry

    async def begin(self) -> None:
        """Start to look after the connections, until the loop shuts down."""
        self._life = self._live()
        await anext(self._life)

    async def end(self) -> None:
        """Close everything."""
        if self._life is not None:
            await self._life.aclose()

    async def _live(self) -> AsyncGenerator[None]:
        # An event loop remembers async generators that were begun in it, and closes them when it shuts down.
        self._tick()
        try:
            yield
        finally:
            if self._sweep is not None:
                self._sweep.cancel()
            for spread in self._spreads.values():
                spread.close()
            self.targets.clear()
            self._spreads.clear()

    def _tick(self) -> None:
        for spread in self._spreads.values():
            spread.rest(self.loop.time())
        self._sweep = self.loop.call_later(min(self._options.idle_timeout / 2, 10.0), self._tick)


def _again(exchange: AsyncExchange, *, kept: bool) -> bool:
    """Whether a request that failed may be sent again: the server did nothing for it, and its content is still there."""
    request = exchange.request
    if exchange.started or (error := exchange.error) is None:
        return False
    if exchange.unprocessed:
        return True
    # The server may have closed a connection at rest just as this request came. What it did is not known then, so only a
    # request that may be made twice (RFC 9110, 9.2.2) is.
    return kept and error.reason is Gone.CLOSED and request.method == "GET" and exchange.status == 0


_transports: weakref.WeakSet[HTTPTransport] = weakref.WeakSet()
_parents: list[Any] = []  # a child keeps its parent's connections open as they are, and never touches them


def _after_fork_in_child() -> None:
    for transport in list(_transports):
        transport._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
