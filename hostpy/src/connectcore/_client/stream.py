"""A call that gives a stream, as it is read: one body, for async and sync clients.

    stream = StreamCall(...)     nothing is sent yet
    await stream.head()          sends the request and waits for the response's head
    await stream.next()          the next message, or END
    await stream.close()         the end of it: at its own end, or before

Messages that came are given before anything else is done. Only where none is left does it read on, so a slow reader holds what
one piece of content has, and the transport's flow control stops the peer.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn

from .._transport.transport import Gone, TransportError
from .call import ClientCall
from .context import ClientContext, cancellation_of, seconds_left, told_of
from .exchange import bring, broken
from .retries import Tries

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .._transport.transport import Request
    from ..request import RequestContext
    from .config import ClientConfig
    from .exchange import IO
    from .retries import RetryPolicy

__all__ = ["END", "NOT_YET", "StreamCall"]

END: Final = object()
"""There are no more messages, and the call ended well."""

NOT_YET: Final = object()
"""No message has come."""


class StreamCall:
    """One call that gives a stream. `busy` says that one of its methods is under way; the others must wait."""

    __slots__ = (
        "_bad",
        "_call",
        "_cancellation",
        "_config",
        "_content",
        "_ctx",
        "_deadline",
        "_given",
        "_home",
        "_io",
        "_left",
        "_message",
        "_request",
        "_requests",
        "_response",
        "_settled",
        "_shown",
        "_told",
        "_tries",
        "busy",
    )

    def __init__(
        self, config: ClientConfig, io: IO, message: Any, ctx: RequestContext[Any, Any], retries: RetryPolicy | None = None
    ) -> None:
        self._config = config
        self._io = io
        self._message = message
        self._request: Any = None
        self._ctx = ctx
        self._told = told_of(ctx)
        left = seconds_left(ctx)
        self._deadline = None if left is None else monotonic() + left
        self._cancellation = cancellation_of(ctx)
        self._tries: Tries | None = None
        if retries is not None:
            self._tries = Tries(retries, ctx.method.idempotency_level, self._deadline)
        self._given = False  # something of the response, to the application
        self._shown = False  # the head of the response, to whoever may wait for it
        self._bad: Exception | None = None  # what `next` is to raise
        self._call: ClientCall | None = None
        self._requests: Any = None  # the application's stream
        self._content: Any = None
        self._response: Any = None
        self._home: Any = None  # the event loop, where there is one
        self._left = False  # by the application, before its end
        self._settled = False
        self.busy = False

    async def head(self) -> None:
        """Send the request, and wait for the response's head. Raises what the call failed with, if no head came."""
        self._enter()
        try:
            call = self._call
            if call is None and not self._left:
                call = await self._begin()
            while call is not None and call.finished and not call.messages and await self._again(call):
                call = await self._begin()
            if call is not None and not call.answered:
                self._raise(call)
            await self._give()
        finally:
            self.busy = False

    async def next(self) -> Any:
        """The next message, or END. Raises ConnectError, also when it is called again after that."""
        self._enter()
        try:
            if self._left:
                return END
            if self._bad is not None:
                await self._break_off()
            call = self._call or await self._begin()
            if self._canceled() and not call.finished:
                call.messages.clear()
                call.gone(TransportError(Gone.CANCELED))
            while True:
                if call.messages:
                    if not self._given:
                        await self._give()
                        await self._show(call)
                    try:
                        return call.next_message()
                    except Exception as bad:  # noqa: BLE001 - it is raised there
                        self._bad = bad
                        await self._break_off()
                if call.finished:
                    if not await self._again(call):
                        break
                    call = await self._begin()
                    continue
                if not self._shown:
                    await self._show(call)
                if not call.resume():
                    await self._do(bring(call, self._request, self._response, self._io))
            await self._settle()
            await self._show(call)
            self._raise(call)
            return END
        finally:
            self.busy = False

    async def close(self) -> None:
        """Nobody reads on. What is under way is aborted."""
        self._enter()
        try:
            self._left = True
            await self._settle()
        finally:
            self.busy = False

    def quick(self) -> Any:
        """The next message, or NOT_YET where `next` has to be asked for it."""
        call = self._call
        if call is None or not (call.messages and self._given) or self.busy or self._left or self._canceled():
            return NOT_YET
        try:
            return call.next_message()
        except Exception as bad:  # noqa: BLE001 - `next` raises it, which can let go of the call first
            self._bad = bad
            return NOT_YET

    def leave(self) -> None:
        """Nobody holds the stream any more: have it closed. For a finalizer, which may run anywhere: it waits for nothing."""
        call = self._call
        if call is not None and not self._settled:
            try:
                self._io.later(self._home, self.close)
            except RuntimeError:  # the event loop is closed, or the interpreter goes down: there is nobody to do it
                call.abandon()

    # Inside

    def _enter(self) -> None:
        if self.busy:
            raise RuntimeError("this stream is being read already: only one task or thread may read it at a time")
        self.busy = True

    def _canceled(self) -> bool:
        """Whether another thread has canceled the call."""
        return self._cancellation is not None and self._cancellation.canceled

    async def _begin(self) -> ClientCall:
        """Open the call, and wait for the response's head."""
        config, io, ctx, message = self._config, self._io, self._ctx, self._message
        self._cancellation = cancellation_of(ctx)
        procedure = config.procedure(ctx.method)
        many = procedure.many_requests
        if many and self._requests is None:
            self._requests = io.requests(message, procedure.encode, keeps=self._tries is not None)
        call = ClientCall(config, procedure)
        limit = None if self._deadline is None else self._deadline - monotonic()
        tries = None if self._tries is None else self._tries.before
        try:
            if many:
                self._content = io.content(call, self._requests)
            request = call.begin(message, ctx.request_headers, limit, self._deadline, False, tries)
        except BaseException:
            call.close()
            raise
        self._call = call
        self._request = request
        if request is not None:
            if many:
                request.content = self._content
            request.cancellation = self._cancellation
            self._home = io.home()
            await self._do(self._answered(call, request))
        return call

    async def _again(self, call: ClientCall) -> bool:
        """Whether to make the call again, which is over. If so, waits until the time for that has come."""
        if self._tries is None or self._given or call.raised is not None:
            return False
        wait = self._tries.over(call, self._requests, self._content)
        if wait is None:
            self._tries = None  # what becomes of this call is counted once
            return False
        self._shown = False
        call.close()
        await self._io.pause(wait, self._cancellation)
        return True

    async def _show(self, call: ClientCall) -> None:
        """The response's head has come, which somebody may wait for behind interceptors."""
        ctx = self._ctx
        if call.answered and isinstance(ctx, ClientContext):
            self._shown = ctx.answered = True
            if ctx.on_head is not None:
                await self._give()
                ctx.on_head()

    async def _give(self) -> None:
        """Something of the response reaches the application: it is this try or none."""
        self._given = True
        if self._tries is not None:
            self._tries = None
            if self._requests is not None:
                self._requests.commit()
                if self._call is not None and self._call.finished:
                    await self._let_go()

    async def _answered(self, call: ClientCall, request: Request) -> None:
        response = self._response = await self._io.open(request)
        call.head(response.status, response.fields, response.length)
        self._told.tell(call, call.http_status)

    async def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Work of the transport's, within the call's time. The call is told what became of it."""
        call = self._call
        assert call is not None
        try:
            if self._deadline is None:
                await work
            else:
                limit = self._deadline - monotonic()
                if limit <= 0:
                    work.close()
                    raise TransportError(Gone.TIMEOUT)
                await self._io.within(limit, work)
        except Exception as error:  # noqa: BLE001 - whatever a transport raises, the call has failed
            broken(call, self._request, error)
        except GeneratorExit:
            raise  # nothing can be waited for any more; the owner's finalizer has the rest done
        except BaseException:  # the reader is canceled, or the process ends
            call.gone(TransportError(Gone.CANCELED))
            await self._settle()
            raise
        if call.finished:
            await self._let_go()

    async def _break_off(self) -> NoReturn:
        """A message is bad: nothing behind it is wanted. Raises what says so."""
        bad, self._bad = self._bad, None
        assert bad is not None
        await self._settle()
        raise bad

    async def _settle(self) -> None:
        """The call is over: let go of all that it has, and tell what came beside its messages."""
        self._tries = None
        await self._let_go()
        call = self._call
        if call is not None and not self._settled:
            self._settled = True
            call.close()
            self._told.tell(call, call.http_status)

    async def _let_go(self) -> None:
        """Let go of the exchange. Messages that came may be left."""
        response, self._response = self._response, None
        try:
            if response is not None:
                await self._io.close(response)
        finally:
            if self._requests is not None and self._tries is None:
                requests, self._requests = self._requests, None
                await self._io.done(requests)

    @staticmethod
    def _raise(call: ClientCall) -> None:
        if call.raised is not None:
            raise call.raised
        error = call.error()
        if error is not None:
            raise error
