"""One call under ASGI: the part around `ServerCall` that waits.

The whole of a call's work is one coroutine that is driven step by step. Work that never waits is then finished in one go,
without a timer, without a task, and replies that a handler yields without waiting leave in one write. When the work waits
for the first time, its deadline is armed and somebody starts to listen for the peer's going away; either ends in the
handler's cancellation at once.
"""

from __future__ import annotations

import types
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from .._interceptors import MetadataRun
from .._lazy import asyncio
from .._wasm.columns import split_fields
from .actions import AbortAction, BodyAction, HeadAction, PlainAction, TrailersAction
from .service import DEADLINE_GRACE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Sequence

    from ..interceptor import MetadataInterceptor
    from ..request import ServerContext
    from .call import ServerCall
    from .service import Service

    Context = ServerContext[Any, Any]
    Messages = dict[str, Any]

__all__ = ["AbortedError", "Exchange"]

_BATCH_MESSAGES: Final = 512
_BATCH_SECONDS: Final = 0.002
_LARGE: Final = 2 << 10
"""Replies that are made without waiting are collected before they are written: up to so many, for so long, and while the last
one is smaller than this."""

_SELDOM: Final = 16

_LONGEST: Final = 365 * 86400.0  # seconds that a timer is set to at most

_PAUSE: Final = object()


class AbortedError(RuntimeError):
    """The response was broken off: the server is to close the connection, so that the peer does not take it for whole."""


