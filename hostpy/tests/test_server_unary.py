"""Unary calls: what a handler sees and what its caller gets, the same under ASGI and WSGI."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from connectcore._wasm import abi
from connectcore.code import Code
from connectcore.errors import ConnectError
from server_support import (
    CLIENT,
    SERVER,
    UNARY,
    Answer,
    Request,
    Server,
    echo,
    envelope,
    message,
    text,
    watched_steps,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectcore.request import RequestContext

    Context = RequestContext[Any, Any]

T = TypeVar("T")


@pytest.fixture
def steps() -> Iterator[list[bytes]]:
    """The batches that the process's instance is given from now on."""
    with watched_steps() as seen:
        yield seen.batches


def error(answer: Answer) -> tuple[str, str]:
    found = json.loads(answer.content)
    return found["code"], found.get("message", "")


class TestSuccess:
    def test_proto(self, interface: str) -> None:
        answer = Server(interface, {UNARY: echo}).call()
        assert answer == Answer(
            200, [("content-type", "application/proto"), ("content-length", "7")], message("hello"), writes=[message("hello")]
        )

    def test_json(self, interface: str) -> None:
        answer = Server(interface, {UNARY: echo}).call(chunks=[b'"hello"'], content_type="application/json")
        assert (answer.status, answer.values("content-type"), answer.content) == (200, ["application/json"], b'"hello"')

    def test_get(self, interface: str) -> None:
        answer = Server(interface, {UNARY: echo}).call(
            http_method="GET", query="connect=v1&encoding=json&message=%22hello%22", content_type="", chunks=()
        )
        assert (answer.status, answer.content) == (200, b'"hello"')

    def test_empty_reply(self, interface: str) -> None:
        answer = Server(interface, {UNARY: lambda request, ctx: StringValue()}).call()
        assert (answer.status, answer.values("content-length"), answer.content) == (200, ["0"], b"")

    def test_empty_request(self, interface: str) -> None:
        answer = Server(interface, {UNARY: echo}).call(chunks=())
        assert (answer.status, answer.content) == (200, b"")

    @pytest.mark.parametrize("size", [1, 4_096, 16_384, 16_385, 65_536, 70_000, 1_500_000])
    def test_sizes(self, interface: str, size: int) -> None:
        answer = Server(interface, {UNARY: echo}).call(chunks=[message("x" * size)])
        assert (answer.status, len(text(answer.content))) == (200, size)

    @pytest.mark.parametrize("length", [True, False])
    @pytest.mark.parametrize("timeout", [(), (("connect-timeout-ms", "5000"),)])
    def test_content_in_any_chunks(self, interface: str, length: bool, timeout: Any) -> None:
        data = message("hello")
        for chunks in ([data[i : i + 1] for i in range(len(data))], [data[:3], b"", data[3:]], [data[:1], data[1:]]):
            answer = Server(interface, {UNARY: echo}).call(chunks=chunks, length=length, fields=timeout)
            assert (answer.status, answer.content) == (200, data)

    def test_handler_s_context(self, interface: str) -> None:
        seen: dict[str, Any] = {}

        def look(request: StringValue, ctx: Context) -> StringValue:
            seen["fields"] = list(ctx.request_headers.allitems())
            seen["bytes"] = ctx.request_headers.getallbin("x-data-bin")
            seen["method"] = (ctx.http_method, ctx.method.name)
            seen["addresses"] = (ctx.server_address, ctx.client_address)
            seen["timeout"] = ctx.timeout_ms
            return request

        fields = [
            ("x-one", "1"),
            ("x-name", "J\u00fcrgen".encode().decode("latin-1")),
            ("x-data-bin", "AAE"),
            ("connect-timeout-ms", "9000"),
            ("connect-protocol-version", "1"),
        ]
        assert Server(interface, {UNARY: look}).call(fields=fields).status == 200
        own = [item for item in seen["fields"] if item[0].startswith("x-")]
        assert own == [("x-one", "1"), ("x-name", "J\u00fcrgen"), ("x-data-bin", "AAE")]
        assert not [name for name, _ in seen["fields"] if name.startswith(("connect-", "content-"))]
        assert seen["bytes"] == [b"\0\1"]
        assert seen["method"] == ("POST", UNARY)
        assert seen["addresses"] == ("test:80", "127.0.0.2:1234")
        assert 8000 < seen["timeout"] <= 9000

    def test_metadata(self, interface: str) -> None:
        def give(request: StringValue, ctx: Context) -> StringValue:
            ctx.response_headers.add("x-lead", "1")
            ctx.response_headers.add("x-lead", "2")
            ctx.response_headers.add_bin("x-lead-bin", b"\0\1")
            ctx.response_trailers["x-trail"] = "3"
            return request

        answer = Server(interface, {UNARY: give}).call()
        assert (answer.status, answer.content) == (200, message("hello"))
        assert answer.values("x-lead") == ["1", "2"]
        assert answer.values("x-lead-bin") == ["AAE"]
        assert answer.values("trailer-x-trail") == ["3"]


