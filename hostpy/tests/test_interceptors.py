"""Interceptors around functions: their order, what they see, and that each start has its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from connectcore._interceptors import (
    MetadataRun,
    MetadataRunSync,
    check,
    check_sync,
    split_leading,
    split_leading_sync,
    wrap,
    wrap_sync,
)
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.interceptor import (
    BidiStreamInterceptor,
    ClientStreamInterceptorSync,
    MetadataInterceptor,
    MetadataInterceptorSync,
    ServerStreamInterceptor,
    UnaryInterceptor,
    UnaryInterceptorSync,
)
from connectcore.method import IdempotencyLevel, MethodInfo, StreamType
from connectcore.request import Headers, RequestContext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CTX: RequestContext[str, str] = RequestContext(
    method=MethodInfo(
        name="M",
        service_name="s.S",
        input=str,
        output=str,
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=StreamType.UNARY,
    ),
    http_method="POST",
    request_headers=Headers(),
)


class Tag:
    """Writes its name around messages, in every kind of call."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def intercept_unary(self, call_next: Any, request: Any, ctx: Any) -> Any:
        return f"{self.name}({await call_next(request + self.name, ctx)})"

    async def intercept_client_stream(self, call_next: Any, request: Any, ctx: Any) -> Any:
        return f"{self.name}({await call_next((each + self.name async for each in request), ctx)})"

    async def intercept_server_stream(self, call_next: Any, request: Any, ctx: Any) -> AsyncIterator[Any]:
        async for each in call_next(request + self.name, ctx):
            yield f"{self.name}({each})"

    async def intercept_bidi_stream(self, call_next: Any, request: Any, ctx: Any) -> AsyncIterator[Any]:
        async for each in call_next((each + self.name async for each in request), ctx):
            yield f"{self.name}({each})"


class TagSync:
    """The same for synchronous calls."""

    def __init__(self, name: str) -> None:
        self.name = name

    def intercept_unary_sync(self, call_next: Any, request: Any, ctx: Any) -> Any:
        return f"{self.name}({call_next(request + self.name, ctx)})"

    def intercept_client_stream_sync(self, call_next: Any, request: Any, ctx: Any) -> Any:
        return f"{self.name}({call_next((each + self.name for each in request), ctx)})"

    def intercept_server_stream_sync(self, call_next: Any, request: Any, ctx: Any) -> Iterator[Any]:
        for each in call_next(request + self.name, ctx):
            yield f"{self.name}({each})"

    def intercept_bidi_stream_sync(self, call_next: Any, request: Any, ctx: Any) -> Iterator[Any]:
        for each in call_next((each + self.name for each in request), ctx):
            yield f"{self.name}({each})"


class Log:
    """A metadata interceptor that writes down what it sees."""

    def __init__(self, name: str, log: list[Any], *, fail_start: bool = False, fail_end: BaseException | None = None) -> None:
        self.name, self.log, self.fail_start, self.fail_end = name, log, fail_start, fail_end

    async def on_start(self, ctx: Any) -> str:
        return self.on_start_sync(ctx)

    async def on_end(self, token: str, ctx: Any, error: Exception | None) -> None:
        self.on_end_sync(token, ctx, error)

    def on_start_sync(self, ctx: Any) -> str:
        assert ctx is CTX
        self.log.append(f"{self.name} starts")
        if self.fail_start:
            raise ConnectError(Code.UNAUTHENTICATED, self.name)
        return f"token {self.name}"

    def on_end_sync(self, token: str, ctx: Any, error: Exception | None) -> None:
        assert (token, ctx) == (f"token {self.name}", CTX)
        self.log.append((f"{self.name} ends", error))
        if self.fail_end is not None:
            raise self.fail_end


async def stream(*items: str) -> AsyncIterator[str]:
    for item in items:
        yield item


async def unary(request: str, ctx: Any) -> str:
    assert ctx is CTX
    return request + "!"


async def client_stream(request: AsyncIterator[str], ctx: Any) -> str:
    return "".join([each async for each in request]) + "!"


async def server_stream(request: str, ctx: Any) -> AsyncIterator[str]:
    yield request + "1"
    yield request + "2"


async def bidi_stream(request: AsyncIterator[str], ctx: Any) -> AsyncIterator[str]:
    async for each in request:
        yield each + "!"


async def test_messages_pass_the_first_interceptor_first() -> None:
    tags = check([Tag("A"), Tag("B")])
    assert await wrap(StreamType.UNARY, unary, tags)("r", CTX) == "A(B(rAB!))"
    assert await wrap(StreamType.CLIENT_STREAM, client_stream, tags)(stream("r", "s"), CTX) == "A(B(rABsAB!))"
    assert [e async for e in wrap(StreamType.SERVER_STREAM, server_stream, tags)("r", CTX)] == ["A(B(rAB1))", "A(B(rAB2))"]
    assert [e async for e in wrap(StreamType.BIDI_STREAM, bidi_stream, tags)(stream("r", "s"), CTX)] == [
        "A(B(rAB!))",
        "A(B(sAB!))",
    ]


