"""One call of a client: everything about it but I/O, the same for async and sync.

    request = call.begin(...)      the application's message goes in, an HTTP request comes out
    call.head(...)                 then what the transport brings, in order; from then on `finished` says
    call.content(...) call.ended() whether more is of use: where it is true, read no further
    call.gone(...)                 or what happened instead; also deadline() and cancel()
    call.result()                  the response message, or the error
    call.close()                   at last, always: a call that is not finished is forgotten by the module

Two steps of the module make a call whose response has a known, small length: its head is kept back until the content is
there. So it is where the length is not known, but the same head has become a good response before. Otherwise the module sees
each piece as it comes, so that a response that cannot become good is dropped at once.

What the module says is a function of what it is told. So the request of a call without metadata is remembered; the next such
call takes it from there, and is opened in the module only with the batch that ends it. Likewise a response whose head and
length are the same to the byte as those of an earlier good one has the same outcome, as long as its message went by reference:
then the module has not looked at it. A client that repeats a call pays for no step at all.

Payloads do not go through the module unless it has to look into them; it names them by their place in the content.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from .._headers import Headers, headers_from_fields, join_fields, split_fields
from .._transport.transport import Gone, Request, TransportError
from .._wasm import abi, client_records, columns, records
from ..code import Code
from ..errors import ConnectError, ErrorDetail
from ..method import StreamType
from .config import timeout_microseconds
from .steps import ClientSteps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._transport.transport import Fields
    from ..method import MethodInfo
    from .config import ClientConfig

__all__ = ["ClientCall"]

_HELD: Final = 256 << 10
"""Longest content that is kept back with its head, unless less may be received."""

_CARRIED: Final = 16 << 10
"""Longest content that goes into the module before it asks for it (ABI.md, section 4)."""

_REMEMBERED: Final = 4 << 10
"""Longest header section whose outcome is remembered."""

_CODES: Final = (None, *Code)  # by their numbers in the interface, which are those of the enum's order
_STREAM_TYPES: Final = {
    StreamType.UNARY: abi.UNARY,
    StreamType.CLIENT_STREAM: abi.CLIENT_STREAM,
    StreamType.SERVER_STREAM: abi.SERVER_STREAM,
    StreamType.BIDI_STREAM: abi.BIDI_STREAM,
}
_GONE: Final = {Gone.REFUSED: abi.GONE_REFUSED, Gone.CLOSED: abi.GONE_CLOSED, Gone.RESET: abi.GONE_RESET}
_HTTP_PROTOCOL_ERROR: Final = 1  # RFC 9113, 7: what an HTTP side calls a peer that does not speak HTTP

_log: Final = logging.getLogger("connectcore")


class ClientCall(ClientSteps):
    """One call. Not to be used by two threads at a time. Making one raises ModuleError where the module cannot be loaded."""

    # Values to start with, here because most calls change few of them.
    _held = False
    _fields: Fields = ()
    _column = b""
    _length: int | None = None
    _announced = 0
    _inline = False
    _response: records.Response | None = None
    _payload: bytes | None = None
    _payload_coding = 0
    _limit = 0
    _end: records.EndOfCall | None = None
    cause: BaseException | None = None
    http_status: int | None = None

    def __init__(self, config: ClientConfig, method: MethodInfo[Any, Any]) -> None:
        super().__init__(config, method)
        self._chunks: list[bytes] = []

    # The request

    def begin(
        self,
        message: Any,
        headers: Headers | Mapping[str, str] | None,
        timeout: float | None,
        deadline: float | None,
        get: bool,
    ) -> Request | None:
        """Open a unary call. None: the call has ended at home, and `result` says how.

        Args:
            message: the request message.
            headers: its metadata.
            timeout: seconds that are left, for the server to know.
            deadline: the same as a time, for the transport.
            get: make it an HTTP GET.

        """
        config = self._config
        try:
            payload = self._plan.encode(message)
            length = len(payload)
            if config.send_compression is not None:
                payload = config.send_compression.compress(payload)
                length = len(payload) | abi.COMPRESSED
        except Exception as error:
            raise self._verdict(abi.REJECT_ENCODE, error) from error
        timeout_us = timeout_microseconds(timeout)
        if headers or get:
            events = self._open(abi.UNARY, headers, timeout_us, get, _message(payload, length, get))
        else:
            known = self._plan.requests.get((timeout_us, length))
            if known is not None:
                self._late = timeout_us, length
                method, target, column = known
                return Request(method, config.origin, target, column, payload, deadline)
            procedure = self._plan.procedure
            events = self._opened(lambda handle: client_records.ask(handle, timeout_us, procedure, length))
        usual = client_records.read_request(events)
        if usual is not None:
            self._handle, method, target, column = usual
            if not headers and not get:
                self._plan.remember(self._plan.requests, (timeout_us, length), (method, target, column))
            return Request(method, config.origin, target, column, payload, deadline)
        request: Request | None = None
        for event in self._decoded(events):
            if isinstance(event, records.HttpRequestHead):
                self._handle = event.handle
                target_text = event.target.decode("ascii")
                request = Request(event.method.decode("ascii"), config.origin, target_text, event.fields, b"", deadline)
            elif isinstance(event, records.HttpBody) and request is not None:
                assert isinstance(request.content, bytes)
                request.content += _lay_out(event, payload)
            else:
                self._take(event)
        if self._end is None and request is None:
            raise self._broken("it gave no request to send")
        return request if self._end is None else None

    def begin_stream(self, headers: Headers | Mapping[str, str] | None, timeout: float | None) -> ConnectError:
        """Open a call of another stream type, and give the error that it ends with: in this role the core carries none."""
        stream_type = _STREAM_TYPES[self._plan.method.stream_type]
        for event in self._decoded(self._open(stream_type, headers, timeout_microseconds(timeout), False, b"")):
            if event.handle and not isinstance(event, records.Fault):
                self._handle = event.handle
            self._take(event)
        if self._end is None:  # a later module, which this host does not know how to drive
            self.close()
            return ConnectError(Code.UNIMPLEMENTED, "this version of the client makes unary calls only")
        return self._error(self._end)

    def _open(
        self, stream_type: int, headers: Headers | Mapping[str, str] | None, timeout_us: int, get: bool, rest: bytes
    ) -> bytes:
        """Open a call of any kind, with any metadata."""
        text, pairs = split_fields(headers if isinstance(headers, Headers) else Headers(headers or ()))
        binary = [(name.encode("utf-8", "surrogateescape"), value) for name, value in pairs]
        flags = abi.OPEN_GET if get else 0
        procedure, fields = self._plan.procedure, join_fields(text)

        def batch(handle: int) -> bytes:
            opening = records.open_client(handle, flags, stream_type, timeout_us, procedure, len(text), fields, binary)
            return opening + rest

        return self._opened(batch)

    # The response

    def head(self, status: int, fields: Fields, length: int | None) -> None:
        """The response's head came. `length`: see `Response`."""
        self.http_status = status
        self._fields = fields
        self._length = length
        self._held = True
        self._column = _column(fields)
        short = length is not None and 0 < length <= min(_HELD, self._config.read_max)
        if not short and (length is not None or (status, self._column) not in self._plan.heads):
            self._run(self._held_back(abi.HTTP_END if length == 0 else 0))

    def content(self, data: bytes) -> None:
        """Content came."""
        self._chunks.append(data)
        announced = self._announced = self._announced + len(data)
        if not self._held:
            flags = abi.CONTENT_END_FLAG if announced == self._length else 0
            carried = data if len(data) <= _CARRIED or self._inline else b""
            self._run(records.content(self._handle, flags, len(data), carried))
        elif announced == self._length:
            self._whole_response()
        elif announced > min(_HELD, self._config.read_max):
            self._run(self._held_back() + records.content(self._handle, 0, announced, b""))

    def _whole_response(self) -> None:
        """The response is here in one piece."""
        self._held = False
        status, column, length = self.http_status or 0, self._column, self._announced
        key = status, column, length
        plan = self._plan
        usual = None if self._late is None else plan.replies.get(key)
        if usual is None:
            carried = self._whole() if length <= _CARRIED else b""
            batch = client_records.answer(self._handle, status, len(self._fields), column, length, carried)
            events = self._advance(batch)
            usual = client_records.read_success(events)
            if usual is None:
                self._follow(self._decoded(events))
                return
            if len(column) <= _REMEMBERED:
                plan.remember(plan.replies, key, usual)
        self._late = None
        hidden, offset, length, self._payload_coding, self._limit = usual
        self._response = response = records.Response.__new__(records.Response)
        response.hidden, response.binary = hidden, []
        self._end = _GOOD_END
        self._keep(offset, length)
        self.finished = True

    def ended(self, trailers: Fields) -> None:
        """The content ended, with this trailer section."""
        if self._length is not None and self._announced < self._length:
            self.gone(TransportError(Gone.CLOSED, "the content is shorter than its declared length"))
            return
        if self._held and not trailers:
            self._whole_response()
            return
        batch = self._held_back()
        if batch and self._announced:
            batch += records.content(self._handle, 0, self._announced, b"")
        self._run(batch + records.content_end(self._handle, len(trailers), _column(trailers)))
        if self._end is not None and not self._end.code and len(self._column) <= _REMEMBERED:
            self._plan.remember(self._plan.heads, (self.http_status or 0, self._column), None)

    def gone(self, error: TransportError) -> None:
        """The transport failed."""
        if self.finished:
            return
        self.cause = error
        handle, text = self._handle, error.text.encode("utf-8", "replace")
        match error.reason:
            case Gone.TIMEOUT:
                record = records.deadline(handle)
            case Gone.CANCELED:
                record = records.cancel(handle)
            case Gone.MALFORMED:
                record = records.peer_gone(handle, abi.GONE_RESET, _HTTP_PROTOCOL_ERROR, text)
            case reason:
                record = records.peer_gone(handle, _GONE[reason], error.reset_code, text)
        self._run(self._held_back() + record)

    def deadline(self) -> None:
        """The deadline passed."""
        if not self.finished:
            self._run(self._held_back() + records.deadline(self._handle))

    def cancel(self) -> None:
        """The application gave the call up. Never raises: the caller is busy with its own cancellation."""
        if self.finished or not (self._handle or self._late):
            return
        try:
            self._run(self._held_back() + records.cancel(self._handle))
        except ConnectError as error:
            _log.debug("A call that was being canceled failed: %s", error)

    # The outcome

    def result(self) -> Any:
        """The response message.

        Raises:
            ConnectError: the call failed.

        """
        end = self._end
        if end is None:
            raise self._broken("the call has no outcome")
        if end.code:
            raise self._error(end) from self.cause
        payload = self._payload
        if payload is None:
            raise self._broken("the call succeeded without a message")
        if self._payload_coding:
            payload = self._decompress(payload)
        try:
            return self._plan.decode(payload)
        except Exception as error:
            raise self._verdict(abi.REJECT_DECODE, error) from error

    def leading(self) -> Headers | None:
        """The response's leading metadata; None where no response came."""
        response = self._response
        return None if response is None else headers_from_fields(self._fields, response.hidden, response.binary)

    def trailing(self) -> Headers | None:
        """The response's trailing metadata; None where there is none."""
        end = self._end
        if end is None or not (end.fields or end.binary):
            return None
        return headers_from_fields(columns.split_fields(end.fields), b"", end.binary)

    def _decompress(self, payload: bytes) -> bytes:
        limit = self._limit
        try:
            payload = self._config.codings[self._payload_coding - 1].decompress(payload, limit)
        except ConnectError as error:
            too_large = error.code is Code.RESOURCE_EXHAUSTED
            raise self._verdict(abi.REJECT_TOO_LARGE if too_large else abi.REJECT_DECOMPRESS, error) from error
        except Exception as error:
            raise self._verdict(abi.REJECT_DECOMPRESS, error) from error
        if len(payload) > limit:
            raise self._verdict(abi.REJECT_TOO_LARGE, f"{len(payload)} bytes, and the limit is {limit}")
        return payload

    def _error(self, end: records.EndOfCall) -> ConnectError:
        """The error that the core says, with all metadata that came."""
        code = _CODES[end.code] if end.code < len(_CODES) else None
        fields: list[tuple[Any, Any]] = columns.split_fields(end.fields)
        binary = list(end.binary)
        hidden = b""
        if self._response is not None:
            # The mask says nothing about what follows the response's own fields.
            fields = [*self._fields, *fields]
            hidden = self._response.hidden
            binary = [*self._response.binary, *binary]
        return ConnectError(
            code or Code.UNKNOWN,
            end.message.decode("utf-8", "replace"),
            [ErrorDetail.from_bytes(name.decode("utf-8", "replace"), value) for name, value in end.details],
            metadata=headers_from_fields(fields, hidden, binary) if fields or binary else None,
        )

    def _verdict(self, reason: int, why: object) -> ConnectError:
        """The error for what the host found out about a message, in the core's words (ABI.md, `reject`)."""
        if isinstance(why, ConnectError):
            why = why.message
        text = str(why).encode("utf-8", "replace")
        for event in self._rejected(reason, text):
            if isinstance(event, records.EndOfCall):
                return self._error(event)
        return self._broken("it has no verdict on a message")

    # The module

    def _held_back(self, flags: int = 0) -> bytes:
        """The response's head, if the module has not seen it yet."""
        if not self._held:
            return b""
        self._held = False
        return records.response_head(self._handle, flags, self.http_status or 0, len(self._fields), self._column)

    def _run(self, batch: bytes) -> None:
        """Give commands, and do what the events say."""
        self._follow(self._decoded(self._advance(batch)))

    def _follow(self, events: list[records.Event]) -> None:
        """Keep what events say, and show the module the content again where it asks."""
        asked: records.More | None = None
        for event in events:
            if isinstance(event, records.More):
                asked = event
            else:
                self._take(event)
        if asked is not None and not self.finished:
            data = self._whole()[asked.offset :]
            self._run(records.content(self._handle, abi.CONTENT_RESUME, len(data), data))

    def _whole(self) -> bytes:
        chunks = self._chunks
        if len(chunks) != 1:
            chunks[:] = [b"".join(chunks)]
        return chunks[0]

    def _take(self, event: records.Event) -> None:
        """Keep what an event says."""
        match event:
            case records.HttpRequestHead():
                self._handle = event.handle
            case records.Done():
                self.finished = True
            case records.EndOfCall():
                self._end = event
            case records.Messages():
                start, length = event.spans
                self._payload_coding, self._limit = event.coding, event.limit
                if event.flags & abi.MESSAGES_INLINE:
                    self._payload_coding = 0
                    self._payload = event.data[start : start + length]
                else:
                    self._keep(event.base + start, length)
            case records.Response():
                self._response = event
                self._inline = bool(event.flags & abi.CONTENT_INLINE)
            case records.Fault() if self._end is None:
                # After an end at home, the rest of the batch finds no call; that is no fault of anybody.
                text = event.text.decode("utf-8", "replace")
                if event.fault == abi.FAULT_BUSY:
                    raise ConnectError(Code.RESOURCE_EXHAUSTED, f"too many calls are under way in this process: {text}")
                raise self._broken(text)
            case _:
                pass  # nothing that a unary call has to act on

    def _keep(self, offset: int, length: int) -> None:
        """Take the message out of the content; the length's top bit says "compressed"."""
        if not length & abi.COMPRESSED:
            self._payload_coding = 0
        length &= ~abi.COMPRESSED
        whole = self._whole() if self._chunks else b""
        self._payload = whole if length == len(whole) else whole[offset : offset + length]


_END: Final = records.end(0)
_GOOD_END: Final = records.EndOfCall(bytes(44), 0)


def _message(payload: bytes, length: int, inline: bool) -> bytes:
    """The commands that send one message and end. `length` has the bit for "compressed" where it is."""
    if not inline:
        return records.send(0, 0, (length,)) + _END
    return records.send(0, abi.SEND_INLINE, (length,), payload) + _END


def _lay_out(body: records.HttpBody, payload: bytes) -> bytes:
    """The content with its payload in its place (ABI.md, section 4)."""
    if not body.count:
        return body.data
    return body.data[: body.prefix] + payload + body.data[body.prefix :]


def _column(fields: Fields) -> bytes:
    """Fields as the module reads them."""
    if not fields:
        return b""
    if isinstance(fields[0][0], str):
        return join_fields(fields)  # type: ignore[arg-type]
    return columns.join_fields(fields)  # type: ignore[arg-type]
