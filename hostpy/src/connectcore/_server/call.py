"""A server's call without I/O: what ASGI and WSGI share.

    head, content  ->  ServerCall  ->  messages for the handler
    replies, end   ->  ServerCall  ->  `response`: what to write, in order

A `ServerCall` tells the guest what happened and keeps what the guest answered. It never waits and never holds an instance
longer than a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._codec.payload import RejectedError, compressed, decoded, decompressed
from .._headers import metadata_columns
from .._wasm import abi, module, records
from .._wasm.configuration import BusyError
from .._wasm.content import CARRY_STREAM, Content, carried, payloads_of
from .._wasm.instance import GuestError
from .._wasm.pool import POOL
from ..errors import canceled
from ..request import expired, response_metadata
from . import usual
from .outcome import AbortedError, ending, error_of, log, rejection
from .response import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._wasm.content import Payload
    from .._wasm.instance import Instance
    from ..errors import ConnectError
    from ..request import ServerContext
    from .memory import Head
    from .procedure import Procedure
    from .service import Service

__all__ = ["ServerCall", "announced"]


def announced(data: bytes, handle: int = 0, whole: int = abi.CARRY_WHOLE, *, end: bool) -> bytes:
    """The record for content that came: all of its bytes up to `whole`, of longer content the first."""
    length = len(data)
    flags = abi.CONTENT_END_FLAG if end else 0
    return records.content(handle, flags, length, data[: carried(length, whole)])


class ServerCall:
    """One call. Tell it what happened; then write what its `response` has, and empty that.

    `messages` holds payloads for the handler, the next one last; `received` says that no more come, `failure` what receiving
    ended with. `stopped` is set when the answer was decided without the handler, `done` when nothing more is to be told.
    `outcome` is the protocol and the code that the call ended with, where the guest is asked for outcomes; else None for what
    is not known. No method waits, or raises for what a peer does.

    Where a request is refused it is not `opened`: `request` and `procedure` are not set, and all that there is is a `response`.
    Otherwise whoever serves the call sets `ctx`, and says `close` in the end, whatever happens.
    """

    __slots__ = (
        "_again",
        "_content",
        "_full",
        "_head",
        "_instance",
        "_refused",
        "_service",
        "_unopened",
        "_wanted",
        "ctx",
        "done",
        "failure",
        "handle",
        "messages",
        "opened",
        "outcome",
        "procedure",
        "received",
        "request",
        "response",
        "stopped",
    )

    request: records.Request
    procedure: Procedure
    ctx: ServerContext[Any, Any]

    def __init__(self, service: Service, head: Head, instance: Instance | None) -> None:
        self._service = service
        self._head: Head | None = head  # as long as the call may have to be opened in another instance
        self._instance = instance
        self._full: Instance | None = None  # an instance that has no room for this call
        self._unopened: tuple[bytes | None, bool] = None, False  # content to open the call with, and if it ends
        self._again = self._refused = False
        self._content: Content | None = None  # what came, as long as a message may lie in it
        self._wanted: records.More | None = None
        self.handle = 0
        self.response = Response(service.fields_of)
        self.messages: list[Payload] = []
        self.opened = self.received = self.stopped = self.done = False
        self.outcome: tuple[int | None, int | None] = (None, None)
        self.failure: ConnectError | None = None

    # What happened

    def begin(self, events: bytes, second: int, content: bytes | None) -> None:
        """The call was opened, and perhaps was shown content, with these events, of which another begins at `second`."""
        found = usual.message(events, second) if content else None
        if not content or found is None:
            self._keep(content or b"")
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
            self._keep(data)
            whole = CARRY_STREAM if self.procedure.many_requests else abi.CARRY_WHOLE
            if self.request.flags & abi.CONTENT_INLINE:
                whole = len(data)
            self._step(announced(data, self.handle, whole, end=end))

    def resume(self) -> bool:
        """Let the guest see content that it asked for. False where it did not: then it wants what the peer sends next."""
        wanted, self._wanted = self._wanted, None
        if wanted is None or self.done:
            return False
        data = self._content.peek(wanted.offset, max(wanted.want, CARRY_STREAM)) if self._content else b""
        self._step(records.content(self.handle, abi.CONTENT_RESUME, len(data), data))
        return True

    def peer_gone(self) -> None:
        """The peer went away before its content ended, or before it had all of the answer."""
        if self._instance is None and not self._service.access_log:
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

    def decided(self, error: BaseException | None) -> BaseException | None:
        """What the call ends with, now that its application has ended with `error`: what was decided before that, if it was."""
        if not self.done and not self.stopped:
            return error
        code = self.outcome[1]
        if self.failure is None and code:
            self.failure = error_of(code, b"the call ended before its handler was called")
        return self.failure or error or canceled()

    def next_message(self) -> Any:
        """The next message, decoded. Call it only while there are `messages`.

        Raises what receiving ended with where the payload is bad.
        """
        taken = self.messages.pop()
        try:
            return decoded(self.procedure.decoders[self.request.codec], self._payload(taken))
        except RejectedError as bad:
            self._reject(bad)
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
        if expired(self.ctx):
            self.deadline()
            return
        plainly = error is None and not self.procedure.many_responses and not any(response_metadata(self.ctx))
        try:
            if plainly and not self.request.flags & abi.REQUEST_SEND_INLINE:
                batch = usual.reply(self.handle, *self._lengths(payloads))
                self.response.payloads += payloads
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
            self.response.output.extend(answer)
            self.done = True

    def _payload(self, taken: Payload) -> bytes:
        """A message, decompressed if it was compressed. Raises RejectedError."""
        if not isinstance(taken, tuple):
            return taken
        data, coding, limit = taken
        return decompressed(self._service.codings[coding - 1], data, limit)

    def _reject(self, bad: RejectedError) -> None:
        self.messages.clear()
        self._step(rejection(self.handle, self.procedure.name, bad))

    # Inside: what is told

    def _sent(self, payloads: list[bytes]) -> bytes:
        """The records for messages, and before the first for leading metadata. Raises RejectedError."""
        batch = b""
        headers = None if self.response.begun else response_metadata(self.ctx)[0]
        if headers:
            batch = records.headers(self.handle, 0, *metadata_columns(headers))
        if payloads:
            lengths = self._lengths(payloads)
            if self.request.flags & abi.REQUEST_SEND_INLINE:
                batch += records.send(self.handle, abi.SEND_INLINE, lengths, b"".join(payloads))
            else:
                self.response.payloads += payloads
                batch += records.send(self.handle, 0, lengths)
        return batch

    def _keep(self, data: bytes) -> Content:
        content = self._content
        if content is None:
            content = self._content = Content()
        content.add(data)
        return content

    def _lengths(self, payloads: list[bytes]) -> list[int]:
        """The payloads' lengths as the guest is told them. Those that are to be compressed are. Raises RejectedError."""
        lengths = list(map(len, payloads))
        request = self.request
        if request.coding:
            for index, length in enumerate(lengths):
                if length >= request.compress_min:
                    payloads[index] = compressed(self._service.codings[request.coding - 1], payloads[index])
                    lengths[index] = len(payloads[index]) | abi.COMPRESSED
        return lengths

    def _ended(self, error: BaseException | None) -> bytes:
        """The record that ends the application's part, with trailing metadata."""
        return ending(self.handle, self.procedure.name, error, self.ctx, self._service.on_error)

    def _step(self, batch: bytes) -> None:
        events = self._stepped(batch)
        if events is not None:
            self._take(events)

    def _stepped(self, batch: bytes) -> bytes | None:
        """What the guest answers; None where the instance failed, which is then dealt with."""
        try:
            if self._instance is None:
                self._instance = POOL.pick() if self._full is None else POOL.other(self._full)
                assert self._head is not None
                content, end = self._unopened
                batch = self._service.opening(self._instance, self._head, 0, content, end=end) + batch
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
        self.response.payloads.clear()
        self._wanted = self._instance = None
        self._unopened = None, False
        self.handle = 0
        if self.response.begun or self._refused:
            self._abort()
            return
        self._refused = True
        self._step(records.reject(0, reason))

    def _abort(self) -> None:
        self.done = self.stopped = True
        self.response.abort()

    def _forget(self) -> None:
        if self._instance is not None and self.handle:
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
        if not self.opened:
            self.opened = True
            self.request = event
            self.procedure = self._service.procedures[event.procedure]
        else:
            self._again = True

    def _on_messages(self, event: records.Messages) -> None:
        if not self._again:
            self.messages[:0] = payloads_of(event, self._content or Content())[::-1]

    def _on_received(self, event: records.Received) -> None:
        if not self._again:
            self.received = True
            self._content = None
            if event.code:
                self.failure = error_of(event.code, event.message)

    def _on_more(self, event: records.More) -> None:
        if not self._again:
            self._wanted = event

    def _on_head(self, event: records.HttpResponseHead) -> None:
        if event.flags & abi.HTTP_LACKS_TRAILERS:
            self._service.lacks_trailers()
        self.response.head(event)
        self._head = None

    def _on_stop(self, event: records.Stop) -> None:
        self.stopped = True
        self.failure = error_of(event.code, event.message)
        if event.grace_us:
            self.response.hold = event.grace_us / 1e6 + (self.ctx.timeout_ms or 0) / 1000

    def _on_outcome(self, event: records.Outcome) -> None:
        self.outcome = event.protocol or None, event.code

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


_ON: Final[dict[type[Any], Callable[[ServerCall, Any], None]]] = {
    records.Request: ServerCall._on_request,
    records.Messages: ServerCall._on_messages,
    records.Received: ServerCall._on_received,
    records.HttpResponseHead: ServerCall._on_head,
    records.HttpBody: lambda call, event: call.response.body(event),
    records.HttpTrailers: lambda call, event: call.response.trailers(event),
    records.Stop: ServerCall._on_stop,
    records.More: ServerCall._on_more,
    records.Outcome: ServerCall._on_outcome,
    records.Done: ServerCall._on_done,
    records.Fault: ServerCall._on_fault,
}
