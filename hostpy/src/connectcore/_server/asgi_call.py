"""One call under ASGI: the part around `ServerCall` that waits.

The whole of a call's work is one coroutine that is driven step by step. Work that never waits is then finished in one go,
without a timer, without a task, and replies that a handler yields without waiting leave in one write. When the work waits
for the first time, its deadline is armed and somebody starts to listen for the peer's going away; either ends in the
handler's cancellation at once.
"""

from __future__ import annotations

import types
from contextlib import suppress
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from .._batch import PAUSE, collect
from .._codec.payload import FATAL
from .._interceptors import MetadataRun
from .._lazy import asyncio
from ..request import ServerContext
from .asgi_request import READER
from .outcome import AbortedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence

    from ..interceptor import MetadataInterceptor
    from .call import ServerCall

    Context = ServerContext[Any, Any]
    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]

__all__ = ["Exchange", "awaitable", "early"]

_AHEAD: Final = 64 << 10
_TINY: Final = 512
"""Bytes of content that are read ahead of the handler, and what each piece counts beside its own."""

_DRAIN: Final = 8 << 20
_DRAIN_SECONDS: Final = 1.0, 5.0
"""Content that an answer did not want is read and forgotten: so many bytes, for so long before the answer's end, unless the
client may want that before it sends more, and after it. Servers close an HTTP/1 connection over unread content, maybe before
the answer has arrived: hypercorn and h11 under uvicorn at the answer's end, granian when the application is done. They reset an
HTTP/2 stream over it, so that nginx may lose the answer. Others tell at once that nothing comes any more. hypercorn fails an
HTTP/2 connection over what comes after an answer's end, so that the end waits for it there, whatever its size."""

_TURN: Final = 0.01
"""Seconds after which others get their turn, among them the news that the peer is gone: where a server takes whatever is
written, a handler that never waits would let nobody else run."""

_POLL: Final = 0.05
"""Seconds between two questions whether the peer is gone, where a server does not wait with its answer: pyvoy says again and
again, at once, that no content came."""

_LONGEST: Final = 365 * 86400.0  # seconds that a timer is set to at most


_START: Final = object()


def awaitable(work: Any) -> Any:
    """What a handler returned, to be awaited. Raises TypeError."""
    if work.__class__ is not CoroutineType and not hasattr(work, "__await__"):
        raise TypeError(f"under ASGI a handler is a coroutine function, 'async def'; this one returned {type(work).__name__}")
    return work


def _listening(receive: Receive) -> asyncio.Future[Message]:
    """What will have the next event. Only where the server gives no future, as granian does, does it take a task."""
    coming: Any = receive()
    if asyncio.isfuture(coming):
        return coming
    work = coming if coming.__class__ is CoroutineType else _event(coming)
    return asyncio.get_running_loop().create_task(work, name="connectcore listens to a peer")


async def _event(coming: Awaitable[Message]) -> Message:
    return await coming


async def early(receive: Receive) -> tuple[Message | None, asyncio.Future[Message] | None]:
    """The next event, if it is there at once; else what will have it. Peers that are gone already, which over HTTP/2 are cheap
    to be, cost no call then; for others it is a turn of the loop."""
    try:
        coming = _listening(receive)
        try:
            await asyncio.sleep(0)
            return (coming.result(), None) if coming.done() else (None, coming)
        except BaseException:
            coming.cancel()
            raise
    except Exception:  # noqa: BLE001 - what the server raises where the peer is gone
        return {"type": "http.disconnect"}, None


