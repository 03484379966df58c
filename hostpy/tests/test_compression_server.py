"""Servers with every coding: read, written and chosen, in every protocol, natively and in the module."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from compression_support import BAD, CODINGS, WAYS, Counting, damaged, packed, unpacked
from server_support import (
    ALL,
    BIDI,
    CLIENT,
    CONNECT,
    GRPC,
    SERVER,
    UNARY,
    Answer,
    Request,
    Server,
    echo,
    envelope,
    envelopes,
    message,
    text,
)

if TYPE_CHECKING:
    from connectcore.compression import AnyCompression

GRPC_WEB: dict[str, Any] = {"content_type": "application/grpc-web+proto", "length": False}
STREAMS = {
    "Connect": (CONNECT, "connect-content-encoding", "connect-accept-encoding"),
    "gRPC": (GRPC, "grpc-encoding", "grpc-accept-encoding"),
    "gRPC-Web": (GRPC_WEB, "grpc-encoding", "grpc-accept-encoding"),
}
LONG = "the same again, " * 300
OFFERED = [WAYS[way] for way in ("gzip natively", "deflate natively", "br in the module", "zstd in the module", "snappy")]


@pytest.fixture(params=WAYS)
def compression(request: pytest.FixtureRequest) -> AnyCompression:
    return WAYS[request.param]


def serve(interface: str, *compressions: AnyCompression, **options: Any) -> Server:
    return Server(interface, ALL, {"compressions": compressions, **options})


def plain(content: bytes) -> bytes:
    """Base64, in which padding may stand anywhere."""
    return b"".join(base64.b64decode(content[at : at + 4]) for at in range(0, len(content), 4))


def code(answer: Answer) -> str:
    """The code of an error, in whatever form."""
    (kind,) = answer.values("content-type")
    if kind == "application/json":
        return str(json.loads(answer.content)["code"])
    fields = dict(answer.fields) | dict(answer.trailers)
    if "grpc-status" not in fields:
        flags, data = envelopes(plain(answer.content) if "text" in kind else answer.content)[-1]
        if flags == 2:
            return str(json.loads(data)["error"]["code"])
        fields = {name: value.strip() for name, _, value in (line.partition(":") for line in data.decode().splitlines())}
    return {"3": "invalid_argument", "8": "resource_exhausted"}[fields["grpc-status"]]


class TestUnary:
    @pytest.mark.parametrize("size", [1, 100, 5000, 100_000])
    def test_both_ways(self, interface: str, compression: AnyCompression, size: int) -> None:
        name = compression.name()
        server = serve(interface, compression)
        content = packed(name, message("x" * size))
        for chunks in [content], [content[:7], content[7:]]:
            answer = server.call(chunks=chunks, fields=[("content-encoding", name), ("accept-encoding", name)])
            assert answer.status == 200
            large = size > 1024
            assert answer.values("content-encoding") == ([name] if large else [])
            assert answer.values("content-length") == [str(len(answer.content))]
            assert text(unpacked(name, answer.content) if large else answer.content) == "x" * size

    def test_a_reply_alone(self, interface: str, compression: AnyCompression) -> None:
        name = compression.name()
        server = serve(interface, compression)
        for value in "short", LONG, LONG, "short", "":
            answer = server.call(chunks=[message(value)], fields=[("accept-encoding", f"br;q=0.1, {name}")])
            assert answer.values("content-encoding") == ([name] if value is LONG else [])
            assert text(unpacked(name, answer.content) if value is LONG else answer.content) == value

    def test_json(self, interface: str, compression: AnyCompression) -> None:
        name = compression.name()
        content = packed(name, json.dumps(LONG).encode())
        fields = [("content-encoding", name)]  # what a client writes it reads
        answer = serve(interface, compression).call(chunks=[content], fields=fields, content_type="application/json")
        assert json.loads(unpacked(name, answer.content)) == LONG

    def test_get(self, interface: str, compression: AnyCompression) -> None:
        name = compression.name()
        data = quote(base64.urlsafe_b64encode(packed(name, message(LONG))).decode())
        query = f"connect=v1&encoding=proto&base64=1&compression={name}&message={data}"
        server = serve(interface, compression)
        answer = server.call(http_method="GET", query=query, content_type="", fields=[("accept-encoding", name)])
        assert text(unpacked(name, answer.content)) == LONG
        assert answer.values("vary") == ["accept-encoding"]

    def test_damage(self, interface: str, compression: AnyCompression) -> None:
        name = compression.name()
        server = serve(interface, compression)
        for content in damaged(name, message(LONG)):
            answer = server.call(chunks=[content], fields=[("content-encoding", name)])
            assert (answer.status, code(answer)) == (400, "invalid_argument"), content
            data = quote(base64.urlsafe_b64encode(content).decode())
            query = f"connect=v1&encoding=proto&base64=1&compression={name}&message={data}"
            assert code(server.call(http_method="GET", query=query, content_type="")) == "invalid_argument"
        good = server.call(chunks=[packed(name, message("a"))], fields=[("content-encoding", name)])
        assert text(good.content) == "a"

    def test_limit(self, interface: str, compression: AnyCompression) -> None:
        """It is kept before and after decompression, and what has just the size goes through."""
        name = compression.name()
        data = message("y" * 5000)
        for limit, status in (len(data), 200), (len(data) - 1, 429), (10, 429):
            server = serve(interface, compression, read_max_bytes=limit)
            answer = server.call(chunks=[packed(name, data)], fields=[("content-encoding", name), ("accept-encoding", "")])
            assert answer.status == status
            assert status == 200 or code(answer) == "resource_exhausted"

    def test_an_error_is_not_compressed(self, interface: str, compression: AnyCompression) -> None:
        def fail(request: Any, ctx: Any) -> Any:
            raise ValueError

        server = Server(interface, {UNARY: fail}, {"compressions": [compression]})
        answer = server.call(fields=[("accept-encoding", compression.name())])
        assert code(answer) == "unknown"


class TestStreams:
    @pytest.mark.parametrize("protocol", STREAMS)
    @pytest.mark.parametrize("kind", [UNARY, CLIENT, SERVER, BIDI])
    def test_both_ways(self, interface: str, compression: AnyCompression, protocol: str, kind: str) -> None:
        form, used, accepted = STREAMS[protocol]
        if kind == UNARY and protocol == "Connect":
            return
        name = compression.name()
        # Messages that are marked as compressed and such that are not, in one stream.
        sent = [LONG] if kind == UNARY else ["40"] if kind == SERVER else [LONG, "short", LONG.upper()]
        content = b"".join(
            envelope(message(each)) if each == "short" else envelope(packed(name, message(each)), 1) for each in sent
        )
        server = serve(interface, compression)
        for chunks in [content], [content[:3], content[3:50], content[50:]]:
            answer = server.call(procedure=kind, chunks=chunks, fields=[(used, name), (accepted, name)], **form)
            assert answer.values(used) == [name]
            got = []
            for flags, data in envelopes(answer.content):
                if flags in (0, 1):
                    assert flags == (len(unpacked(name, data) if flags else data) >= 1024)
                    got.append(text(unpacked(name, data) if flags else data))
            want = {
                UNARY: [LONG],
                CLIENT: ["+".join(sent)],
                SERVER: [str(number) for number in range(40)],
                BIDI: [each.upper() for each in sent],
            }
            assert got == want[kind]

    def test_grpc_web_as_text(self, interface: str, compression: AnyCompression) -> None:
        name = compression.name()
        content = base64.b64encode(envelope(packed(name, message(LONG)), 1) + envelope(message("b")))
        answer = serve(interface, compression).call(
            procedure=BIDI,
            chunks=[content[:5], content[5:]],
            content_type="application/grpc-web-text",
            fields=[("grpc-encoding", name)],
            length=False,
        )
        (first, large), (second, small), (last, _) = envelopes(plain(answer.content))
        assert (first, second, last) == (1, 0, 0x80)
        assert (text(unpacked(name, large)), text(small)) == (LONG.upper(), "B")

    @pytest.mark.parametrize("protocol", STREAMS)
    @pytest.mark.parametrize("kind", [CLIENT, BIDI])
    def test_damage(self, interface: str, compression: AnyCompression, protocol: str, kind: str) -> None:
        form, used, _ = STREAMS[protocol]
        name = compression.name()
        server = serve(interface, compression)
        for content in damaged(name, message(LONG)):
            answer = server.call(procedure=kind, chunks=[envelope(content, 1)], fields=[(used, name)], **form)
            assert code(answer) == "invalid_argument", content

    @pytest.mark.parametrize("protocol", STREAMS)
    def test_limit(self, interface: str, compression: AnyCompression, protocol: str) -> None:
        form, used, _ = STREAMS[protocol]
        name = compression.name()
        data = message("y" * 5000)
        content = envelope(packed(name, data), 1)
        for limit, over in (len(data), False), (len(data) - 1, True), (10, True):
            server = serve(interface, compression, read_max_bytes=limit)
            answer = server.call(procedure=CLIENT, chunks=[content], fields=[(used, name)], **form)
            if over:
                assert code(answer) == "resource_exhausted"
            else:
                assert text(unpacked(name, envelopes(answer.content)[0][1])) == "y" * 5000


class TestChoice:
    """Which coding a server writes."""

    @pytest.mark.parametrize(
        ("accept", "chosen"),
        [
            *((each, each) for each in CODINGS),
            (", ".join(CODINGS), "gzip"),
            ("snappy, gzip", "snappy"),
            ("gzip;q=0.5, zstd;q=0.9, br;q=0.8", "zstd"),
            ("gzip;q=0, br;q=0.001", "br"),
            ("*;q=0.5, gzip;q=0", "deflate"),
            ("*", "gzip"),
            ("*;q=0", ""),
            ("identity, deflate", "deflate"),
            ("identity;q=0.9, deflate;q=0.1", ""),
            ("lzma, ZSTD", "zstd"),
            ("lzma", ""),
            ("x-gzip", "gzip"),
        ],
    )
    def test_by_weights(self, interface: str, accept: str, chosen: str) -> None:
        answer = serve(interface, *OFFERED).call(chunks=[message(LONG)], fields=[("accept-encoding", accept)])
        assert answer.values("content-encoding") == ([chosen] if chosen else [])
        assert text(unpacked(chosen, answer.content) if chosen else answer.content) == LONG

    @pytest.mark.parametrize("coding", CODINGS)
    def test_one_way_in_another_way_out(self, interface: str, coding: str) -> None:
        """The module may do one of them and Python the other."""
        server = serve(interface, *OFFERED)
        for other in CODINGS:
            fields = [("content-encoding", coding), ("accept-encoding", other)]
            answer = server.call(chunks=[packed(coding, message(LONG))], fields=fields)
            assert text(unpacked(other, answer.content)) == LONG
            fields = [("connect-content-encoding", coding), ("connect-accept-encoding", other)]
            content = [envelope(packed(coding, message(LONG)), 1)]
            answer = server.call(procedure=BIDI, chunks=content, fields=fields, **CONNECT)
            assert text(unpacked(other, envelopes(answer.content)[0][1])) == LONG.upper()

    def test_unknown(self, interface: str) -> None:
        answer = serve(interface, *OFFERED).call(fields=[("content-encoding", "lzma")])
        assert code(answer) == "unimplemented"
        assert json.loads(answer.content)["message"].endswith("gzip, deflate, br, zstd, snappy")
        assert answer.values("accept-encoding") == ["gzip, deflate, br, zstd, snappy"]

    def test_a_reply_that_another_one_follows(self, interface: str) -> None:
        """What is remembered of a head never serves one that asks for another coding."""
        server = Server(interface, {UNARY: echo}, {"compressions": OFFERED})
        for _ in range(3):
            for coding in CODINGS:
                answer = server.call(chunks=[message(LONG)], fields=[("accept-encoding", coding)])
                assert answer.values("content-encoding") == [coding]
                assert text(unpacked(coding, answer.content)) == LONG


class Starts:
    """An interceptor, so that a call is served behind one."""

    async def on_start(self, ctx: Any) -> None: ...

    def on_start_sync(self, ctx: Any) -> None: ...


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
@pytest.mark.parametrize("interceptors", [[], [Starts()]], ids=["bare", "behind an interceptor"])
@pytest.mark.parametrize("kind", [{}, GRPC, GRPC_WEB], ids=["Connect", "gRPC", "gRPC-Web"])
@pytest.mark.parametrize("bad", BAD)
def test_bad_content_is_decompressed_once(interface: str, interceptors: list[Any], kind: dict[str, Any], bad: str) -> None:
    """Else a bomb costs twice what it must. From the second time on, the head is known."""
    counting = Counting()
    server = serve(interface, counting, interceptors=interceptors)
    fields = [("grpc-encoding" if kind else "content-encoding", "gzip")]
    for times in range(1, 5):
        content = envelope(BAD[bad], 1) if kind else BAD[bad]
        answer = server.call(Request(chunks=[content], fields=fields, **kind))
        assert code(answer) == ("resource_exhausted" if bad == "a bomb" else "invalid_argument")
        assert counting.asked == times
