"""One HTTP/2 connection as its client sees it (RFC 9113), without I/O: many exchanges at a time.

The parser keeps the streams' states, reads and writes frames, and counts the peer's windows. Kept here are the exchanges, what
of their content waits for a window, and our own windows:

- Each stream starts with a window of 1 MiB, the connection with 8 MiB: 64 KiB, HTTP/2's default, would let through no more than
  that in each round trip.
- The parser raises a window again as soon as content has been parsed. Here a raise is kept back until it is an eighth of the
  window: most responses need none. And a stream's is kept back while more than half of its window lies unread, the connection's
  while more than half of its own does: so a slow reader stops its peer, after one and a half windows at most.
- A peer that sends more than it was allowed to has broken the protocol. With that, what a connection holds is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..transport import Gone, TransportError
from . import frames
from .message import request_block
from .parser import (
    NEED_DATA,
    Data,
    EndOfMessage,
    GoAway,
    Ping,
    ProtocolError,
    Response,
    RstStream,
    Settings,
    ended,
    failure_of,
    http2,
    kind_of,
    never_used,
)
from .status import http2_status

if TYPE_CHECKING:
    from .exchange import Exchange
    from .parser import H2Connection

__all__ = ["Http2"]

_STREAM_WINDOW: Final = 1 << 20
_WINDOW: Final = 8 << 20
_DEFAULT_WINDOW: Final = 65535
_WORTH: Final = 8
"""The part of a window that is worth a frame of its own: it costs both sides a system call."""

_RESETS_MAX: Final = 200
"""So many resets by the peer, and the connection takes no more exchanges: the parser gives a connection up at 256."""

_IDLE_MAX: Final = 2000
"""Pings, settings and informational heads among bytes that come together: no peer with anything to say sends so many."""

_BEGINNING: Final = 16
"""Bytes by which another protocol is known."""

_LAST_ID: Final = 1 << 30
_PIECE: Final = 4 * frames.FRAME_MAX
"""What an exchange may send before the next one's turn."""

_FLUSH: Final = 1 << 18
"""What is written in one go, so that a peer with a large window does not make all content be copied at once."""


