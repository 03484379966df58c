"""What a server is told to serve: its options, and the hook for errors.

Each request comes ten times in a row, so that the general way and the remembered one say the same.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from server_support import (
    ALL,
    ASGI,
    BIDI,
    CLIENT,
    CONNECT,
    GRPC,
    SERVER,
    SERVICE,
    UNARY,
    WSGI,
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
    from collections.abc import Iterator

    from connectcore.request import RequestContext

TIMES = 10
WEB: dict[str, Any] = {"content_type": "application/grpc-web", "length": False}


def outcome(answer: Answer) -> tuple[str, str]:
    """The code and the text of an error, in whatever protocol; `ok` where there is none."""
    trailers = dict(answer.trailers)
    if "grpc-status" in trailers:
        return trailers["grpc-status"], trailers.get("grpc-message", "")
    content = answer.content
    if answer.values("content-type")[0].startswith("application/connect"):
        content = envelopes(content)[-1][1]
        found = json.loads(content).get("error")
    else:
        found = json.loads(content) if answer.status != 200 else None
    return ("ok", "") if found is None else (found["code"], found.get("message", ""))


def repeated(server: Server, request: Request) -> Answer:
    """The answer to a request that comes ten times, and always gets the same."""
    answers = [server.call(request) for _ in range(TIMES)]
    for answer in answers:
        answer.writes.clear()  # how much goes together depends on time
        assert answer == answers[0]
    return answers[0]


# --- limits and compression ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [{}, GRPC])
def test_no_reply_over_the_send_limit(interface: str, protocol: dict[str, Any]) -> None:
    server = Server(interface, ALL, {"send_max_bytes": 20})
    for size, code in ((18, "ok" if not protocol else "0"), (19, "resource_exhausted" if not protocol else "8")):
        payload = message("x" * size)
        answer = repeated(server, Request(UNARY, [envelope(payload) if protocol else payload], **protocol))
        assert outcome(answer)[0] == code
    assert "larger than this server sends" in outcome(answer)[1]


@pytest.mark.parametrize("kind", [CLIENT, SERVER, BIDI])
def test_no_message_of_a_stream_over_the_send_limit(interface: str, kind: str) -> None:
    functions = {**ALL, SERVER: lambda request, ctx: iter([StringValue(value="A"), StringValue(value="x" * 19)])}
    functions[CLIENT] = lambda requests, ctx: StringValue(value="x" * 19)
    server = Server(interface, functions, {"send_max_bytes": 20})
    chunks = [envelope(message("a"))] if kind == SERVER else [envelope(message("a")) + envelope(message("x" * 19))]
    answer = repeated(server, Request(kind, chunks, **CONNECT | {"http_version": "2"}))
    assert outcome(answer) == ("resource_exhausted", "a message is larger than this server sends")
    before = [text(data) for flags, data in envelopes(answer.content) if not flags]
    assert before == ([] if kind == CLIENT else ["A"]), "what came before is sent"


def test_the_send_limit_is_of_what_goes_out(interface: str) -> None:
    """A reply that is small enough once it is compressed is sent."""
    server = Server(interface, ALL, {"send_max_bytes": 100, "compress_min_bytes": 0})
    request = Request(UNARY, [message("x" * 1000)], fields=[("accept-encoding", "gzip")])
    assert text(gzip.decompress(repeated(server, request).content)) == "x" * 1000
    assert outcome(repeated(server, Request(UNARY, [message("x" * 1000)])))[0] == "resource_exhausted"


@pytest.mark.parametrize("protocol", [{}, GRPC])
@pytest.mark.parametrize("least", [0, 30, 1024])
def test_the_smallest_message_to_compress(interface: str, least: int, protocol: dict[str, Any]) -> None:
    server = Server(interface, ALL, {"compress_min_bytes": least})
    for size in (1, 27, 28, 1020, 1021, 1022):  # a message has two or three bytes more
        payload = message("x" * size)
        name = "grpc-accept-encoding" if protocol else "accept-encoding"
        request = Request(UNARY, [envelope(payload) if protocol else payload], fields=[(name, "gzip")], **protocol)
        answer = repeated(server, request)
        if protocol:
            compressed, content = envelopes(answer.content)[0]
        else:
            compressed, content = answer.values("content-encoding") == ["gzip"], answer.content
        assert compressed == (len(payload) >= least), (size, answer)
        assert (gzip.decompress(content) if compressed else content) == payload


# --- protocols ----------------------------------------------------------------------------------------------------

SPOKEN = {
    ProtocolType.CONNECT: [
        Request(),
        Request(content_type="application/json", chunks=[b'"a"']),
        *(Request(kind, [envelope(message("1"))], **CONNECT) for kind in (CLIENT, SERVER)),
    ],
    ProtocolType.GRPC: [Request(kind, [envelope(message("1"))], **GRPC) for kind in (UNARY, CLIENT, SERVER, BIDI)],
    ProtocolType.GRPC_WEB: [Request(kind, [envelope(message("1"))], **WEB) for kind in (UNARY, CLIENT, SERVER)],
}


@pytest.mark.parametrize("protocol", list(SPOKEN))
def test_one_protocol_only(interface: str, protocol: ProtocolType) -> None:
    server = Server(interface, ALL, {"protocols": [protocol]})
    for spoken, requests in SPOKEN.items():
        for request in requests:
            answer = repeated(server, request)
            if spoken is protocol:
                assert answer.status == 200, (spoken, request)
                continue
            assert answer.status == 415, (spoken, request)
            named = answer.values("accept-post")[0]
            assert ("grpc-web" in named) == (protocol is ProtocolType.GRPC_WEB)
            assert ("application/grpc," in named) == (protocol is ProtocolType.GRPC)
            assert ("proto, application/json" in named or "connect+json" in named) == (protocol is ProtocolType.CONNECT)
    get = Request(http_method="GET", query="connect=v1&encoding=json&message=%22a%22", content_type="")
    answer = repeated(server, get)
    assert answer.status == (200 if protocol is ProtocolType.CONNECT else 405)
    assert answer.values("allow") == ([] if protocol is ProtocolType.CONNECT else ["POST"])


def test_text_belongs_to_grpc_web(interface: str) -> None:
    server = Server(interface, ALL, {"protocols": {ProtocolType.GRPC_WEB_TEXT}})
    assert repeated(server, SPOKEN[ProtocolType.GRPC_WEB][0]).status == 200
    assert repeated(server, Request()).status == 415


def test_the_version_may_be_required(interface: str) -> None:
    server = Server(interface, ALL, {"require_protocol_version": True})
    code, said = outcome(repeated(server, Request()))
    assert code == "invalid_argument"
    assert "version" in said
    assert outcome(repeated(server, Request(SERVER, [envelope(message("1"))], **CONNECT)))[0] == "invalid_argument"
    get = Request(http_method="GET", query="encoding=json&message=%22a%22", content_type="")
    assert outcome(repeated(server, get))[0] == "invalid_argument"
    version = [("connect-protocol-version", "1")]
    assert repeated(server, Request(fields=version)).status == 200
    assert outcome(repeated(server, Request(SERVER, [envelope(message("1"))], fields=version, **CONNECT)))[0] == "ok"
    assert repeated(server, Request(http_method="GET", query=f"connect=v1&{get.query}", content_type="")).status == 200
    assert repeated(server, Request(UNARY, [envelope(message("a"))], **GRPC)).status == 200


def test_no_call_has_more_than_the_most_time(interface: str) -> None:
    left: list[float] = []

    def told(request: StringValue, ctx: RequestContext[Any, Any]) -> StringValue:
        assert ctx.timeout_ms is not None
        left.append(ctx.timeout_ms)
        return request

    server = Server(interface, {UNARY: told}, {"max_timeout": 50.0})
    for asked, most in ((None, 50_000), ("60000", 50_000), ("30000", 30_000)):
        left.clear()
        repeated(server, Request(fields=[] if asked is None else [("connect-timeout-ms", asked)]))
        assert len(left) == TIMES
        assert all(most - 20_000 < each <= most for each in left), (asked, left)


async def test_the_most_time_is_enforced() -> None:
    async def late(request: StringValue, ctx: RequestContext[Any, Any]) -> StringValue:
        await asyncio.sleep(30)
        return request

    application = ASGI({UNARY: late}, max_timeout=0.05)
    assert outcome(await asyncio.to_thread(Server.call, _serving(application)))[0] == "deadline_exceeded"


def _serving(application: Any) -> Server:
    server = Server("asgi", {})
    server.application = application
    return server


# --- what makes no sense ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1e9, 1e300, sys.float_info.max, 10**400])
def test_a_very_long_limit_of_timeouts(interface: str, most: float) -> None:
    assert Server(interface, {UNARY: echo}, {"max_timeout": most}).call(Request(UNARY, [message("x")])).status == 200


async def _hook(error: BaseException, ctx: Any) -> None: ...


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"send_max_bytes": 0}, ValueError, "send_max_bytes must be from 1"),
        ({"send_max_bytes": 1 << 31}, ValueError, "send_max_bytes must be from 1"),
        ({"send_max_bytes": "1"}, TypeError, "send_max_bytes must be a whole number from 1 to .*, not '1'"),
        ({"read_max_bytes": 1.5}, TypeError, "read_max_bytes must be a whole number from 1 to .*, not 1.5"),
        ({"compress_min_bytes": -1}, ValueError, "compress_min_bytes must be from 0"),
        ({"protocols": []}, ValueError, "protocols names none"),
        ({"protocols": ["connect"]}, TypeError, "ProtocolType"),
        ({"max_timeout": 0}, ValueError, "max_timeout must be a positive number"),
        ({"max_timeout": float("nan")}, ValueError, "max_timeout must be a positive number"),
        ({"max_timeout": "1"}, TypeError, "max_timeout must be a positive number of seconds, or None for no limit, not '1'"),
        ({"max_timeout": timedelta(seconds=1)}, TypeError, "max_timeout must be a positive number of seconds"),
        ({"on_error": "me"}, TypeError, "on_error must be a function"),
        ({"on_error": _hook}, TypeError, "plain function"),
        ({"sendmax": 1}, TypeError, "sendmax"),
    ],
)
def test_what_makes_no_sense_is_refused(interface: str, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        (WSGI if interface == "wsgi" else ASGI)({UNARY: echo}, **options)


# --- unexpected errors --------------------------------------------------------------------------------------------


class Missing(Exception):
    """Of the application's own."""


