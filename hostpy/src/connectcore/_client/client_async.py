"""The async client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self

from .._interceptors import check, wrap
from ..method import StreamType
from .base import GET, POST, Calls, ClientBase, reply_of
from .context import Told
from .exchange import AsyncIO
from .intercepted_stream import stream_of
from .response_stream import ResponseStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import timedelta
    from types import TracebackType

    from .._headers import Headers
    from .._transport.choose import AnyClient
    from .._typing import REQ, RES
    from ..interceptor import Interceptor
    from ..method import MethodInfo
    from ..request import RequestContext
    from .response_metadata import ResponseMetadata

    _Base = ClientBase[Interceptor, AnyClient]
else:
    _Base = ClientBase

__all__ = ["ConnectClient"]


class _AsyncCalls(Calls):
    io_of = AsyncIO
    check = staticmethod(check)
    wrap = staticmethod(wrap)

    async def respond(self, request: Any, ctx: RequestContext[Any, Any]) -> Any:
        return await self.one_in(request, ctx)

    def respond_many(self, request: Any, ctx: RequestContext[Any, Any], /) -> ResponseStream[Any]:
        return ResponseStream(self.stream_in(request, ctx), ctx)


class ConnectClient(_Base):
    """Calls procedures from asyncio. Generated clients derive from it; any number of tasks may use a client at once."""

    _kind = _AsyncCalls

    async def close(self) -> None:
        """Refuse further calls. Those under way go on; the HTTP client stays open, for whoever made it."""
        self._closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self.close()

    if not TYPE_CHECKING:  # a checker says it before

        def __enter__(self) -> NoReturn:
            name = type(self).__name__
            raise TypeError(f"{name} is asynchronous: use 'async with', or the client {name}Sync")

        def __exit__(self, *_: object) -> None:
            pass

    async def execute_unary(
        self,
        *,
        request: REQ,
        method: MethodInfo[REQ, RES],
        headers: Headers | Mapping[str, str] | None = None,
        timeout_ms: float | None = None,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109 - a deadline that the server is told, too
        use_get: bool = False,
        response_metadata: ResponseMetadata | None = None,
    ) -> RES:
        """Call a unary procedure.

        Args:
            request: the request message.
            method: what to call.
            headers: metadata to send.
            timeout_ms: milliseconds that the call may take; None for the client's own timeout.
            timeout: the same in seconds, or as a `timedelta`.
            use_get: send an HTTP GET, which proxies and browsers may cache, if the request fits into its target.
            response_metadata: is filled with the response's metadata, of a failed call too.

        Raises:
            ConnectError: the call failed.
            TypeError: the request is no message of the method's class.
            ValueError: `use_get` for a method that may have side effects, or both timeouts; at the first call also a setting of
                the client's that makes no sense.
            RuntimeError: the client is closed.
            ModuleError: the protocol module cannot be loaded; the text says what to do.

        """
        limit = self._timeout_of(timeout, timeout_ms)
        if self._plain:
            told = Told(None, response_metadata)
            return await self._calls.one(request, method, headers, limit, use_get, told)  # type: ignore[no-any-return]
        http_method = GET if use_get else POST
        call, _ = self._start(StreamType.UNARY, request, method, headers, limit, response_metadata, http_method)
        return reply_of(await call, method)  # type: ignore[no-any-return]

    async def execute_client_stream(
        self,
        *,
        request: AsyncIterator[REQ],
        method: MethodInfo[REQ, RES],
        headers: Headers | Mapping[str, str] | None = None,
        timeout_ms: float | None = None,
        timeout: float | timedelta | None = None,  # noqa: ASYNC109
        response_metadata: ResponseMetadata | None = None,
    ) -> RES:
        """Call a procedure that takes a stream and gives one message. Arguments and errors are those of `execute_unary`."""
        limit = self._timeout_of(timeout, timeout_ms)
        call, _ = self._start(StreamType.CLIENT_STREAM, request, method, headers, limit, response_metadata)
        return reply_of(await call, method)  # type: ignore[no-any-return]

    def execute_server_stream(
        self,
        *,
        request: REQ,
        method: MethodInfo[REQ, RES],
        headers: Headers | Mapping[str, str] | None = None,
        timeout_ms: float | None = None,
        timeout: float | timedelta | None = None,
        response_metadata: ResponseMetadata | None = None,
    ) -> ResponseStream[RES]:
        """Call a procedure that takes one message and gives a stream. Arguments and errors are those of `execute_unary`; the
        call starts, and fails, when the stream is iterated."""
        limit = self._timeout_of(timeout, timeout_ms)
        responses, ctx = self._start(StreamType.SERVER_STREAM, request, method, headers, limit, response_metadata)
        return stream_of(responses, ctx)  # type: ignore[no-any-return]

    def execute_bidi_stream(
        self,
        *,
        request: AsyncIterator[REQ],
        method: MethodInfo[REQ, RES],
        headers: Headers | Mapping[str, str] | None = None,
        timeout_ms: float | None = None,
        timeout: float | timedelta | None = None,
        response_metadata: ResponseMetadata | None = None,
    ) -> ResponseStream[RES]:
        """Call a procedure that takes a stream and gives a stream. Arguments and errors are those of `execute_unary`; the call
        starts, and fails, when the stream is iterated."""
        limit = self._timeout_of(timeout, timeout_ms)
        responses, ctx = self._start(StreamType.BIDI_STREAM, request, method, headers, limit, response_metadata)
        return stream_of(responses, ctx)  # type: ignore[no-any-return]
