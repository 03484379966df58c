"""gRPC's own Python client, over HTTP/2, against the ASGI application under uvicorn."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import StringValue

from connectcore.code import Code
from connectcore.errors import ConnectError
from server_support import ALL, ASGI, BIDI, CLIENT, SERVER, SERVICE, UNARY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from connectcore.request import RequestContext

    Context = RequestContext[Any, Any]

grpc: Any = pytest.importorskip("grpc")
pytest.importorskip("zttp")

_KINDS = {UNARY: "unary_unary", CLIENT: "stream_unary", SERVER: "unary_stream", BIDI: "stream_stream"}
canceled: SimpleQueue[str] = SimpleQueue()


async def unary(request: StringValue, ctx: Context) -> StringValue:
    ctx.response_headers["x-lead"] = ",".join(ctx.request_headers.getall("x-many"))
    ctx.response_trailers.add_bin("x-trail-bin", ctx.request_headers.getbin("x-some-bin", b"none"))
    if request.value == "fail":
        raise ConnectError(Code.FAILED_PRECONDITION, "n\u00f6", [Duration(seconds=3)], metadata={"x-error": "1"})
    if request.value == "sleep":
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            canceled.put(request.value)
            raise
    return request


async def client_stream(requests: AsyncIterator[StringValue], ctx: Context) -> StringValue:
    return StringValue(value=",".join([request.value async for request in requests]))


async def server_stream(request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
    try:
        for number in range(int(request.value)):
            yield StringValue(value=str(number))
            await asyncio.sleep(0.001)
    except asyncio.CancelledError:
        canceled.put(request.value)
        raise
    raise ConnectError(Code.NOT_FOUND, "no more")


async def bidi_stream(requests: AsyncIterator[StringValue], ctx: Context) -> AsyncIterator[StringValue]:
    async for request in requests:
        yield StringValue(value=f"re {request.value}")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    functions = {UNARY: unary, CLIENT: client_stream, SERVER: server_stream, BIDI: bidi_stream}
    assert set(functions) == set(ALL)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(ASGI(functions), http="zttp", http2=True, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def stub(address: str) -> Iterator[Callable[[str], Any]]:
    with grpc.insecure_channel(address) as channel:
        yield lambda name: stub_of(channel, name)


def stub_of(channel: Any, name: str) -> Any:
    return getattr(channel, _KINDS.get(name, "unary_unary"))(
        f"/{SERVICE}/{name}",
        request_serializer=lambda request: request if isinstance(request, bytes) else StringValue.SerializeToString(request),
        response_deserializer=StringValue.FromString,
    )


def said(text: str) -> StringValue:
    return StringValue(value=text)


def test_unary(stub: Any) -> None:
    metadata = [("x-many", "1"), ("x-many", "2"), ("x-some-bin", b"\0\xff")]
    response, call = stub(UNARY).with_call(said("hello"), metadata=metadata, timeout=10)
    assert response == said("hello")
    assert dict(call.initial_metadata())["x-lead"] == "1,2"
    assert dict(call.trailing_metadata()) == {"x-trail-bin": b"\0\xff"}


def test_error(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub(UNARY)(said("fail"), timeout=10)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "n\u00f6")
    trailers = dict(caught.value.trailing_metadata())
    assert trailers["x-error"] == "1"
    assert b"type.googleapis.com/google.protobuf.Duration" in trailers["grpc-status-details-bin"]


@pytest.mark.parametrize(
    ("request_", "options", "code", "text"),
    [
        (b"\xff\xff", {}, "INVALID_ARGUMENT", "does not decode"),
        (said("x" * (5 << 20)), {}, "RESOURCE_EXHAUSTED", "the limit of 4194304 bytes"),
        (said("x"), {"metadata": [(f"x-{n}", "v") for n in range(300)]}, "RESOURCE_EXHAUSTED", "more metadata"),
        (said("x" * 1000), {"compression": grpc.Compression.Deflate}, "UNIMPLEMENTED", "this server knows: gzip"),
    ],
    ids=["bad message", "large message", "much metadata", "unknown compression"],
)
def test_bad_request(stub: Any, request_: Any, options: dict[str, Any], code: str, text: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub(UNARY)(request_, timeout=10, **options)
    assert caught.value.code() is grpc.StatusCode[code]
    assert text in caught.value.details()
    assert stub(UNARY)(said("after"), timeout=10) == said("after")


def test_unknown_procedure(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub("Other")(said("x"), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_gzip(stub: Any) -> None:
    long = said("x" * 100_000)
    assert stub(UNARY)(long, compression=grpc.Compression.Gzip, timeout=10) == long


def test_deadline(stub: Any) -> None:
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        stub(UNARY)(said("sleep"), timeout=1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 10
    assert canceled.get(timeout=10) == "sleep"


def test_streams(stub: Any) -> None:
    assert stub(CLIENT)(iter([said("a"), said("b")]), timeout=10) == said("a,b")
    replies = stub(SERVER)(said("3"), timeout=10)
    assert [next(replies).value for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(grpc.RpcError) as caught:
        next(replies)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.NOT_FOUND, "no more")


def test_conversation(stub: Any) -> None:
    lines: SimpleQueue[StringValue | None] = SimpleQueue()
    replies = stub(BIDI)(iter(lines.get, None), timeout=10)
    for number in range(5):
        lines.put(said(str(number)))
        assert next(replies) == said(f"re {number}")
    lines.put(None)
    assert list(replies) == []
    assert replies.code() is grpc.StatusCode.OK


def test_cancel(stub: Any) -> None:
    replies = stub(SERVER)(said("1000000"), timeout=30)
    assert next(replies) == said("0")
    replies.cancel()
    assert canceled.get(timeout=10) == "1000000"


def test_many_at_a_time_in_a_loop(address: str) -> None:
    async def run() -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            call = stub_of(channel, UNARY)
            replies = await asyncio.gather(*(call(said(str(n)), timeout=10) for n in range(200)))
            assert [reply.value for reply in replies] == [str(n) for n in range(200)]

    asyncio.run(run())