def failing(request: Any, ctx: Any) -> Any:
    raise Missing("row 7 of table secrets")


def failing_after_one(request: Any, ctx: Any) -> Iterator[Any]:
    yield StringValue(value="one")
    raise Missing("row 7 of table secrets")


FAILING = {UNARY: failing, CLIENT: failing, SERVER: failing_after_one, BIDI: failing_after_one}
REQUESTS = {
    UNARY: Request(),
    **{kind: Request(kind, [envelope(message("1"))], **CONNECT | {"http_version": "2"}) for kind in (CLIENT, SERVER, BIDI)},
}


@pytest.mark.parametrize("kind", list(FAILING))
def test_the_hook_may_answer(interface: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[BaseException, Any]] = []

    def hook(error: BaseException, ctx: RequestContext[Any, Any]) -> ConnectError | None:
        seen.append((error, ctx))
        return ConnectError(Code.NOT_FOUND, "no such row", metadata={"x-more": "1"}) if isinstance(error, Missing) else None

    server = Server(interface, FAILING, {"on_error": hook})
    answer = repeated(server, REQUESTS[kind])
    assert outcome(answer) == ("not_found", "no such row")
    assert b"secrets" not in answer.content
    assert len(seen) == TIMES
    for error, ctx in seen:
        assert isinstance(error, Missing)
        assert (ctx.method.service_name, ctx.method.name) == (SERVICE, kind)
        assert ctx.client_address == "127.0.0.2:1234"
    assert not caplog.records, "what the hook answers is not logged"