def test_messages_pass_the_first_interceptor_first_sync() -> None:
    tags = check_sync([TagSync("A"), TagSync("B")])
    assert wrap_sync(StreamType.UNARY, lambda r, c: r + "!", tags)("r", CTX) == "A(B(rAB!))"
    assert wrap_sync(StreamType.CLIENT_STREAM, lambda r, c: "".join(r) + "!", tags)(iter(["r", "s"]), CTX) == "A(B(rABsAB!))"
    assert list(wrap_sync(StreamType.SERVER_STREAM, lambda r, c: iter([r + "1"]), tags)("r", CTX)) == ["A(B(rAB1))"]
    assert list(wrap_sync(StreamType.BIDI_STREAM, lambda r, c: (e + "!" for e in r), tags)(iter("rs"), CTX)) == [
        "A(B(rAB!))",
        "A(B(sAB!))",
    ]


class UnaryOnly:
    async def intercept_unary(self, call_next: Any, request: Any, ctx: Any) -> Any:
        return "mine"


async def test_an_interceptor_of_another_stream_type_is_not_in_the_way() -> None:
    assert wrap(StreamType.SERVER_STREAM, server_stream, check([UnaryOnly()])) is server_stream
    assert await wrap(StreamType.UNARY, unary, check([UnaryOnly()]))("r", CTX) == "mine"
    assert wrap(StreamType.UNARY, unary, []) is unary


async def test_metadata_interceptors_in_between_see_start_end_and_error() -> None:
    log: list[Any] = []
    chain = check([Tag("A"), Log("L", log), Tag("B")])
    assert await wrap(StreamType.UNARY, unary, chain)("r", CTX) == "A(B(rAB!))"
    assert log == ["L starts", ("L ends", None)]
    log.clear()
    error = ConnectError(Code.ABORTED, "x")

    async def fails(request: Any, ctx: Any) -> str:
        raise error

    with pytest.raises(ConnectError):
        await wrap(StreamType.UNARY, fails, chain)("r", CTX)
    assert log == ["L starts", ("L ends", error)]


@pytest.mark.parametrize("kind", [StreamType.UNARY, StreamType.CLIENT_STREAM, StreamType.SERVER_STREAM, StreamType.BIDI_STREAM])
async def test_metadata_interceptors_sync_and_async_agree(kind: StreamType) -> None:
    one = kind in (StreamType.UNARY, StreamType.CLIENT_STREAM)
    functions: dict[StreamType, tuple[Any, Any]] = {
        StreamType.UNARY: (unary, lambda r, c: r),
        StreamType.CLIENT_STREAM: (client_stream, lambda r, c: next(r)),
        StreamType.SERVER_STREAM: (server_stream, lambda r, c: iter([r])),
        StreamType.BIDI_STREAM: (bidi_stream, lambda r, c: r),
    }
    many = kind in (StreamType.CLIENT_STREAM, StreamType.BIDI_STREAM)
    log: list[Any] = []
    responses = wrap(kind, functions[kind][0], check([Log("L", log)]))(stream("r") if many else "r", CTX)
    result = await responses if one else [each async for each in responses]
    assert result
    sync_log: list[Any] = []
    sync = wrap_sync(kind, functions[kind][1], check_sync([Log("L", sync_log)]))(iter(["r"]) if many else "r", CTX)
    assert sync if one else list(sync)
    assert log == sync_log == ["L starts", ("L ends", None)]


async def test_a_cancelled_call_ends_as_canceled() -> None:
    log: list[Any] = []

    async def hangs(request: Any, ctx: Any) -> str:
        await asyncio.sleep(60)
        return ""

    task = asyncio.ensure_future(wrap(StreamType.UNARY, hangs, check([Log("L", log)]))("r", CTX))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log[0] == "L starts"
    assert log[1][0] == "L ends"
    assert log[1][1].code is Code.CANCELED


async def test_a_stream_closed_early_closes_what_it_reads_and_ends_as_canceled() -> None:
    log: list[Any] = []

    async def endless(request: Any, ctx: Any) -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
        finally:
            log.append("closed")

    responses = wrap(StreamType.SERVER_STREAM, endless, check([Log("L", log)]))("r", CTX)
    assert await anext(responses) == "x"
    await responses.aclose()
    assert log[:2] == ["L starts", "closed"]
    assert log[2][1].code is Code.CANCELED


