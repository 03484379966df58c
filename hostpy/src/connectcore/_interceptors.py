"""Putting interceptors around functions, once per endpoint or client.

`check` refuses what is no interceptor, `split_leading` takes off those that a server runs before it reads the message (then
`MetadataRun` runs them), `wrap` nests the rest around a function. Each has a synchronous twin.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .errors import canceled
from .method import StreamType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

    from .interceptor import Interceptor, InterceptorSync, MetadataInterceptor, MetadataInterceptorSync
    from .request import RequestContext

    Context = RequestContext[Any, Any]

__all__ = ["MetadataRun", "MetadataRunSync", "check", "check_sync", "split_leading", "split_leading_sync", "wrap", "wrap_sync"]

_METHODS = {
    StreamType.UNARY: "intercept_unary",
    StreamType.CLIENT_STREAM: "intercept_client_stream",
    StreamType.SERVER_STREAM: "intercept_server_stream",
    StreamType.BIDI_STREAM: "intercept_bidi_stream",
}
_ONE_RESPONSE = (StreamType.UNARY, StreamType.CLIENT_STREAM)
_SYNC = "_sync"


def check(interceptors: Iterable[Interceptor]) -> list[Interceptor]:
    """The interceptors as a list.

    Raises:
        TypeError: one has no method of an async interceptor, or both kinds of method, so that part of it would never run.

    """
    checked = _listed(interceptors)
    for interceptor in checked:
        _check(interceptor, "", "asynchronous", _SYNC, "a synchronous")
    return checked


def check_sync(interceptors: Iterable[InterceptorSync]) -> list[InterceptorSync]:
    """The interceptors as a list.

    Raises:
        TypeError: one has no method of a sync interceptor, or both kinds of method, so that part of it would never run.

    """
    checked = _listed(interceptors)
    for interceptor in checked:
        _check(interceptor, _SYNC, "synchronous", "", "an asynchronous")
    return checked


def _listed(interceptors: Iterable[Any]) -> list[Any]:
    try:
        return list(interceptors)
    except TypeError:
        name = type(interceptors).__qualname__
        raise TypeError(f"interceptors must be a list of them, if only of one, not {name}") from None


def _check(interceptor: object, suffix: str, kind: str, other: str, other_kind: str) -> None:
    name = type(interceptor).__qualname__
    if isinstance(interceptor, type):
        raise TypeError(f"{interceptor.__qualname__} is a class: pass an instance of it as the interceptor")
    messages = [m + suffix for m in _METHODS.values() if hasattr(interceptor, m + suffix)]
    metadata = hasattr(interceptor, "on_start" + suffix)
    if not messages and not metadata:
        others = (*_METHODS.values(), "on_start")
        hint = f"; it has methods of {other_kind} one" if any(hasattr(interceptor, m + other) for m in others) else ""
        wanted = ", ".join(m + suffix for m in others)
        raise TypeError(f"{name} is no {kind} interceptor: it has none of {wanted}{hint}")
    if messages and metadata:
        raise TypeError(
            f"{name} has both {messages[0]} and on_start{suffix}: make it two interceptors, so that their order is clear"
        )


def split_leading(
    interceptors: Sequence[Interceptor],
) -> tuple[Sequence[MetadataInterceptor[Any]], Sequence[Interceptor]]:
    """The metadata interceptors at the front, and the rest in order."""
    return _split_leading(interceptors, "on_start")


def split_leading_sync(
    interceptors: Sequence[InterceptorSync],
) -> tuple[Sequence[MetadataInterceptorSync[Any]], Sequence[InterceptorSync]]:
    """The metadata interceptors at the front, and the rest in order."""
    return _split_leading(interceptors, "on_start_sync")


def _split_leading(interceptors: Sequence[Any], method: str) -> tuple[Sequence[Any], Sequence[Any]]:
    count = 0
    while count < len(interceptors) and hasattr(interceptors[count], method):
        count += 1
    return interceptors[:count], interceptors[count:]


def wrap(stream_type: StreamType, function: Callable[..., Any], interceptors: Sequence[Interceptor]) -> Callable[..., Any]:
    """The function `(request, ctx)` with the interceptors for its stream type around it, the first outermost.

    Without any it is the function itself.
    """
    method = _METHODS[stream_type]
    metadata = _around_response if stream_type in _ONE_RESPONSE else _around_responses
    interceptor: Any
    for interceptor in reversed(interceptors):
        if hasattr(interceptor, "on_start"):
            function = partial(metadata, interceptor, function)
        elif hasattr(interceptor, method):
            function = partial(getattr(interceptor, method), function)
    return function


def wrap_sync(
    stream_type: StreamType, function: Callable[..., Any], interceptors: Sequence[InterceptorSync]
) -> Callable[..., Any]:
    """The function `(request, ctx)` with the interceptors for its stream type around it, the first outermost.

    Without any it is the function itself.
    """
    method = _METHODS[stream_type] + _SYNC
    metadata = _around_response_sync if stream_type in _ONE_RESPONSE else _around_responses_sync
    interceptor: Any
    for interceptor in reversed(interceptors):
        if hasattr(interceptor, "on_start_sync"):
            function = partial(metadata, interceptor, function)
        elif hasattr(interceptor, method):
            function = partial(getattr(interceptor, method), function)
    return function


def _seen(error: BaseException) -> Exception:
    # What is no Exception is a cancellation (asyncio's, trio's) or a stream that its reader closed.
    return error if isinstance(error, Exception) else canceled()


async def _end(interceptor: Any, token: Any, ctx: Context, error: Exception | None) -> None:
    on_end = getattr(interceptor, "on_end", None)
    if on_end is not None:
        await on_end(token, ctx, error)


def _end_sync(interceptor: Any, token: Any, ctx: Context, error: Exception | None) -> None:
    on_end = getattr(interceptor, "on_end_sync", None)
    if on_end is not None:
        on_end(token, ctx, error)


async def _around_response(
    interceptor: MetadataInterceptor[Any], call_next: Callable[[Any, Context], Awaitable[Any]], request: Any, ctx: Context
) -> Any:
    token = await interceptor.on_start(ctx)
    error: Exception | None = None
    try:
        return await call_next(request, ctx)
    except BaseException as e:
        error = _seen(e)
        raise
    finally:
        await _end(interceptor, token, ctx, error)


async def _around_responses(
    interceptor: MetadataInterceptor[Any],
    call_next: Callable[[Any, Context], AsyncIterator[Any]],
    request: Any,
    ctx: Context,
) -> AsyncIterator[Any]:
    token = await interceptor.on_start(ctx)
    error: Exception | None = None
    try:
        responses = call_next(request, ctx)
        try:
            async for response in responses:
                yield response
        finally:
            # A generator that is closed does not close the one that it reads from.
            close = getattr(responses, "aclose", None)
            if close is not None:
                await close()
    except BaseException as e:
        error = _seen(e)
        raise
    finally:
        await _end(interceptor, token, ctx, error)


def _around_response_sync(
    interceptor: MetadataInterceptorSync[Any], call_next: Callable[[Any, Context], Any], request: Any, ctx: Context
) -> Any:
    token = interceptor.on_start_sync(ctx)
    error: Exception | None = None
    try:
        return call_next(request, ctx)
    except BaseException as e:
        error = _seen(e)
        raise
    finally:
        _end_sync(interceptor, token, ctx, error)


def _around_responses_sync(
    interceptor: MetadataInterceptorSync[Any],
    call_next: Callable[[Any, Context], Iterator[Any]],
    request: Any,
    ctx: Context,
) -> Iterator[Any]:
    token = interceptor.on_start_sync(ctx)
    error: Exception | None = None
    try:
        yield from call_next(request, ctx)
    except BaseException as e:
        error = _seen(e)
        raise
    finally:
        _end_sync(interceptor, token, ctx, error)


class MetadataRun:
    """One call's pass through metadata interceptors that run before its message is read."""

    __slots__ = ("_ctx", "_interceptors", "_started")

    def __init__(self, interceptors: Sequence[MetadataInterceptor[Any]], ctx: Context) -> None:
        self._interceptors = interceptors
        self._ctx = ctx
        self._started: list[tuple[MetadataInterceptor[Any], Any]] = []

    async def start(self) -> None:
        """Start all, in order. If one raises, those before it still want `end`."""
        for interceptor in self._interceptors:
            self._started.append((interceptor, await interceptor.on_start(self._ctx)))

    async def end(self, error: BaseException | None) -> BaseException | None:
        """End those that started, in reverse order, once; a second call does nothing.

        Gives the error to answer with: one that an `on_end` raises takes the place of the one before it. All are ended even if
        the task is canceled in between; then the cancellation is what comes back, for the caller to raise.
        """
        while self._started:
            interceptor, token = self._started.pop()
            try:
                await _end(interceptor, token, self._ctx, None if error is None else _seen(error))
            except BaseException as e:  # noqa: BLE001 - a cancellation must not leave the others without their end
                error = e
        return error


class MetadataRunSync:
    """One call's pass through metadata interceptors that run before its message is read."""

    __slots__ = ("_ctx", "_interceptors", "_started")

    def __init__(self, interceptors: Sequence[MetadataInterceptorSync[Any]], ctx: Context) -> None:
        self._interceptors = interceptors
        self._ctx = ctx
        self._started: list[tuple[MetadataInterceptorSync[Any], Any]] = []

    def start(self) -> None:
        """Start all, in order. If one raises, those before it still want `end`."""
        for interceptor in self._interceptors:
            self._started.append((interceptor, interceptor.on_start_sync(self._ctx)))

    def end(self, error: BaseException | None) -> BaseException | None:
        """End those that started, in reverse order, once; a second call does nothing.

        Gives the error to answer with: one that an `on_end_sync` raises takes the place of the one before it.
        """
        while self._started:
            interceptor, token = self._started.pop()
            try:
                _end_sync(interceptor, token, self._ctx, None if error is None else _seen(error))
            except BaseException as e:  # noqa: BLE001 - one that fails must not leave the others without their end
                error = e
        return error
