"""One call of a client: everything about it but I/O, the same for async and sync.

    request = call.begin(...)      the application's message goes in, an HTTP request comes out
    call.head(...)                 then what the transport brings, in order; from then on `finished` says
    call.content(...) call.ended() whether more is of use: where it is true, read no further
    call.gone(...)                 or what happened instead; also deadline() and cancel()
    call.result()                  the response message, or the error
    call.close()                   at last, always: a call that is not finished is forgotten by the module

Two steps of the module make a call whose response has a known, small length: its head is kept back until the content is
there. Otherwise the module sees each piece as it comes, so that a response that cannot become good is dropped at once.

Payloads do not go through the module unless it has to look into them; it names them by their place in the content.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Any, Final

from . import _abi, _guest, _pool, _records
from ._client_config import timeout_microseconds
from ._codec import resolve_decoder, resolve_encoder
from ._headers import Headers, headers_from_fields, join_fields, split_fields
from ._transport import Gone, Request, TransportError
from .code import Code
from .errors import ConnectError, ErrorDetail
from .method import StreamType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._client_config import ClientConfig
    from ._transport import Fields
    from .method import MethodInfo

__all__ = ["ClientCall"]

_HELD: Final = 64 << 10
"""Longest content that the head is kept back for."""

_CARRIED: Final = 16 << 10
"""Longest content that goes into the module before it asks for it (ABI.md, section 4)."""

_CODES: Final = (None, *Code)  # by their numbers in the interface, which are those of the enum's order
_STREAM_TYPES: Final = {
    StreamType.UNARY: _abi.UNARY,
    StreamType.CLIENT_STREAM: _abi.CLIENT_STREAM,
    StreamType.SERVER_STREAM: _abi.SERVER_STREAM,
    StreamType.BIDI_STREAM: _abi.BIDI_STREAM,
}
_GONE: Final = {Gone.REFUSED: _abi.GONE_REFUSED, Gone.CLOSED: _abi.GONE_CLOSED, Gone.RESET: _abi.GONE_RESET}
_HTTP_PROTOCOL_ERROR: Final = 1  # RFC 9113, 7: what an HTTP side calls a peer that does not speak HTTP
_WORDS: Final = struct.Struct("<I")

_log: Final = logging.getLogger("connectcore")


class ClientCall:
    """One call. Not to be used by two threads at a time. Making one raises ModuleError where the module cannot be loaded."""

    __slots__ = (
        "_announced",
        "_chunks",
        "_config",
        "_end",
        "_fields",
        "_handle",
        "_head",
        "_inline",
        "_instance",
        "_length",
        "_limit",
        "_method",
        "_payload",
        "_payload_coding",
        "_response",
        "cause",
        "finished",
        "http_status",
    )

    def __init__(self, config: ClientConfig, method: MethodInfo[Any, Any]) -> None:
        self._config = config
        self._method = method
        # Where the module has to be compiled first, that takes a second or two: before the call's clock starts.
        self._instance = _pool.pool().pick()
        self._handle = 0
        self._head = b""
        self._fields: Fields = ()
        self._length: int | None = None
        self._announced = 0
        self._inline = False
        self._chunks: list[bytes] = []
        self._response: _records.Response | None = None
        self._payload: bytes | None = None
        self._payload_coding = 0
        self._limit = 0
        self._end: _records.EndOfCall | None = None
        self.cause: BaseException | None = None
        self.finished = False
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

        """
        config = self._config
        try:
            payload = resolve_encoder(config.codec, self._method.input)(message)
        except Exception as error:
            raise self._verdict(_abi.REJECT_ENCODE, error) from error
        length = len(payload)
        if config.send_compression is not None:
            try:
                payload = config.send_compression.compress(payload)
            except Exception as error:
                raise self._verdict(_abi.REJECT_ENCODE, error) from error
            length = len(payload) | _abi.COMPRESSED
        if get:
            send = _records.send_inline(0, (payload,))
            if length & _abi.COMPRESSED:
                # The length stands last but for the payload.
                at = len(send) - len(payload) - 4
                send = send[:at] + _WORDS.pack(length) + send[at + 4 :]
        else:
            send = _records.send(0, (length,))
        events = self._open(_abi.UNARY, headers, timeout, get, send + _END)
        request: Request | None = None
        content: bytes = b""
        for event in events:
            if type(event) is _records.RequestHead:
                self._handle = event.handle
                target = event.target.decode("ascii")
                request = Request(event.method.decode("ascii"), config.origin, target, event.fields, b"", deadline)
            elif type(event) is _records.Body:
                data = event.data
                content += payload if event.payloads and not event.prefix and not data else _lay_out(event, payload)
            else:
                self._take(event)
        if self._end is not None:
            return None
        if request is None:
            raise self._broken("it gave no request to send")
        request.content = content
        return request

    def begin_stream(self, headers: Headers | Mapping[str, str] | None, timeout: float | None) -> ConnectError:
        """Open a call of another stream type, and give the error that it ends with: in this role the core carries none."""
        for event in self._open(_STREAM_TYPES[self._method.stream_type], headers, timeout, False, b""):
            if event.handle and not isinstance(event, _records.Fault):
                self._handle = event.handle
            self._take(event)
        if self._end is None:  # a later module, which this host does not know how to drive
            self.close()
            return ConnectError(Code.UNIMPLEMENTED, "this version of the client makes unary calls only")
        return self._error(self._end)

    def _open(
        self,
        stream_type: int,
        headers: Headers | Mapping[str, str] | None,
        timeout: float | None,
        get: bool,
        rest: bytes,
    ) -> list[_records.Event]:
        config = self._config
        method = self._method
        count = 0
        fields = b""
        binary: Sequence[tuple[bytes, bytes]] = ()
        if headers:
            text, binary_text = split_fields(headers if isinstance(headers, Headers) else Headers(headers))
            count = len(text)
            fields = join_fields(text)
            binary = [(name.encode("utf-8", "surrogateescape"), value) for name, value in binary_text]
        procedure = f"/{method.service_name}/{method.name}".encode()
        flags = _abi.OPEN_GET if get else 0
        instance = self._instance
        for _ in range(2):
            try:
                handle = config.handle_in(instance)
            except _guest.GuestError as error:
                raise self._failed(error) from error
            opening = _records.open_client(
                handle, flags, stream_type, timeout_microseconds(timeout), procedure, count, fields, binary
            )
            events = self._step(opening + rest)
            first = events[0] if events else None
            if isinstance(first, _records.Fault) and first.fault == _abi.FAULT_HANDLE:
                config.forget_in(instance)  # closed in the meantime, to make room for another client's
                continue
            return events
        raise self._broken("it does not know its own configuration")

    # The response

    def head(self, status: int, fields: Fields, length: int | None) -> None:
        """The response's head came. `length`: see `_transport.Response`."""
        self.http_status = status
        self._fields = fields
        self._length = length
        column = _column(fields)
        flags = _abi.HTTP_END if length == 0 else 0
        record = _records.response_head(self._handle, flags, status, len(fields), column)
        if length and length <= _HELD:
            self._head = record
        else:
            self._run(record)

    def content(self, data: bytes) -> None:
        """Content came."""
        self._chunks.append(data)
        size = len(data)
        announced = self._announced = self._announced + size
        head = self._head
        if head:
            if announced < (self._length or 0):
                return
            self._head = b""
            data = self._whole()
            size = announced
        flags = _abi.CONTENT_END_FLAG if announced == self._length else 0
        carried = data if size <= _CARRIED or self._inline else b""
        self._run(head + _records.content(self._handle, flags, size, carried))

    def ended(self, trailers: Fields) -> None:
        """The content ended, with this trailer section."""
        head, self._head = self._head, b""
        self._run(head + _records.content_end(self._handle, len(trailers), _column(trailers)))

    def gone(self, error: TransportError) -> None:
        """The transport failed."""
        if self.finished:
            return
        self.cause = error
        if error.reason is Gone.TIMEOUT:
            self._run(_records.deadline(self._handle))
            return
        if error.reason is Gone.CANCELED:
            self._run(_records.cancel(self._handle))
            return
        text = error.text.encode("utf-8", "replace")
        if error.reason is Gone.MALFORMED:
            self._run(_records.peer_gone(self._handle, _abi.GONE_RESET, _HTTP_PROTOCOL_ERROR, text))
        else:
            self._run(_records.peer_gone(self._handle, _GONE[error.reason], error.reset_code, text))

    def deadline(self) -> None:
        """The deadline passed."""
        if not self.finished:
            self._run(_records.deadline(self._handle))

    def cancel(self) -> None:
        """The application gave the call up. Never raises: the caller is busy with its own cancellation."""
        if self.finished or not self._handle:
            return
        try:
            self._run(_records.cancel(self._handle))
        except ConnectError as error:
            _log.debug("A call that was being canceled failed: %s", error)

    def close(self) -> None:
        """The call is over for its caller; if it is not for the module, the module forgets it. Never raises."""
        if self.finished or not self._handle:
            return
        self.finished = True
        instance = self._instance
        if instance.failed:
            return
        try:
            instance.step(_records.close(self._handle))
        except _guest.GuestError as error:
            _pool.pool().discard(instance, error)

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
            return resolve_decoder(self._config.codec, self._method.output)(payload)
        except Exception as error:
            raise self._verdict(_abi.REJECT_DECODE, error) from error

    def leading(self) -> Headers | None:
        """The response's leading metadata; None where no response came."""
        response = self._response
        return None if response is None else headers_from_fields(self._fields, response.hidden, response.binary)

    def trailing(self) -> Headers | None:
        """The response's trailing metadata; None where there is none."""
        end = self._end
        if end is None or not (end.fields or end.binary):
            return None
        return headers_from_fields(_records.split_fields(end.fields), b"", end.binary)

    def _decompress(self, payload: bytes) -> bytes:
        limit = self._limit
        try:
            payload = self._config.codings[self._payload_coding - 1].decompress(payload, limit)
        except ConnectError as error:
            too_large = error.code is Code.RESOURCE_EXHAUSTED
            raise self._verdict(_abi.REJECT_TOO_LARGE if too_large else _abi.REJECT_DECOMPRESS, error) from error
        except Exception as error:
            raise self._verdict(_abi.REJECT_DECOMPRESS, error) from error
        if len(payload) > limit:
            raise self._verdict(_abi.REJECT_TOO_LARGE, f"{len(payload)} bytes, and the limit is {limit}")
        return payload

    def _error(self, end: _records.EndOfCall) -> ConnectError:
        """The error that the core says, with all metadata that came."""
        code = _CODES[end.code] if end.code < len(_CODES) else None
        fields: list[tuple[Any, Any]] = _records.split_fields(end.fields)
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
        instance = self._instance
        try:
            for event in _records.decode(instance.step(_records.reject(self._config.handle_in(instance), reason, text))):
                if isinstance(event, _records.EndOfCall):
                    return self._error(event)
        except _guest.GuestError as error:
            return self._failed(error)
        return self._broken("it has no verdict on a message")

    # The module

    def _run(self, batch: bytes) -> None:
        """Give commands, and show it the content again where it asks."""
        while batch:
            asked: _records.More | None = None
            for event in self._step(batch):
                if isinstance(event, _records.More):
                    asked = event
                else:
                    self._take(event)
            batch = b"" if asked is None or self.finished else self._shown(asked)

    def _shown(self, asked: _records.More) -> bytes:
        data = self._whole()[asked.offset :]
        return _records.content(self._handle, _abi.CONTENT_RESUME, len(data), data)

    def _whole(self) -> bytes:
        chunks = self._chunks
        if len(chunks) != 1:
            chunks[:] = [b"".join(chunks)]
        return chunks[0]

    def _take(self, event: _records.Event) -> None:
        """Keep what an event says."""
        kind = type(event)
        if kind is _records.Done:
            self.finished = True
        elif isinstance(event, _records.EndOfCall):
            self._end = event
        elif isinstance(event, _records.Messages):
            start, size = event.spans
            self._payload_coding = event.coding if size & _abi.COMPRESSED else 0
            size &= ~_abi.COMPRESSED
            self._limit = event.limit
            if event.flags & _abi.MESSAGES_INLINE:
                self._payload = event.data[start : start + size]
            else:
                start += event.base
                whole = self._whole()
                self._payload = whole if start == 0 and size == len(whole) else whole[start : start + size]
        elif isinstance(event, _records.Response):
            self._response = event
            self._inline = bool(event.flags & _abi.CONTENT_INLINE)
        elif isinstance(event, _records.Fault) and self._end is None:
            # After an end at home, the rest of the batch finds no call; that is no fault of anybody.
            text = event.text.decode("utf-8", "replace")
            if event.fault == _abi.FAULT_BUSY:
                raise ConnectError(Code.RESOURCE_EXHAUSTED, f"too many calls are under way in this process: {text}")
            raise self._broken(text)

    def _step(self, batch: bytes) -> list[_records.Event]:
        instance = self._instance
        try:
            events = _records.decode(instance.step(batch))
        except _guest.GuestError as error:
            raise self._failed(error) from error
        for event in events:
            if type(event) is _records.Fault and event.fault == _abi.FAULT_PANIC:
                instance.failed = True
                raise self._failed(event.text.decode("utf-8", "replace"))
        return events

    def _failed(self, why: object) -> ConnectError:
        """The instance is lost, and this call with it."""
        self.finished = True
        _pool.pool().discard(self._instance, why)
        return ConnectError(Code.INTERNAL, "the protocol module failed; the next call gets a fresh one")

    def _broken(self, what: str) -> ConnectError:
        """The module and this host do not agree."""
        _log.error("The protocol module refused what this client did: %s", what)
        self.close()
        return ConnectError(Code.INTERNAL, f"the protocol module and its host disagree: {what}")


_END: Final = _records.end(0)


def _lay_out(body: _records.Body, payload: bytes) -> bytes:
    """The content with its payload in its place (ABI.md, section 4)."""
    if not body.payloads:
        return body.data
    return body.data[: body.prefix] + payload + body.data[body.prefix :]


def _column(fields: Fields) -> bytes:
    """Fields as the module reads them."""
    if not fields:
        return b""
    if isinstance(fields[0][0], str):
        return join_fields(fields)  # type: ignore[arg-type]
    return _records.fields_column(fields)  # type: ignore[arg-type]
