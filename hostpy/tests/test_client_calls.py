"""Unary calls that go well, or fail for a plain reason, over real sockets, in both modes."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import math
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyqwest
import pytest
from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from client_support import DATA, MESSAGE, METHOD, call, method, open_calls, response, serving
from connectcore.client import ConnectClient, ConnectClientSync, ResponseMetadata
from connectcore.code import Code
from connectcore.codec import proto_json_codec
from connectcore.compression import GzipCompression
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.request import Headers, RequestContext


def error_of(mode: str, address: str, *arguments: Any, **options: Any) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        call(mode, address, *arguments, **options)
    return caught.value


# The request on the wire


def test_request(mode: str) -> None:
    with serving(response()) as server:
        assert call(mode, server.address + "/api/") == MESSAGE
    (exchange,) = server.exchanges
    fields = dict(exchange.fields)
    assert exchange.head.startswith(b"POST /api/acme.v1.Service/Get HTTP/1.1\r\n")
    assert exchange.content == DATA
    assert fields["content-type"] == "application/proto"
    assert fields["connect-protocol-version"] == "1"
    assert fields["accept-encoding"] == "gzip"
    assert fields["user-agent"].startswith("connectcore-python/")
    assert "content-encoding" not in fields
    assert "connect-timeout-ms" not in fields


def test_nothing_is_offered_when_nothing_is_accepted(mode: str) -> None:
    with serving(response()) as server:
        call(mode, server.address, accept_compression=())
    assert dict(server.exchanges[0].fields)["accept-encoding"] == "identity"


def test_empty_message(mode: str) -> None:
    with serving(response(b"")) as server:
        assert call(mode, server.address, StringValue()) == StringValue()
    assert server.exchanges[0].content == b""


def test_request_compression(mode: str) -> None:
    message = StringValue(value="a" * 10_000)
    with serving(response()) as server:
        call(mode, server.address, message, send_compression=GzipCompression(), accept_compression=())
    (exchange,) = server.exchanges
    assert gzip.decompress(exchange.content) == message.SerializeToString()
    assert dict(exchange.fields)["content-encoding"] == "gzip"
    assert dict(exchange.fields)["accept-encoding"] == "gzip"  # what it can compress it can read


def test_json(mode: str) -> None:
    with serving(response(b'"reply"', "content-type: application/json")) as server:
        assert call(mode, server.address, codec=proto_json_codec()).value == "reply"
    assert json.loads(server.exchanges[0].content) == "hello"


def test_large_message(mode: str) -> None:
    message = StringValue(value="x" * (1 << 20))
    with serving(lambda exchange: exchange.send(response(exchange.content))) as server:
        assert call(mode, server.address, message) == message


@pytest.mark.parametrize("size", [1, 16 << 10, (16 << 10) + 1, 64 << 10, (64 << 10) + 1, 300_000])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("compressed", [False, True])
def test_sizes_and_framings(mode: str, size: int, framing: str, compressed: bool) -> None:
    message = StringValue(value=base64.b64encode(bytes(i * 7919 % 251 for i in range(size))).decode()[:size])
    content = message.SerializeToString()
    fields = ["content-type: application/proto"]
    if compressed:
        content = gzip.compress(content)
        fields.append("content-encoding: gzip")
    head = "\r\n".join(["HTTP/1.1 200 OK", *fields]).encode() + b"\r\n"
    pieces = [content[i : i + 7000] for i in range(0, len(content), 7000)]
    said = {
        "length": response(content, *fields),
        "chunked": head
        + b"transfer-encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        + b"0\r\n\r\n",
        "close": head + b"connection: close\r\n\r\n" + content,
    }[framing]

    def answer(exchange: Any) -> bool:
        exchange.send(said)
        return framing != "close"

    with serving(answer) as server:
        assert call(mode, server.address) == message
    assert open_calls() == 0


def test_one_connection_serves_many_calls() -> None:
    with serving(response()) as server, ConnectClientSync(server.address) as client:
        for _ in range(20):
            client.execute_unary(request=MESSAGE, method=METHOD)
        assert (len(server.exchanges), server.connections) == (20, 1)


# GET


def test_get(mode: str) -> None:
    with serving(response()) as server:
        assert call(mode, server.address, use_get=True) == MESSAGE
    (exchange,) = server.exchanges
    assert exchange.head.startswith(b"GET /acme.v1.Service/Get?")
    query = parse_qs(urlsplit(exchange.target).query)
    assert query["connect"] == ["v1"]
    assert query["encoding"] == ["proto"]
    assert query["base64"] == ["1"]
    (text,) = query["message"]
    assert base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) == DATA
    assert "content-type" not in dict(exchange.fields)


def test_compressed_get(mode: str) -> None:
    with serving(response()) as server:
        call(mode, server.address, use_get=True, send_compression=GzipCompression())
    query = parse_qs(urlsplit(server.exchanges[0].target).query)
    assert query["compression"] == ["gzip"]
    (text,) = query["message"]
    assert gzip.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))) == DATA


def test_long_get_becomes_post(mode: str) -> None:
    message = StringValue(value="x" * 10_000)
    with serving(response()) as server:
        call(mode, server.address, message, use_get=True)
    (exchange,) = server.exchanges
    assert exchange.head.startswith(b"POST /acme.v1.Service/Get HTTP/1.1")
    assert exchange.content == message.SerializeToString()


def test_get_needs_a_method_without_side_effects(mode: str) -> None:
    with pytest.raises(
        ValueError, match=r"acme\.v1\.Service/Put: only a unary procedure without side effects can be called by GET"
    ):
        call(mode, "http://127.0.0.1:1", what=method("Put", safe=False), use_get=True)


# Metadata


def test_metadata_out(mode: str) -> None:
    headers = Headers([("x-one", "1"), ("X-Two", "a"), ("x-two", "b"), ("x-utf", "ü€")])
    headers.add_bin("x-data-bin", b"\x00\xff")
    with serving(response()) as server:
        call(mode, server.address, headers=headers)
    fields = server.exchanges[0].fields
    assert ("x-one", "1") in fields
    assert [value for name, value in fields if name == "x-two"] == ["a", "b"]
    assert ("x-utf", "ü€") in fields
    assert dict(fields)["x-data-bin"].rstrip("=") == "AP8"


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb", "a\0b"])
def test_line_breaks_stay_at_home(mode: str, value: str) -> None:
    with serving(response()) as server:
        error = error_of(mode, server.address, headers={"x-a": value})
        assert error.code is Code.INTERNAL
        assert "metadata" in error.message
        assert server.connections == 0
    assert open_calls() == 0


@pytest.mark.parametrize("name", ["x a", "", "x\n", "content-type", "connect-timeout-ms", "host"])
def test_bad_and_reserved_names_stay_at_home(mode: str, name: str) -> None:
    with serving(response()) as server:
        assert error_of(mode, server.address, headers={name: "1"}).code is Code.INTERNAL
        assert server.connections == 0


def test_metadata_in(mode: str) -> None:
    fields = ("x-a: 1", "x-a: 2", "trailer-x-b: 3", "trailer-x-c-bin: AP8", "x-d-bin: AQI")
    with serving(response(DATA, *fields)) as server, ResponseMetadata() as metadata:
        call(mode, server.address)
    assert metadata.http_status == 200
    assert metadata.headers.getall("x-a") == ["1", "2"]
    assert metadata.headers.getbin("x-d-bin") == b"\x01\x02"
    assert "content-type" not in metadata.headers
    assert "trailer-x-b" not in metadata.headers
    assert metadata.trailers["x-b"] == "3"
    assert metadata.trailers.getbin("x-c-bin") == b"\x00\xff"
    assert metadata.http_headers["content-type"] == "application/proto"
    assert metadata.http_headers.getall("x-a") == ["1", "2"]
    assert metadata.http_headers["trailer-x-c-bin"] == "AP8"
    assert metadata.http_headers["x-d-bin"] == "AQI"


def test_error_with_details_and_metadata(mode: str) -> None:
    detail = base64.b64encode(b"\x0a\x01x").rstrip(b"=").decode()
    content = json.dumps(
        {"code": "not_found", "message": "no such thing", "details": [{"type": "acme.v1.Reason", "value": detail}]}
    ).encode()
    fields = ("content-type: application/json", "x-a: 1", "trailer-x-b: 2", "x-c-bin: AP8")
    with serving(response(content, *fields, status="404 Not Found")) as server, ResponseMetadata() as metadata:
        error = error_of(mode, server.address)
    assert (error.code, error.message) == (Code.NOT_FOUND, "no such thing")
    assert [(d.type_name, d.message_bytes) for d in error.details] == [("acme.v1.Reason", b"\x0a\x01x")]
    assert (error.metadata["x-a"], error.metadata["x-b"], error.metadata.getbin("x-c-bin")) == ("1", "2", b"\x00\xff")
    assert "content-type" not in error.metadata
    assert (metadata.http_status, metadata.headers["x-a"], metadata.trailers["x-b"]) == (404, "1", "2")


def test_compressed_error(mode: str) -> None:
    content = gzip.compress(b'{"code": "aborted", "message": "again"}')
    fields = ("content-type: application/json", "content-encoding: gzip")
    with serving(response(content, *fields, status="409 Conflict")) as server:
        assert error_of(mode, server.address).code is Code.ABORTED


def test_response_metadata_of_the_last_call_and_of_none() -> None:
    with ResponseMetadata() as metadata:
        assert (metadata.http_status, len(metadata.headers), len(metadata.trailers)) == (None, 0, 0)
        with serving(response(DATA, "x-a: 1")) as server:
            call("sync", server.address)
        assert error_of("sync", "http://127.0.0.1:1").code is Code.UNAVAILABLE
        assert (metadata.http_status, len(metadata.http_headers), len(metadata.headers)) == (None, 0, 0)


# Interceptors


class SeesAsync:
    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    async def intercept_unary(self, call_next: Any, request: Any, ctx: RequestContext[Any, Any], /) -> Any:
        look_before(self.seen, ctx)
        reply = await call_next(request, ctx)
        look_after(self.seen, ctx)
        return reply


class SeesSync:
    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    def intercept_unary_sync(self, call_next: Any, request: Any, ctx: RequestContext[Any, Any], /) -> Any:
        look_before(self.seen, ctx)
        reply = call_next(request, ctx)
        look_after(self.seen, ctx)
        return reply


def look_before(seen: list[Any], ctx: RequestContext[Any, Any]) -> None:
    seen.append((ctx.http_method, ctx.server_address, ctx.client_address, ctx.method.name))
    assert ctx.timeout_ms is not None
    assert 4000 < ctx.timeout_ms <= 5000
    ctx.request_headers["x-added"] = "yes"


def look_after(seen: list[Any], ctx: RequestContext[Any, Any]) -> None:
    seen.append((ctx.response_headers["x-a"], ctx.response_trailers["x-b"]))


def test_interceptors(mode: str) -> None:
    seen: list[Any] = []
    headers = {"x-own": "1"}
    interceptor = SeesAsync(seen) if mode == "async" else SeesSync(seen)
    with serving(response(DATA, "x-a: 1", "trailer-x-b: 2")) as server:
        call(mode, server.address, use_get=True, headers=headers, timeout=5, interceptors=[interceptor])
    assert seen == [("GET", server.address.removeprefix("http://"), None, "Get"), ("1", "2")]
    fields = server.exchanges[0].fields
    assert ("x-added", "yes") in fields
    assert ("x-own", "1") in fields
    assert headers == {"x-own": "1"}  # the caller's own are not touched


def test_interceptors_of_the_other_mode_are_refused(mode: str) -> None:
    wrong: Any = SeesSync([]) if mode == "async" else SeesAsync([])
    with pytest.raises(TypeError, match="interceptor"):
        call(mode, "http://127.0.0.1:1", interceptors=[wrong])


class ForgetsToReturn:
    async def intercept_unary(self, call_next: Any, request: Any, ctx: RequestContext[Any, Any], /) -> None:
        await call_next(request, ctx)


class ForgetsToReturnSync:
    def intercept_unary_sync(self, call_next: Any, request: Any, ctx: RequestContext[Any, Any], /) -> None:
        call_next(request, ctx)


class ForgetsToAwait:
    async def intercept_unary(self, call_next: Any, request: Any, ctx: RequestContext[Any, Any], /) -> Any:
        return call_next(request, ctx)


def test_interceptors_that_give_no_message(mode: str) -> None:
    with serving(response()) as server:
        forgets = ForgetsToReturn() if mode == "async" else ForgetsToReturnSync()
        with pytest.raises(TypeError, match=r"an interceptor gave None for acme\.v1\.Service\.Get: is a return missing\?"):
            call(mode, server.address, interceptors=[forgets])
        if mode == "async":
            with pytest.raises(TypeError, match=r"gave a coroutine for acme\.v1\.Service\.Get: is an await missing\?"):
                call(mode, server.address, interceptors=[ForgetsToAwait()])


# Timeouts


@pytest.mark.parametrize("option", [{"timeout": 2.5}, {"timeout_ms": 2500}, {"timeout": timedelta(seconds=2.5)}])
def test_timeout_is_told(mode: str, option: dict[str, Any]) -> None:
    with serving(response()) as server:
        call(mode, server.address, **option)
    assert 2000 < int(dict(server.exchanges[0].fields)["connect-timeout-ms"]) <= 2500


def test_timeout_of_the_client_and_of_the_call(mode: str) -> None:
    async def both_async(address: str) -> None:
        async with ConnectClient(address, timeout=100) as client:
            await client.execute_unary(request=MESSAGE, method=METHOD)
            await client.execute_unary(request=MESSAGE, method=METHOD, timeout=3)

    with serving(response()) as server:
        if mode == "async":
            asyncio.run(both_async(server.address))
        else:
            with ConnectClientSync(server.address, timeout=100) as client:
                client.execute_unary(request=MESSAGE, method=METHOD)
                client.execute_unary(request=MESSAGE, method=METHOD, timeout=3)
    told = [int(dict(exchange.fields)["connect-timeout-ms"]) for exchange in server.exchanges]
    assert 99_000 < told[0] <= 100_000
    assert 2000 < told[1] <= 3000


@pytest.mark.parametrize("timeout", [0, -1, 0.0, -math.inf, -(10**400)])
def test_no_time_left(mode: str, timeout: float) -> None:
    with serving(response()) as server:
        assert error_of(mode, server.address, timeout=timeout).code is Code.DEADLINE_EXCEEDED
        assert server.connections == 0


@pytest.mark.parametrize("timeout", [3e6, 1e8, 1e300, timedelta.max])
def test_a_very_long_timeout(mode: str, timeout: Any) -> None:
    """Longer than the system waits in one go, or than the protocol can say."""
    with serving(response()) as server:
        assert call(mode, server.address, timeout=timeout) == MESSAGE
    assert int(dict(server.exchanges[0].fields)["connect-timeout-ms"]) > 2_999_000_000


@pytest.mark.parametrize("timeout", [math.inf, 10**400])
def test_endless_timeout_is_none(mode: str, timeout: float) -> None:
    with serving(response()) as server:
        call(mode, server.address, timeout=timeout)
    assert "connect-timeout-ms" not in dict(server.exchanges[0].fields)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"timeout": 1, "timeout_ms": 1}, "not both"),
        ({"timeout": math.nan}, "timeout must be a number of seconds, or a timedelta, not NaN"),
        ({"timeout_ms": math.nan}, "timeout_ms must be a number of milliseconds, not NaN"),
        ({"timeout": "5"}, "timeout must be a number of seconds, or a timedelta, not '5'"),
        ({"timeout_ms": "5"}, "timeout_ms must be a number of milliseconds, not '5'"),
        ({"timeout_ms": timedelta(seconds=5)}, "timeout_ms must be a number of milliseconds, not datetime"),
    ],
)
def test_senseless_timeouts(mode: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        call(mode, "http://127.0.0.1:1", **options)


# What does not come to a request


def test_closed_client() -> None:
    client = ConnectClientSync("http://127.0.0.1:1")
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.execute_unary(request=MESSAGE, method=METHOD)

    async def run() -> None:
        client = ConnectClient("http://127.0.0.1:1")
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await client.execute_unary(request=MESSAGE, method=METHOD)

    asyncio.run(run())


def test_refused(mode: str) -> None:
    error = error_of(mode, "http://127.0.0.1:1", use_get=True)
    assert error.code is Code.UNAVAILABLE
    assert "refused" in error.message
    assert "message=" not in error.message  # the URL of a GET holds what the caller sent
    assert error.__cause__ is not None


def test_wrong_message_class(mode: str) -> None:
    for wrong, name in ((3, "int"), (BytesValue(), "BytesValue"), (None, "NoneType")):
        with pytest.raises(TypeError, match=f"acme.v1.Service.Get takes .*StringValue, not .*{name}$"):
            call(mode, "http://127.0.0.1:1", wrong)
    assert open_calls() == 0


@pytest.mark.parametrize("protocol", [ProtocolType.GRPC, ProtocolType.GRPC_WEB])
def test_every_protocol_reaches_the_transport(mode: str, protocol: ProtocolType) -> None:
    error = error_of(mode, "http://127.0.0.1:1", protocol=protocol)
    assert error.code is Code.UNAVAILABLE


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("", "has no scheme"),
        ("localhost", "has no scheme"),
        ("localhost:8080", "has no scheme"),
        ("//localhost", "has no scheme"),
        ("ftp://localhost", "scheme 'ftp'"),
        ("http://", "has no host"),
        ("http://:80", "has no host"),
        ("http://a?b=c", "query"),
        ("http://a/#b", "fragment"),
        ("http://a b", "spaces"),
        ("http://a\r\nx: y", "control"),
        ("http://a:99999", "no URL"),
        ("http://a:b", "no URL"),
        ("http://[::1", "no URL"),
        ("http://a/ü", "percent-encode"),
        ("http://bücher.example", "host that is not ASCII: write it as DNS does, xn--"),
        ("http://a:0", "port 0"),
        ("http://a..b", "empty label"),
        (f"http://{'a' * 64}.example", "more than 63 characters"),
    ],
)
def test_bad_addresses(address: str, text: str) -> None:
    for make in (ConnectClient, ConnectClientSync):
        with pytest.raises(ValueError, match=text):
            make(address)


def test_arguments_of_another_type() -> None:
    untyped: Any
    for untyped in (ConnectClient, ConnectClientSync):
        with pytest.raises(TypeError, match="the address must be str, not NoneType"):
            untyped(None)
        with pytest.raises(TypeError, match=r"must be a connectcore\.protocol\.ProtocolType, not 'grpc'"):
            untyped("http://localhost", protocol="grpc")


def test_address_with_a_password_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="user name or password") as caught:
        ConnectClient("http://user:secret@example.com")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "origin", "server"),
    [
        ("http://example.com", "http://example.com", "example.com:80"),
        ("https://example.com/", "https://example.com", "example.com:443"),
        ("HTTP://Example.com:8080/a/b/", "http://example.com:8080", "example.com:8080"),
        ("http://[::1]:80", "http://[::1]:80", "[::1]:80"),
    ],
)
def test_addresses(address: str, origin: str, server: str) -> None:
    config = ConnectClient(address)._config
    assert (config.origin, config.server_address) == (origin, server)


def test_no_limit(mode: str) -> None:
    message = StringValue(value="x" * (5 << 20))
    with serving(response(message.SerializeToString())) as server:
        assert error_of(mode, server.address).code is Code.RESOURCE_EXHAUSTED
        assert call(mode, server.address, read_max_bytes=None) == message


@pytest.mark.parametrize("limit", [0, -1, 1 << 31])
def test_bad_limits(limit: int) -> None:
    with pytest.raises(ValueError, match="read_max_bytes"):
        ConnectClient("http://a", read_max_bytes=limit)


def test_one_compression_twice() -> None:
    with pytest.raises(ValueError, match="twice: gzip, gzip"):
        ConnectClient("http://a", accept_compression=[GzipCompression(), GzipCompression(1)])


def test_http_clients_of_the_wrong_kind() -> None:
    wrong_async: list[Any] = [pyqwest.SyncClient(), object()]
    wrong_sync: list[Any] = [pyqwest.Client(), object()]
    for http_client in wrong_async:
        with pytest.raises(TypeError, match=r"pyqwest\.Client"):
            ConnectClient("http://a", http_client=http_client)
    for http_client in wrong_sync:
        with pytest.raises(TypeError, match=r"pyqwest\.SyncClient"):
            ConnectClientSync("http://a", http_client=http_client)
