"""A server's call without I/O: what ASGI and WSGI share.

    head, content  ->  ServerCall  ->  messages for the handler
    replies, end   ->  ServerCall  ->  `output`: what to write, in order

A `ServerCall` tells the guest what happened and keeps what the guest answered. It never waits and never holds an instance
longer than a step.
"""

from __future__ import annotations

import logging
import struct
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from .._codec.payload import RejectedError, compressed, decompressed
from .._headers import metadata_columns
from .._wasm import abi, module, records
from .._wasm.configuration import BusyError
from .._wasm.content import Content
from .._wasm.instance import GuestError
from .._wasm.pool import POOL
from ..code import Code
from ..errors import ConnectError
from ..request import ServerContext, expired, response_metadata
from . import usual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .._wasm.instance import Instance
    from .procedure import Procedure
    from .service import Head, Service, Verdict

__all__ = ["AbortedError", "ServerCall", "announced", "context", "log"]

log: Final = logging.getLogger("connectcore.server")

_CARRY_STREAM: Final = 64 << 10
"""Of a stream, in which a message begins every few bytes, content up to this size is given to the guest whole."""

_NUMBERS: Final = {code: abi.CODES.index(code.value) for code in Code}


class AbortedError(RuntimeError):
    """The response was broken off: the server is to close the connection, so that the peer does not take it for whole."""

    def __init__(self) -> None:
        super().__init__("the response was broken off")


def announced(handle: int, data: bytes, *, end: bool, whole: int = abi.CARRY_WHOLE) -> bytes:
    """The record for content that came: all of its bytes up to `whole`, of longer content the first."""
    carried = data if len(data) <= whole else data[: abi.CARRY_FIRST]
    return records.content(handle, abi.CONTENT_END_FLAG if end else 0, len(data), carried)


def context(
    procedure: Procedure,
    request: records.Request,
    http_method: str,
    fields: Iterable[tuple[Any, Any]],
    addresses: Callable[[Any], tuple[str | None, str | None]],
    source: Any,
) -> ServerContext[Any, Any]:
    """What the handler of a call that comes now is told beside its messages."""
    timeout = request.timeout_us
    ends = None if timeout == abi.NO_TIMEOUT else monotonic() + timeout / 1e6
    return ServerContext(procedure.method, http_method, fields, request.hidden, request.binary, ends, addresses, source)


