"""Client and server of this package, joined in process: what one says, the other understands."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from client_support import MESSAGE, MODES, method, open_calls
from connectcore._transport.transport import Request as HTTPRequest
from connectcore.client import ConnectClient, ConnectClientSync, ResponseMetadata
from connectcore.code import Code
from connectcore.codec import proto_json_codec
from connectcore.compression import GzipCompression
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.server import ConnectASGIApplication, ConnectWSGIApplication, Endpoint, EndpointSync
from connectcore.transport import ASGITransport, WSGITransport

if TYPE_CHECKING:
    from connectcore.request import RequestContext

METHOD = method()
PATH = f"/{METHOD.service_name}/{METHOD.name}"


def reply(request: StringValue, ctx: RequestContext[Any, Any]) -> StringValue:
    ctx.response_headers["x-method"] = ctx.http_method
    ctx.response_headers.add_bin("x-data-bin", ctx.request_headers.getbin("x-data-bin", b""))
    ctx.response_trailers["x-length"] = str(len(request.value))
    if request.value == "fail":
        detail = StringValue(value="detail")
        raise ConnectError(Code.DATA_LOSS, "it's \N{SNOWMAN}", [detail], metadata={"x-error": "yes"})
    if request.value == "bug":
        raise KeyError("secret")
    return StringValue(value=request.value[::-1])


async def reply_async(request: StringValue, ctx: RequestContext[Any, Any]) -> StringValue:
    if request.value == "slow":
        await asyncio.sleep(30)
    return reply(request, ctx)


class ASGIApp(ConnectASGIApplication[Any]):
    def __init__(self) -> None:
        super().__init__(service=None, endpoints=lambda _: {PATH: Endpoint.unary(METHOD, reply_async)})

    @property
    def path(self) -> str:
        return f"/{METHOD.service_name}"


class WSGIApp(ConnectWSGIApplication):
    def __init__(self) -> None:
        super().__init__(endpoints={PATH: EndpointSync.unary(METHOD, reply)})

    @property
    def path(self) -> str:
        return f"/{METHOD.service_name}"


def call(mode: str, message: StringValue, timeout: float | None = None, use_get: bool = False, **options: Any) -> Any:
    arguments: dict[str, Any] = {"request": message, "method": METHOD, "timeout": timeout, "use_get": use_get}
    arguments["headers"] = options.pop("headers", None)
    if mode == "sync":
        with ConnectClientSync("http://localhost", http_client=WSGITransport(WSGIApp()), **options) as sync_client:
            return sync_client.execute_unary(**arguments)

    async def run() -> Any:
        async with ConnectClient("http://localhost", http_client=ASGITransport(ASGIApp()), **options) as client:
            return await client.execute_unary(**arguments)

    return asyncio.run(run())


@pytest.mark.parametrize("codec", [None, proto_json_codec()], ids=["proto", "json"])
@pytest.mark.parametrize("gzip", [None, GzipCompression()], ids=["identity", "gzip"])
@pytest.mark.parametrize("use_get", [False, True], ids=["POST", "GET"])
@pytest.mark.parametrize("size", [0, 5, 200_000])
def test_messages(mode: str, codec: Any, gzip: Any, use_get: bool, size: int) -> None:
    text = "ab\N{SNOWMAN}"[:3] * (size // 3)
    with ResponseMetadata() as metadata:
        got = call(mode, StringValue(value=text), 10, use_get, codec=codec, send_compression=gzip)
    assert got.value == text[::-1]
    assert metadata.trailers["x-length"] == str(len(text))
    assert metadata.headers["x-method"] == ("GET" if use_get and (size < 100_000 or gzip) else "POST")
    assert open_calls() == 0


def test_errors(mode: str) -> None:
    with pytest.raises(ConnectError) as caught:
        call(mode, StringValue(value="fail"))
    error = caught.value
    assert (error.code, error.message) == (Code.DATA_LOSS, "it's \N{SNOWMAN}")
    assert error.details[0].value(StringValue) == StringValue(value="detail")
    assert (error.metadata["x-error"], error.metadata["x-method"]) == ("yes", "POST")


def test_a_bug_says_nothing(mode: str) -> None:
    with pytest.raises(ConnectError) as caught:
        call(mode, StringValue(value="bug"))
    assert caught.value.code is Code.UNKNOWN
    assert "secret" not in str(caught.value)


def test_binary_metadata(mode: str) -> None:
    from connectcore.request import Headers

    headers = Headers()
    headers.add_bin("x-data-bin", bytes(range(256)))
    with ResponseMetadata() as metadata:
        call(mode, MESSAGE, headers=headers)
    assert metadata.headers.getbin("x-data-bin") == bytes(range(256))


def test_deadline() -> None:
    with pytest.raises(ConnectError) as caught:
        call("async", StringValue(value="slow"), timeout=0.1)
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert open_calls() == 0


def test_an_application_that_writes_many_pieces() -> None:
    """Each is taken off at the same price, however many wait."""
    count = 1_000_000

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        for _ in range(count):
            write(b"12")
        return [b"3"]

    start = time.process_time()
    response = WSGITransport(application).open_sync(HTTPRequest("POST", "http://localhost", "/", b"", b"", None))
    assert b"".join(iter(response.read, b"")) == b"12" * count + b"3"
    assert time.process_time() - start < 5


@pytest.mark.parametrize("protocol", list(ProtocolType))
@pytest.mark.parametrize("mode", MODES)
def test_every_protocol(mode: str, protocol: ProtocolType) -> None:
    metadata = {"x-data-bin": "AQI"}
    with ResponseMetadata() as response:
        assert call(mode, MESSAGE, protocol=protocol, headers=metadata).value == MESSAGE.value[::-1]
    if mode == "sync":
        assert response.headers.getbin("x-data-bin") == b"\1\2"
        assert response.trailers["x-length"] == str(len(MESSAGE.value))
    with pytest.raises(ConnectError) as caught:
        call(mode, StringValue(value="fail"), protocol=protocol)
    assert (caught.value.code, caught.value.message) == (Code.DATA_LOSS, "it's \N{SNOWMAN}")
    assert caught.value.metadata["x-error"] == "yes"
    assert caught.value.details[0].value(StringValue) == StringValue(value="detail")
    assert open_calls() == 0
