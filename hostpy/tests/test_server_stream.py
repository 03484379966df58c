"""Streams, the same under ASGI and WSGI: messages both ways, their errors, and what arrives before an error."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from connectcore.code import Code
from connectcore.errors import ConnectError
from server_support import (
    ALL,
    BIDI,
    CLIENT,
    CONNECT,
    GRPC,
    SERVER,
    UNARY,
    Answer,
    Server,
    envelope,
    envelopes,
    join,
    message,
    repeat,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectcore.request import RequestContext

    Context = RequestContext[Any, Any]


def test_without_trailers_the_log_says_once_what_to_do(interface: str, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(interface, {UNARY: lambda request, ctx: request, BIDI: repeat})
    for procedure in (UNARY, BIDI, UNARY):
        answer = server.call(procedure=procedure, chunks=[envelope(message("a"))], **{**GRPC, "trailers": False})
        assert (answer.status, answer.values("grpc-status"), answer.trailers) == (200, ["12"], [])
    (said,) = [record.getMessage() for record in caplog.records]
    assert "needs a server that sends trailers" in said
    assert ("uvicorn with" if interface == "asgi" else "pyvoy") in said


def requests(*texts: str) -> bytes:
    return b"".join(envelope(message(each)) for each in texts)


def result(answer: Answer) -> tuple[list[str], dict[str, Any]]:
    """The messages of a Connect stream, and what its end says."""
    assert answer.status == 200, answer
    *messages, (flags, end) = envelopes(answer.content)
    assert flags == 2
    assert all(flags == 0 for flags, _ in messages)
    return [text(data) for _, data in messages], json.loads(end)


@pytest.mark.parametrize(
    ("procedure", "sent", "wanted"),
    [
        (SERVER, ["3"], ["0", "1", "2"]),
        (SERVER, ["0"], []),
        (SERVER, ["1000"], [str(number) for number in range(1000)]),
        (CLIENT, ["a", "b", "c"], ["a+b+c"]),
        (CLIENT, [], [""]),
        (BIDI, ["a", "b"], ["A", "B"]),
        (BIDI, [], []),
    ],
)
class TestMessages:
    @pytest.mark.parametrize("http_version", ["1.1", "2"])
    def test_connect(self, interface: str, procedure: str, sent: list[str], wanted: list[str], http_version: str) -> None:
        answer = Server(interface, ALL).call(
            procedure=procedure, chunks=[requests(*sent)], **CONNECT, http_version=http_version
        )
        assert result(answer) == (wanted, {})

    def test_grpc(self, interface: str, procedure: str, sent: list[str], wanted: list[str]) -> None:
        answer = Server(interface, ALL).call(procedure=procedure, chunks=[requests(*sent)], **GRPC)
        assert [text(data) for _, data in envelopes(answer.content)] == wanted
        assert answer.trailers == [("grpc-status", "0")]

    @pytest.mark.parametrize("size", [1, 2, 7])
    def test_content_in_any_chunks(self, interface: str, procedure: str, sent: list[str], wanted: list[str], size: int) -> None:
        content = requests(*sent)
        chunks = [content[at : at + size] for at in range(0, len(content), size)]
        answer = Server(interface, ALL).call(procedure=procedure, chunks=chunks, **CONNECT)
        assert result(answer) == (wanted, {})


@pytest.mark.parametrize("size", [4_000, 17_000, 66_000, 300_000])
@pytest.mark.parametrize("chunk", [1_000, 65_536, 1_000_000])
def test_large_messages(interface: str, size: int, chunk: int) -> None:
    """Of long content the guest sees a part, and asks for what it needs."""
    letters = "abcdefgh"
    content = requests(*(letter * size for letter in letters))
    chunks = [content[at : at + chunk] for at in range(0, len(content), chunk)]
    answer = Server(interface, ALL).call(procedure=BIDI, chunks=chunks, **CONNECT)
    messages, end = result(answer)
    assert [(len(each), each[:1], each[-1:]) for each in messages] == [(size, c.upper(), c.upper()) for c in letters]
    assert end == {}


def test_many_small_messages_in_long_content(interface: str) -> None:
    texts = [str(number) for number in range(20_000)]
    answer = Server(interface, ALL).call(procedure=CLIENT, chunks=[requests(*texts)], **CONNECT)
    assert result(answer) == (["+".join(texts)], {})


def test_compression(interface: str) -> None:
    content = envelope(gzip.compress(message("x" * 3000)), 1) + envelope(message("small"))
    fields = [("connect-content-encoding", "gzip"), ("connect-accept-encoding", "gzip")]
    answer = Server(interface, ALL).call(procedure=BIDI, chunks=[content], fields=fields, **CONNECT)
    assert answer.values("connect-content-encoding") == ["gzip"]
    (first, large), (second, small), (last, end) = envelopes(answer.content)
    assert (first, second, last, end) == (1, 0, 2, b"{}")
    assert (text(gzip.decompress(large)), text(small)) == ("X" * 3000, "SMALL")


def fail_after(request: StringValue, ctx: Context) -> Iterator[Any]:
    ctx.response_headers["x-lead"] = "1"
    ctx.response_trailers["x-trail"] = "2"
    kind, count = request.value.split()
    for number in range(int(count)):
        yield StringValue(value=str(number))
    if kind == "error":
        raise ConnectError(Code.ABORTED, "enough", metadata={"x-why": "because"})
    if kind == "bug":
        raise RuntimeError("the secret is 42")
    if kind == "reply":
        yield "no message"


class TestErrors:
    @pytest.mark.parametrize("count", [0, 1, 3, 300])
    @pytest.mark.parametrize(
        ("kind", "code", "said"),
        [
            ("error", "aborted", "enough"),
            ("bug", "unknown", "the handler failed unexpectedly"),
            ("reply", "internal", "the message to send cannot be encoded"),
        ],
    )
    def test_what_came_before_is_delivered(self, interface: str, kind: str, code: str, said: str, count: int) -> None:
        answer = Server(interface, {SERVER: fail_after}).call(procedure=SERVER, chunks=[requests(f"{kind} {count}")], **CONNECT)
        messages, end = result(answer)
        assert messages == [str(number) for number in range(count)]
        assert end["error"] == {"code": code, "message": said}
        assert "secret" not in answer.content.decode("latin-1")
        if kind == "error":
            assert answer.values("x-lead") == ["1"]
            assert end["metadata"] == {"x-trail": ["2"], "x-why": ["because"]}

    @pytest.mark.parametrize(
        ("content", "code"),
        [
            (requests("a") + envelope(b"\xff"), "invalid_argument"),  # does not decode
            (requests("a") + envelope(message("b"), 1), "internal"),  # compressed, and no compression was named
            (requests("a") + envelope(message("b"), 0x40), "invalid_argument"),  # unknown flag
            (requests("a") + envelope(message("b"))[:-1], "invalid_argument"),  # cut short
            (requests("a", "x" * 2000), "resource_exhausted"),
        ],
    )
    @pytest.mark.parametrize("whole", [True, False])
    def test_bad_requests(self, interface: str, content: bytes, code: str, whole: bool) -> None:
        seen: list[str] = []

        def keep(stream: Any, ctx: Context) -> StringValue:
            for each in stream:
                seen.append(each.value)  # noqa: PERF401 - what came before an error counts
            return StringValue(value="all good")

        chunks = [content] if whole else [content[at : at + 3] for at in range(0, len(content), 3)]
        server = Server(interface, {CLIENT: keep}, {"read_max_bytes": 1000})
        answer = server.call(procedure=CLIENT, chunks=chunks, **CONNECT)
        messages, end = result(answer)
        assert (messages, end["error"]["code"]) == ([], code)
        if interface == "wsgi":  # the support's async handler reads all before it calls this one
            assert seen == ["a"]
        assert result(server.call(procedure=CLIENT, chunks=[requests("b")], **CONNECT)) == (["all good"], {})

    def test_too_many_messages_for_a_server_stream(self, interface: str) -> None:
        answer = Server(interface, {SERVER: repeat}).call(procedure=SERVER, chunks=[requests("1", "1")], **CONNECT)
        assert result(answer)[1]["error"]["code"] == "unimplemented"


def test_handler_that_does_not_read_on(interface: str) -> None:
    def first(stream: Any, ctx: Context) -> StringValue:
        return StringValue(value=next(iter(stream)).value)

    server = Server(interface, {CLIENT: first})
    if interface == "wsgi":
        answer = server.call(procedure=CLIENT, chunks=[requests("a"), requests("b") * 1000], **CONNECT)
        assert result(answer) == (["a"], {})


def test_wsgi_writes_each_message_when_it_is_there() -> None:
    answer = Server("wsgi", {SERVER: repeat}).call(procedure=SERVER, chunks=[requests("3")], **CONNECT)
    assert [len(envelopes(each)) for each in answer.writes] == [1, 1, 1, 1]


def test_unknown_procedure_with_content(interface: str) -> None:
    answer = Server(interface, {CLIENT: join}).call(path="/acme.v1.Service/None", chunks=[requests("a")], **CONNECT)
    assert answer.status == 404


def test_unary_procedure_by_a_stream_s_content_type(interface: str) -> None:
    assert Server(interface, ALL).call(procedure=UNARY, chunks=[requests("a")], **CONNECT).status == 415