class TestCompression:
    def test_request(self, interface: str) -> None:
        answer = Server(interface, {UNARY: echo}).call(
            chunks=[gzip.compress(message("hello"))], fields=[("content-encoding", "gzip")]
        )
        assert (answer.status, answer.content) == (200, message("hello"))

    @pytest.mark.parametrize(("size", "packed"), [(100, False), (2000, True)])
    def test_reply(self, interface: str, size: int, packed: bool) -> None:
        server = Server(interface, {UNARY: echo})
        for _ in range(2):  # the second time the verdict is kept
            answer = server.call(chunks=[message("x" * size)], fields=[("accept-encoding", "gzip")])
            assert answer.values("content-encoding") == (["gzip"] if packed else [])
            assert answer.values("content-length") == [str(len(answer.content))]
            content = zlib.decompress(answer.content, 31) if packed else answer.content
            assert text(content) == "x" * size

    def test_none_offered(self, interface: str) -> None:
        server = Server(interface, {UNARY: echo}, {"compressions": []})
        answer = server.call(chunks=[message("x" * 2000)], fields=[("accept-encoding", "gzip")])
        assert not answer.values("content-encoding")
        assert error(server.call(fields=[("content-encoding", "gzip")]))[0] == "unimplemented"

    def test_bad(self, interface: str) -> None:
        answer = Server(interface, {UNARY: echo}).call(chunks=[b"not gzip"], fields=[("content-encoding", "gzip")])
        assert (answer.status, error(answer)) == (400, ("invalid_argument", "a message does not decompress"))

    def test_bomb(self, interface: str) -> None:
        bomb = gzip.compress(bytes(100_000))
        answer = Server(interface, {UNARY: echo}, {"read_max_bytes": 1000}).call(
            chunks=[bomb], fields=[("content-encoding", "gzip")]
        )
        assert (answer.status, error(answer)[0]) == (429, "resource_exhausted")


