"""Streams of responses that come through interceptors.

These are iterators, which know messages and no metadata. So where the leading metadata is asked for first, the first message is
asked for beside it (by a task, or a thread), and the call tells when its response's head has come.
"""

from __future__ import annotations

import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, cast

from .._lazy import asyncio
from .._transport.http.pump import in_thread
from .._typing import RES
from .cancellation import Cancellation
from .response_stream import ResponseStream, ResponseStreamSync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .._headers import Headers
    from .context import ClientContext

__all__ = ["stream_of", "stream_of_sync"]

_END: Final = object()


def stream_of(responses: Any, ctx: ClientContext) -> Any:
    """What the application gets of the responses that a call gives, through interceptors perhaps."""
    plain = isinstance(responses, ResponseStream)
    return cast("Any", responses) if plain else _InterceptedStream(responses, ctx)


def stream_of_sync(responses: Any, ctx: ClientContext) -> Any:
    """What the application gets of the responses that a call gives, through interceptors perhaps."""
    plain = isinstance(responses, ResponseStreamSync)
    return cast("Any", responses) if plain else _InterceptedStreamSync(responses, ctx)


class _InterceptedStream(ResponseStream[RES]):
    """The async form."""

    __slots__ = ("_first", "_source")

    def __init__(self, source: AsyncIterator[RES], ctx: ClientContext) -> None:
        super().__init__(None, ctx)
        self._source = source
        self._first: asyncio.Task[Any] | None = None  # brings the first message

    async def __anext__(self) -> RES:
        first, self._first = self._first, None
        if first is None:
            return await anext(self._source)
        message = await first  # which a cancellation reaches
        if message is _END:
            raise StopAsyncIteration
        return message  # type: ignore[no-any-return]

    async def headers(self) -> Headers:
        """The leading metadata, as soon as it is there. Interceptors run in a task of their own up to the first message."""
        ctx = self._ctx
        if not ctx.answered and self._first is None:
            loop = asyncio.get_running_loop()
            answered: asyncio.Future[None] = loop.create_future()

            def tell() -> None:
                if not answered.done():
                    answered.set_result(None)

            ctx.on_head = tell
            self._first = first = loop.create_task(_pull(self._source))
            first.add_done_callback(_seen)
            try:
                await asyncio.wait((first, answered), return_when=asyncio.FIRST_COMPLETED)
            except BaseException:
                await self._drop()
                raise
            finally:
                ctx.on_head = None
            if not ctx.answered and first.done() and (first.cancelled() or first.exception() is not None):
                self._first = None
                await first  # raises that
        return ctx.response_headers  # type: ignore[no-any-return]

    async def aclose(self) -> None:
        await self._drop()
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    async def _drop(self) -> None:
        first, self._first = self._first, None
        if first is not None and not first.done():
            first.cancel()
            await asyncio.wait((first,))

    def __del__(self) -> None:
        first = getattr(self, "_first", None)
        if first is not None and not first.done():
            try:
                first.get_loop().call_soon_threadsafe(first.cancel)
            except RuntimeError:  # the event loop is closed
                pass


async def _pull(source: AsyncIterator[Any]) -> Any:
    async for message in source:
        return message
    return _END


def _seen(first: asyncio.Task[Any]) -> None:
    """If nobody reads on, nobody wants to know what went wrong."""
    if not first.cancelled():
        first.exception()


class _InterceptedStreamSync(ResponseStreamSync[RES]):
    """The sync form."""

    __slots__ = ("_first", "_source")

    def __init__(self, source: Iterator[RES], ctx: ClientContext) -> None:
        super().__init__(None, ctx)
        self._source = source
        self._first: _Pull | None = None

    def __next__(self) -> RES:
        first, self._first = self._first, None
        if first is None:
            return next(self._source)
        message = first.result()
        if message is _END:
            raise StopIteration
        return message  # type: ignore[no-any-return]

    def headers(self) -> Headers:
        """The leading metadata, as soon as it is there. Interceptors run in a thread of their own up to the first message."""
        ctx = self._ctx
        if not ctx.answered and self._first is None:
            self._first = first = _Pull(self._source, ctx)
            try:
                first.woken.wait()
            except BaseException:  # Ctrl-C
                self._first = None
                first.drop()
                raise
            finally:
                ctx.on_head = None
            if not ctx.answered and first.failure is not None:
                self._first = None
                raise first.failure
        return ctx.response_headers  # type: ignore[no-any-return]

    def close(self) -> None:
        first, self._first = self._first, None
        if first is not None:
            first.drop()
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def __del__(self) -> None:
        first = getattr(self, "_first", None)
        if first is not None:
            first.cancellation.cancel()


class _Pull:
    """Brings the first message of a stream, in a thread of its own, which can be canceled.

    Attributes:
        cancellation: ends the call.
        woken: set when the response's head has come, or the first message.
        failure: what was raised in place of a message.

    """

    __slots__ = ("_done", "_message", "_outer", "cancellation", "failure", "woken")

    def __init__(self, source: Iterator[Any], ctx: ClientContext) -> None:
        self.woken = threading.Event()
        self.failure: BaseException | None = None
        self._message: Any = _END
        self._done = threading.Event()
        self.cancellation = Cancellation()
        self._outer = ctx.cancellation
        if self._outer is not None:
            self._outer.watch(self.cancellation.cancel)
        ctx.cancellation = self.cancellation
        ctx.on_head = self.woken.set
        context = copy_context()
        in_thread(lambda: context.run(self._run, source))

    def _run(self, source: Iterator[Any]) -> None:
        try:
            self._message = next(source, _END)
        except BaseException as error:  # noqa: BLE001 - it belongs to who reads
            self.failure = error
        self._done.set()
        self.woken.set()

    def result(self) -> Any:
        """Wait for the message, or `_END`. Raises what reading it did."""
        try:
            self._done.wait()
        except BaseException:  # Ctrl-C
            self.drop()
            raise
        if self.failure is not None:
            raise self.failure
        return self._message

    def drop(self) -> None:
        """Nobody wants it."""
        self.cancellation.cancel()
        self._done.wait()
        if self._outer is not None:
            self._outer.unwatch(self.cancellation.cancel)