class ServerCall:
    """One call. Tell it what happened; then write what `output` holds, in order, and empty it.

    `output` has ASGI's messages for a response, whose fields are as the service wants them; None breaks the response off.

    `messages` holds payloads for the handler, `received` says that no more come, `failure` what receiving ended with.
    `stopped` is set when the answer was decided without the handler, `done` when nothing more is to be told; `hold` is how many
    seconds to wait before the next write. `procedure` is None where the request was refused. None of the methods waits, or
    raises for what a peer does.

    A call is open in the guest until it is `done`: who made it says `close` in the end, whatever happens.
    """

    __slots__ = (
        "_again",
        "_content",
        "_full",
        "_head",
        "_head_written",
        "_instance",
        "_refused",
        "_sending",
        "_service",
        "_unopened",
        "_verdict",
        "_wanted",
        "ctx",
        "done",
        "failure",
        "handle",
        "hold",
        "messages",
        "output",
        "procedure",
        "received",
        "request",
        "stopped",
    )

    def __init__(self, service: Service, head: Head, instance: Instance | None) -> None:
        self._service = service
        self._head = head
        self._instance = instance
        self._full: Instance | None = None  # an instance that has no room for this call
        self._verdict: Verdict | None = None
        self._unopened: bytes | None = None  # the content, where the call is to be opened in the next step
        self._again = self._refused = self._head_written = False
        self._content = Content()
        self._wanted: records.More | None = None
        self._sending: list[bytes] = []
        self.handle = 0
        self.request: records.Request | None = None
        self.procedure: Procedure | None = None
        self.ctx: ServerContext[Any, Any] | None = None
        self.output: deque[Any] = deque()
        self.messages: deque[bytes | tuple[bytes, int, int]] = deque()
        self.received = self.stopped = self.done = False
        self.failure: ConnectError | None = None
        self.hold = 0.0

    @classmethod
    def settled(
        cls, service: Service, head: Head, verdict: Verdict, content: bytes, ctx: ServerContext[Any, Any]
    ) -> ServerCall:
        """The call of a verdict, whose content is all there and was taken.

        It is not open in any instance. It is opened when there is more to tell than a plain success, and all is told at once.
        """
        call = cls(service, head, None)
        call._verdict, call._unopened = verdict, content
        call.request, call.procedure, call.ctx = verdict.request, verdict.procedure, ctx
        call.received = True
        return call

    # What happened

    def begin(self, events: bytes, second: int, content: bytes | None) -> None:
        """The call was opened, and perhaps was shown content, with these events, of which another begins at `second`."""
        found = usual.message(events, second) if content else None
        if not content or found is None:
            self._content.add(content or b"")
            self._take(events)
            return
        self._on_request(records.Request(events, 0))
        self.received = True
        start, length, coding, limit = found
        if length < abi.COMPRESSED:
            self.messages.append(content[start : start + length])
        else:
            self.messages.append((content[start : start + length - abi.COMPRESSED], coding, limit))

    def feed(self, data: bytes, *, end: bool) -> None:
        """Content came. After `done` it is ignored."""
        if not self.done:
            self._content.add(data)
            assert self.request is not None
            assert self.procedure is not None
            whole = _CARRY_STREAM if self.procedure.many_requests else abi.CARRY_WHOLE
            if self.request.flags & abi.CONTENT_INLINE:
                whole = len(data)
            self._step(announced(self.handle, data, end=end, whole=whole))

    def resume(self) -> bool:
        """Let the guest see content that it asked for. False where it did not: then it wants what the peer sends next."""
        wanted, self._wanted = self._wanted, None
        if wanted is None or self.done:
            return False
        data = self._content.peek(wanted.offset, max(wanted.want, _CARRY_STREAM))
        self._step(records.content(self.handle, abi.CONTENT_RESUME, len(data), data))
        return True

    def peer_gone(self) -> None:
        """The peer went away before its content ended, or before it had all of the answer."""
        if self._instance is None:
            self.done = True  # and nobody has to be told
        elif not self.done:
            self._step(records.peer_gone(self.handle, abi.GONE_CLOSED))

    def deadline(self) -> None:
        """The call's deadline passed."""
        if not self.done:
            self._step(records.deadline(self.handle))

    def close(self) -> None:
        """Nobody waits for the call any more; nothing is written."""
        if not self.done:
            self.done = True
            self._forget()

    # What the application does

    def ended(self) -> bool:
        """Whether no more messages come. Raises what receiving ended with, if it was not their end."""
        if self.failure is not None:
            raise self.failure
        if self.done and not self.received:
            raise AbortedError
        return self.received

    def next_message(self) -> Any:
        """The next message, decoded. Call it only while there are `messages`.

        Raises what receiving ended with where the payload is bad.
        """
        assert self.request is not None
        assert self.procedure is not None
        payload = self.messages.popleft()
        try:
            if isinstance(payload, tuple):
                data, coding, limit = payload
                payload = decompressed(self._service.codings[coding - 1], data, limit)
            return self.procedure.decode(self.request.codec, payload)
        except RejectedError as bad:
            self.messages.clear()
            self._step(records.reject(self.handle, bad.reason))
            raise self.failure or bad from None

    def reply(self, payloads: list[bytes]) -> None:
        """The application sends messages, which are encoded."""
        if not self.done:
            try:
                batch = self._sent(payloads)
            except RejectedError as bad:
                batch = self._ended(bad)
            self._step(batch)

    def finish(self, payloads: list[bytes], error: BaseException | None) -> None:
        """The application is done, after these last messages: well, or with what was raised."""
        if self.done:
            return
        assert self.ctx is not None
        assert self.procedure is not None
        assert self.request is not None
        if expired(self.ctx):
            self.deadline()
            return
        plainly = error is None and not self.procedure.many_responses and not any(response_metadata(self.ctx))
        if plainly and self._verdict is not None:
            fields = self._verdict.response_fields(payloads[0], self.ctx)
            if fields is not None:
                self.done = True
                self._write("http.response.start", status=self._verdict.status, headers=fields)
                self._write("http.response.body", body=payloads[0])
                return
        try:
            if plainly and not self.request.flags & abi.REQUEST_SEND_INLINE:
                batch = usual.reply(self.handle, *self._lengths(payloads))
                self._sending += payloads
            else:
                batch = self._sent(payloads) + self._ended(error)
        except RejectedError as bad:
            batch = self._ended(bad)
        events = self._stepped(batch)
        if events is None:
            return
        answer = usual.answer(events, payloads[0], self._service.fields_of) if plainly else None
        if answer is None:
            self._take(events)
        else:
            self.output.extend(answer)
            self.done = True

    # Inside: what is told

    def _sent(self, payloads: list[bytes]) -> bytes:
        """The records for messages, and before the first for leading metadata. Raises RejectedError."""
        assert self.request is not None
        batch = b""
        leading = None if self._head_written or self.ctx is None else response_metadata(self.ctx)[0]
        if leading:
            batch = records.headers(self.handle, 0, *metadata_columns(leading))
        if payloads:
            lengths = self._lengths(payloads)
            if self.request.flags & abi.REQUEST_SEND_INLINE:
                batch += records.send(self.handle, abi.SEND_INLINE, lengths, b"".join(payloads))
            else:
                self._sending += payloads
                batch += records.send(self.handle, 0, lengths)
        return batch

    def _lengths(self, payloads: list[bytes]) -> list[int]:
        """The payloads' lengths as the guest is told them. Those that are to be compressed are. Raises RejectedError."""
        lengths = list(map(len, payloads))
        request = self.request
        assert request is not None
        if request.coding:
            for index, length in enumerate(lengths):
                if length >= request.compress_min:
                    payloads[index] = compressed(self._service.codings[request.coding - 1], payloads[index])
                    lengths[index] = len(payloads[index]) | abi.COMPRESSED
        return lengths

    def _ended(self, error: BaseException | None) -> bytes:
        """The record that ends the application's part, with trailing metadata."""
        assert self.procedure is not None
        name = self.procedure.name
        if isinstance(error, RejectedError):
            if error.reason == abi.REJECT_ENCODE:
                log.error("A reply of %s cannot be encoded", name, exc_info=error.__cause__)
            return records.reject(self.handle, error.reason)
        trailers = None if self.ctx is None else response_metadata(self.ctx)[1]
        try:
            if error is None:
                return records.end(self.handle, 0, 0, b"", (), *metadata_columns(trailers))
            if isinstance(error, ConnectError):
                details = [(detail.type_name.encode(), detail.message_bytes) for detail in error.details]
                message = error.message.encode("utf-8", "surrogatepass")
                columns = metadata_columns(trailers, error.metadata)
                return records.end(self.handle, 0, _NUMBERS[error.code], message, details, *columns)
            log.error("The handler of %s failed", name, exc_info=error)
            return records.end(self.handle, abi.END_UNEXPECTED, 0, b"", (), *metadata_columns(trailers))
        except Exception as bad:
            log.error("What %s answers beside messages cannot be encoded", name, exc_info=bad)
            return records.end(self.handle, abi.END_UNEXPECTED)

    def _step(self, batch: bytes) -> None:
        events = self._stepped(batch)
        if events is not None:
            self._take(events)

    def _stepped(self, batch: bytes) -> bytes | None:
        """What the guest answers; None where the instance failed, which is then dealt with."""
        try:
            if self._instance is None:
                self._instance = POOL.pick() if self._full is None else POOL.other(self._full)
                content = self._unopened
                batch = self._service.opening(self._instance, self._head, 0, content, end=content is not None) + batch
            return self._instance.step(batch)
        except (GuestError, BusyError, module.ModuleError) as error:
            self.lose(error)
            return None

    def lose(self, error: Exception) -> None:
        """The call's instance failed, or has no room for it."""
        if isinstance(error, BusyError):
            log.error("An instance of the protocol module has no room for another call")
            self._full = self._instance
            self._refuse(abi.REJECT_BUSY)
        else:
            if self._instance is not None:
                POOL.discard(self._instance, error)
            self._refuse(abi.REJECT_LOST)

    def _refuse(self, reason: int) -> None:
        """Let another instance write the answer, if none was begun: the guest alone knows an error's form."""
        self.messages.clear()
        self._sending.clear()
        self._wanted = self._instance = self._unopened = None
        self.handle = 0
        if self._head_written or self._refused:
            self._abort()
            return
        self._refused = True
        self._step(records.reject(0, reason))

    def _abort(self) -> None:
        self.done = self.stopped = True
        self.output.append(None)

    def _forget(self) -> None:
        if self._instance is not None:
            self._instance.later(records.close(self.handle))

    # Inside: what is answered

    def _take(self, events: bytes) -> None:
        assert self._instance is not None
        try:
            read = self._instance.read(events)
        except GuestError as error:
            self.lose(error)
            return
        for event in read:
            on = _ON.get(event.__class__)
            if on is not None:
                on(self, event)

    def _on_request(self, event: records.Request) -> None:
        self.handle = event.handle
        if self.request is None:
            self.request = event
            self.procedure = self._service.procedures[event.procedure]
        else:
            self._again = True

    def _on_messages(self, event: records.Messages) -> None:
        """Take the payloads that spans name, out of the event or of the content that is held."""
        if self._again:
            return
        spans = event.spans
        add = self.messages.append
        if event.flags & abi.MESSAGES_INLINE:
            data = event.data
        else:
            data = self._content.take(event.base, spans[-2] + (spans[-1] & ~abi.COMPRESSED))
        for start, length in zip(spans[0::2], spans[1::2], strict=True):
            if length & abi.COMPRESSED:
                add((data[start : start + (length & ~abi.COMPRESSED)], event.coding, event.limit))
            else:
                add(data[start : start + length])

    def _on_received(self, event: records.Received) -> None:
        if not self._again:
            self.received = True
            if event.code:
                self.failure = _error(event.code, event.message)

    def _on_more(self, event: records.More) -> None:
        if not self._again:
            self._wanted = event

    def _on_stop(self, event: records.Stop) -> None:
        self.stopped = True
        self.failure = _error(event.code, event.message)
        if event.grace_us and self.ctx is not None:
            self.hold = event.grace_us / 1e6 + (self.ctx.timeout_ms or 0) / 1000

    def _on_done(self, _: records.Done) -> None:
        self.done = True

    def _on_fault(self, event: records.Fault) -> None:
        if event.fault == abi.FAULT_BUSY:
            self.lose(BusyError())
        elif not self.done:
            text = event.text.decode("utf-8", "replace")
            log.error("The protocol module refused a command (%d): %s", event.fault, text)
            self._forget()
            self._abort()

    def _on_head(self, event: records.HttpResponseHead) -> None:
        self._head_written = True
        self._write("http.response.start", status=event.status, headers=self._service.fields_of(event.fields))
        if event.flags & abi.HTTP_TRAILERS:
            self.output[-1]["trailers"] = True
        elif event.flags & abi.HTTP_END:
            self._write("http.response.body", body=b"")

    def _on_body(self, event: records.HttpBody) -> None:
        self._write("http.response.body", body=self._assembled(event), more_body=not event.flags & abi.HTTP_END)

    def _on_trailers(self, event: records.HttpTrailers) -> None:
        # The content's end stands with its last bytes, or alone if they were written already.
        if self.output and "body" in self.output[-1]:
            self.output[-1]["more_body"] = False
        else:
            self._write("http.response.body", body=b"")
        self._write("http.response.trailers", headers=self._service.fields_of(event.fields))

    def _write(self, kind: str, **parts: Any) -> None:
        self.output.append({"type": kind, **parts})

    def _assembled(self, event: records.HttpBody) -> bytes:
        """Content laid out as the event says: payloads with their prefixes, then the rest."""
        count, prefix, data = event.count, event.prefix, event.data
        if not count:
            return data
        payloads = self._sending[:count]
        del self._sending[:count]
        if count == 1:
            return b"".join((data[:prefix], payloads[0], data[prefix:]))
        parts: list[bytes] = [b""] * (2 * count + 1)
        parts[0:-1:2] = struct.unpack_from(f"{prefix}s" * count, data)
        parts[1::2] = payloads
        parts[-1] = data[prefix * count :]
        return b"".join(parts)


_ON: Final[dict[type[Any], Callable[[ServerCall, Any], None]]] = {
    records.Request: ServerCall._on_request,
    records.Messages: ServerCall._on_messages,
    records.Received: ServerCall._on_received,
    records.HttpResponseHead: ServerCall._on_head,
    records.HttpBody: ServerCall._on_body,
    records.HttpTrailers: ServerCall._on_trailers,
    records.Stop: ServerCall._on_stop,
    records.More: ServerCall._on_more,
    records.Done: ServerCall._on_done,
    records.Fault: ServerCall._on_fault,
}


def _error(code: int, message: bytes) -> ConnectError:
    return ConnectError(Code(abi.CODES[code]), message.decode("utf-8", "replace"))
