"""The async form's pool: the connections of one event loop, and who waits for one.

A place keeps the connections to one target: those of HTTP/1.1 that rest, and those of HTTP/2 with the exchanges that they
carry. Whoever finds none waits in a line, first come, first served; connections are made by tasks of the place, as many as
the line needs and the limits allow. So whoever gives up waiting leaves a connection to the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from ..transport import Gone, TransportError
from .async_connect import connect
from .http2 import Http2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .address import Address
    from .async_connection import AsyncConnection
    from .options import Options, Target
    from .tls import TlsContexts

__all__ = ["Place"]

_PROMISED: Final = 1.0
"""Seconds for which a new connection is as good as new, so that whoever it was made for can use it, whatever the limits say."""


class Place:
    """The connections to one target.

    Args:
        addresses: where they go; None for all that the target's name has, the first that answers.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        target: Target,
        options: Options,
        tls: TlsContexts,
        addresses: Sequence[Address] | None = None,
    ) -> None:
        self.loop = loop
        self.tls = tls
        self.target = target
        self.options = options
        self.addresses = addresses
        self.connections: set[AsyncConnection] = set()
        self._resting: list[AsyncConnection] = []  # HTTP/1.1, the one used last at the end
        self._shared: list[AsyncConnection] = []  # HTTP/2
        self.waiting: deque[asyncio.Future[AsyncConnection]] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self.streams = options.max_streams  # what a connection is expected to carry
        self._multiplexed = target.version != "1.1"  # until a connection shows otherwise
        self.left = False  # no more requests come: what becomes free is closed

    # Who needs a connection

    def take(self) -> AsyncConnection | None:
        """A connection for an exchange that is started before anything else happens; None if there is none."""
        if self.waiting:
            return None  # not past those who wait
        return self._pick()

    def _pick(self) -> AsyncConnection | None:
        resting = self._resting
        now = 0.0
        while resting:
            connection = resting.pop()
            now = now or self.loop.time()
            if not connection.closed and not self._worn(connection, now):
                return connection
            connection.close()
        for connection in self._shared if self.options.max_age is None else list(self._shared):
            if connection.places > 0 and not self._old(connection):
                return connection
        return None

    def _old(self, connection: AsyncConnection) -> bool:
        """Whether a connection of HTTP/2 takes no more exchanges. Those under way go on."""
        if self.options.max_age is None or not self._aged(connection, self.loop.time()):
            return False
        connection.retire()
        return True

    def _worn(self, connection: AsyncConnection, now: float) -> bool:
        rested = now - connection.used > self.options.idle_timeout and not _promised(connection, now)
        return self._aged(connection, now) or rested or connection.stale(now)

    def _aged(self, connection: AsyncConnection, now: float) -> bool:
        most = self.options.max_age
        return most is not None and now - connection.born > most and not _promised(connection, now)

    async def wait(self) -> AsyncConnection:
        """The same, for whoever found none. Raises TransportError and OSError."""
        waiter: asyncio.Future[AsyncConnection] = self.loop.create_future()
        self.waiting.append(waiter)
        self._demand()
        try:
            connection = await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # It came too late.
                connection = waiter.result()
                if isinstance(connection.machine, Http2):
                    connection.machine.reserved -= 1
                self.release(connection)
            elif waiter in self.waiting:
                self.waiting.remove(waiter)
                self._spare()
            raise
        if isinstance(connection.machine, Http2):
            connection.machine.reserved -= 1
        return connection

    # What becomes free

    def release(self, connection: AsyncConnection) -> None:
        """An exchange ended on a connection that can carry another."""
        if connection.machine.multiplexed:
            if self.left and connection.idle and not self.waiting:
                connection.close()
        elif self.left and not self.waiting:
            connection.close()
        elif not connection.closed:
            connection.used = self.loop.time()
            self._resting.append(connection)
        self.offer()

    def offer(self) -> None:
        """Something may have become free: give it to those who wait."""
        waiting = self.waiting
        while waiting:
            waiter = waiting[0]
            if waiter.done():
                waiting.popleft()
                continue
            connection = self._pick()
            if connection is None:
                return
            waiting.popleft()
            waiter.set_result(connection)
            if isinstance(connection.machine, Http2):
                connection.machine.reserved += 1

    def lost(self, connection: AsyncConnection) -> None:
        """A connection is gone."""
        if connection in self.connections:
            self.connections.discard(connection)
            if connection in self._resting:
                self._resting.remove(connection)
            if connection in self._shared:
                self._shared.remove(connection)
            if self.waiting and _promised(connection, self.loop.time()):
                # Whoever waits for it is told so: another one would most likely go the same way, and the one after that.
                self._refuse(connection.machine.unborn())
            elif self.waiting:
                self._demand()

    # Making connections

    def _demand(self) -> None:
        """Make as many connections as the line needs."""
        wanted = len(self.waiting)
        if self._multiplexed:
            for connection in self._shared[-1:]:
                assert isinstance(connection.machine, Http2)
                self.streams = max(1, connection.machine.limit)  # the next one's peer is most likely the same
            wanted = -(-wanted // self.streams)
        while len(self._connecting) < wanted and len(self.connections) + len(self._connecting) < self.options.max_connections:
            task = self.loop.create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def _spare(self) -> None:
        """Make no connection that nobody waits for."""
        if not self.waiting:
            for task in self._connecting:
                task.cancel()
            self._connecting.clear()  # whoever comes while these end has others made

    async def _connect(self) -> None:
        try:
            connection = await connect(self)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            self._refuse(error)
            return
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._connecting.discard(task)
        self.connections.add(connection)
        self._multiplexed = connection.machine.multiplexed
        if connection.closed:
            self.lost(connection)
        elif connection.machine.multiplexed:
            self._shared.append(connection)
            self.offer()
            if self.left and connection.idle:
                connection.close()
        else:
            self.release(connection)
        if self.waiting:
            self._demand()

    def _refuse(self, error: Exception) -> None:
        """No connection: tell those who would have used it."""
        for _ in range(self.options.max_streams if self._multiplexed else 1):
            while self.waiting and self.waiting[0].done():
                self.waiting.popleft()
            if not self.waiting:
                return
            self.waiting.popleft().set_exception(_again(error))
        self._demand()

    def rest(self, now: float) -> None:
        """Close what has rested for too long."""
        for connection in [c for c in self._resting if self._worn(c, now)]:
            connection.close()
        for connection in [c for c in self._shared if c.idle and self._worn(c, now)]:
            connection.close()

    def leave(self) -> None:
        """Close what carries nothing now, and the rest as it ends: no more requests come."""
        self.left = True
        for connection in [*self._resting, *[c for c in self._shared if c.idle]]:
            connection.close()

    def close(self) -> None:
        """Close everything, and fail who waits."""
        self.left = True
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_exception(TransportError(Gone.CLOSED, "the transport was closed"))
        self.waiting.clear()
        for task in self._connecting:
            task.cancel()
        for connection in list(self.connections):
            connection.close()


def _again(error: Exception) -> Exception:
    """The same error for one of several: each raises its own, as a traceback grows with each raise."""
    if isinstance(error, TransportError):
        return TransportError(error.reason, error.text, error.reset_code)
    if isinstance(error, OSError):
        return type(error)(*error.args)
    return error


def _promised(connection: AsyncConnection, now: float) -> bool:
    """Whether whoever a connection was made for may not have come to use it."""
    return connection.fresh and now - connection.born < _PROMISED
