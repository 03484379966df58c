"""One connection of the sync form: a blocking socket around `Http1` or `Http2`, for one exchange at a time.

Up to two threads work on it: the caller's, which reads, and one that sends content from an iterator. `_lock` is for the state
and for writing, which never waits under it. `_reading` is for reading: the sender reads where it waits for an HTTP/2 window
while the caller does something else.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from .frames import ping
from .http1 import SEPARATE, Http1
from .http2 import Http2
from .keepalive import DEAD, Keepalive
from .parser import ENDED_EARLY
from .sync_wire import Wire, wait

if TYPE_CHECKING:
    from .sync_exchange import SyncExchange
    from .sync_pool import PlaceSync

__all__ = ["SyncConnection"]

_WAITING_MAX: Final = 1 << 20
"""Over HTTP/2, so many bytes may wait for a peer that does not read: content is not written so far ahead, only answers are."""

_SURE: Final = 0.005
"""Seconds for which a connection that was just in use is taken for good."""

_CATCH_UP: Final = 64
"""So often a connection that rested is read before it is used again: what its peer said last. More is too much."""

_READ_MAX: Final = 5.0
"""Seconds that a read may still take when the socket was shut down, which ends it."""

_LOOK: Final = 0.05
"""Seconds after which a sender that waits for a window sees whether anybody reads."""


class SyncConnection:
    """A connection.

    Attributes:
        machine: its state.
        place: the pool it belongs to.
        closed: whether it is gone.
        born: when it was made.
        used: when it was used last.
        fresh: whether it has carried nothing yet.

    """

    __slots__ = ("_exchange", "_keepalive", "_lock", "_reading", "_wire", "born", "closed", "fresh", "machine", "place", "used")

    def __init__(self, place: PlaceSync, wire: Wire, machine: Http1 | Http2) -> None:
        """Raises OSError."""
        self.place = place
        self.machine = machine
        self.closed = False
        self.born = self.used = monotonic()
        self.fresh = True
        self._wire = wire
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._exchange: SyncExchange | None = None
        self._keepalive: Keepalive | None = None
        if isinstance(machine, Http2):
            wire.write(machine.preface())
            if place.options.keepalive_time is not None:
                self._keepalive = Keepalive(place.options, self.born)

    # Requests

    def start(self, exchange: SyncExchange, scheme: str, authority: str) -> None:
        """Send a request. Raises ValueError for one that cannot be written, and OSError."""
        machine = self.machine
        content: Any = exchange.request.content
        whole = isinstance(content, bytes)
        with self._lock:
            self._exchange = exchange
            head = machine.start(exchange, scheme, authority, whole=whole)
            if whole and isinstance(machine, Http1):
                if len(content) <= SEPARATE:
                    head += content
                    content = b""
                self._wire.write(head)
                if content:
                    self._wire.write(content)
            else:
                self._wire.write(head)
                if machine.sending:
                    self._push()
        cancellation = exchange.request.cancellation
        if cancellation is not None:
            cancellation.watch(self._wire.interrupt)
        if not whole:
            exchange.pump()

    def send(self, exchange: SyncExchange, chunk: bytes) -> bool:
        """Send a piece of content, and wait until it has left. Gives False if it is not wanted any more. Raises OSError."""
        machine, wire = self.machine, self._wire
        with self._lock:
            if exchange.over:
                return False
            if isinstance(machine, Http1):
                if chunk:
                    wire.write(machine.content(chunk))
            else:
                machine.content(exchange, chunk)
                self._push()
            if not wire.outgoing and not exchange.pending:
                return True
        return self._flushed(exchange)

    def finish(self, exchange: SyncExchange) -> None:
        """No more content comes. Raises OSError."""
        machine = self.machine
        with self._lock:
            if exchange.over:
                return
            if isinstance(machine, Http1):
                rest = machine.finish(exchange)
                if rest:
                    self._wire.write(rest)
            else:
                machine.finish(exchange)
                self._push()
        self._flushed(exchange)

    def _flushed(self, exchange: SyncExchange) -> bool:
        """Wait until what was written has left, in the sender's thread."""
        while True:
            with self._lock:
                if exchange.over:
                    return False
                self._push()
                clogged = self._wire.clogged
                if not clogged and not exchange.pending:
                    return True
            if clogged:
                wait(self._wire.sock, _LOOK, read=False, write=True)
            elif self._reading.acquire(blocking=False):
                try:
                    if wait(self._wire.sock, _LOOK, read=True, write=False):
                        self._receive(None)
                finally:
                    self._reading.release()
            else:
                exchange.wait_for_room(_LOOK)

    def _push(self) -> None:
        """Send what waits, as far as the peer takes it."""
        machine = self.machine
        wire = self._wire
        if not (wire.outgoing or machine.sending):
            return  # as most often
        while wire.drain():
            data = machine.flush() if isinstance(machine, Http2) else b""
            if not data:
                return
            self._wire.write(data)

    # Responses

    def advance(self, exchange: SyncExchange, *, head: bool) -> None:
        """Wait until something comes of an exchange, its head perhaps. Raises OSError, and TimeoutError after its deadline."""
        deadline = exchange.request.deadline
        if deadline is None:
            self._reading.acquire()
        else:
            left = deadline - monotonic()
            if left <= 0 or not self._reading.acquire(timeout=left):
                raise TimeoutError("the deadline has passed")
        try:
            if exchange.unread or exchange.over or (head and exchange.status):
                return  # the sender has read it
            self._receive(deadline)
        finally:
            self._reading.release()

    def _receive(self, deadline: float | None) -> None:
        """Read once."""
        machine, wire = self.machine, self._wire
        keepalive = self._keepalive
        try:
            data = wire.read(deadline) if keepalive is None else self._read_alive(keepalive, deadline)
        except TimeoutError:
            raise
        except OSError as error:
            self.lost(f"the connection broke: {error.strerror or error}")
            return
        with self._lock:
            try:
                if wire.secure and data is not None:
                    data = wire.received(data)
                if data:
                    written = machine.receive(data)
                    if written:
                        wire.write(written)
                        if wire.waiting > _WAITING_MAX:
                            machine.lost("the peer does not read what it asks for")
                elif data is not None:
                    if isinstance(machine, Http1):
                        machine.receive(b"")
                    machine.lost(ENDED_EARLY)
                if wire.outgoing or machine.sending:
                    self._push()
            except OSError as error:
                # What was read goes before: a peer may say why it closes.
                if not isinstance(machine, Http1) or data is None:
                    machine.lost(f"the connection broke: {error.strerror or error}")

    def _read_alive(self, keepalive: Keepalive, deadline: float | None) -> bytes | None:
        """Read, and see that the peer is there. Raises OSError."""
        while True:
            now = monotonic()
            what, delay = keepalive.check(now, busy=True)
            if what == "dead":
                raise ConnectionError(DEAD)
            if what == "ask":
                with self._lock:
                    self._wire.write(ping())
            until = now + delay
            try:
                data = self._wire.read(until if deadline is None else min(until, deadline))
            except TimeoutError:
                if deadline is not None and monotonic() >= deadline:
                    raise
            else:
                keepalive.heard = monotonic()
                return data

    def take(self, exchange: SyncExchange) -> bytes:
        """The content that came of an exchange."""
        machine = self.machine
        if isinstance(machine, Http1):
            return exchange.take()
        with self._lock:
            size = exchange.unread
            data = exchange.take()
            written = machine.taken(exchange, size)
            if written and not self.closed:
                try:
                    self._wire.write(written)
                except OSError:
                    pass  # reading tells
            return data

    # Ends

    def lost(self, text: str) -> None:
        """It carries nothing more."""
        with self._lock:
            self.machine.lost(text)

    def interrupt(self, exchange: SyncExchange) -> None:
        """Wake whoever waits for an exchange: it has failed."""
        if self._exchange is exchange:
            self._wire.interrupt()

    def done(self, exchange: SyncExchange) -> None:
        """The caller is done with an exchange: give the connection back, or up. Never raises."""
        with self._lock:
            if self._exchange is not exchange:
                return
            self._exchange = None
            machine = self.machine
            cancellation = exchange.request.cancellation
            if cancellation is not None:
                cancellation.unwatch(self._wire.interrupt)
                if cancellation.canceled:
                    machine.lost("canceled")  # the socket has been shut down
            if isinstance(machine, Http1):
                if machine.exchange is exchange:
                    machine.abort(exchange)
            else:
                try:
                    written = machine.abort(exchange)
                    if written:
                        self._wire.write(written)
                    if self._wire.outgoing:
                        self._push()
                except OSError as error:
                    machine.lost(str(error))
            usable = machine.usable and not self._wire.outgoing
        if usable:
            self.place.release(self)
        else:
            self.close()

    def usable(self, now: float) -> bool:
        """Whether a connection that rested can carry another exchange."""
        options = self.place.options
        # The garbage collector closes the socket of an exchange that was left in a cycle, and has it give the connection back.
        if self.closed or self._wire.sock.fileno() < 0 or now - self.used > options.idle_timeout:
            return False
        if options.max_age is not None and now - self.born > options.max_age:
            return False
        machine = self.machine
        if now - self.used < _SURE and machine.usable:
            return isinstance(machine, Http1) or machine.places > 0
        try:
            for _ in range(_CATCH_UP):
                data = self._wire.read(None, peek=True)
                if data is None:
                    return machine.usable and (isinstance(machine, Http1) or machine.places > 0)
                if not data or isinstance(machine, Http1):
                    return False  # closed, or it says what nobody asked for
                data = self._wire.received(data)
                if data == b"":
                    return False
                written = machine.receive(data) if data else b""
                if written:
                    self._wire.write(written)
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Close it. Never raises."""
        if not self.closed:
            self.closed = True
            read = self._reading.acquire(blocking=False)
            if not read:
                # A sender reads. After the close another socket may have this one's number, and it would read from that.
                self._wire.interrupt()
                read = self._reading.acquire(timeout=_READ_MAX)
            self._wire.close()
            if read:
                self._reading.release()
            self.place.lost(self)