class TestFailure:
    def test_error_of_the_handler_s(self, interface: str) -> None:
        def fail(request: StringValue, ctx: Context) -> StringValue:
            ctx.response_headers["x-lead"] = "1"
            raise ConnectError(
                Code.NOT_FOUND, "no such \N{SNOWMAN}", [StringValue(value="detail")], metadata={"x-why": "because"}
            )

        answer = Server(interface, {UNARY: fail}).call()
        assert answer.status == 404
        assert json.loads(answer.content) == {
            "code": "not_found",
            "message": "no such \N{SNOWMAN}",
            "details": [{"type": "google.protobuf.StringValue", "value": "CgZkZXRhaWw"}],
        }
        assert (answer.values("x-lead"), answer.values("trailer-x-why")) == (["1"], ["because"])

    @pytest.mark.parametrize("code", list(Code))
    def test_every_code(self, interface: str, code: Code) -> None:
        def fail(request: StringValue, ctx: Context) -> StringValue:
            raise ConnectError(code, "text")

        assert error(Server(interface, {UNARY: fail}).call()) == (code.value, "text")

    def test_anything_else_goes_to_the_log_and_not_to_the_peer(self, interface: str, caplog: pytest.LogCaptureFixture) -> None:
        def fail(request: StringValue, ctx: Context) -> StringValue:
            raise RuntimeError("the secret is 42")

        answer = Server(interface, {UNARY: fail}).call()
        assert (answer.status, error(answer)) == (500, ("unknown", "the handler failed unexpectedly"))
        assert "The handler of /acme.v1.Service/Unary failed" in caplog.text
        assert "RuntimeError: the secret is 42" in caplog.text

    @pytest.mark.parametrize("reply", [None, "text", object()])
    def test_reply_that_is_no_message(self, interface: str, reply: object, caplog: pytest.LogCaptureFixture) -> None:
        answer = Server(interface, {UNARY: lambda request, ctx: reply}).call()
        assert (answer.status, error(answer)) == (500, ("internal", "the message to send cannot be encoded"))
        assert "A reply of /acme.v1.Service/Unary cannot be encoded" in caplog.text

    def test_message_that_does_not_decode(self, interface: str, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG, "connectcore.server"):
            answer = Server(interface, {UNARY: echo}).call(chunks=[b"\xff"])
        assert (answer.status, error(answer)) == (400, ("invalid_argument", "a message does not decode"))
        assert "A request of /acme.v1.Service/Unary is bad: DecodeError(" in caplog.text

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"{", "line 1 column 2"),
            (b"7", "'int'"),
            (b'"\xff"', "position 1"),
            (b'"a', "line 1 column"),
        ],
    )
    def test_json_that_does_not_decode(self, interface: str, content: bytes, words: str) -> None:
        answer = Server(interface, {UNARY: echo}).call(chunks=[content], content_type="application/json")
        code, text = error(answer)
        assert (answer.status, code) == (400, "invalid_argument")
        assert text.startswith("a message does not decode: ")
        assert words in text

    def test_what_a_codec_s_own_fault_says_is_not_for_the_peer(self, interface: str, caplog: pytest.LogCaptureFixture) -> None:
        class Faulty:
            def name(self) -> str:
                return "json"

            def encode(self, message: object) -> bytes:
                return b""

            def decode(self, data: bytes | bytearray | memoryview, message_class: type[T]) -> T:
                raise KeyError("the secret is 42")

        server = Server(interface, {UNARY: echo}, {"codecs": [Faulty()]})
        with caplog.at_level(logging.DEBUG, "connectcore.server"):
            answer = server.call(chunks=[b"{}"], content_type="application/json")
        assert error(answer) == ("invalid_argument", "a message does not decode")
        assert "the secret is 42" in caplog.text

    @pytest.mark.parametrize("length", [True, False])
    @pytest.mark.parametrize("chunks", [[message("x" * 2000)], [message("x" * 2000)[i : i + 100] for i in range(0, 2003, 100)]])
    def test_message_over_the_limit(self, interface: str, length: bool, chunks: list[bytes]) -> None:
        server = Server(interface, {UNARY: echo}, {"read_max_bytes": 1000})
        answer = server.call(chunks=chunks, length=length)
        assert (answer.status, error(answer)[0]) == (429, "resource_exhausted")
        assert server.call(length=length).status == 200

    def test_line_break_in_metadata_never_reaches_the_wire(self, interface: str) -> None:
        def smuggle(request: StringValue, ctx: Context) -> StringValue:
            ctx.response_headers["x-lead"] = "1\r\nset-cookie: a=b"
            return request

        answer = Server(interface, {UNARY: smuggle}).call()
        assert error(answer)[0] == "internal"
        assert not answer.values("x-lead")

    def test_refused(self, interface: str) -> None:
        server = Server(interface, {UNARY: echo, SERVER: echo})
        assert server.call(path="/acme.v1.Service/Other").status == 404
        assert server.call(path="//acme.v1.Service/Unary").status == 404
        assert server.call(content_type="text/plain").status == 415
        refused = server.call(http_method="PUT")
        assert (refused.status, refused.values("allow")) == (405, ["GET, POST"])
        assert server.call(procedure=SERVER, http_method="GET", content_type="").status == 405

    def test_limit_that_makes_no_sense(self, interface: str) -> None:
        for limit in (0, -1, 1 << 31):
            with pytest.raises(ValueError, match="read_max_bytes must be from 1 to 2147483647, or None"):
                Server(interface, {UNARY: echo}, {"read_max_bytes": limit})