def test_a_stream_closed_early_closes_what_it_reads_sync() -> None:
    log: list[Any] = []

    def endless(request: Any, ctx: Any) -> Iterator[str]:
        try:
            while True:
                yield "x"
        finally:
            log.append("closed")

    responses = wrap_sync(StreamType.SERVER_STREAM, endless, check_sync([Log("L", log)]))("r", CTX)
    assert next(responses) == "x"
    responses.close()
    assert log[:2] == ["L starts", "closed"]
    assert log[2][1].code is Code.CANCELED


def test_the_leading_metadata_interceptors() -> None:
    first, second, tag, last = Log("1", []), Log("2", []), Tag("A"), Log("3", [])
    assert split_leading(check([first, second, tag, last])) == ([first, second], [tag, last])
    assert split_leading(check([tag])) == ([], [tag])
    assert split_leading([]) == ([], [])
    sync = TagSync("A")
    assert split_leading_sync(check_sync([first, sync, last])) == ([first], [sync, last])


async def test_a_run_ends_what_started_in_reverse_and_once() -> None:
    log: list[Any] = []
    run = MetadataRun([Log("1", log), Log("2", log)], CTX)
    await run.start()
    error = ConnectError(Code.ABORTED, "x")
    assert await run.end(error) is error
    assert await run.end(None) is None
    assert log == ["1 starts", "2 starts", ("2 ends", error), ("1 ends", error)]


async def test_a_run_that_fails_to_start_ends_those_before() -> None:
    log: list[Any] = []
    run = MetadataRun([Log("1", log), Log("2", log, fail_start=True), Log("3", log)], CTX)
    with pytest.raises(ConnectError, match="2") as caught:
        await run.start()
    await run.end(caught.value)
    assert log == ["1 starts", "2 starts", ("1 ends", caught.value)]


async def test_an_end_that_raises_replaces_the_error_for_those_after_it() -> None:
    log: list[Any] = []
    replaced = RuntimeError("new")
    run = MetadataRun([Log("1", log), Log("2", log, fail_end=replaced)], CTX)
    await run.start()
    assert await run.end(None) is replaced
    assert log[2:] == [("2 ends", None), ("1 ends", replaced)]
    cancelled = asyncio.CancelledError()
    run = MetadataRun([Log("1", log), Log("2", log, fail_end=cancelled)], CTX)
    await run.start()
    assert await run.end(None) is cancelled
    assert log[-1][1].code is Code.CANCELED


def test_a_run_sync() -> None:
    log: list[Any] = []
    replaced = RuntimeError("new")
    run = MetadataRunSync([Log("1", log), Log("2", log, fail_end=replaced)], CTX)
    run.start()
    assert run.end(None) is replaced
    assert run.end(None) is None
    assert log == ["1 starts", "2 starts", ("2 ends", None), ("1 ends", replaced)]


class StartOnly:
    async def on_start(self, ctx: Any) -> None:
        ctx.response_headers["seen"] = "1"

    def on_start_sync(self, ctx: Any) -> None:
        ctx.response_headers["seen"] = "1"


async def test_the_end_is_optional() -> None:
    interceptor: Any = StartOnly()
    await wrap(StreamType.UNARY, unary, check([interceptor]))("r", CTX)
    assert wrap_sync(StreamType.UNARY, lambda r, c: r, check_sync([interceptor]))("r", CTX) == "r"
    run = MetadataRun([interceptor], CTX)
    await run.start()
    assert await run.end(None) is None
    assert CTX.response_headers["seen"] == "1"


class Both:
    async def intercept_unary(self, call_next: Any, request: Any, ctx: Any) -> Any: ...

    async def on_start(self, ctx: Any) -> None: ...

    def intercept_unary_sync(self, call_next: Any, request: Any, ctx: Any) -> Any: ...

    def on_start_sync(self, ctx: Any) -> None: ...


def test_what_would_be_ignored_is_refused() -> None:
    for checking in (check, check_sync):
        with pytest.raises(TypeError, match="object is no"):
            checking([object()])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="make it two interceptors"):
            checking([Both()])
        with pytest.raises(TypeError, match="pass an instance"):
            checking([Tag])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"TagSync is no asynchronous interceptor.*it has methods of a synchronous one"):
        check([TagSync("A")])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"Tag is no synchronous interceptor.*it has methods of an asynchronous one"):
        check_sync([Tag("A")])  # type: ignore[list-item]


def test_the_protocols_can_be_asked_at_run_time() -> None:
    assert isinstance(Tag("A"), UnaryInterceptor)
    assert isinstance(Tag("A"), ServerStreamInterceptor)
    assert isinstance(Tag("A"), BidiStreamInterceptor)
    assert isinstance(TagSync("A"), UnaryInterceptorSync)
    assert isinstance(TagSync("A"), ClientStreamInterceptorSync)
    assert not isinstance(TagSync("A"), UnaryInterceptor)
    assert isinstance(Log("A", []), MetadataInterceptor)
    assert isinstance(Log("A", []), MetadataInterceptorSync)
