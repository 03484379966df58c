"""What only WSGI has: its environment, content without a length, content that a server cuts short."""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from connectcore._server import memory, wsgi_request
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.server import ConnectWSGIRouter
from server_support import (
    ALL,
    CLIENT,
    CONNECT,
    GRPC,
    SERVER,
    UNARY,
    WSGI,
    Answer,
    Chunks,
    Request,
    Server,
    call_wsgi,
    echo,
    envelope,
    envelopes,
    environ,
    message,
    text,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from google.protobuf.wrappers_pb2 import StringValue


def call(variables: dict[str, Any], application: Any = None) -> Answer:
    """A call with an environment that a test has changed."""
    answer = Answer()

    def start_response(status: str, fields: list[tuple[str, str]]) -> None:
        answer.status, answer.fields = int(status[:3]), fields

    answer.content = b"".join((application or WSGI({UNARY: echo}))(variables, start_response))
    return answer


class TestContent:
    def test_announced_and_cut_short(self) -> None:
        """The peer went away: nobody hears the answer that WSGI wants all the same, and the handler does not run."""
        ran: list[Any] = []

        def handler(request: Any, ctx: Any) -> Any:
            ran.append(request)
            return request

        variables = environ(Request())
        variables["CONTENT_LENGTH"] = "8"
        assert call(variables, WSGI({UNARY: handler})).status == 400
        assert not ran

    def test_stream_cut_short(self) -> None:
        seen: list[Any] = []

        def handler(requests: Iterator[StringValue], ctx: Any) -> StringValue:
            try:
                for each in requests:
                    seen.append(each.value)  # noqa: PERF401 - what came before an error counts
            except ConnectError as error:
                seen.append(error.code)
            return message_of("too late")

        content = envelope(message("hello"))
        variables = environ(Request(CLIENT, [content], **CONNECT))
        variables["CONTENT_LENGTH"] = str(len(content) + 1)
        assert call(variables, WSGI({CLIENT: handler})).status == 400
        assert seen == ["hello", Code.CANCELED]

    @pytest.mark.parametrize("announced", ["", "x", "-1", "\xb2", "1.5", " 7"])
    def test_length_that_is_none(self, announced: str) -> None:
        variables = environ(Request())
        variables["CONTENT_LENGTH"] = announced
        assert call(variables).content == message("hello")

    @pytest.mark.parametrize("variables", [{}, {"HTTP_TRANSFER_ENCODING": "chunked"}, {"CONTENT_LENGTH": ""}])
    @pytest.mark.parametrize("procedure", [UNARY, CLIENT])
    def test_stream_whose_end_nobody_knows_is_not_read(self, variables: dict[str, str], procedure: str) -> None:
        class Endless(io.RawIOBase):
            def read(self, size: int = -1) -> bytes:
                raise AssertionError("read")

        request = Request(procedure, **CONNECT) if procedure == CLIENT else Request(length=False)
        found = {**environ(request), **variables, "wsgi.input": Endless()}
        del found["wsgi.input_terminated"]
        answer = call(found, WSGI(ALL))
        assert (answer.status, answer.fields, answer.content) == (411, [("content-length", "0")], b"")
        get = Request(http_method="GET", query="connect=v1&encoding=json&message=%22hello%22", content_type="", chunks=())
        found = {**environ(get), "wsgi.input": Endless()}
        del found["wsgi.input_terminated"]
        assert call(found).content == b'"hello"'

    @pytest.mark.parametrize(
        "variables",
        [
            {"wsgi.input_terminated": True},
            {"SERVER_PROTOCOL": "HTTP/2"},
            {"wsgi.input": io.BytesIO(message("hello"))},
            {"wsgi.ext.http.send_trailers": lambda fields: None},
        ],
    )
    def test_stream_that_ends_by_itself(self, variables: dict[str, Any]) -> None:
        found = environ(Request(length=False))
        del found["wsgi.input_terminated"]
        assert call({**found, **variables}).content == message("hello")

    @pytest.mark.parametrize("read_max_bytes", [3_000_000, 100_000, 10])
    @pytest.mark.parametrize("protocol", [{"length": False}, GRPC])
    def test_one_message_in_pieces(self, protocol: dict[str, Any], read_max_bytes: int) -> None:
        content = message("y" * 2_000_000)
        content = envelope(content) if protocol is GRPC else content
        pieces = [content[start : start + 100_000] for start in range(0, len(content), 100_000)]
        app = WSGI({UNARY: echo}, read_max_bytes=read_max_bytes)
        for _ in range(3):  # the head is not known, is known, is remembered
            answer = call_wsgi(app, Request(chunks=pieces, **protocol))
            if read_max_bytes > len(content):
                assert answer.content == content
            else:
                status = dict(answer.fields + answer.trailers).get("grpc-status")
                assert (answer.status, status) == ((200, "8") if protocol is GRPC else (429, None))

    def test_deadline_while_content_comes(self) -> None:
        class Slow(Chunks):
            def read(self, size: int = -1) -> bytes:
                if self.reads:
                    time.sleep(0.02)
                return super().read(size)

        def handler(request: Any, ctx: Any) -> Any:
            raise AssertionError("it ran")

        app, pieces = WSGI({UNARY: handler}), [message("hello")[:3], message("hello")[3:]]
        for _ in range(3):
            variables = environ(Request(chunks=pieces, length=False, fields=[("connect-timeout-ms", "5")]))
            variables["wsgi.input"] = Slow(pieces)
            answer = call(variables, app)
            assert (answer.status, json.loads(answer.content)["code"]) == (504, "deadline_exceeded")

    def test_a_bad_head_does_not_wait_for_the_rest(self) -> None:
        class Held(Chunks):
            def read(self, size: int = -1) -> bytes:
                assert not self.reads, "it waits for content that the peer keeps open"
                return super().read(size)

        request = Request(length=False, http_version="2", content_type="text/plain")
        for _ in range(3):
            assert call({**environ(request), "wsgi.input": Held(request.chunks)}).status == 415

    def test_length_with_thousands_of_digits(self) -> None:
        variables = environ(Request())
        variables["CONTENT_LENGTH"] = "1" * 5000
        assert call(variables).content == message("hello")

    @pytest.mark.parametrize("error", [ConnectionResetError(), RuntimeError("receiving on a closed channel"), ValueError()])
    def test_connection_that_breaks(self, error: Exception) -> None:
        class Broken(io.RawIOBase):
            def read(self, size: int = -1) -> bytes:
                raise error

        requests = (
            Request(),
            Request(length=False),
            Request(chunks=[bytes(2_000_000)]),
            Request(CLIENT, **CONNECT),
            Request(SERVER, **CONNECT),
        )
        for request in requests:
            variables = environ(request)
            variables["wsgi.input"] = Broken()
            answer = call(variables, WSGI(ALL))
            assert (answer.status, answer.fields, answer.content) == (400, [("content-length", "0")], b"")

    def test_what_nobody_wants_is_read_all_the_same(self) -> None:
        """A server that closes the connection over unread bytes may break it before the answer has arrived."""
        chunks = [bytes(1000)] * 50
        for request in (Request(path="/none", chunks=chunks), Request(chunks=chunks, content_type="text/plain")):
            variables = environ(request)
            assert call(variables).status in (404, 415)
            assert variables["wsgi.input"].read() == b""

    def test_over_http2_the_answer_does_not_wait_for_the_content(self) -> None:
        """There the peer may have its content open until it has read the answer."""
        variables = environ(Request(path="/none", chunks=[b"a"], length=False, http_version="2"))
        assert call(variables).status == 404
        assert variables["wsgi.input"].read() == b"a"


class TestEnvironment:
    def test_names_and_values(self) -> None:
        variables = {
            "REQUEST_METHOD": "POST",
            "HTTP_X_100_SURE": "50% %s %(a)s",
            "CONTENT_TYPE": "a/b",
            "HTTP_X_NAME": "J\xfc",
            "wsgi.input": None,
        }
        for _ in range(2):
            layout = wsgi_request.layout_of(tuple(variables))
            names, values = layout.names, layout.values(variables)
            assert not layout.trailers
            assert names == ("x-100-sure", "content-type", "x-name")
            assert values == ("50% %s %(a)s", "a/b", "J\xfc")
            assert list(wsgi_request.fields_of(((0, b"POST", b"/", b"", names), values))) == [
                ("x-100-sure", b"50% %s %(a)s"),
                ("content-type", b"a/b"),
                ("x-name", b"J\xfc"),
            ]

    @pytest.mark.parametrize("access_log", [False, True])
    def test_without_a_method(self, access_log: bool) -> None:
        """As under uWSGI, where a peer speaks no HTTP."""
        application = WSGI({UNARY: echo}, access_log=access_log)
        for around in (application, ConnectWSGIRouter(application)):
            assert call({"wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO()}, around).status == 400

    @pytest.mark.parametrize("variables", [{}, {"HTTP_A": "1"}])
    def test_few(self, variables: dict[str, str]) -> None:
        layout = wsgi_request.layout_of(tuple(variables))
        assert (layout.names, layout.values(variables)) == ((("a",), ("1",)) if variables else ((), ()))

    def test_layouts_are_remembered_within_bounds(self) -> None:
        for number in range(2 * memory.MOST):
            for _ in range(2):
                wsgi_request.layout_of((f"HTTP_X_{number}",))
        assert 0 < len(wsgi_request._layouts) <= memory.MOST

    def test_addresses(self) -> None:
        assert wsgi_request.addresses({"HTTP_HOST": "h", "wsgi.url_scheme": "https"}) == ("h:443", None)
        assert wsgi_request.addresses({"HTTP_HOST": "[::1]", "wsgi.url_scheme": "http"}) == ("[::1]:80", None)
        assert wsgi_request.addresses({"HTTP_HOST": "h:8", "REMOTE_ADDR": "c"}) == ("h:8", "c:0")
        assert wsgi_request.addresses({"SERVER_NAME": "s", "SERVER_PORT": "9"}) == ("s:9", None)
        assert wsgi_request.addresses({}) == (None, None)


class TestStream:
    def test_closed_by_the_server(self) -> None:
        ended: list[str] = []

        def many(request: StringValue, ctx: Any) -> Iterator[StringValue]:
            try:
                while True:
                    yield request
            finally:
                ended.append("yes")

        variables = environ(Request(SERVER, [envelope(message("a"))], **CONNECT))
        written: Any = WSGI({SERVER: many})(variables, lambda status, fields: None)
        next(iter(written))
        written.close()
        assert ended == ["yes"]

    def test_deadline_between_messages(self) -> None:
        import time

        def slow(request: StringValue, ctx: Any) -> Iterator[StringValue]:
            for _ in range(100):
                yield request
                time.sleep(0.01)

        request = Request(SERVER, [envelope(message("a"))], fields=[("connect-timeout-ms", "35")], **CONNECT)
        *messages, (_, end) = envelopes(Server("wsgi", {SERVER: slow}).call(request).content)
        assert 1 <= len(messages) < 20
        assert b"deadline_exceeded" in end

    def test_content_is_read_as_the_handler_asks(self) -> None:
        reads: list[int] = []
        content = Chunks([envelope(message(str(number))) for number in range(5)])

        def watch(requests: Iterator[StringValue], ctx: Any) -> StringValue:
            for _ in requests:
                reads.append(content.reads)  # noqa: PERF401 - one look at a time
            return next(iter(requests), None) or message_of("done")

        variables = environ(Request(CLIENT, [], **CONNECT))
        variables["wsgi.input"] = content
        call(variables, WSGI({CLIENT: watch}))
        assert reads == [1, 2, 3, 4, 5]


def message_of(said: str) -> StringValue:
    from google.protobuf.wrappers_pb2 import StringValue

    return StringValue(value=said)


async def _coroutine(request: StringValue, ctx: Any) -> StringValue:
    return request


async def _generator(request: StringValue, ctx: Any) -> AsyncIterator[StringValue]:
    yield request


@pytest.mark.parametrize(("procedure", "handler"), [(UNARY, _coroutine), (SERVER, _generator)])
def test_handler_of_a_service_for_asgi(procedure: str, handler: Any) -> None:
    with pytest.raises(TypeError, match=f"handler of /acme.v1.Service/{procedure.rpartition('/')[2]} is asynchronous"):
        WSGI({procedure: handler})


def _refused(request: StringValue, ctx: Any) -> StringValue:
    raise ConnectError(Code.ABORTED, "no")


@pytest.mark.parametrize("handler", [echo, _refused])
@pytest.mark.parametrize("chunks", [[b""], [message("hello")], [message("hello")[:-1]]], ids=["empty", "good", "cut"])
def test_whole_answers_are_lists(handler: Any, chunks: list[bytes]) -> None:
    """granian writes a list in one go, with the head, and anything else piece by piece."""
    application = WSGI({UNARY: handler})
    for _ in range(3):
        assert type(application(environ(Request(UNARY, chunks)), lambda *_: None)) is list
    cut = environ(Request(UNARY, chunks)) | {"CONTENT_LENGTH": "100"}
    assert type(application(cut, lambda *_: None)) is list


def test_router() -> None:
    class Other(WSGI):
        path = "/acme.v1.Other"

    router = ConnectWSGIRouter(WSGI(ALL), Other({}))
    assert text(call_wsgi(router, Request()).content) == "hello"
    assert call_wsgi(router, Request(path="/acme.v1.Other/Unary")).status == 404
    assert call_wsgi(router, Request(path="/acme.v1.Service/None")).status == 404
    with pytest.raises(ValueError, match=r"two applications serve /acme\.v1\.Other"):
        ConnectWSGIRouter(Other({}), Other({}))