class TestPath:
    def test_escapes_make_another_path(self, interface: str) -> None:
        server = Server(interface, {UNARY: echo})
        assert server.call(raw_path="/acme.v1.Service/Unary").status == 200
        assert server.call(raw_path="/acme.v1.Servic%65/Unary").status == 404

    def test_mounted(self, interface: str) -> None:
        server = Server(interface, {UNARY: echo})
        own = "/acme.v1.Service/Unary"
        # As a framework says it that keeps the prefix in the path, and as one that does not.
        if interface == "asgi":
            assert server.call(path=f"/api{own}", root="/api", raw_path=f"/api{own}").status == 200
            assert server.call(path=f"/my api{own}", root="/my api", raw_path=f"/my%20api{own}").status == 200
        assert server.call(path=own, root="/api", raw_path=f"/api{own}").status == 200
        # At the service's own path.
        assert server.call(path="/Unary", root="/acme.v1.Service").status == 200
        assert server.call(path="/api", root="/acme.v1.Service").status == 404
        # There, below another mount.
        if interface == "asgi":
            assert server.call(path=f"/api{own}", root="/api/acme.v1.Service", raw_path=f"/api{own}").status == 200
            assert server.call(path=f"/api/v1{own}", root="/api").status == 404
            # Behind a proxy that takes the first mount out of the path.
            assert server.call(path=f"/api{own}", root="/proxy/api", raw_path=f"/api{own}").status == 200
            assert server.call(path=f"/api{own}", root="/proxy/api/acme.v1.Service").status == 200
            assert server.call(path=f"/v1{own}", root="/proxy/api").status == 404
            assert server.call(path=f"/pi{own}", root="/proxy/api").status == 404
        assert server.call(path="/Unary", root="/api/acme.v1.Service").status == 200
        assert server.call(path="/acme.v1.Service/Unary", root="/acme").status == 200
        assert server.call(path="/v1/acme.v1.Service/Unary", root="/api").status == 404
        assert server.call(path="/Unary", root="/api/acme.v1.Other").status == 404


