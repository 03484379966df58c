"""The sync form's pool: the connections of all threads to one target, and who waits for one.

A connection carries one exchange at a time, over HTTP/2 too: a thread that waits reads its own socket, and nobody has to tell
another thread that its response is there.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from ..transport import Gone, TransportError
from .sync_connect import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..transport import Request
    from .address import Address
    from .options import Options, Target
    from .sync_connection import SyncConnection
    from .tls import TlsContexts

__all__ = ["PlaceSync"]


class _Ticket:
    """A place in the line."""

    __slots__ = ("connection", "ready", "turn")

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.turn = False  # whether it is this one's turn
        self.connection: SyncConnection | None = None  # what to use; None: make one


class PlaceSync:
    """The connections to one target.

    Args:
        addresses: where they go; None for all that the target's name has, the first that answers.

    """

    def __init__(self, target: Target, options: Options, tls: TlsContexts, addresses: Sequence[Address] | None = None) -> None:
        self.target = target
        self.options = options
        self.tls = tls
        self.addresses = addresses
        # The garbage collector may end an exchange, and release its connection, in a thread that holds this.
        self._lock = threading.RLock()
        self._resting: list[SyncConnection] = []  # the one used last at the end
        self._count = 0  # connections, with those that are being made
        self._waiting: deque[_Ticket] = deque()
        self._closed = False

    def take(self, request: Request) -> SyncConnection:
        """A connection for an exchange. Raises TransportError, and TimeoutError after the request's deadline."""
        while True:
            with self._lock:
                if not self._resting or self._waiting:
                    break
                rested = self._resting.pop()
            usable = False
            try:
                usable = rested.usable(monotonic())
            finally:
                if not usable:
                    rested.close()
            if usable:
                return rested
        ticket = _Ticket()
        with self._lock:
            waits = bool(self._waiting) or self._count >= self.options.max_connections
            if waits:
                self._waiting.append(ticket)
            else:
                self._count += 1
        if waits:
            connection = self._wait(ticket, request)
            if connection is not None and connection.usable(monotonic()):
                return connection
            if connection is not None:
                # Its count goes over to the one that takes its place.
                with self._lock:
                    self._count += 1
                connection.close()
        try:
            return connect(self, request)
        except BaseException:
            self._left()
            raise

    def _wait(self, ticket: _Ticket, request: Request) -> SyncConnection | None:
        """Wait for one's turn: a connection, or leave to make one."""
        cancellation = request.cancellation
        if cancellation is not None:
            cancellation.watch(ticket.ready.set)
        try:
            ticket.ready.wait(None if request.deadline is None else max(0.0, request.deadline - monotonic()))
            with self._lock:
                if ticket.turn:
                    return ticket.connection
            if cancellation is not None and cancellation.canceled:
                raise TransportError(Gone.CANCELED)
            raise TimeoutError("the deadline has passed")
        except BaseException:
            with self._lock:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
                turn, connection = ticket.turn, ticket.connection
            if turn and connection is not None:
                self.release(connection)
            elif turn:
                self._left()
            raise
        finally:
            if cancellation is not None:
                cancellation.unwatch(ticket.ready.set)

    def release(self, connection: SyncConnection) -> None:
        """An exchange ended on a connection that can carry another."""
        now = monotonic()
        connection.used = now
        worn: SyncConnection | None = None
        with self._lock:
            if self._closed:
                worn = connection
            elif self._waiting:
                self._give(connection)
            else:
                resting = self._resting
                resting.append(connection)
                if now - resting[0].used > self.options.idle_timeout:
                    worn = resting.pop(0)
        if worn is not None:
            worn.close()

    def lost(self, _connection: SyncConnection) -> None:
        """A connection is gone."""
        self._left()

    def _left(self) -> None:
        """There is one fewer."""
        with self._lock:
            if self._waiting:
                self._give(None)
            else:
                self._count -= 1

    def _give(self, connection: SyncConnection | None) -> None:
        ticket = self._waiting.popleft()
        ticket.connection = connection
        ticket.turn = True
        ticket.ready.set()

    def rest(self, now: float) -> None:
        """Close what has rested for too long."""
        with self._lock:
            worn = [c for c in self._resting if now - c.used > self.options.idle_timeout]
            self._resting = [c for c in self._resting if c not in worn]
        for connection in worn:
            connection.close()

    def leave(self) -> None:
        """Close what carries nothing now, and the rest as it ends: no more requests come."""
        with self._lock:
            self._closed = True
            resting, self._resting = self._resting, []
        for connection in resting:
            connection.close()

    def close(self) -> None:
        """The same."""
        self.leave()