class Http2:
    """The state of a connection.

    Attributes:
        exchanges: those under way, by their streams.
        usable: whether more may be started.
        limit: how many may be under way, by our choice and the peer's.
        places: how many more may be started now.
        reserved: how many places are promised.
        sending: those that have content to send, in the order of their turns.

    """

    __slots__ = (
        "_begun",
        "_credit",
        "_due",
        "_initial_window",
        "_next_id",
        "_odd_status",
        "_parser",
        "_received",
        "_resets",
        "_streams_max",
        "_unread",
        "exchanges",
        "limit",
        "reserved",
        "sending",
        "usable",
    )

    multiplexed = True

    def __init__(self, streams_max: int, expected: int | None = None) -> None:
        """`streams_max`: exchanges at a time. `expected`: how many of them the peer will allow, as far as that is known."""
        self._parser: H2Connection = http2()
        self._begun: bytes | None = b""  # what the peer has said, until that is known to be HTTP/2
        self._next_id = 1
        self._streams_max = streams_max
        self.limit = streams_max if expected is None else expected
        self._initial_window = _DEFAULT_WINDOW
        self.sending: dict[Exchange, None] = {}
        self._resets = 0
        self._unread = 0
        self._received = 0
        self._credit = 0
        self._odd_status = 0
        self._due = 0  # the connection's raise that is kept back
        self.exchanges: dict[int, Exchange] = {}
        self.usable = True
        self.reserved = 0

    @property
    def places(self) -> int:
        return self.limit - len(self.exchanges) - self.reserved if self.usable else 0

    def preface(self) -> bytes:
        """What a connection starts with."""
        self._parser.initiate_connection()
        raised = frames.window_update(0, _WINDOW - _DEFAULT_WINDOW)
        return self._parser.data_to_send() + frames.settings(_STREAM_WINDOW) + raised

    # Requests

    def start(self, exchange: Exchange, scheme: str, authority: str, *, whole: bool) -> bytes:
        """Begin an exchange: the bytes of the request's head, and of its content if that is whole and there is room.

        Raises ValueError for a request that cannot be written.
        """
        request = exchange.request
        block = request_block(request.method, scheme, authority, request.target, request.column)
        number = self._next_id
        self._next_id += 2
        if number > _LAST_ID:
            self.usable = False
        exchange.id = number
        exchange.stream = stream = self._parser.stream(number)
        self.exchanges[number] = exchange
        content: Any = request.content if whole else b""
        end = whole and not content
        head = frames.headers(number, block, end=end)
        length = len(content)
        if end or (whole and length <= frames.FRAME_MAX and length <= min(self._parser.send_window, self._initial_window)):
            exchange.sent = True
            stream.send_data(content)
            stream.end_message()
            written = self._parser.data_to_send()
            if end:
                return head
            # The parser ends a stream by an empty frame of its own: the mark fits on the one before.
            flags = len(written) - length - 2 * frames.OVERHEAD + 4
            return head + written[:flags] + b"\x01" + written[flags + 1 : -frames.OVERHEAD]
        stream.send_data(b"")  # the parser learns of the stream
        if content:
            exchange.pending = memoryview(content)
            exchange.finishing = True
            self.sending[exchange] = None
        return head + self.flush()

    def content(self, exchange: Exchange, chunk: bytes) -> None:
        """More content: `flush` gives it as there is room."""
        if chunk and exchange.id in self.exchanges:
            exchange.pending = memoryview(chunk)
            self.sending[exchange] = None

    def finish(self, exchange: Exchange) -> None:
        """No more content comes."""
        if exchange.id in self.exchanges:
            exchange.finishing = True
            self.sending[exchange] = None

    def flush(self) -> bytes:
        """What may be sent of the content now; empty if there is nothing, or no room for it."""
        sending = self.sending
        if not sending:
            return b""
        parser = self._parser
        room = _FLUSH
        for exchange in list(sending):
            stream = exchange.stream
            assert stream is not None
            pending = exchange.pending
            if pending:
                window = min(stream.send_window or 0, parser.send_window, _PIECE, len(pending))
                if window <= 0:
                    continue
                stream.send_data(pending[:window])
                room -= window
                exchange.pending = pending = pending[window:]
            del sending[exchange]
            if pending:
                sending[exchange] = None  # to the end of the line
            elif exchange.finishing:
                exchange.sent = True
                stream.end_message()
            else:
                exchange.drained()
            if room <= 0:
                break
        return parser.data_to_send()

    # Responses

    def receive(self, data: bytes) -> bytes:
        """Bytes came: the answers that they ask for. There may be room for content now, which `flush` gives.

        Without `usable` and `exchanges`, the connection is to be closed.
        """
        parser = self._parser
        exchanges = self.exchanges
        touched: dict[Exchange, None] = {}
        idle = 0  # frames that bring nobody anything
        begun = self._begun
        if begun is not None:
            self._begun = begun = (begun + data)[:_BEGINNING]
        try:
            parser.receive_data(data)
            event: Any = parser.next_event()
            if event is not NEED_DATA:
                self._begun = None
            while event is not NEED_DATA:
                kind = kind_of(event)
                if kind is Data:
                    exchange = exchanges.get(event.stream_id)
                    if exchange is not None:
                        touched[exchange] = None
                        self._content(exchange, event.data)
                elif kind is Response:
                    exchange = exchanges.get(event.stream_id)
                    if event.status_code < 200:
                        idle += 1
                    elif exchange is not None:
                        touched[exchange] = None
                        exchange.begin(event.status_code, event.headers, None)
                elif kind is EndOfMessage:
                    exchange = exchanges.pop(event.stream_id, None)
                    if exchange is not None:
                        touched[exchange] = None
                        self._ended(exchange, event.trailers)
                elif kind is RstStream:
                    self._resets += 1
                    if self._resets > _RESETS_MAX:
                        self.usable = False
                    exchange = exchanges.pop(event.stream_id, None)
                    if exchange is not None:
                        touched[exchange] = None
                        self._reset(exchange, event.error_code, data)
                elif kind is GoAway:
                    self._go_away(event, touched)
                elif kind is Settings:
                    idle += 1
                    self._settings(event.params)
                elif kind is Ping:
                    idle += 1
                if idle > _IDLE_MAX:
                    raise ProtocolError("a flood of frames that say nothing")
                event = parser.next_event()
        except ProtocolError as error:
            self._fail(touched, *failure_of(error, "HTTP/2", begun or b""))
        written = parser.data_to_send()
        if written:
            written = self._held(written)
        for exchange in touched:
            exchange.progressed()
        return written

    def _content(self, exchange: Exchange, data: bytes) -> None:
        size = len(data)
        exchange.add(data)
        exchange.received += size
        self._received += size
        self._unread += size
        if exchange.received - exchange.credit > _STREAM_WINDOW or self._received - self._credit > _WINDOW:
            raise ProtocolError("more content than its window allows")

    def _ended(self, exchange: Exchange, trailers: list[tuple[bytes, bytes]]) -> None:
        if not trailers and exchange.unread == exchange.received:
            exchange.length = exchange.received  # nobody has read yet, and all is there
        exchange.end(trailers)
        if not exchange.sent:
            # The server has said all it will: the rest of the request is of no use (RFC 9113, 8.1).
            self.sending.pop(exchange, None)
            assert exchange.stream is not None
            exchange.stream.reset(frames.NO_ERROR)

    def _reset(self, exchange: Exchange, code: int, received: bytes) -> None:
        self.sending.pop(exchange, None)
        if code == frames.PROTOCOL_ERROR and not exchange.status:
            status = http2_status(received, exchange.id, self._odd_status)
            if status:
                self._odd_status = status
                exchange.begin(status, (), 0)
                exchange.end(())
                return
        refused = code == frames.REFUSED_STREAM
        text = "the server refused the stream" if refused else f"the stream was reset with HTTP/2 code {code}"
        exchange.fail(Gone.RESET, text, code, unprocessed=refused)

    def _go_away(self, event: Any, touched: dict[Exchange, None]) -> None:
        self.usable = False
        for number in [number for number in self.exchanges if number > event.last_stream_id]:
            exchange = self.exchanges.pop(number)
            touched[exchange] = None
            self.sending.pop(exchange, None)
            exchange.fail(Gone.RESET, "the server goes away", frames.REFUSED_STREAM, unprocessed=True)

    def _settings(self, params: list[tuple[int, int]]) -> None:
        for name, value in params:
            if name == frames.MAX_CONCURRENT_STREAMS:
                self.limit = min(value, self._streams_max)
            elif name == frames.INITIAL_WINDOW_SIZE:
                self._initial_window = value

    def _held(self, written: bytes) -> bytes:
        """What the parser wrote, less the raises of windows that are to wait."""
        out: list[bytes] = []
        for kind, number, start, end in frames.frames(written):
            if kind != frames.WINDOW_UPDATE:
                out.append(written[start:end])
                continue
            raised = int.from_bytes(written[end - 4 : end], "big")
            if not number:
                self._due += raised
                continue
            exchange = self.exchanges.get(number)
            if exchange is not None:
                exchange.consumed += raised
                out.append(self._raise(exchange))
        out.append(self._raise_connection())
        return b"".join(out)

    def _raise(self, exchange: Exchange) -> bytes:
        due = exchange.consumed
        if due < _STREAM_WINDOW // _WORTH or exchange.unread > _STREAM_WINDOW // 2:
            return b""
        exchange.consumed = 0
        exchange.credit += due
        return frames.window_update(exchange.id, due)

    def _raise_connection(self) -> bytes:
        due = self._due
        if due < _WINDOW // _WORTH or self._unread > _WINDOW // 2:
            return b""
        self._due = 0
        self._credit += due
        return frames.window_update(0, due)

    def taken(self, exchange: Exchange, size: int) -> bytes:
        """Content has been taken by its reader: what is to be written for it."""
        self._unread -= size
        raised = self._raise(exchange) if exchange.consumed and exchange.id in self.exchanges else b""
        return raised + self._raise_connection() if self._due else raised

    # Ends

    def abort(self, exchange: Exchange) -> bytes:
        """Nobody wants the rest of the response: what is to be written for it."""
        if exchange.ended and not exchange.unread and exchange.sent:
            return b""  # there is no rest
        self._unread -= exchange.unread
        exchange.take()
        self.sending.pop(exchange, None)
        written = b""
        if self.exchanges.pop(exchange.id, None) is not None and exchange.stream is not None:
            exchange.stream.reset(frames.CANCEL)
            written = self._parser.data_to_send()
        return written + self._raise_connection()

    def _fail(self, touched: dict[Exchange, None], reason: Gone, text: str) -> None:
        self.usable = False
        self.sending.clear()
        for exchange in self.exchanges.values():
            touched[exchange] = None
            exchange.fail(reason, text)
        self.exchanges.clear()

    def unborn(self) -> TransportError:
        """What to say where the connection ended before its first exchange."""
        return never_used(self._begun)

    def lost(self, text: str) -> None:
        """The connection is gone."""
        touched: dict[Exchange, None] = {}
        self._fail(touched, *ended(self._begun, text))
        for exchange in touched:
            exchange.progressed()
