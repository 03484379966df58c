"""A server's call without I/O: what ASGI and WSGI share.

    head, content  ->  ServerCall  ->  messages for the handler
    replies, end   ->  ServerCall  ->  `output`: what to write, in order

A `ServerCall` tells the guest what happened and keeps what the guest answered. It never waits and never holds an instance
longer than a step.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from .._headers import metadata_columns
from .._wasm import abi, records
from .._wasm.content import Content
from .._wasm.instance import GuestError
from .._wasm.pool import POOL
from ..code import Code
from ..errors import ConnectError
from ..request import response_metadata
from .actions import AbortAction, BodyAction, HeadAction, PlainAction, TrailersAction
from .service import CARRY_FIRST, CARRY_WHOLE, Compressed, RejectedError, log

if TYPE_CHECKING:
    from ..request import RequestContext
    from .actions import Action
    from .service import Head, Opened, Procedure, Service

__all__ = ["ServerCall", "adopted"]

_CARRY_STREAM: Final = 64 << 10
"""Of a stream, in which a message begins every few bytes, content up to this size is given to the guest whole."""

_CODES: Final = (None, *Code)
_NUMBERS: Final = {code: number for number, code in enumerate(Code, 1)}


class ServerCall:
    """One call. Tell it what happened; then write what `output` holds, in order, and empty it.

    `messages` holds payloads for the handler, `received` says that no more come, `failure` what receiving ended with.
    `stopped` is set when the answer was decided without the handler, `done` when nothing more is to be told. None of the
    methods waits or raises for what a peer does.
    """

    __slots__ = (
        "_config",
        "_content",
        "_head",
        "_head_written",
        "_instance",
        "_prepared",
        "_sending",
        "_service",
        "_unopened",
        "binary",
        "codec",
        "coding",
        "compress_min",
        "done",
        "failure",
        "flags",
        "handle",
        "hidden",
        "messages",
        "opened",
        "output",
        "procedure",
        "received",
        "stopped",
        "timeout_us",
    )

    def __init__(self, service: Service, head: Head) -> None:
        self._service = service
        self._head = head
        self._content = Content()
        self._sending: list[bytes] = []
        self._head_written = False
        self._prepared: Opened | None = None
        self._unopened: bytes | None = None  # the content of a prepared call that no instance knows of
        self.output: list[Action] = []
        self.messages: deque[bytes | Compressed] = deque()
        self.received = False
        self.failure: ConnectError | None = None
        self.stopped = 0
        self.done = False
        self.opened = False
        self.handle = 0
        self.timeout_us = abi.NO_TIMEOUT
        self.binary: list[tuple[bytes, bytes]] = []
        self.hidden = b""
        self.codec = self.coding = self.compress_min = self.flags = 0
        self.procedure: Procedure | None = None

    # What happened

    def open(self, data: bytes | None = None, *, end: bool = False) -> None:
        """The request's head came, and perhaps content with it; `end` says that this is all of it."""
        self._instance = POOL.pick()
        batch = [self._opening(abi.OPEN_END if end and not data else 0)]
        if data:
            batch.append(self._announce(0, data, end))
        self._step(b"".join(batch))

    def resume(self, opened: Opened, content: bytes, *, end: bool) -> None:
        """Go on from the unusual events of a call that was opened by the short way; `end` says that its content is all
        there."""
        self._instance = opened.instance
        if opened.told:
            self._content.add(content)
        assert isinstance(opened.payload, bytes)
        self._begin(opened.payload)
        if not opened.told:
            self.feed(content, end=end)

    def adopt(self, opened: Opened, content: bytes) -> None:
        """Take over a call that was opened by the short way with all of its content, and whose message was taken.

        A call that is prepared is not open in any instance. It is opened, again, when there is more to tell than a plain
        success, and all is told at once.
        """
        if opened.status:
            self._prepared, self._unopened = opened, content
        else:
            self._instance, self.handle = opened.instance, opened.handle
        self.procedure, self.codec = opened.procedure, opened.codec
        self.coding, self.compress_min, self.timeout_us = opened.coding, opened.minimum, opened.timeout
        self.hidden = opened.hidden
        self.opened = self.received = True

    def feed(self, data: bytes, *, end: bool) -> None:
        """Content came. After `done` it is ignored."""
        if not self.done:
            self._step(self._announce(self.handle, data, end))

    def peer_gone(self) -> None:
        """The peer went away before its content ended, or before it had all of the answer."""
        if self.done:
            return
        if self._unopened is None:
            self._step(records.peer_gone(self.handle, abi.GONE_CLOSED))
            return
        self.done = True
        self.stopped = _NUMBERS[Code.CANCELED]
        self.failure = ConnectError(Code.CANCELED, "the peer is gone")

    def deadline(self) -> None:
        """The call's deadline passed."""
        if not self.done:
            self._step(records.deadline(self.handle))

    def abandon(self) -> None:
        """Nobody waits for the call any more; nothing is written."""
        if not self.done:
            self.done = True
            if self._unopened is not None:
                return
            try:
                self._instance.step(records.close(self.handle))
            except GuestError as error:
                POOL.discard(self._instance, error)

    # What the application does

    def next_message(self) -> Any:
        """The next message, decoded. Call it only while there are `messages`.

        Raises the ConnectError that receiving ended with where the payload is bad.
        """
        assert self.procedure is not None
        payload = self.messages.popleft()
        try:
            if isinstance(payload, Compressed):
                payload = self._service.unpacked(payload)
            return self.procedure.decoders[self.codec](payload)
        except RejectedError as rejected:
            reason = rejected.reason
        except Exception:  # noqa: BLE001 - whatever a codec raises: the peer's data is bad
            reason = abi.REJECT_DECODE
        self.messages.clear()
        self._step(records.reject(self.handle, reason))
        raise self.failure or ConnectError(Code.INVALID_ARGUMENT, "the request is malformed")

    def reject_request(self, reason: int) -> None:
        """A message that was taken is bad."""
        if not self.done:
            self._step(records.reject(self.handle, reason))

    def reply(self, payloads: list[bytes], ctx: RequestContext[Any, Any]) -> None:
        """The application sends messages, which are encoded."""
        if not self.done:
            batch = self._leading(ctx)
            self._add_payloads(batch, payloads)
            self._step(b"".join(batch))

    def finish(self, message: Any, ctx: RequestContext[Any, Any]) -> None:
        """The application is done, with its one message."""
        if self.done:
            return
        assert self.procedure is not None
        try:
            payload = self.procedure.encoders[self.codec](message)
        except Exception as error:  # noqa: BLE001 - whatever a codec raises
            self.reject_reply(error)
            return
        if self._prepared is not None and response_metadata(ctx) == (None, None):
            fields = self._service.plain_fields(self._prepared, payload)
            if fields is not None:
                self.done = True
                self.output.append(PlainAction(self._prepared.status, fields, payload))
                return
        self.end(None, ctx, [payload])

    def reject_reply(self, error: Exception) -> None:
        """A message of the application's cannot be encoded."""
        if not self.done:
            assert self.procedure is not None
            log.error("A reply of %s cannot be encoded", self.procedure.path.decode(), exc_info=error)
            self._step(records.reject(self.handle, abi.REJECT_ENCODE))

    def end(
        self, error: BaseException | None, ctx: RequestContext[Any, Any] | None, payloads: list[bytes] | None = None
    ) -> None:
        """The application is done, after these last messages: well, or with what its handler raised."""
        if self.done:
            return
        if error is not None and not isinstance(error, ConnectError):
            path = self.procedure.path.decode() if self.procedure is not None else "a procedure"
            log.error("The handler of %s failed", path, exc_info=error)
        batch = self._leading(ctx)
        if payloads:
            self._add_payloads(batch, payloads)
        batch.append(_ended(self.handle, error, ctx))
        self._step(b"".join(batch))

    def answer(self, payload: bytes, events: bytes | None, ctx: RequestContext[Any, Any]) -> None:
        """The application is done with this one message, and the short way has no answer to it, or these events."""
        if events is None:
            self.end(None, ctx, [payload])
        else:
            self._sending.append(payload)
            self._begin(events)

    # Inside

    def _begin(self, events: bytes) -> None:
        """Take in the events of a step that was made elsewhere; there are none if the instance failed in it."""
        if events:
            self._finish_step(events)
        else:
            self._lost()

    def _add_payloads(self, batch: list[bytes], payloads: list[bytes]) -> None:
        lengths = list(map(len, payloads))
        if self.coding:
            self._compress(payloads, lengths)
        self._sending += payloads
        batch.append(records.send(self.handle, 0, lengths))

    def _fail(self, error: Exception) -> None:
        POOL.discard(self._instance, error)
        self._lost()

    def _lost(self) -> None:
        """The call's instance failed. The peer hears of an internal error if it has heard nothing yet."""
        self.messages.clear()
        self._sending.clear()
        self.done = True
        if self.opened:
            self.stopped = _NUMBERS[Code.INTERNAL]
            self.failure = ConnectError(Code.INTERNAL, "the server failed")
        if self._head_written:
            self.output.append(AbortAction())
            return
        try:
            # Another instance writes the answer: it alone knows the protocol's form of an error.
            self._instance = POOL.pick()
            failure = records.end(0, 0, _NUMBERS[Code.INTERNAL], b"the server failed")
            for event in records.decode(self._instance.step(self._opening(0) + failure)):
                self._write(event)
        except (GuestError, ValueError):
            self.output.append(AbortAction())

    def _opening(self, flags: int) -> bytes:
        own, method, path, query, count, fields = self._head
        config = self._service.configured(self._instance)
        return records.open_server(config, own | flags, method, path, query, count, fields)

    def _announce(self, handle: int, data: bytes, end: bool) -> bytes:
        """The record for content that came: all of its bytes where that is cheap, else the first of them."""
        self._content.add(data)
        whole = _CARRY_STREAM if self.procedure is not None and self.procedure.many_requests else CARRY_WHOLE
        if self.flags & abi.CONTENT_INLINE or len(data) <= whole:
            carried: bytes | memoryview = data
        else:
            carried = memoryview(data)[:CARRY_FIRST]
        return records.content(handle, abi.CONTENT_END_FLAG if end else 0, len(data), carried)

    def _step(self, batch: bytes) -> None:
        if self._unopened is not None:
            content, self._unopened = self._unopened, None
            self._instance = POOL.pick()
            batch = b"".join((self._opening(0), self._announce(0, content, True), batch))
        try:
            events = self._instance.step(batch)
        except GuestError as error:
            self._fail(error)
            return
        self._finish_step(events)

    def _finish_step(self, events: bytes) -> None:
        """Take in the events of a step, and of the steps that they ask for."""
        while True:
            wanted: records.More | None = None
            for event in records.decode(events):
                if isinstance(event, records.More):
                    wanted = event
                elif isinstance(event, records.Messages):
                    if self._prepared is None:  # else the message was taken before
                        self._receive(event)
                elif isinstance(event, records.Fault):
                    self._fault(event)
                    return
                else:
                    self._apply(event)
            if wanted is None or self.done:
                return
            data = self._content.peek(wanted.offset, max(wanted.want, _CARRY_STREAM))
            try:
                events = self._instance.step(records.content(self.handle, abi.CONTENT_RESUME, len(data), data))
            except GuestError as error:
                self._fail(error)
                return

    def _apply(self, event: records.Event) -> None:
        if isinstance(event, records.Request):
            self.opened = True
            self.handle, self.flags = event.handle, event.flags
            self.procedure = self._service.procedures[event.procedure]
            self.codec, self.coding, self.compress_min = event.codec, event.coding, event.compress_min
            self.timeout_us, self.hidden, self.binary = event.timeout_us, event.hidden, event.binary
        elif isinstance(event, records.Received):
            self.received = True
            if event.code:
                self.failure = ConnectError(_CODES[event.code] or Code.UNKNOWN, event.message.decode("utf-8", "replace"))
        elif isinstance(event, records.Stop):
            self.stopped = event.code
            self.failure = ConnectError(_CODES[event.code] or Code.UNKNOWN, "the call was stopped")
        elif isinstance(event, records.Done):
            self.done = True
        else:
            self._write(event)

    def _write(self, event: records.Event) -> None:
        if isinstance(event, records.HttpResponseHead):
            self._head_written = True
            end, trailers = bool(event.flags & abi.HTTP_END), bool(event.flags & abi.HTTP_TRAILERS)
            self.output.append(HeadAction(event.status, event.fields, end, trailers))
        elif isinstance(event, records.HttpBody):
            self.output.append(BodyAction(self._assemble(event), bool(event.flags & abi.HTTP_END)))
        elif isinstance(event, records.HttpTrailers):
            self.output.append(TrailersAction(event.fields))

    def _assemble(self, event: records.HttpBody) -> bytes:
        """Lay out content as the event says: payloads with their prefixes, then the rest."""
        count, prefix, data = event.count, event.prefix, event.data
        if not count:
            return data
        payloads = self._sending[:count]
        del self._sending[:count]
        if not prefix:
            return b"".join((*payloads, data)) if data or count > 1 else payloads[0]
        parts: list[bytes] = [b""] * (2 * count + 1)
        parts[0:-1:2] = struct.unpack_from(f"{prefix}s" * count, data)
        parts[1::2] = payloads
        parts[-1] = data[prefix * count :]
        return b"".join(parts)

    def _receive(self, event: records.Messages) -> None:
        """Take the payloads that spans name, out of the event or of the content that is held."""
        spans = event.spans
        add = self.messages.append
        inline = event.flags & abi.MESSAGES_INLINE
        take = None if inline else self._content.take(event.base, spans[-2] + (spans[-1] & ~abi.COMPRESSED))
        data = event.data if take is None else take
        for start, length in zip(spans[0::2], spans[1::2], strict=True):
            if length & abi.COMPRESSED:
                payload = data[start : start + (length & ~abi.COMPRESSED)]
                add(Compressed(payload, event.coding, event.limit))
            else:
                add(data[start : start + length])

    def _compress(self, payloads: list[bytes], lengths: list[int]) -> None:
        coding = self._service.codings[self.coding - 1]
        for index, length in enumerate(lengths):
            if length >= self.compress_min:
                payloads[index] = coding.compress(payloads[index])
                lengths[index] = len(payloads[index]) | abi.COMPRESSED

    def _leading(self, ctx: RequestContext[Any, Any] | None) -> list[bytes]:
        """The record for leading metadata, before the first message, if there is any."""
        if ctx is None or self._head_written:
            return []
        headers = response_metadata(ctx)[0]
        if not headers:
            return []
        return [records.headers(self.handle, 0, *metadata_columns(headers))]

    def _fault(self, event: records.Fault) -> None:
        text = event.text.decode("utf-8", "replace")
        if event.fault == abi.FAULT_PANIC:
            self._fail(GuestError(text))
            return
        log.error("The protocol module refused a command (%d): %s", event.fault, text)
        self.done = True
        if self.opened:
            self.stopped = _NUMBERS[Code.INTERNAL]
        self.output.append(AbortAction())


def adopted(service: Service, head: Head, opened: Opened, content: bytes) -> ServerCall:
    """The call that was opened by the short way, to go on with in full."""
    call = ServerCall(service, head)
    call.adopt(opened, content)
    return call


def _ended(handle: int, error: BaseException | None, ctx: RequestContext[Any, Any] | None) -> bytes:
    """The record that ends the application's part, with trailing metadata."""
    trailers = response_metadata(ctx)[1] if ctx is not None else None
    metadata = metadata_columns(trailers, error.metadata if isinstance(error, ConnectError) else None)
    if error is None:
        return records.end(handle, 0, 0, b"", (), *metadata)
    if not isinstance(error, ConnectError):
        return records.end(handle, abi.END_UNEXPECTED, 0, b"", (), *metadata)
    details = [(detail.type_name.encode(), detail.message_bytes) for detail in error.details]
    message = error.message.encode("utf-8", "surrogatepass")
    return records.end(handle, 0, _NUMBERS[error.code], message, details, *metadata)
