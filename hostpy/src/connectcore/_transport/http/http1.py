"""One HTTP/1.1 connection as its client sees it (RFC 9112), without I/O: one exchange at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..transport import Gone, TransportError
from .message import field_lines, request_line
from .parser import (
    CONNECTION_CLOSED,
    ENDED_EARLY,
    NEED_DATA,
    Data,
    EndOfMessage,
    ProtocolError,
    Response,
    ended,
    failure_of,
    foreign,
    http1,
    kind_of,
    never_used,
)
from .status import http1_status

if TYPE_CHECKING:
    from .exchange import Exchange
    from .parser import H1Connection
    from .proxy import Proxy

__all__ = ["SEPARATE", "Http1"]

_IDLE_MAX: Final = 2000
"""Informational responses among bytes that come together: no server with anything to say sends so many."""

_BEGINNING: Final = b"HTTP/1."
_LINE: Final = 16  # with the status
_LENGTH_MAX: Final = 2**63 - 1

SEPARATE: Final = 1 << 16
"""Longer content is written behind its head, not put together with it."""


class Http1:
    """The state of a connection.

    Attributes:
        exchange: what is under way.
        usable: whether another exchange may follow.

    """

    __slots__ = ("_begun", "_chunked", "_parser", "_proxy", "exchange", "usable")

    multiplexed = False
    sending = ()  # content is written as it comes

    def __init__(self, proxy: Proxy | None = None) -> None:
        """`proxy`: the proxy that reads the requests."""
        self._parser: H1Connection = http1()
        self._begun = b""  # how a response begins whose head is not whole yet
        self._chunked = False
        self._proxy = proxy
        self.exchange: Exchange | None = None
        self.usable = True

    def start(self, exchange: Exchange, scheme: str, authority: str, *, whole: bool) -> bytes:
        """Begin an exchange: the bytes of the request's head. `whole`: the request's content is bytes, to be sent next.

        Raises ValueError for a request that cannot be written.
        """
        request = exchange.request
        proxy = self._proxy
        if proxy is None:
            head = request_line(request.method, request.target, authority)
        else:  # a proxy wants the whole URL (RFC 9112, 3.2.2)
            head = request_line(request.method, f"{scheme}://{authority}{request.target}", authority) + proxy.fields
        lines, measured = field_lines(request.column)
        self._chunked = not (whole or measured)
        if not measured:
            content: Any = request.content
            if self._chunked:
                lines += b"transfer-encoding: chunked\r\n"
            elif content:
                lines += b"content-length: %d\r\n" % len(content)
        self._begun = b""
        self.exchange = exchange
        exchange.sent = whole
        return head + lines + b"\r\n"

    def content(self, chunk: bytes) -> bytes:
        """The bytes of a piece of content."""
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunk else b""
        return chunk

    def finish(self, exchange: Exchange) -> bytes:
        """The bytes behind the last piece."""
        exchange.sent = True
        return b"0\r\n\r\n" if self._chunked else b""

    def receive(self, data: bytes) -> None:
        """Bytes came; none for the end of input."""
        exchange = self.exchange
        if exchange is None:
            self.usable = False  # nobody asked
            self._begun = data[:_LINE]
            return
        parser = self._parser
        idle = 0
        try:
            event: Any = parser.receive_event(data)
            while event is not NEED_DATA:
                kind = kind_of(event)
                if kind is Data:
                    exchange.add(event.data)
                elif kind is Response:
                    self._head(exchange, event)
                    if exchange.ended:
                        break
                    if not exchange.status:
                        idle += 1
                        if idle > _IDLE_MAX:
                            raise ProtocolError("a flood of informational responses")
                elif kind is EndOfMessage:
                    self._complete(exchange, event)
                    return
                else:
                    self.lost(ENDED_EARLY)
                    return
                event = parser.next_event()
        except ProtocolError as error:
            status = 0 if exchange.status else http1_status(self._begun + data)
            if status:
                exchange.begin(status, (), 0)
                exchange.end(())
                self.abort(exchange)
                exchange.progressed()
            elif data:
                self._broken(exchange, *failure_of(error, "HTTP/1.1"))
            else:
                self.lost(ENDED_EARLY)
            return
        if not data:
            self.lost(ENDED_EARLY)
            return
        if not exchange.status:
            # Another protocol may never send what ends a line.
            self._begun = (self._begun + data)[:_LINE]
            if not _BEGINNING.startswith(self._begun[: len(_BEGINNING)]):
                self._broken(exchange, Gone.MALFORMED, foreign(self._begun) or "the response is no HTTP/1.1")
                return
        exchange.progressed()

    def _head(self, exchange: Exchange, head: Any) -> None:
        status = head.status_code
        if status >= 200:
            fields = head.headers
            length = fields.get(b"content-length")
            if status in (204, 304):
                length = b"0"
            # The parser has seen to it that a length is a number, and that no transfer coding is there beside it.
            exchange.begin(status, fields.to_list(lowercase_names=True), None if length is None else int(length))
            if exchange.length is not None and exchange.length > _LENGTH_MAX:
                raise ProtocolError("a length that no content has")
        elif status == 101:
            # A change of protocol that nobody asked for: what follows is not HTTP.
            exchange.begin(status, head.headers.to_list(lowercase_names=True), 0)
            exchange.end(())
            self.abort(exchange)

    def _complete(self, exchange: Exchange, end: Any) -> None:
        parser = self._parser
        self.exchange = None
        # What comes behind a response answers nothing: the parser is asked for its end to learn whether something is there.
        if not exchange.sent or parser.should_close():
            self.usable = False
        else:
            try:
                parser.start_next_cycle()
                self.usable = parser.receive_event(b"") is CONNECTION_CLOSED
            except ProtocolError:
                self.usable = False
            self._parser = http1()
        exchange.end([(name.lower(), value) for name, value in end.trailers])
        exchange.progressed()

    def _broken(self, exchange: Exchange, reason: Gone, text: str) -> None:
        self.exchange = None
        self.usable = False
        exchange.fail(reason, text)
        exchange.progressed()

    def unborn(self) -> TransportError:
        """What to say where the connection ended before its first exchange."""
        return never_used(None if self._begun.startswith(_BEGINNING) else self._begun)

    def lost(self, text: str) -> None:
        """The connection is gone."""
        self.usable = False
        exchange = self.exchange
        if exchange is not None:
            begun = None if exchange.status or self._begun.startswith(_BEGINNING) else self._begun
            self._broken(exchange, *ended(begun, text))

    def abort(self, _exchange: Exchange) -> None:
        """Nobody wants the rest of the response: the connection must be closed."""
        self.exchange = None
        self.usable = False
