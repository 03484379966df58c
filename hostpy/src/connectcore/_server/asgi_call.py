"""One call under ASGI: the part around `ServerCall` that waits.

The whole of a call's work is one coroutine that is driven step by step. Work that never waits is then finished in one go,
without a timer, without a task, and replies that a handler yields without waiting leave in one write. When the work waits
for the first time, its deadline is armed and somebody starts to listen to the peer (`asgi_peer.py`).
"""

from __future__ import annotations

import types
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from .._batch import PAUSE, collect
from .._codec.payload import FATAL
from .._interceptors import MetadataRun
from .._lazy import asyncio
from ..request import ServerContext
from .asgi_peer import Peer
from .asgi_request import READER
from .outcome import AbortedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence

    from ..interceptor import MetadataInterceptor
    from .asgi_peer import Message, Receive
    from .call import ServerCall

    Context = ServerContext[Any, Any]

__all__ = ["Exchange", "awaitable"]

_DRAIN_SECONDS: Final = 1.0, 5.0
"""Content that an answer did not want is read and forgotten: for so long before the answer's end, unless the client may want
that before it sends more, and after it. Servers close an HTTP/1 connection over unread content, maybe before
the answer has arrived: hypercorn and h11 under uvicorn at the answer's end, granian when the application is done, or as much of
the answer is written as its head says. They reset an HTTP/2 stream over it, so that nginx may lose the answer. Others tell at
once that nothing comes any more. hypercorn fails an HTTP/2 connection over what comes after an answer's end, so that the end
waits for it there, whatever its size."""

_TURN: Final = 0.01
"""Seconds after which others get their turn, among them the news that the peer is gone: where a server takes whatever is
written, a handler that never waits would let nobody else run."""


def awaitable(work: Any) -> Any:
    """What a handler returned, to be awaited. Raises TypeError."""
    if work.__class__ is not CoroutineType and not hasattr(work, "__await__"):
        raise TypeError(f"under ASGI a handler is a coroutine function, 'async def'; this one returned {type(work).__name__}")
    return work


class Exchange(Peer):
    """One HTTP request and its response: the owner of a call, which closes it whatever happens."""

    __slots__ = (
        "_batch",
        "_broken",
        "_closed",
        "_ends_late",
        "_send",
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
        super().__init__(call, receive, more=more, brittle=brittle, watch=watch)
        self._send = send
        self._ends_late = ends_late
        self._batch: list[bytes] = []  # replies not yet sent
        self._broken: Exception | None = None  # why nothing more can be written
        self._closed = False

    @types.coroutine
    def run(self, work: Coroutine[Any, Any, bytes | None]) -> Generator[Any, Any, None]:
        """Do the work, and end the call with the reply that it gives. Work that waits goes on under its deadline and with an
        ear for the peer."""
        reply: bytes | None = None
        error: BaseException | None = None
        try:
            try:
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
            holds = self._more and (self._ends_late or self._brittle)
            held = self.call.response.held_end(apart=self._brittle) if holds else ()
            await self._flush()
            if held:
                end = held[-1]
                if self._brittle and "trailers" in end["type"]:
                    # The client has its answer, and the server does not forget the call as long as trailers may follow.
                    await self._send({**end, "more_trailers": True})
                    end["headers"] = []
                await self._drain(_DRAIN_SECONDS[self._brittle])
                for message in held:
                    await self._send(message)
        except BaseException:
            if self._watch is not None:
                self._watch.cancel()
            raise
        finally:
            self.call.close()
        await self._drain(_DRAIN_SECONDS[1])

    def handle(self, leading: Sequence[MetadataInterceptor[Any]], scope: Any) -> Coroutine[Any, Any, bytes | None]:
        """The work of a call that was opened: read its message, run its handler. Gives the reply, if it is one."""
        call = self.call
        if not call.opened:
            return _nothing()
        ctx = call.ctx = ServerContext(call.procedure.method, call.request, READER, scope, scope["headers"])
        work: Any = self._stream() if call.procedure.many_responses else self.unary()
        if leading:
            run = MetadataRun(leading, ctx)
            work = self.led(run, run.start(), work)
        return work  # type: ignore[no-any-return]

    async def led(
        self, run: MetadataRun, starting: Awaitable[None] | None, work: Coroutine[Any, Any, bytes | None]
    ) -> bytes | None:
        """The work, once the interceptors that run before it have started, if they still do; and their end."""
        call = self.call
        reply: bytes | None = None
        error: BaseException | None = None
        try:
            if starting is not None:
                await starting
            reply = await work
        except BaseException as raised:  # noqa: BLE001 - it is raised again
            error = raised
        work.close()
        error = await run.end(call.decided(error))
        if error is not None:
            raise error
        return reply

    async def unary(self) -> bytes | None:
        """The work of a call with one reply. None where the call is done before its message has come."""
        call, procedure = self.call, self.call.procedure
        request = self._requests() if procedure.many_requests else await self._message()
        if request is None:
            return None
        return procedure.encoded(call.request.codec, await awaitable(procedure.function(request, call.ctx)))

    async def encoded(self, work: Awaitable[Any]) -> bytes:
        """The work of a call with one reply whose handler is at work."""
        return self.call.procedure.encoded(self.call.request.codec, await work)

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
