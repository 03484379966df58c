"""One call of a client: everything about it but I/O, the same for async and sync.

    request = call.begin(...)      the application's message goes in, an HTTP request comes out
    call.head(...)                 then what the transport brings, in order; from then on `finished` says
    call.content(...) call.ended() whether more is of use: where it is true, read no further
    call.gone(...)                 or what happened instead
    call.result()                  the response message, or the error
    call.close()                   at last, always

A step of the module costs as much as all else here. So where a response's length is known and small, the module sees it when it
is whole. Otherwise it sees the head at once and each piece of content when the next one comes, so that a response that cannot
become good is dropped early. Payloads do not go through the module unless it has to look into them; it names them by their
place in the content.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from .._codec.codec import resolve_decoder
from .._codec.payload import RejectedError, compressed, decoded, decompressed, encoded
from .._headers import Headers, headers_from_fields, metadata_columns
from .._transport.transport import Gone, Request, TransportError, fields_column
from .._wasm import abi, columns, records
from .._wasm.configuration import BusyError, attributes
from .._wasm.content import Content, carried
from .._wasm.instance import GuestError
from .._wasm.pool import POOL
from ..code import Code
from ..errors import ConnectError, ErrorDetail
from .config import timeout_microseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._transport.transport import Fields
    from ..method import MethodInfo
    from .config import ClientConfig

__all__ = ["ClientCall"]

_log: Final = logging.getLogger("connectcore")

_HELD: Final = 256 << 10
"""Longest content that is waited for before the module sees any of it."""

_GONE: Final = {
    Gone.REFUSED: abi.GONE_REFUSED,
    Gone.CLOSED: abi.GONE_CLOSED,
    Gone.RESET: abi.GONE_RESET,
    Gone.MALFORMED: abi.GONE_BROKEN,
}
_END: Final = records.end(0)
_TRIES: Final = 3
"""How many instances may fail under one call before that is given up."""


class ClientCall:
    """One call. Not to be used by two threads at a time. Making one raises ModuleError where the module cannot be loaded.

    `finished` says that the outcome is there, `http_status` is the response's status, and `cause` what to raise an error from.
    """

    def __init__(self, config: ClientConfig, method: MethodInfo[Any, Any]) -> None:
        self._config = config
        self._method = method
        # Where the module has to be compiled first, that takes a second or two: before the call's clock starts.
        self._instance = POOL.pick()
        self._handle = 0
        self._fields: Fields = ()
        self._head = b""  # the command for the response's head, as long as the module has not seen it
        self._length: int | None = None
        self._waits = False  # whether the module sees the response when it is whole
        self._received = self._announced = 0  # bytes of content that came, and that the module knows of
        self._content = Content()
        self._inline = False
        self._response: records.Response | None = None
        self._payload: bytes | None = None
        self._packed: tuple[int, int] | None = None  # coding and limit, if the payload is compressed
        self._end: records.EndOfCall | None = None
        self._deadline: float | None = None
        self.finished = False
        self.cause: BaseException | None = None
        self.http_status: int | None = None

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

        Raises:
            ValueError: the procedure cannot be called by GET.

        """
        config = self._config
        self._deadline = deadline
        try:
            payload = encoded(config.codec.encode, message)
            length = len(payload)
            if config.packs_with is not None:
                payload = compressed(config.packs_with, payload)
                length = len(payload) | abi.COMPRESSED
        except RejectedError as rejected:
            self._fail(rejected.reason, rejected.why)
            return None

        request: Request | None = None
        for event in self._open(abi.OPEN_GET if get else 0, headers, timeout, payload, length):
            if isinstance(event, records.HttpRequestHead):
                target = event.target.decode("ascii")
                request = Request(event.method.decode("ascii"), config.origin, target, event.fields, b"", deadline)
                request.http2 = config.http2
            elif isinstance(event, records.HttpBody) and request is not None:
                data, prefix = event.data, event.prefix
                request.content = data[:prefix] + payload + data[prefix:] if event.count else data
        return request

    def refuse(self) -> None:
        """A call of another stream type, which this client does not make yet: `result` raises what the module says to that."""
        self._fail(abi.REJECT_KIND, "")

    def _open(
        self,
        flags: int,
        headers: Headers | Mapping[str, str] | None,
        timeout: float | None,
        payload: bytes,
        length: int,
    ) -> list[records.Event]:
        """Open the call in its instance, and send its message.

        Gives what the call has to do; nothing if it has ended at home. Raises ValueError where the application asks for what
        makes no sense.
        """
        metadata: tuple[int, bytes, Any] = (0, b"", ())
        if headers:
            metadata = metadata_columns(headers if isinstance(headers, Headers) else Headers(headers))
        config = self._config
        try:
            handle = config.handle_in(self._instance)
            timeout_us = timeout_microseconds(timeout)
            batch = records.open_client(handle, flags, attributes(self._method), timeout_us, self._procedure, *metadata)
            inline = config.inline(flags & abi.OPEN_GET)
            batch += records.send(0, abi.SEND_INLINE if inline else 0, (length,), payload if inline else b"") + _END
            events = self._opened(batch)
        except GuestError as error:
            self._lost(error)
            return []
        except BusyError:
            self._fail(abi.REJECT_BUSY, "")
            return []
        first = events[0]
        if isinstance(first, records.Fault):
            raise ValueError(f"{self._procedure.decode()}: {_text(first.text)}")
        self._handle = first.handle
        self._take(events)
        return [] if self.finished else events

    def _opened(self, batch: bytes) -> list[records.Event]:
        """What the instance says to a batch that opens a call. Raises GuestError and BusyError."""
        events = self._instance.tell(batch)
        first = events[0]
        if isinstance(first, records.Fault) and first.fault != abi.FAULT_ARGUMENT:
            if first.fault == abi.FAULT_BUSY:
                raise BusyError
            raise RuntimeError(f"the protocol module refuses a call: {_text(first.text)}")
        return events

    @property
    def _procedure(self) -> bytes:
        return f"/{self._method.service_name}/{self._method.name}".encode()

    # The response

    def head(self, status: int, fields: Fields, length: int | None) -> None:
        """The response's head came. `length`: see `Response`."""
        self.http_status, self._fields, self._length = status, fields, length
        flags = abi.HTTP_END if length == 0 else 0
        self._head = records.response_head(self._handle, flags, status, len(fields), fields_column(fields))
        self._waits = length is not None and 0 < length <= min(_HELD, self._config.read_max)
        if not self._waits:
            self._tell(b"")

    def content(self, data: bytes) -> None:
        """Content came."""
        if not self._waits and self._received > self._announced:
            self._tell(self._untold())  # the piece before; the last one goes with the end
            if self.finished:
                return
        self._content.add(data)
        self._received += len(data)
        if self._length is not None and self._received >= self._length:
            self._tell(self._untold(abi.CONTENT_END_FLAG))

    def ended(self, trailers: Fields) -> None:
        """The content ended, with this trailer section."""
        if self._length is not None and self._received < self._length:
            self.gone(TransportError(Gone.CLOSED, "the content is shorter than its declared length"))
        else:
            rest = self._untold() if self._received > self._announced else b""
            self._tell(rest + records.content_end(self._handle, len(trailers), fields_column(trailers)))

    def gone(self, error: TransportError) -> None:
        """The transport failed."""
        if self.finished:
            return
        self.cause = error
        handle = self._handle
        match error.reason:
            case Gone.CANCELED:
                record = records.cancel(handle)
            case reason if reason is Gone.TIMEOUT or (self._deadline is not None and monotonic() >= self._deadline):
                # A server that keeps the same deadline may be the first to act on it.
                record = records.deadline(handle)
            case Gone.TOO_LARGE:
                self._fail(abi.REJECT_TOO_LARGE, error.text)
                return
            case reason:
                record = records.peer_gone(handle, _GONE[reason], error.reset_code, error.text.encode("utf-8", "replace"))
        self._tell(record)

    def failed(self, error: Exception) -> None:
        """The transport raised what no transport should."""
        self._fail(abi.REJECT_LOST, f"the HTTP client failed: {error}")
        self.cause = error

    # The outcome

    def result(self) -> Any:
        """The response message.

        Raises:
            ConnectError: the call failed.

        """
        end, payload = self._end, self._payload
        if end is not None and not end.code and payload is not None:
            try:
                if self._packed is not None:
                    coding, limit = self._packed
                    payload = decompressed(self._config.codings[coding - 1], payload, limit)
                return decoded(resolve_decoder(self._config.codec, self._method.output), payload)
            except RejectedError as rejected:
                self.cause = rejected.why
                self._tell(records.reject(self._handle, rejected.reason, _why(rejected.why)))
            end = self._end
        if end is None or not end.code:
            raise RuntimeError("the protocol module gave this call no outcome")
        raise self._error(end) from self.cause

    def close(self) -> None:
        """Nobody needs the call any more. Never raises."""
        self.finished = True
        if self._handle and not self._instance.failed:
            self._instance.later(records.close(self._handle))
            self._instance.settle()
        self._handle = 0

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

    def _error(self, end: records.EndOfCall) -> ConnectError:
        """The error that the core says, with all metadata that came."""
        fields: list[tuple[Any, Any]] = columns.split_fields(end.fields)
        binary = end.binary
        hidden = b""
        if self._response is not None:
            # The mask says nothing about what follows the response's own fields.
            fields = [*self._fields, *fields]
            hidden = self._response.hidden
            binary = [*self._response.binary, *binary]
        return ConnectError(
            Code(abi.CODES[end.code]),
            _text(end.message),
            [ErrorDetail.from_bytes(_text(name), value) for name, value in end.details],
            metadata=headers_from_fields(fields, hidden, binary) if fields or binary else None,
        )

    # The module

    def _untold(self, flags: int = 0) -> bytes:
        """The command for content that the module does not know of: all of its bytes where that is cheap, else the first."""
        start, self._announced = self._announced, self._received
        length = self._received - start
        data = self._content.peek(start, length if self._inline else carried(length))
        return records.content(self._handle, flags, length, data)

    def _tell(self, batch: bytes) -> None:
        """Give commands, behind the response's head if that has waited, and do what the events say."""
        batch, self._head = self._head + batch, b""
        while batch:
            try:
                events = self._instance.tell(batch)
            except GuestError as error:
                self._lost(error)
                return
            batch = self._take(events)

    def _take(self, events: list[records.Event]) -> bytes:
        """Keep what events say, and give what they ask for."""
        answer = b""
        for event in events:
            match event:
                case records.Response():
                    self._response = event
                    self._inline = bool(event.flags & abi.CONTENT_INLINE)
                case records.Messages():
                    start, length = event.spans
                    self._packed = (event.coding, event.limit) if length & abi.COMPRESSED else None
                    length &= ~abi.COMPRESSED
                    if event.flags & abi.MESSAGES_INLINE:
                        self._payload = event.data[start : start + length]
                    else:
                        self._payload = self._content.take(event.base + start, length)
                case records.EndOfCall():
                    self._end = event
                    self.finished = True
                case records.More():
                    data = self._content.peek(event.offset, self._announced - event.offset)
                    answer = records.content(self._handle, abi.CONTENT_RESUME, len(data), data)
                case records.Decompress():
                    coding = self._config.codings[event.coding - 1]
                    try:
                        answer = records.decompressed(self._handle, decompressed(coding, event.data, event.limit))
                    except RejectedError as rejected:
                        answer = records.reject(self._handle, rejected.reason)
                case records.Fault():
                    _log.error("The protocol module refused a command of a client: %s", _text(event.text))
                    self._fail(abi.REJECT_LOST, "")
                    return b""
                case _:
                    pass  # the request
        return b"" if self.finished else answer

    def _fail(self, reason: int, why: BaseException | str) -> None:
        """End the call with what the module says to `reason`, in place of what it is or would become."""
        if isinstance(why, BaseException):
            self.cause = why
        self.close()
        rejection = records.reject(0, reason, _why(why))
        busy = reason == abi.REJECT_BUSY
        for _ in range(_TRIES):
            self._instance = POOL.other(self._instance) if busy else POOL.pick()
            try:
                handle = self._config.handle_in(self._instance)
                opening = records.open_client(handle, 0, 0, abi.NO_TIMEOUT, self._procedure)
                events = self._opened(opening + rejection)
            except GuestError as error:
                POOL.discard(self._instance, error)
            except BusyError:
                busy = True
            else:
                self._handle = events[0].handle
                self._take(events)
                return
        raise RuntimeError("no instance of the protocol module serves this call")

    def _lost(self, error: GuestError) -> None:
        """The instance failed, and this call with it."""
        POOL.discard(self._instance, error)
        self._fail(abi.REJECT_LOST, "")


def _why(error: BaseException | str) -> bytes:
    """What the application should read of a failure."""
    if isinstance(error, ConnectError):
        error = error.message
    return str(error).encode("utf-8", "replace")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
