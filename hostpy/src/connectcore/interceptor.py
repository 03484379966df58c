"""Interceptors: code around every call, on a server or a client.

An interceptor is any object with the methods of one of these protocols, or of several for the several stream types. One with
`intercept_unary`, `intercept_client_stream`, `intercept_server_stream` or `intercept_bidi_stream` sees the messages of that
kind of call; one with `on_start` and `on_end` sees the metadata of all. The first in the list is the outermost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from ._typing import T

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from .request import RequestContext

__all__ = [
    "BidiStreamInterceptor",
    "BidiStreamInterceptorSync",
    "ClientStreamInterceptor",
    "ClientStreamInterceptorSync",
    "Interceptor",
    "InterceptorSync",
    "MetadataInterceptor",
    "MetadataInterceptorSync",
    "ServerStreamInterceptor",
    "ServerStreamInterceptorSync",
    "UnaryInterceptor",
    "UnaryInterceptorSync",
]

REQ = TypeVar("REQ")
RES = TypeVar("RES")


@runtime_checkable
class UnaryInterceptor(Protocol):
    """Around asynchronous unary calls."""

    async def intercept_unary(
        self,
        call_next: Callable[[REQ, RequestContext[Any, Any]], Awaitable[RES]],
        request: REQ,
        ctx: RequestContext[Any, Any],
        /,
    ) -> RES:
        """Give the response: `await call_next(request, ctx)`, or without calling it one of its own."""
        ...


@runtime_checkable
class ClientStreamInterceptor(Protocol):
    """Around asynchronous client streams."""

    async def intercept_client_stream(
        self,
        call_next: Callable[[AsyncIterator[REQ], RequestContext[Any, Any]], Awaitable[RES]],
        request: AsyncIterator[REQ],
        ctx: RequestContext[Any, Any],
        /,
    ) -> RES:
        """Give the response: `await call_next(request, ctx)`, or without calling it one of its own."""
        ...


@runtime_checkable
class ServerStreamInterceptor(Protocol):
    """Around asynchronous server streams."""

    def intercept_server_stream(
        self,
        call_next: Callable[[REQ, RequestContext[Any, Any]], AsyncIterator[RES]],
        request: REQ,
        ctx: RequestContext[Any, Any],
        /,
    ) -> AsyncIterator[RES]:
        """Give the responses: those of `call_next(request, ctx)`, or others. Usually an async generator."""
        ...


@runtime_checkable
class BidiStreamInterceptor(Protocol):
    """Around asynchronous bidirectional streams."""

    def intercept_bidi_stream(
        self,
        call_next: Callable[[AsyncIterator[REQ], RequestContext[Any, Any]], AsyncIterator[RES]],
        request: AsyncIterator[REQ],
        ctx: RequestContext[Any, Any],
        /,
    ) -> AsyncIterator[RES]:
        """Give the responses: those of `call_next(request, ctx)`, or others. Usually an async generator."""
        ...


@runtime_checkable
class MetadataInterceptor(Protocol[T]):
    """Around all asynchronous calls, without sight of their messages.

    Those at the front of a server's list start before the request message is read, so that a call can be refused cheaply.
    """

    async def on_start(self, ctx: RequestContext[Any, Any]) -> T:
        """The call starts. What this gives is handed to `on_end`; raising refuses the call."""
        ...

    async def on_end(self, token: T, ctx: RequestContext[Any, Any], error: Exception | None, /) -> None:  # noqa: ARG002
        """The call has ended, with this error or none. Called once for each `on_start` that returned."""
        return


Interceptor = (
    UnaryInterceptor | ClientStreamInterceptor | ServerStreamInterceptor | BidiStreamInterceptor | MetadataInterceptor[Any]
)
"""What an async server or client takes as an interceptor."""


@runtime_checkable
class UnaryInterceptorSync(Protocol):
    """Around synchronous unary calls."""

    def intercept_unary_sync(
        self,
        call_next: Callable[[REQ, RequestContext[Any, Any]], RES],
        request: REQ,
        ctx: RequestContext[Any, Any],
        /,
    ) -> RES:
        """Give the response: `call_next(request, ctx)`, or without calling it one of its own."""
        ...


@runtime_checkable
class ClientStreamInterceptorSync(Protocol):
    """Around synchronous client streams."""

    def intercept_client_stream_sync(
        self,
        call_next: Callable[[Iterator[REQ], RequestContext[Any, Any]], RES],
        request: Iterator[REQ],
        ctx: RequestContext[Any, Any],
        /,
    ) -> RES:
        """Give the response: `call_next(request, ctx)`, or without calling it one of its own."""
        ...


@runtime_checkable
class ServerStreamInterceptorSync(Protocol):
    """Around synchronous server streams."""

    def intercept_server_stream_sync(
        self,
        call_next: Callable[[REQ, RequestContext[Any, Any]], Iterator[RES]],
        request: REQ,
        ctx: RequestContext[Any, Any],
        /,
    ) -> Iterator[RES]:
        """Give the responses: those of `call_next(request, ctx)`, or others. Usually a generator."""
        ...


@runtime_checkable
class BidiStreamInterceptorSync(Protocol):
    """Around synchronous bidirectional streams."""

    def intercept_bidi_stream_sync(
        self,
        call_next: Callable[[Iterator[REQ], RequestContext[Any, Any]], Iterator[RES]],
        request: Iterator[REQ],
        ctx: RequestContext[Any, Any],
        /,
    ) -> Iterator[RES]:
        """Give the responses: those of `call_next(request, ctx)`, or others. Usually a generator."""
        ...


@runtime_checkable
class MetadataInterceptorSync(Protocol[T]):
    """Around all synchronous calls, without sight of their messages.

    Those at the front of a server's list start before the request message is read, so that a call can be refused cheaply.
    """

    def on_start_sync(self, ctx: RequestContext[Any, Any], /) -> T:
        """The call starts. What this gives is handed to `on_end_sync`; raising refuses the call."""
        ...

    def on_end_sync(self, token: T, ctx: RequestContext[Any, Any], error: Exception | None, /) -> None:  # noqa: ARG002
        """The call has ended, with this error or none. Called once for each `on_start_sync` that returned."""
        return


InterceptorSync = (
    UnaryInterceptorSync
    | ClientStreamInterceptorSync
    | ServerStreamInterceptorSync
    | BidiStreamInterceptorSync
    | MetadataInterceptorSync[Any]
)
"""What a synchronous server or client takes as an interceptor."""
