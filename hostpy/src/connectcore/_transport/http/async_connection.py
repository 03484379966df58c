"""One connection of the async form: an `asyncio.Protocol` around `Http1` or `Http2`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from .address import readable
from .frames import ping
from .http1 import SEPARATE, Http1
from .http2 import Http2
from .keepalive import DEAD, Keepalive
from .parser import ENDED_EARLY

if TYPE_CHECKING:
    from collections.abc import Callable

    from .async_exchange import AsyncExchange
    from .async_pool import Place

__all__ = ["AsyncConnection"]

_UNREAD_MAX: Final = 1 << 18
"""Over HTTP/1.1, so many bytes may lie unread before the connection is read no further."""

_ANSWERS_MAX: Final = 1 << 16
"""So many bytes of answers (to pings, settings) may wait for a peer that does not read them."""

_SURE: Final = 0.05
"""Seconds for which a connection that was just in use is taken for good."""


class AsyncConnection(asyncio.Protocol):
    """A connection in an event loop.

    Attributes:
        loop: the loop.
        machine: its state.
        place: the pool it belongs to.
        writable: set unless the peer is slow to take what was written.
        closed: whether it is gone, or is about to be.
        born: when it was made, on the loop's clock.
        used: when it was used last.
        fresh: whether it has carried nothing yet.

    """

    __slots__ = (
        "_answers",
        "_batch",
        "_choose",
        "_keepalive",
        "_paused",
        "_timer",
        "_transport",
        "born",
        "closed",
        "fresh",
        "loop",
        "machine",
        "place",
        "used",
        "writable",
    )

    machine: Http1 | Http2

    def __init__(self, place: Place, choose: Callable[[str | None], Http1 | Http2]) -> None:
        """`choose` makes the state, told what ALPN found."""
        self.loop = loop = place.loop
        self.place = place
        self._choose = choose
        self.writable = asyncio.Event()
        self.writable.set()
        self.closed = False
        self.born = self.used = loop.time()
        self.fresh = True
        self._transport: Any = None
        self._paused = False
        self._answers = 0
        self._batch: list[bytes] | None = None
        self._keepalive: Keepalive | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def places(self) -> int:
        """How many exchanges may be started now, over HTTP/2."""
        machine = self.machine
        return machine.places if isinstance(machine, Http2) else 0

    @property
    def idle(self) -> bool:
        """Whether it carries nothing, over HTTP/2."""
        machine = self.machine
        return isinstance(machine, Http2) and not machine.exchanges and not machine.reserved

    def stale(self, now: float) -> bool:
        """Whether a connection that carries nothing has been given up by its server, and the loop does not know yet."""
        if now - self.used < _SURE or self.machine.multiplexed:
            return False
        return readable(self._transport.get_extra_info("socket").fileno())

    # Requests

    def start(self, exchange: AsyncExchange, scheme: str, authority: str) -> None:
        """Send a request. Raises ValueError for one that cannot be written."""
        machine = self.machine
        content: Any = exchange.request.content
        whole = isinstance(content, bytes)
        head = machine.start(exchange, scheme, authority, whole=whole)
        transport = self._transport
        if machine.multiplexed:
            self._write(head)
            if not whole:
                exchange.pump(content)
            elif not exchange.sent:
                self._push()
        elif not whole:
            transport.write(head)
            exchange.pump(content)
        elif len(content) > SEPARATE:
            transport.write(head)
            transport.write(content)
        else:
            transport.write(head + content)

    def _write(self, data: bytes) -> None:
        """Write over HTTP/2. Where many exchanges are under way, what they write in one turn of the loop goes out together."""
        batch = self._batch
        if batch is not None:
            batch.append(data)
        elif len(self.machine.exchanges) > 1:  # type: ignore[union-attr]
            self._batch = [data]
            self.loop.call_soon(self._write_batch)
        else:
            self._transport.write(data)

    def _write_batch(self) -> None:
        batch, self._batch = self._batch, None
        if batch and not self.closed:
            self._transport.write(b"".join(batch))

    def send(self, exchange: AsyncExchange, chunk: bytes) -> None:
        """Send a piece of content."""
        if exchange.ended or exchange.error is not None:
            return
        machine = self.machine
        if isinstance(machine, Http1):
            if chunk:
                self._transport.write(machine.content(chunk))
        else:
            machine.content(exchange, chunk)
            self._push()

    def finish(self, exchange: AsyncExchange) -> None:
        """No more content comes."""
        machine = self.machine
        if isinstance(machine, Http1):
            rest = machine.finish(exchange)
            if rest:
                self._transport.write(rest)
        else:
            machine.finish(exchange)
            self._push()

    def _push(self) -> None:
        """Send what HTTP/2 has to send, as long as the peer takes it."""
        machine = self.machine
        assert isinstance(machine, Http2)
        while self.writable.is_set() and not self.closed:
            data = machine.flush()
            if not data:
                return
            self._write(data)

    # Responses

    def taken(self, exchange: AsyncExchange, size: int) -> None:
        """The reader has taken content."""
        machine = self.machine
        if isinstance(machine, Http1):
            if self._paused:
                self._paused = False
                self._transport.resume_reading()
        elif not self.closed:
            data = machine.taken(exchange, size)
            if data:
                self._write(data)

    def abort(self, exchange: AsyncExchange) -> None:
        """Nobody wants the rest of a response."""
        machine = self.machine
        if isinstance(machine, Http1):
            if machine.exchange is exchange:
                machine.abort(exchange)
                self.close()
            elif self._paused:
                self._paused = False
                self._transport.resume_reading()
        else:
            data = machine.abort(exchange)
            if not self.closed:
                if data:
                    self._write(data)
                self._settle()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        tls: Any = transport.get_extra_info("ssl_object")
        self.machine = machine = self._choose(None if tls is None else tls.selected_alpn_protocol())
        if isinstance(machine, Http2):
            self._transport.write(machine.preface())
            if self.place.options.keepalive_time is not None:
                self._keepalive = Keepalive(self.place.options, self.born)
                self._check_life()

    def _check_life(self) -> None:
        machine = self.machine
        if self.closed or not isinstance(machine, Http2) or self._keepalive is None:
            return
        what, delay = self._keepalive.check(self.loop.time(), busy=bool(machine.exchanges))
        if what == "dead":
            machine.lost(DEAD)
            self.close()
            return
        if what == "ask":
            self._write(ping())
        self._timer = self.loop.call_later(delay, self._check_life)

    def data_received(self, data: bytes) -> None:
        machine = self.machine
        if isinstance(machine, Http1):
            exchange = machine.exchange
            machine.receive(data)
            if machine.exchange is None:
                self._settle()
            elif exchange is not None and exchange.unread > _UNREAD_MAX:
                self._paused = True
                self._transport.pause_reading()
            return
        if self._keepalive is not None:
            self._keepalive.heard = self.loop.time()
        written = machine.receive(data)
        if written:
            self._write(written)
            if not self.writable.is_set():
                self._answers += len(written)
                if self._answers > _ANSWERS_MAX:
                    machine.lost("the peer does not read what it asks for")
        self._settle()

    def _settle(self) -> None:
        """Something ended: give the connection back, or up."""
        machine = self.machine
        if isinstance(machine, Http1):
            if machine.usable and not self._transport.get_write_buffer_size():
                self.place.release(self)
            else:
                self.close()
        elif machine.exchanges or machine.usable:
            self._push()
            if self.place.waiting:
                self.place.offer()
            if not machine.exchanges:
                self.used = self.loop.time()
                if self.place.left and self.idle:
                    self.close()
        else:
            self.close()

    def eof_received(self) -> bool:
        machine = self.machine
        if isinstance(machine, Http1):
            machine.receive(b"")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed:
            self._gone(ENDED_EARLY if exc is None else f"the connection broke: {exc}")

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self._answers = 0
        self.writable.set()
        if self.machine.multiplexed:
            self._push()

    def retire(self) -> None:
        """Take no more exchanges over HTTP/2, and close it when those under way have ended."""
        self.machine.usable = False
        self._settle()

    def close(self) -> None:
        """Close it, without waiting for the peer."""
        if not self.closed:
            self._gone("the connection was closed")
            self._transport.abort()

    def _gone(self, text: str) -> None:
        self.closed = True
        self.writable.set()
        if self._timer is not None:
            self._timer.cancel()
        self.machine.lost(text)
        self.place.lost(self)