@pytest.mark.parametrize("kind", list(FAILING))
def test_the_hook_may_leave_the_answer_to_us(interface: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[BaseException] = []
    server = Server(interface, FAILING, {"on_error": lambda error, ctx: seen.append(error)})
    answer = repeated(server, REQUESTS[kind])
    assert outcome(answer) == ("unknown", "the handler failed unexpectedly")
    assert len(seen) == TIMES
    assert [record.exc_info and type(record.exc_info[1]) for record in caplog.records] == [Missing] * TIMES


def raises(error: BaseException, ctx: Any) -> Any:
    raise error


def cancels(error: BaseException, ctx: Any) -> Any:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    "hook",
    [
        raises,
        cancels,
        lambda error, ctx: "not found",
        lambda error, ctx: ConnectError(Code.NOT_FOUND, "a", metadata={"x\n": "b"}),
        lambda error, ctx: ConnectError(Code.NOT_FOUND, 7),  # type: ignore[arg-type]
        lambda error, ctx: ConnectError("not_found", "a"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("kind", list(FAILING))
def test_the_hook_cannot_break_the_answer(interface: str, kind: str, hook: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "asyncio")
    server = Server(interface, FAILING, {"on_error": hook})
    answer = repeated(server, REQUESTS[kind])
    assert outcome(answer)[0] in ("unknown", "internal")
    assert b"secrets" not in answer.content
    assert server.call(Request(path=f"/{SERVICE}/None")).status == 404, "the server serves on"


def test_the_hook_hears_of_what_cannot_be_encoded(interface: str, caplog: pytest.LogCaptureFixture) -> None:
    def foreign(request: Any, ctx: Any) -> Any:
        return 7

    def no_text(request: Any, ctx: Any) -> Any:
        raise ConnectError(Code.ABORTED, 7)  # type: ignore[arg-type]

    for function in (foreign, no_text):
        seen: list[BaseException] = []
        server = Server(interface, {UNARY: function}, {"on_error": lambda error, ctx, seen=seen: seen.append(error)})
        assert outcome(repeated(server, Request()))[0] in ("internal", "unknown")
        answered = Server(interface, {UNARY: function}, {"on_error": lambda error, ctx: ConnectError(Code.DATA_LOSS, "so")})
        assert outcome(repeated(answered, Request())) == ("data_loss", "so")
        assert len(seen) == TIMES


def test_the_hook_hears_nothing_of_what_is_expected(interface: str) -> None:
    """RPC errors, and what is wrong with a request."""

    def hook(error: BaseException, ctx: Any) -> None:
        pytest.fail(f"the hook heard of {error!r}")

    def refuses(request: Any, ctx: Any) -> Any:
        raise ConnectError(Code.ABORTED, "no")

    server = Server(interface, {UNARY: refuses, SERVER: refuses}, {"on_error": hook, "read_max_bytes": 20})
    assert outcome(repeated(server, Request()))[0] == "aborted"
    assert outcome(repeated(server, Request(SERVER, [envelope(message("1"))], **CONNECT)))[0] == "aborted"
    assert outcome(repeated(server, Request(chunks=[b"\xff\xff"])))[0] == "invalid_argument"
    assert outcome(repeated(server, Request(chunks=[message("x" * 30)])))[0] == "resource_exhausted"


def test_the_hook_hears_of_interceptors(interface: str) -> None:
    class Sync:
        def on_start_sync(self, ctx: Any) -> None:
            raise Missing("a session")

    class Async:
        async def on_start(self, ctx: Any) -> None:
            raise Missing("a session")

    hook = {"on_error": lambda error, ctx: ConnectError(Code.UNAUTHENTICATED, "who are you?")}
    server = Server(interface, ALL, {**hook, "interceptors": [Sync() if interface == "wsgi" else Async()]})
    for request in REQUESTS.values():
        assert outcome(repeated(server, request)) == ("unauthenticated", "who are you?")