class Exchange:
    """One HTTP request and its response: the owner of a call, which closes it whatever happens."""

    __slots__ = (
        "_ahead",
        "_ahead_size",
        "_batch",
        "_brittle",
        "_broken",
        "_closed",
        "_ends_late",
        "_fired",
        "_loop",
        "_more",
        "_polls",
        "_reading",
        "_receive",
        "_send",
        "_task",
        "_timer",
        "_told",
        "_unwanted",
        "_watch",
        "_writing",
        "call",
    )

    def __init__(
        self,
        call: ServerCall,
        receive: Receive,
        send: Callable[[Message | None], Awaitable[None]],
        *,
        more: bool = False,
        ends_late: bool = False,
        brittle: bool = False,
        watch: asyncio.Future[Message] | None = None,
    ) -> None:
        """Make it. `more`: content follows. `ends_late`: clients send all of it before they want the answer's end. `brittle`:
        content that comes after that breaks the connection. `watch` will have the next event, if that was asked for."""
        self.call = call
        self._more = more
        self._ends_late = ends_late
        self._brittle = brittle
        self._receive = receive
        self._send = send
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Future[Message] | asyncio.Handle | None = watch  # who listens to the peer, or will
        if watch is not None:
            watch.add_done_callback(self._heard)
        self._ahead: list[Message] | None = None  # content that the handler has not asked for
        self._ahead_size = self._unwanted = 0
        self._polls = 0  # times that no content was told after its end; granian tells the end of it once more
        self._batch: list[bytes] = []  # replies not yet sent
        self._broken: Exception | None = None  # why nothing more can be written
        self._reading = self._writing = self._fired = self._closed = False
        self._told = False  # the handler, of the end; one that waits while it cleans up is not told again

    @types.coroutine
    def run(self, work: Coroutine[Any, Any, Any], waits: Any = _START, *, encodes: bool = False) -> Generator[Any, Any, None]:
        """Do the work, which may have been started and wait for `waits`; then end the call with the reply that it gives.

        Work that waits goes on under its deadline and with an ear for the peer. If it `encodes`, the reply is a message.
        """
        reply: Any = None
        error: BaseException | None = None
        try:
            try:
                if waits is _START:
                    waits = work.send(None)
                self._supervise()
                while True:
                    self._listen()
                    try:
                        value = yield waits
                    except GeneratorExit:
                        self._closed = True
                        work.close()
                        raise
                    except BaseException as raised:  # noqa: BLE001 - it belongs to the work
                        waits = work.throw(raised)
                    else:
                        waits = work.send(value)
            except StopIteration as stop:
                reply = stop.value
            if encodes:
                reply = self.call.procedure.encoded(self.call.request.codec, reply)
        except BaseException as raised:  # noqa: BLE001 - it is answered, or raised again
            reply, error = None, raised
        if self._timer is not None:
            self._timer.cancel()
        self._reading = True  # nobody listens any more
        watch = self._watch
        # A task that is not begun would keep what it belongs to. Content is not to be lost: what waits for it goes on.
        if watch is not None and not (self._more and asyncio.isfuture(watch)):
            self._watch = None
            watch.cancel()
        yield from self.end(reply, error).__await__()

    async def end(self, reply: bytes | None, error: BaseException | None) -> None:
        """The work was done, or failed: write what is left. Raises what ends more than the handler."""
        try:
            if self._ends_more(error) and error is not None:
                raise error
            if self._broken is not None:
                raise self._broken
            if reply is not None:
                self._batch.append(reply)
            self.call.finish(self._batch, error)
            end = self.call.response.held_end() if self._more and (self._ends_late or self._brittle) else None
            await self._flush()
            if end is not None:
                if self._brittle and "headers" in end:
                    # The client has its answer, and the server does not forget the call as long as trailers may follow.
                    await self._send({**end, "more_trailers": True})
                    end["headers"] = []
                await self._drain(_DRAIN_SECONDS[self._brittle])
                await self._send(end)
        except BaseException:
            if self._watch is not None:
                self._watch.cancel()
            raise
        finally:
            self.call.close()
        await self._drain(_DRAIN_SECONDS[1])

    async def _drain(self, seconds: float) -> None:
        """Read and forget what still comes, within bounds."""
        if self._more:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._more and (self._brittle or self._unwanted < _DRAIN):
                        coming: Any = self._receive() if self._watch is None else self._watch
                        self._watch = None
                        event = await coming
                        self._more = event.get("more_body", False)
                        self._unwanted += _weight(event)

    def handle(self, leading: Sequence[MetadataInterceptor[Any]], scope: Any) -> Coroutine[Any, Any, bytes | None]:
        """The work of a call that was opened: read its message, run its handler. Gives the reply, if it is one."""
        call = self.call
        if not call.opened:
            return _nothing()
        ctx = call.ctx = ServerContext(call.procedure.method, call.request, READER, scope, scope["headers"])
        work: Any = self._stream() if call.procedure.many_responses else self._unary()
        return self._led(MetadataRun(leading, ctx), work) if leading else work

    async def _led(self, run: MetadataRun, work: Coroutine[Any, Any, bytes | None]) -> bytes | None:
        """The work, once the interceptors that run before it have started."""
        call = self.call
        reply: bytes | None = None
        error: BaseException | None = None
        try:
            await run.start()
            reply = await work
        except BaseException as raised:  # noqa: BLE001 - it is raised again
            error = raised
        work.close()
        error = await run.end(call.failure if call.stopped else error)
        if error is not None:
            raise error
        return reply

    async def _unary(self) -> bytes | None:
        call, procedure = self.call, self.call.procedure
        request = self._requests() if procedure.many_requests else await self._message()
        if request is None:
            return None
        return procedure.encoded(call.request.codec, await awaitable(procedure.function(request, call.ctx)))

    async def _message(self) -> Any:
        """The request's one message. None where the call is done before it has come."""
        call = self.call
        while not call.received and not call.done:
            if not call.resume():
                await self._read()
        return None if call.done else call.next_message()

    async def _flush(self) -> None:
        """Write what the call has to write."""
        response = self.call.response
        if response.hold > 0:
            hold, response.hold = response.hold, 0.0
            await asyncio.sleep(hold)
        self._writing = True
        try:
            while response.output:
                message = response.output.pop(0)
                if message is None:
                    raise AbortedError
                await self._send(message)
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
            if not self._ahead:
                watch = self._watch
                if asyncio.isfuture(watch):
                    await self._overheard(watch)
                else:
                    self._take(await self._receive())
        finally:
            self._reading = False
        if not self._ahead:
            # The peer is gone. If this is the handler's own task, it hears of that here; another task of the handler's goes on
            # to find the call stopped.
            if not self._fired and self._own:
                self._told = True
                raise asyncio.CancelledError
            await asyncio.sleep(0)
            return
        event = self._ahead.pop(0)
        self._ahead = self._ahead or None
        self._ahead_size -= _weight(event)
        self.call.feed(event.get("body", b""), end=not event.get("more_body", False))

    async def _overheard(self, watch: asyncio.Future[Message]) -> None:
        """Wait for what is listened to already; `_heard` leaves it to the work, which reads."""
        try:
            event = await watch
        except Exception:  # noqa: BLE001 - what the server raises where the peer is gone
            self._gone()
        else:
            self._take(event)
        finally:
            self._watch = None

    def _take(self, event: Message) -> None:
        """Keep content, where somebody may ask for it; or take the news that the peer is gone."""
        ended, self._more = not self._more, event.get("more_body", False)
        if event["type"] == "http.disconnect":
            self._gone()
            return
        self._polls = self._polls + 1 if ended else 0
        self._ahead_size += _weight(event)
        if not self.call.received:
            if self._ahead is None:
                self._ahead = []
            self._ahead.append(event)

    async def _requests(self) -> AsyncGenerator[Any, None]:
        """The request's messages, read as they are asked for."""
        call = self.call
        messages = call.messages
        take = call.next_message
        while True:
            while messages:
                yield take()
            if call.ended():
                return
            if not call.resume():
                await self._read()

    # Responses

    @types.coroutine
    def _stream(self) -> Generator[Any, Any, None]:
        """The work of a call with many replies. What the handler yields without waiting is sent together, and before it waits;
        what is left at its end goes with the end."""
        call, batch = self.call, self._batch
        procedure = call.procedure
        request = self._requests() if procedure.many_requests else (yield from self._message().__await__())
        if request is None:
            return
        replies = procedure.function(request, call.ctx)
        del request  # an idle stream holds what its handler holds
        try:
            producer = collect(replies, procedure.encoder(call.request.codec), batch)
            value: Any = None
            error: BaseException | None = None  # what the producer is to hear
            turn = monotonic() + _TURN
            while True:
                try:
                    pending = producer.send(value) if error is None else producer.throw(error)
                except StopIteration:
                    return
                value = error = None
                if batch:
                    call.reply(batch[:])
                    batch.clear()
                    try:
                        yield from self._flush().__await__()
                    except BaseException as raised:  # noqa: BLE001 - the handler hears of it first
                        self._told = self._told or call.done
                        error = raised
                        continue
                if call.done and not self._told and not self._fired:
                    self._told = True
                    error = asyncio.CancelledError()
                elif pending is not PAUSE or (call.done and not self._told) or monotonic() > turn:
                    turn = monotonic() + _TURN
                    try:
                        value = yield None if pending is PAUSE else pending
                    except BaseException as raised:  # noqa: BLE001 - a cancellation, for the handler
                        self._told = self._told or call.done
                        error = raised
        finally:
            close = getattr(replies, "aclose", None)
            if close is not None and not self._closed:  # nothing can be waited for where the server closes its work
                yield from close().__await__()

    # Deadline and disconnection

    def _supervise(self) -> None:
        """The work waits for the first time: set its deadline's timer."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        remaining = self.call.ctx.timeout_ms
        if remaining is not None:
            self._timer = self._loop.call_later(min(max(remaining / 1000, 0), _LONGEST), self._expired)

    def _listen(self) -> None:
        """The work waits: listen to the peer, unless the work does so itself. News that the peer is gone come behind content
        that the handler has not asked for, so that some of it is read ahead."""
        room = self._ahead_size < _AHEAD or not self._more
        if self._watch is None and room and not self._reading and not self.call.done:
            assert self._loop is not None
            # Not at once: a handler that waits for a moment only is ready before this runs.
            start, loop = self._start_watch, self._loop
            self._watch = loop.call_later(_POLL, start) if self._polls > 1 else loop.call_soon(start)

    def _start_watch(self) -> None:
        self._watch = None
        if self._reading or self.call.done:
            return
        try:
            self._watch = watch = _listening(self._receive)
        except Exception:  # noqa: BLE001 - what the server raises where the peer is gone
            self._gone()
        else:
            watch.add_done_callback(self._heard)

    def _heard(self, coming: asyncio.Future[Message]) -> None:
        """Something came, unless the work has taken it itself, or is over."""
        if self._watch is not coming or self._reading:
            return
        self._watch = None
        if coming.cancelled():
            return
        try:
            event = coming.result()
        except Exception:  # noqa: BLE001 - what the server raises where the peer is gone
            self._gone()
            return
        self._take(event)
        del event
        self._listen()

    def _gone(self) -> None:
        if not self.call.done:
            self.call.peer_gone()
            if not self._reading or not self._own:
                self._cancel()

    @property
    def _own(self) -> bool:
        """Whether what runs is the request's own task, and no other of its handler's, which only runs where that waits."""
        return self._task is None or asyncio.current_task() is self._task

    def _expired(self) -> None:
        if not self.call.done:
            self.call.deadline()
            if not self._writing:  # a write is never cut short by the clock; the answer follows it
                self._cancel()

    def _cancel(self) -> None:
        if self._task is None:
            self._task = asyncio.current_task()
        assert self._task is not None
        self._fired = True
        self._task.cancel()

    def _ends_more(self, error: BaseException | None) -> bool:
        """Whether what was raised ends more than the handler: the task, because somebody else canceled it, or the process."""
        if self._fired:
            assert self._task is not None
            self._fired = False
            self._task.uncancel()
        if not isinstance(error, asyncio.CancelledError):
            return self._closed or isinstance(error, FATAL)
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0


async def _nothing() -> None:
    """The work of a call that was refused."""


def _weight(event: Message) -> int:
    """What content that is read ahead counts; tiny pieces cost more than their bytes."""
    return len(event.get("body", b"")) + _TINY
