"""What a client's method gives whose responses are a stream.

A `for` loop over an async iterator does not close it when the loop is left, and a generator that nobody closes is closed late.
So a stream is an object of its own: its `async with` block, `aclose`, or its end frees the connection, and if there is neither,
then the last reference to it does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Generic, Self

from .._typing import RES
from .exchange import complete
from .stream import END, NOT_YET, StreamCall

if TYPE_CHECKING:
    from types import TracebackType

    from .._headers import Headers

__all__ = ["ResponseStream", "ResponseStreamSync"]


class _Responses:
    """What both forms share. Where interceptors make the stream, there is no call of its own."""

    __slots__ = ("__weakref__", "_ctx", "_stream")

    _stream: StreamCall | None

    def __init__(self, stream: StreamCall | None, ctx: Any) -> None:
        self._stream = stream
        self._ctx = ctx

    @property
    def trailers(self) -> Headers:
        """The trailing metadata; empty before the stream has ended."""
        return self._ctx.response_trailers  # type: ignore[no-any-return]

    def __del__(self) -> None:
        stream = getattr(self, "_stream", None)
        if stream is not None:
            stream.leave()


class ResponseStream(_Responses, AsyncIterator[RES], Generic[RES]):
    """The responses of a call, to be read by one task.

        async with client.greet_many(request) as responses:
            print(await responses.headers())
            async for response in responses:
                ...
        print(responses.trailers)

    The call starts, and fails, when the stream is first read or asked for its headers. Leaving the block closes it. Without
    the block it is closed at its end, by `aclose`, or when nobody holds it any more.
    """

    __slots__ = ()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RES:
        stream = self._stream
        assert stream is not None
        message = stream.quick()
        if message is NOT_YET:
            message = await stream.next()
            if message is END:
                raise StopAsyncIteration
        return message  # type: ignore[no-any-return]

    async def headers(self) -> Headers:
        """The leading metadata, as soon as it is there.

        Raises:
            ConnectError: the call failed before any response came.

        """
        assert self._stream is not None
        await self._stream.head()
        return self._ctx.response_headers  # type: ignore[no-any-return]

    async def aclose(self) -> None:
        """Read no more: the call is aborted, if it has not ended, and its connection is free. May be called again."""
        assert self._stream is not None
        await self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class ResponseStreamSync(_Responses, Iterator[RES], Generic[RES]):
    """The responses of a call, to be read by one thread.

        with client.greet_many(request) as responses:
            print(responses.headers())
            for response in responses:
                ...
        print(responses.trailers)

    The call starts, and fails, when the stream is first read or asked for its headers. Leaving the block closes it. Without
    the block it is closed at its end, by `close`, or when nobody holds it any more.
    """

    __slots__ = ()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RES:
        stream = self._stream
        assert stream is not None
        message = stream.quick()
        if message is NOT_YET:
            message = complete(stream.next())
            if message is END:
                raise StopIteration
        return message  # type: ignore[no-any-return]

    def headers(self) -> Headers:
        """The leading metadata, as soon as it is there.

        Raises:
            ConnectError: the call failed before any response came.

        """
        assert self._stream is not None
        complete(self._stream.head())
        return self._ctx.response_headers  # type: ignore[no-any-return]

    def close(self) -> None:
        """Read no more: the call is aborted, if it has not ended, and its connection is free. May be called again."""
        assert self._stream is not None
        complete(self._stream.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()
