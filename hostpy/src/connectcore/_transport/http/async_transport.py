"""The async transport."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from ..content import aclose_content
from ..transport import Gone, TransportError
from .async_balance import Spread
from .async_exchange import AsyncExchange
from .async_pool import Place
from .configured import Configured, keep_in_child
from .exchange import TRIES
from .options import target_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from ..transport import Request
    from .async_connection import AsyncConnection
    from .options import Options, Target
    from .tls import TlsContexts

__all__ = ["HTTPTransport"]


class HTTPTransport(Configured):
    """Sends requests over HTTP/1.1 and HTTP/2, in the caller's own event loop (asyncio or uvloop).

    It keeps connections and uses them again, and may be used from any number of event loops, each with connections of its own.
    What was made before a fork serves the child too, which makes its own connections. When a loop shuts down its async
    generators, as `asyncio.run` does at its end, the loop's connections are closed; `close` does it earlier.
    """

    def _begin(self) -> None:
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}
        self._last: _Pool | None = None  # the pool that was used last

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
        tries = TRIES
        while True:
            tries -= 1
            place = spread.place
            connection = None if place is None else place.take()
            if connection is None or connection.closed:
                connection = await _connection(spread, request)
            exchange = AsyncExchange(request, connection)
            kept = not connection.fresh
            connection.fresh = False
            try:
                connection.start(exchange, target.scheme, target.authority)
                await exchange.head()
            except TransportError:
                if not tries or not exchange.may_go_again(kept=kept):
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
        keep_in_child(self._pools)
        self._begin()


async def _connection(spread: Spread, request: Request) -> AsyncConnection:
    """A connection, once one is there. Raises TransportError and OSError; then the request's content is closed."""
    try:
        while True:
            place = spread.place or await spread.next()
            connection = place.take()
            try:
                while connection is None or connection.closed:
                    if connection is not None and connection.fresh:
                        raise connection.machine.unborn()  # it has ended since it was given to this request
                    connection = await place.wait()
            except TransportError as error:
                if error.reason is not Gone.REFUSED or not spread.refused(place, place.loop.time()):
                    raise
            else:
                return connection
    except BaseException:
        await aclose_content(request.content)
        raise


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
        self._sweep = self.loop.call_later(min(max(self._options.idle_timeout / 2, 0.05), 10.0), self._tick)
