"""A method together with the function that serves it; generated code makes these.

Plain classes with slots: a service is imported in every process that serves it, and ten dataclasses would cost more than all of
its methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from .._typing import REQ, RES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from ..method import MethodInfo
    from ..request import RequestContext

__all__ = [
    "Endpoint",
    "EndpointBidiStream",
    "EndpointBidiStreamSync",
    "EndpointClientStream",
    "EndpointClientStreamSync",
    "EndpointServerStream",
    "EndpointServerStreamSync",
    "EndpointSync",
    "EndpointUnary",
    "EndpointUnarySync",
]


class _EndpointBase(Generic[REQ, RES]):
    __slots__ = ("function", "method")

    def __init__(self, *, method: MethodInfo[REQ, RES], function: Callable[..., Any]) -> None:
        self.method = method
        self.function = function

    def __repr__(self) -> str:
        return f"{type(self).__name__}(method={self.method!r}, function={self.function!r})"


class Endpoint(_EndpointBase[REQ, RES]):
    """An asynchronous method and its function. Made by `unary`, `client_stream`, `server_stream` or `bidi_stream`."""

    __slots__ = ()

    @staticmethod
    def unary(
        method: MethodInfo[REQ, RES], function: Callable[[REQ, RequestContext[REQ, RES]], Awaitable[RES]]
    ) -> EndpointUnary[REQ, RES]:
        """One request, one response."""
        return EndpointUnary(method=method, function=function)

    @staticmethod
    def client_stream(
        method: MethodInfo[REQ, RES],
        function: Callable[[AsyncIterator[REQ], RequestContext[REQ, RES]], Awaitable[RES]],
    ) -> EndpointClientStream[REQ, RES]:
        """Many requests, one response."""
        return EndpointClientStream(method=method, function=function)

    @staticmethod
    def server_stream(
        method: MethodInfo[REQ, RES], function: Callable[[REQ, RequestContext[REQ, RES]], AsyncIterator[RES]]
    ) -> EndpointServerStream[REQ, RES]:
        """One request, many responses."""
        return EndpointServerStream(method=method, function=function)

    @staticmethod
    def bidi_stream(
        method: MethodInfo[REQ, RES],
        function: Callable[[AsyncIterator[REQ], RequestContext[REQ, RES]], AsyncIterator[RES]],
    ) -> EndpointBidiStream[REQ, RES]:
        """Many requests, many responses."""
        return EndpointBidiStream(method=method, function=function)


class EndpointUnary(Endpoint[REQ, RES]):
    """An endpoint with one request and one response."""

    __slots__ = ()


class EndpointClientStream(Endpoint[REQ, RES]):
    """An endpoint with many requests and one response."""

    __slots__ = ()


class EndpointServerStream(Endpoint[REQ, RES]):
    """An endpoint with one request and many responses."""

    __slots__ = ()


class EndpointBidiStream(Endpoint[REQ, RES]):
    """An endpoint with many requests and many responses."""

    __slots__ = ()


class EndpointSync(_EndpointBase[REQ, RES]):
    """A synchronous method and its function. Made by `unary`, `client_stream`, `server_stream` or `bidi_stream`."""

    __slots__ = ()

    @staticmethod
    def unary(
        method: MethodInfo[REQ, RES], function: Callable[[REQ, RequestContext[REQ, RES]], RES]
    ) -> EndpointUnarySync[REQ, RES]:
        """One request, one response."""
        return EndpointUnarySync(method=method, function=function)

    @staticmethod
    def client_stream(
        method: MethodInfo[REQ, RES], function: Callable[[Iterator[REQ], RequestContext[REQ, RES]], RES]
    ) -> EndpointClientStreamSync[REQ, RES]:
        """Many requests, one response."""
        return EndpointClientStreamSync(method=method, function=function)

    @staticmethod
    def server_stream(
        method: MethodInfo[REQ, RES], function: Callable[[REQ, RequestContext[REQ, RES]], Iterator[RES]]
    ) -> EndpointServerStreamSync[REQ, RES]:
        """One request, many responses."""
        return EndpointServerStreamSync(method=method, function=function)

    @staticmethod
    def bidi_stream(
        method: MethodInfo[REQ, RES],
        function: Callable[[Iterator[REQ], RequestContext[REQ, RES]], Iterator[RES]],
    ) -> EndpointBidiStreamSync[REQ, RES]:
        """Many requests, many responses."""
        return EndpointBidiStreamSync(method=method, function=function)


class EndpointUnarySync(EndpointSync[REQ, RES]):
    """A synchronous endpoint with one request and one response."""

    __slots__ = ()


class EndpointClientStreamSync(EndpointSync[REQ, RES]):
    """A synchronous endpoint with many requests and one response."""

    __slots__ = ()


class EndpointServerStreamSync(EndpointSync[REQ, RES]):
    """A synchronous endpoint with one request and many responses."""

    __slots__ = ()


class EndpointBidiStreamSync(EndpointSync[REQ, RES]):
    """A synchronous endpoint with many requests and many responses."""

    __slots__ = ()