class Exchange:
    """One HTTP request and its response."""

    __slots__ = (
        "_batch",
        "_broken",
        "_buffered",
        "_fired",
        "_grace",
        "_leading",
        "_loop",
        "_reading",
        "_receive",
        "_rejected",
        "_send",
        "_service",
        "_task",
        "_timer",
        "_watch",
        "_writing",
        "call",
        "ctx",
    )

    def __init__(
        self,
        service: Service,
        call: ServerCall,
        receive: Callable[[], Awaitable[Messages]],
        send: Callable[[Messages], Awaitable[None]],
        ctx: Context | None = None,
        leading: Sequence[MetadataInterceptor[Any]] = (),
    ) -> None:
        self._service = service
        self.call = call
        self.ctx = ctx
        self._receive = receive
        self._send = send
        self._leading = leading
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[Messages] | asyncio.Handle | None = None
        self._buffered: Messages | None = None
        self._batch: list[bytes] = []  # replies not yet sent
        self._broken: Exception | None = None  # why nothing more can be written
        self._rejected: Exception | None = None  # why one cannot be encoded
        self._reading = self._writing = self._fired = False
        self._grace = 0.0  # seconds to wait before the next write

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work, a coroutine of this object's; then write what is left."""
        try:
            try:
                pending = work.send(None)
            except StopIteration:
                pass
            else:
                await self._supervise(work, pending)
        except asyncio.CancelledError:
            if not self._canceled_by_us():
                self.call.abandon()
                raise
        except BaseException:
            self.call.abandon()
            raise
        else:
            self._canceled_by_us()
        await self.flush()

    async def handle(self) -> None:
        """The work of a call that was opened: read its message, run its handler, end it."""
        call = self.call
        ctx, procedure = self.ctx, call.procedure
        assert ctx is not None
        assert procedure is not None
        run = MetadataRun(self._leading, ctx) if self._leading else None
        error: BaseException | None = None
        response: Any = None
        try:
            if run is not None:
                await run.start()
            if procedure.many_requests:
                request: Any = self._requests()
            else:
                while not call.received and not call.done:
                    await self._read()
                request = None if call.done else call.next_message()
            if not call.done:
                if procedure.many_responses:
                    await self._respond(procedure.function(request, ctx), ctx)
                else:
                    response = await procedure.function(request, ctx)
        except BaseException as raised:  # noqa: BLE001 - it is answered, or raised again in finish
            error = raised
        if run is not None:
            error = await run.end(call.failure if call.stopped else error)
        self.finish(error, response)

    async def handle_stream(self, request: Any) -> None:
        """The work of a server stream whose message was taken."""
        call = self.call
        assert self.ctx is not None
        assert call.procedure is not None
        error: BaseException | None = None
        try:
            await self._respond(call.procedure.function(request, self.ctx), self.ctx)
        except BaseException as raised:  # noqa: BLE001 - it is answered, or raised again in finish
            error = raised
        self.finish(error, None)

    async def handle_started(self, started: Coroutine[Any, Any, Any], pending: Any) -> None:
        """The work of a unary call whose handler was started and waits for `pending`."""
        error: BaseException | None = None
        response: Any = None
        try:
            response = await _resumed(started, pending)
        except BaseException as raised:  # noqa: BLE001 - it is answered, or raised again in finish
            error = raised
        self.finish(error, response)

    def finish(self, error: BaseException | None, response: Any) -> None:
        """The handler has returned, or raised."""
        call, ctx = self.call, self.ctx
        if self._broken is not None:
            call.peer_gone()
            raise self._broken
        if call.done:
            return
        if error is not None and not isinstance(error, Exception):
            raise error
        assert ctx is not None
        assert call.procedure is not None
        remaining = ctx.timeout_ms
        if remaining is not None and remaining <= 0:
            self._grace = DEADLINE_GRACE + remaining / 1000
            call.deadline()
        elif self._rejected is not None:
            call.reject_reply(self._rejected)
        elif error is not None or call.procedure.many_responses:
            call.end(error, ctx, self._batch)
        else:
            call.finish(response, ctx)

    async def flush(self) -> None:
        """Write what the call has to write."""
        output = self.call.output
        send = self._send
        ended = False
        if self._grace > 0:
            grace, self._grace = self._grace, 0.0
            await asyncio.sleep(grace)
        self._writing = True
        try:
            while output:
                action = output.pop(0)
                if isinstance(action, BodyAction):
                    more = not action.end
                    if output and isinstance(output[0], TrailersAction):
                        ended = True
                        more = False
                    await send({"type": "http.response.body", "body": action.data, "more_body": more})
                elif isinstance(action, HeadAction):
                    message: Messages = {
                        "type": "http.response.start",
                        "status": action.status,
                        "headers": self._service.response_fields(action.fields),
                    }
                    if action.trailers:
                        message["trailers"] = True
                    await send(message)
                    if action.end:
                        await send({"type": "http.response.body", "body": b"", "more_body": False})
                elif isinstance(action, PlainAction):
                    await send({"type": "http.response.start", "status": action.status, "headers": action.fields})
                    await send({"type": "http.response.body", "body": action.data})
                elif isinstance(action, TrailersAction):
                    if not ended:
                        await send({"type": "http.response.body", "body": b"", "more_body": False})
                    fields = split_fields(action.fields)
                    await send({"type": "http.response.trailers", "headers": fields, "more_trailers": False})
                else:
                    assert isinstance(action, AbortAction)
                    raise AbortedError("the response was broken off")
        except Exception as error:
            self._broken = error
            raise
        finally:
            self._writing = False

    # Requests

    async def _read(self) -> None:
        """Wait for content, and tell the call."""
        self._reading = True
        try:
            event = self._buffered
            if event is not None:
                self._buffered = None
            elif isinstance(self._watch, asyncio.Task):
                event = await self._watch
                self._buffered = None
            else:
                event = await self._receive()
        finally:
            self._reading = False
        if event["type"] == "http.disconnect":
            self._gone()
            # If this is the handler's own task, the cancellation arrives here; another task of the handler's goes on to
            # find the call stopped.
            await asyncio.sleep(0)
            return
        self.call.feed(event.get("body", b""), end=not event.get("more_body", False))

    async def _requests(self) -> AsyncGenerator[Any, None]:
        """The request's messages, read as they are asked for."""
        call = self.call
        messages = call.messages
        take = call.next_message
        while True:
            while messages:
                yield take()
            if call.failure is not None:
                raise call.failure
            if call.received or call.done:
                return
            await self._read()

    # Responses

    async def _respond(self, replies: AsyncIterator[Any], ctx: Context) -> None:
        """Send what the handler yields. What it yields without waiting is sent together, and before it waits; what is left
        at its end goes with the end."""
        try:
            await self._pump(self._produce(replies), ctx)
            if self._rejected is not None and self._batch:
                self.call.reply(self._batch, ctx)  # what came before is good
        finally:
            close = getattr(replies, "aclose", None)
            if close is not None:
                await close()

    async def _produce(self, replies: AsyncIterator[Any]) -> None:
        """Encode replies into the batch, pausing when it is full."""
        call, batch = self.call, self._batch
        assert call.procedure is not None
        encode = call.procedure.encoders[call.codec]
        add = batch.append
        # Time and size are looked at every `limit` replies: each time at first, more rarely for a handler that turns out to
        # make small ones quickly.
        limit = left = 1
        last = monotonic()
        async for reply in replies:
            try:
                payload = encode(reply)
            except Exception as error:  # noqa: BLE001 - whatever a codec raises
                self._rejected = error
                return
            add(payload)
            left -= 1
            if not left:
                light = monotonic() - last < _BATCH_SECONDS and len(payload) < _LARGE
                left = limit = min(2 * limit, _SELDOM) if light else 1
                if not light or len(batch) >= _BATCH_MESSAGES:
                    await _pause()
                    last = monotonic()

    @types.coroutine
    def _pump(self, producer: Coroutine[Any, Any, None], ctx: Context) -> Generator[Any, Any, None]:
        """Drive the producer. Whenever it pauses or waits, what it has made is written first."""
        call, batch = self.call, self._batch
        resume: Callable[[Any], Any] = producer.send
        value: Any = None
        told = False  # of the end; a handler that waits while it cleans up is not told again
        while True:
            try:
                pending = resume(value)
            except StopIteration:
                return
            resume, value = producer.send, None
            if batch:
                call.reply(batch[:], ctx)
                batch.clear()
                try:
                    yield from self.flush().__await__()
                except BaseException as error:  # noqa: BLE001 - the handler hears of it first
                    told = told or call.done
                    resume, value = producer.throw, error
                    continue
            if call.done and not told and not self._fired:
                told = True
                resume, value = producer.throw, asyncio.CancelledError()
            elif pending is not _PAUSE or (call.done and not told):
                try:
                    value = yield None if pending is _PAUSE else pending
                except BaseException as error:  # noqa: BLE001 - a cancellation, for the handler
                    told = told or call.done
                    resume, value = producer.throw, error

    # Deadline and disconnection

    async def _supervise(self, work: Coroutine[Any, Any, None], pending: Any) -> None:
        """Go on with work that waits, under its deadline and with an ear for the peer."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        ctx = self.ctx
        remaining = None if ctx is None else ctx.timeout_ms
        if remaining is not None:
            self._timer = self._loop.call_later(min(max(remaining / 1000, 0), _LONGEST), self._expired)
        try:
            await _resumed(work, pending, self._listen)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._watch is not None:
                self._watch.cancel()

    def _listen(self) -> None:
        """The work waits: listen to the peer, unless the work does so itself."""
        if self._watch is None and self._buffered is None and not self._reading and not self.call.done:
            assert self._loop is not None
            # Not at once: a handler that waits for a moment only is ready before this runs.
            self._watch = self._loop.call_soon(self._start_watch)

    def _start_watch(self) -> None:
        assert self._loop is not None
        if self._reading or self.call.done:
            self._watch = None
            return
        self._watch = self._loop.create_task(self._next())
        self._watch.add_done_callback(self._watched)

    async def _next(self) -> Messages:
        return await self._receive()

    def _watched(self, task: asyncio.Task[Messages]) -> None:
        """Something came: content for later, or the news that the peer is gone."""
        self._watch = None
        if task.cancelled():
            return
        if task.exception() is not None:
            self._gone()
            return
        event = task.result()
        if event["type"] == "http.disconnect":
            self._gone()
        elif not self._reading:
            self._buffered = event

    def _gone(self) -> None:
        if not self.call.done:
            self.call.peer_gone()
            self._cancel()

    def _expired(self) -> None:
        if not self.call.done:
            self._grace = DEADLINE_GRACE
            self.call.deadline()
            if not self._writing:  # a write is never cut short by the clock; the answer follows it
                self._cancel()

    def _cancel(self) -> None:
        if self._task is None:
            self._task = asyncio.current_task()
        assert self._task is not None
        self._fired = True
        self._task.cancel()

    def _canceled_by_us(self) -> bool:
        """Whether the work was canceled here and by nobody else; takes that cancellation back."""
        if not self._fired:
            return False
        self._fired = False
        assert self._task is not None
        return self._task.uncancel() == 0


@types.coroutine
def _pause() -> Generator[Any, None, None]:
    yield _PAUSE


@types.coroutine
def _resumed(
    work: Coroutine[Any, Any, Any], pending: Any, waiting: Callable[[], None] | None = None
) -> Generator[Any, Any, Any]:
    """Await the rest of a coroutine that was started by hand; `waiting` is called whenever it waits."""
    try:
        while True:
            if waiting is not None:
                waiting()
            try:
                value = yield pending
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:  # noqa: BLE001 - it belongs to the work
                pending = work.throw(error)
            else:
                pending = work.send(value)
    except StopIteration as stop:
        return stop.value
