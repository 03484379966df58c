"""What is asked of the interop service, and what must come: service.go says what it does, js/run.mjs how it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import ANY

from speech import Server, Speech

ASKED = {"x-ask": "one, two, three", "x-ask-bin": "AP8KDYA"}
LEAD = {"x-lead": "one, two, three", "x-lead-bin": "AP8KDYA="}
TRAIL = {"x-trail": "one, two, three", "x-trail-bin": "AP8KDYA="}
LONG = "abcdefgh" * 40_000
FAILURE = {
    "code": "failed_precondition",
    "message": "not now: é",
    "details": [["google.protobuf.Int64Value", "CCo="]],
    "metadata": {"x-error": "why", **LEAD, **TRAIL},
}


class Such:
    """Equals what a test holds for."""

    def __init__(self, text: str, test: Callable[[Any], bool]) -> None:
        self.text, self.test = text, test

    def __eq__(self, other: object) -> bool:
        return self.test(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return self.text


def result(*responses: Any, error: Any = None, metadata: bool = False, **more: Any) -> dict[str, Any]:
    header, trailer = (LEAD, TRAIL) if metadata and not error else ({}, {})
    return {"responses": list(responses), "header": header, "trailer": trailer, "error": error, **more}


def error(code: str) -> dict[str, Any]:
    return {"code": code, "message": ANY, "details": [], "metadata": {}}


@dataclass(frozen=True)
class Case:
    name: str
    ask: dict[str, Any]
    want: Any


def case(name: str, procedure: str, requests: list[str], want: Any, **more: Any) -> Case:
    return Case(name, {"procedure": procedure, "requests": requests, **more}, want)


def unary(server: Server, speech: Speech) -> Iterator[Case]:
    some = Such("at least 1", lambda count: count >= 1)  # gRPC-Web's trailers may be compressed, too
    used: dict[str, Any] = {"compressed": 1, "decompressed": some} if speech.options.get("coding") and speech.counts else {}
    yield case("plain", "unary", ["hello"], result("HELLO"))
    yield case("empty", "unary", [""], result(""))
    yield case("not ASCII", "unary", ["h\u00e9llo \u2713"], result("H\u00c9LLO \u2713"))
    yield case("metadata", "unary", ["hello"], result("HELLO", metadata=True), metadata=ASKED)
    yield case("long both ways", "unary", [LONG], result(LONG.upper(), **used))
    yield case("long answer", "unary", ["large"], result("l" * 300_000))
    yield case("error", "unary", ["fail"], result(error=FAILURE), metadata=ASKED)
    yield case("handler breaks", "unary", ["panic"], result(error=error(server.bug)))
    left = Such("1 to 61000", lambda text: 0 < int(text) <= 61_000)  # gRPC's own client rounds up
    yield case("deadline", "unary", ["deadline"], result(left), timeoutMs=60_000)
    yield case("no deadline", "unary", ["deadline"], result("none"))
    method = "GET" if speech.options.get("get") else "POST"
    yield case("no side effects", "safe", ["method"], result(method))
    yield case("no side effects, metadata", "safe", ["hello"], result("HELLO", metadata=True), metadata=ASKED)
    yield case("no side effects, error", "safe", ["fail"], result(error=FAILURE), metadata=ASKED)
    if speech.library != "grpc-web":  # grpc-web's client looks at the content type alone
        yield case("unknown procedure", "missing", ["hello"], result(error=error("unimplemented")))
    words = [f"w{number}" for number in range(100)]
    yield case("many at once", "unary", [], [result(word.upper()) for word in words], atOnce=words)


def server_streams() -> Iterator[Case]:
    yield case("server stream", "server", ["s"], result("s 0", "s 1", "s 2", metadata=True), metadata=ASKED)
    three = ("fail 0", "fail 1", "fail 2")
    yield case("server stream, error", "server", ["fail"], result(*three, error=FAILURE), metadata=ASKED)


def sent_streams(server: Server, speech: Speech) -> Iterator[Case]:
    yield case("client stream", "client", ["a", "b", "c"], result("A+B+C", metadata=True), metadata=ASKED)
    yield case("client stream, nothing", "client", [], result(""))
    yield case("client stream, error", "client", ["fail"], result(error=FAILURE), metadata=ASKED)
    # connect-go refuses bidi streams over HTTP/1.1, in both roles.
    if speech.http2 or (server.own and speech.library != "connect-go"):
        yield case("bidi stream", "bidi", ["a", "b"], result("A", "B", metadata=True), metadata=ASKED)
        yield case("bidi stream, nothing", "bidi", [], result())
        yield case("bidi stream, error", "bidi", ["a", "fail"], result("A", error=FAILURE), metadata=ASKED)
    if speech.http2 and server.duplex:
        words = [f"m{number}" for number in range(20)]
        yield case("conversation", "bidi", words, result(*(word.upper() for word in words)), conversation=True)


def sleeps(server: Server, speech: Speech) -> Iterator[Case]:
    three = ("sleep 0", "sleep 1", "sleep 2")
    late: dict[str, Any] = {
        "error": error("deadline_exceeded"),
        "began": "began",
        "ended": Such("deadline or canceled", ("deadline", "canceled").__contains__),
    }
    soon: dict[str, Any] = {"sleeps": True, "timeoutMs": 500}
    yield case("too late", "unary", ["sleep"], result(**late), **soon)
    yield case("stream too late", "server", ["sleep"], result(*three, **late), **soon)
    if not server.hears:
        return
    # grpc-web's client says nothing to whoever has canceled.
    gone: dict[str, Any] = {
        "error": None if speech.library == "grpc-web" else error("canceled"),
        "began": "began",
        "ended": "canceled",
    }
    count = 3 if speech.streams_at_once else 0
    yield case("canceled", "unary", ["sleep"], result(**gone), sleeps=True, cancelAfter=0)
    yield case("stream canceled", "server", ["sleep"], result(*three[:count], **gone), sleeps=True, cancelAfter=count)
    if speech.http2:
        yield case("conversation canceled", "bidi", ["a", "sleep"], result("A", **gone), sleeps=True, cancelAfter=1)


def cases(server: Server, speech: Speech) -> Iterator[Case]:
    yield from unary(server, speech)
    yield from server_streams()
    if speech.sends_streams:
        yield from sent_streams(server, speech)
    if speech.is_plain:
        yield from sleeps(server, speech)
    yield case("afterwards", "unary", ["hello"], result("HELLO"))
    # At the end: gunicorn closes a connection with much unread content, and does not say so in the answer.
    yield case("over the limit", "unary", ["x" * (5 << 20)], result(error=error("resource_exhausted")))