class TestShortWay:
    """Plain calls settle in one step, or none; what they answer is what the guest would say in full."""

    def test_steps(self, interface: str, steps: list[bytes]) -> None:
        server = Server(interface, {UNARY: echo})
        server.call()
        first = len(steps)
        assert first in (1, 2)  # the call, and the configuration unless an equal server has it
        server.call()
        assert len(steps) == first + 1
        server.call()
        assert len(steps) == first + 1  # a head that came twice before: the verdict is kept
        server.call(fields=[("x-request-id", "1")])
        assert len(steps) == first + 2
        server.call(chunks=[b"\xff" * 7])
        assert len(steps) == first + 3  # not plain: all is told at once

    def test_steps_do_not_depend_on_what_was_served_before(self, interface: str, steps: list[bytes]) -> None:
        server = Server(interface, {UNARY: echo})
        packed = Request(chunks=[gzip.compress(message("hello"))], fields=[("content-encoding", "gzip")])
        grpc = Request(**TestGrpc.REQUEST, trailers=True)
        if interface == "wsgi":
            grpc.length = True
        server.call()
        for _ in range(40):
            for request in (packed, grpc):
                first = len(steps)
                server.call(request)
                assert len(steps) <= first + 2
            for number in range(20):
                server.call(fields=[("x-request-id", str(number))])

    @pytest.mark.parametrize("size", [0, 1, 9, 10, 126, 127, 128, 1023, 1024, 5000])
    @pytest.mark.parametrize("codec", ["proto", "json"])
    @pytest.mark.parametrize("accept", ["", "gzip"])
    def test_same_answer(self, interface: str, size: int, codec: str, accept: str, monkeypatch: pytest.MonkeyPatch) -> None:
        chunk = message("x" * size) if codec == "proto" else b'"%s"' % (b"x" * size)
        request = Request(chunks=[chunk], content_type=f"application/{codec}", fields=[("accept-encoding", accept)])
        short = Server(interface, {UNARY: echo})
        answers = [short.call(request) for _ in range(3)]
        monkeypatch.setattr(abi, "OPEN_PREPARE", 0)
        answers.append(Server(interface, {UNARY: echo}).call(request))
        for answer in answers[:-1]:
            assert answer.status == answers[-1].status
            assert sorted(answer.fields) == sorted(answers[-1].fields)
            assert answer.content == answers[-1].content

    def test_other_protocols_after_many_plain_calls(self, interface: str) -> None:
        server = Server(interface, {UNARY: echo})
        for _ in range(40):
            server.call(fields=[("x-request-id", str(id(object())))])
        packed = server.call(chunks=[gzip.compress(message("hello"))], fields=[("content-encoding", "gzip")])
        assert (packed.status, packed.content) == (200, message("hello"))
        grpc = server.call(
            chunks=[envelope(message("hello"))], content_type="application/grpc", http_version="2", trailers=True, length=False
        )
        assert (grpc.status, grpc.content, grpc.trailers) == (200, envelope(message("hello")), [("grpc-status", "0")])


class TestGrpc:
    REQUEST: ClassVar[dict[str, Any]] = {
        "chunks": [envelope(message("hello"))],
        "content_type": "application/grpc+proto",
        "fields": [("te", "trailers")],
        "http_version": "2",
        "length": False,
    }

    def test_success(self, interface: str) -> None:
        answer = Server(interface, {UNARY: echo}).call(**self.REQUEST, trailers=True)
        assert (answer.status, answer.content) == (200, envelope(message("hello")))
        assert answer.trailers == [("grpc-status", "0")]

    def test_error(self, interface: str) -> None:
        def fail(request: StringValue, ctx: Context) -> StringValue:
            raise ConnectError(Code.NOT_FOUND, "none")

        answer = Server(interface, {UNARY: fail}).call(**self.REQUEST, trailers=True)
        assert (answer.status, answer.content) == (200, b"")
        assert answer.trailers == [("grpc-status", "5"), ("grpc-message", "none")]

    def test_server_without_trailers(self, interface: str) -> None:
        answer = Server(interface, {UNARY: echo}).call(**self.REQUEST)
        assert (answer.status, answer.values("grpc-status")) == (200, ["12"])


class TestDeadline:
    def test_passed_when_the_handler_is_done(self, interface: str) -> None:
        import time

        def slow(request: StringValue, ctx: Context) -> StringValue:
            time.sleep(0.02)
            return request

        answer = Server(interface, {UNARY: slow}).call(fields=[("connect-timeout-ms", "10")])
        assert (answer.status, error(answer)) == (504, ("deadline_exceeded", "the deadline has passed"))

    def test_zero(self, interface: str) -> None:
        ran: list[Any] = []
        answer = Server(interface, {UNARY: lambda request, ctx: ran.append(request)}).call(fields=[("connect-timeout-ms", "0")])
        assert (error(answer)[0], ran) == ("deadline_exceeded", [])


def test_client_stream_without_messages(interface: str) -> None:
    def count(requests: Any, ctx: Context) -> StringValue:
        return StringValue(value=str(len(list(requests))))

    answer = Server(interface, {CLIENT: count}).call(procedure=CLIENT, chunks=(), content_type="application/connect+proto")
    assert answer.content.startswith(envelope(message("0")))
