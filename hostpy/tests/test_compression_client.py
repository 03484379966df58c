"""Clients with every coding: sent, read in messages, errors and end markers, natively and in the module."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from client_support import DATA, MESSAGE, call, open_calls, response, serving
from compression_support import BAD, CODINGS, WAYS, Counting, damaged, packed, unpacked
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.compression import AnyCompression, GzipCompression, ModuleCompression
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.transport import ASGITransport, WSGITransport
from server_support import SERVER, UNARY, Server, echo, envelope
from server_support import method as served
from stream_support import Outcome, call_any
from test_client_transport import Canned

LONG = StringValue(value="the same again, " * 300)
LONG_DATA = LONG.SerializeToString()
TRAILERS = b"grpc-status: 5\r\ngrpc-message: gone\r\nx-why: lost\r\n"


@pytest.fixture(params=WAYS)
def compression(request: pytest.FixtureRequest) -> AnyCompression:
    return WAYS[request.param]


def offering(compression: AnyCompression, **options: Any) -> dict[str, Any]:
    return {"accept_compression": [compression], **options}


def error_of(mode: str, address: str, **options: Any) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        call(mode, address, **options)
    assert open_calls() == 0
    return caught.value


class TestRequest:
    @pytest.mark.parametrize("message", [MESSAGE, LONG], ids=["short", "long"])
    def test_post(self, mode: str, compression: AnyCompression, message: StringValue) -> None:
        name = compression.name()
        with serving(response()) as server:
            call(mode, server.address, message, send_compression=compression, accept_compression=())
        (exchange,) = server.exchanges
        fields = dict(exchange.fields)
        assert (fields["content-encoding"], fields["accept-encoding"]) == (name, name)
        assert unpacked(name, exchange.content) == message.SerializeToString()

    def test_get(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        with serving(response()) as server:
            call(mode, server.address, LONG, use_get=True, send_compression=compression)
        query = parse_qs(urlsplit(server.exchanges[0].target).query)
        assert query["compression"] == [name]
        (data,) = query["message"]
        assert unpacked(name, base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))) == LONG_DATA

    def test_grpc_web(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        content = envelope(DATA) + envelope(b"grpc-status: 0\r\n", 0x80)
        with serving(response(content, "content-type: application/grpc-web+proto")) as server:
            call(mode, server.address, LONG, protocol=ProtocolType.GRPC_WEB, send_compression=compression)
        (exchange,) = server.exchanges
        assert dict(exchange.fields)["grpc-encoding"] == name
        assert exchange.content[:1] == b"\1"
        assert unpacked(name, exchange.content[5:]) == LONG_DATA

    def test_empty_message(self, mode: str, compression: AnyCompression) -> None:
        """Content of no bytes stands for itself; what is compressed is not it."""
        with serving(response()) as server:
            call(mode, server.address, StringValue(), send_compression=compression)
        (exchange,) = server.exchanges
        assert not exchange.content or unpacked(compression.name(), exchange.content) == b""

    def test_all_are_offered_in_order(self, mode: str) -> None:
        with serving(response()) as server:
            call(mode, server.address, accept_compression=[WAYS[way] for way in WAYS if "natively" in way or way == "snappy"])
        assert dict(server.exchanges[0].fields)["accept-encoding"] == ", ".join(CODINGS)

    @pytest.mark.parametrize("accepted", [GzipCompression(), ModuleCompression("gzip")], ids=["natively", "in the module"])
    @pytest.mark.parametrize("sent", [GzipCompression(), ModuleCompression("gzip")], ids=["natively", "in the module"])
    def test_one_coding_in_two_ways(self, mode: str, accepted: AnyCompression, sent: AnyCompression) -> None:
        with serving(lambda exchange: exchange.send(response(exchange.content, "content-encoding: gzip"))) as server:
            assert call(mode, server.address, LONG, accept_compression=[accepted], send_compression=sent) == LONG


class TestResponse:
    @pytest.mark.parametrize("message", [MESSAGE, LONG, StringValue(value="y" * 300_000)], ids=["short", "long", "very long"])
    def test_message(self, mode: str, compression: AnyCompression, message: StringValue) -> None:
        name = compression.name()
        said = response(packed(name, message.SerializeToString()), f"content-encoding: {name}")
        with serving(said) as server:
            assert call(mode, server.address, **offering(compression)) == message

    def test_message_in_pieces_without_a_length(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        content = packed(name, LONG_DATA)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\ncontent-encoding: {name}\r\n".encode()
        pieces = b"".join(
            b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (content[:9], content[9:20], content[20:]) if piece
        )
        with serving(head + b"transfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n") as server:
            assert call(mode, server.address, **offering(compression)) == LONG

    def test_error(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        body = b'{"code": "aborted", "message": "again"}'
        fields = ("content-type: application/json", f"content-encoding: {name}")
        with serving(response(packed(name, body), *fields, status="409 Conflict")) as server:
            error = error_of(mode, server.address, **offering(compression))
        assert (error.code, error.message) == (Code.ABORTED, "again")

    def test_damaged_error(self, mode: str, compression: AnyCompression) -> None:
        """The status says what it was."""
        name = compression.name()
        body = b'{"code": "aborted", "message": "again", "rest": "' + b"a b c " * 100 + b'"}'
        fields = ("content-type: application/json", f"content-encoding: {name}")
        for content in damaged(name, body):
            with serving(response(content, *fields, status="503 Service Unavailable")) as server:
                error = error_of(mode, server.address, **offering(compression))
            assert (error.code, error.message) == (Code.UNAVAILABLE, "the response has the HTTP status 503"), content

    def test_large_error(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        fields = ("content-type: application/json", f"content-encoding: {name}")
        content = packed(name, b'{"code": "aborted"}' + b" " * 5000)
        with serving(response(content, *fields, status="503 Service Unavailable")) as server:
            error = error_of(mode, server.address, **offering(compression, read_max_bytes=2000))
        assert (error.code, error.message) == (Code.RESOURCE_EXHAUSTED, "a message is larger than the limit of 2000 bytes")

    def test_damaged_message(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        for content in damaged(name, LONG_DATA):
            with serving(response(content, f"content-encoding: {name}")) as server:
                error = error_of(mode, server.address, **offering(compression))
            assert error.code is Code.INTERNAL, content
            assert error.message.startswith("a message does not decompress")

    def test_limit(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        with serving(response(packed(name, LONG_DATA), f"content-encoding: {name}")) as server:
            assert call(mode, server.address, **offering(compression, read_max_bytes=len(LONG_DATA))) == LONG
            for limit in len(LONG_DATA) - 1, 10:
                error = error_of(mode, server.address, **offering(compression, read_max_bytes=limit))
                assert error.code is Code.RESOURCE_EXHAUSTED


class TestGRPCWeb:
    """Its trailers are content, and so may be compressed."""

    def said(self, name: str, *envelopes: bytes) -> bytes:
        return response(b"".join(envelopes), "content-type: application/grpc-web+proto", f"grpc-encoding: {name}")

    def options(self, compression: AnyCompression, **options: Any) -> dict[str, Any]:
        return offering(compression, protocol=ProtocolType.GRPC_WEB, **options)

    def test_success(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        said = self.said(name, envelope(packed(name, LONG_DATA), 1), envelope(packed(name, b"grpc-status: 0\r\n"), 0x81))
        with serving(said) as server:
            assert call(mode, server.address, **self.options(compression)) == LONG

    def test_trailers_with_an_error(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        with serving(self.said(name, envelope(packed(name, TRAILERS), 0x81))) as server:
            error = error_of(mode, server.address, **self.options(compression))
        assert (error.code, error.message, error.metadata["x-why"]) == (Code.NOT_FOUND, "gone", "lost")

    def test_damaged_trailers(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        for content in damaged(name, TRAILERS):
            with serving(self.said(name, envelope(DATA), envelope(content, 0x81))) as server:
                error = error_of(mode, server.address, **self.options(compression))
            assert error.code is Code.INTERNAL, content

    def test_limit(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        long = TRAILERS + b"x-long: " + b"a" * 5000 + b"\r\n"
        for envelopes in (
            (envelope(packed(name, LONG_DATA), 1), envelope(b"grpc-status: 0\r\n", 0x80)),
            (envelope(DATA), envelope(packed(name, long), 0x81)),
        ):
            with serving(self.said(name, *envelopes)) as server:
                error = error_of(mode, server.address, **self.options(compression, read_max_bytes=2000))
            assert error.code is Code.RESOURCE_EXHAUSTED


class TestStreams:
    """Messages and end markers of streams, in pieces of any size."""

    END = b'{"error": {"code": "aborted", "message": "again"}, "metadata": {"x-why": ["lost"]}}'

    def play(self, mode: str, compression: AnyCompression, canned: Canned, **options: Any) -> Outcome:
        options = offering(compression, http_client=canned, **options)
        client = (ConnectClientSync if mode == "sync" else ConnectClient)("http://a", **options)
        outcome = call_any(client, SERVER, ["a"])
        assert open_calls() == 0
        return outcome

    def connect(self, mode: str, compression: AnyCompression, *envelopes: bytes, size: int = 50, **options: Any) -> Outcome:
        content = b"".join(envelopes)
        fields = [("content-type", "application/connect+proto"), ("connect-content-encoding", compression.name())]
        canned = Canned(*(content[at : at + size] for at in range(0, len(content), size)), fields=fields)
        return self.play(mode, compression, canned, **options)

    @pytest.mark.parametrize("size", [1, 50, 1 << 20])
    def test_messages_and_end_marker(self, mode: str, compression: AnyCompression, size: int) -> None:
        name = compression.name()
        messages = [envelope(packed(name, LONG_DATA), 1), envelope(DATA), envelope(b"", 1)]
        for end, code in (b'{"metadata": {"x-why": ["lost"]}}', None), (self.END, Code.ABORTED):
            outcome = self.connect(mode, compression, *messages, envelope(packed(name, end), 3), size=size)
            assert outcome.messages == [LONG.value, MESSAGE.value, ""]
            assert (outcome.error.code if outcome.error else None) is code
            assert outcome.metadata.trailers["x-why"] == "lost"

    def test_grpc(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        content = envelope(packed(name, LONG_DATA), 1) + envelope(DATA)
        canned = Canned(content[:9], content[9:], fields=[("content-type", "application/grpc+proto"), ("grpc-encoding", name)])
        canned.trailers = [("grpc-status", "5"), ("grpc-message", "gone")]
        outcome = self.play(mode, compression, canned, protocol=ProtocolType.GRPC)
        assert outcome.messages == [LONG.value, MESSAGE.value]
        assert outcome.error is not None
        assert outcome.error.code is Code.NOT_FOUND

    def test_damage(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        good = envelope(packed(name, LONG_DATA), 1)
        for kind, data in (1, LONG_DATA), (3, self.END):
            for content in damaged(name, data):
                outcome = self.connect(mode, compression, good, envelope(content, kind), envelope(b"{}", 2))
                assert outcome.messages == [LONG.value]
                assert outcome.error is not None
                assert outcome.error.code is Code.INTERNAL, content

    def test_limit(self, mode: str, compression: AnyCompression) -> None:
        name = compression.name()
        long = self.END + b" " * 5000
        for last in envelope(packed(name, LONG_DATA), 1), envelope(packed(name, long), 3):
            outcome = self.connect(mode, compression, envelope(DATA), last, read_max_bytes=2000)
            assert outcome.messages == [MESSAGE.value]
            assert outcome.error is not None
            assert outcome.error.code is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("protocol", [ProtocolType.CONNECT, ProtocolType.GRPC_WEB])
@pytest.mark.parametrize("served_by", WAYS)
def test_with_our_servers(mode: str, compression: AnyCompression, served_by: str, protocol: ProtocolType) -> None:
    """One side may do it natively and the other in the module."""
    theirs = WAYS[served_by]
    if theirs.name() != compression.name():
        return
    server = Server("wsgi" if mode == "sync" else "asgi", {UNARY: echo}, {"compressions": [theirs]})
    arguments: dict[str, Any] = {"request": LONG, "method": served(UNARY)}
    options: dict[str, Any] = offering(compression, send_compression=compression, protocol=protocol)
    if mode == "sync":
        with ConnectClientSync("http://a", http_client=WSGITransport(server.application), **options) as sync_client:
            assert sync_client.execute_unary(**arguments) == LONG
        return

    async def run() -> None:
        async with ConnectClient("http://a", http_client=ASGITransport(server.application), **options) as client:
            assert await client.execute_unary(**arguments) == LONG

    asyncio.run(run())


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("protocol", [ProtocolType.CONNECT, ProtocolType.GRPC, ProtocolType.GRPC_WEB])
def test_bad_content_is_decompressed_once(mode: str, protocol: ProtocolType, bad: str) -> None:
    """Else a bomb costs twice what it must. From the second time on, the response's head is known."""
    counting = Counting()
    for times in range(1, 5):
        content, kind, field = envelope(BAD[bad], 1), "application/grpc+proto", "grpc-encoding"
        if protocol is ProtocolType.CONNECT:
            content, kind, field = BAD[bad], "application/proto", "content-encoding"
        elif protocol is ProtocolType.GRPC_WEB:
            content, kind = content + envelope(b"grpc-status: 0\r\n", 0x80), "application/grpc-web+proto"
        canned = Canned(content, fields=[("content-type", kind), (field, "gzip")])
        canned.trailers = [("grpc-status", "0")] if protocol is ProtocolType.GRPC else []
        error = error_of(mode, "http://a", http_client=canned, protocol=protocol, **offering(counting))
        assert error.code == (Code.RESOURCE_EXHAUSTED if bad == "a bomb" else Code.INTERNAL)
        assert counting.asked == times
