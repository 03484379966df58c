"""A kept verdict says what the guest would: each head through the remembered and through the general way."""

from __future__ import annotations

import gzip
from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from connectcore._server.service import Service
from server_support import UNARY, Answer, Request, Server, envelope, message, watched_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connectcore._server.call import ServerCall
    from connectcore._server.memory import Head
    from connectcore._server.verdict import Verdict

    Pairs = Sequence[tuple[str, str]]

# The protocols: a request's content type, its field of the timeout, its field of the coding, how its content is made.
CONNECT = ("application/proto", "connect-timeout-ms", "content-encoding", False)
GRPC = ("application/grpc+proto", "grpc-timeout", "grpc-encoding", True)
WEB = ("application/grpc-web+proto", "grpc-timeout", "grpc-encoding", True)
TEXT = ("application/grpc-web-text+proto", "grpc-timeout", "grpc-encoding", True)

LONG = "x" * 9000


class General(Service):
    """A service that takes no call for plain."""

    __slots__ = ()

    def open(
        self, head: Head, content: bytes | None = None, *, end: bool = False, waits: bool = False, size: int | None = None
    ) -> Verdict | ServerCall:
        return self._open(head, content, end, 0)


class Noted:
    """An interceptor of metadata, which notes how calls end: None, or the error's class."""

    def __init__(self) -> None:
        self.ends: list[type[Exception] | None] = []

    def _end(self, error: Exception | None) -> None:
        self.ends.append(None if error is None else type(error))


class NotedAsync(Noted):
    async def on_start(self, ctx: Any) -> None:
        assert ctx.request_headers is not None

    async def on_end(self, token: None, ctx: Any, error: Exception | None) -> None:
        self._end(error)


class NotedSync(Noted):
    def on_start_sync(self, ctx: Any) -> None:
        assert ctx.request_headers is not None

    def on_end_sync(self, token: None, ctx: Any, error: Exception | None) -> None:
        self._end(error)


NOTED = {"asgi": NotedAsync, "wsgi": NotedSync}


def shown(request: StringValue, ctx: Any) -> StringValue:
    """All that a handler can know of a call."""
    headers = ctx.request_headers
    seen = [f"{name}: {value!r}" for name, value in headers.allitems()]
    for name in headers:
        if name.endswith("-bin"):
            try:
                seen.append(f"{name}: {headers.getallbin(name)}")
            except ValueError as error:
                seen.append(str(error))
    seen += [ctx.http_method, ctx.server_address, ctx.client_address, str(ctx.timeout_ms is None)]
    return StringValue(value="\n".join([3 * request.value, *seen]))


def heads(timeout: str, coding: str) -> Iterator[tuple[str, Pairs]]:
    """Heads of all kinds, by their fields."""
    yield "plain", []
    yield "a trace", [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tracestate", "a=b")]
    yield (
        "a browser",
        [("origin", "https://a.test"), ("accept", "*/*"), ("cookie", "a=b; c=d"), ("referer", "https://a.test/?b=c")],
    )
    for name in ("X-Trace", "x_trace", "x.trace", "TraceParent", "x-empty"):
        yield f"the name {name}", [(name, "" if name == "x-empty" else "1")]
    for number in (2, 3, 17):
        yield f"{number} times one name", [("x-a", str(each)) for each in range(number)]
        yield f"{number} times one binary name", [("x-a-bin", "AAA" + "ABCDEFGH"[each % 8]) for each in range(number)]
    for name in (timeout, coding, "te", "content-type", "content-length", "accept-encoding", "user-agent", "host"):
        value = "60000" if name == "connect-timeout-ms" else "1"  # a deadline of a millisecond passes now and then
        yield f"twice {name}", [(name, value), ("x-between", "1"), (name, value)]
        yield f"an empty {name}", [(name, "")]
    for value in ("trailers", "deflate", "gzip, trailers", "TRAILERS", "trailers;q=0.5"):
        yield f"te {value}", [("te", value)]
    for value in (
        "0",
        "1000",
        "60000S",
        "1000m",
        "99999999H",
        "9999999999",
        "-1",
        "+1",
        " 1000",
        "1e3",
        "1.5",
        "1000x",
        "123456789012",
    ):
        yield f"a timeout of {value!r}", [(timeout, value)]
    for other in ("connect-timeout-ms", "grpc-timeout"):
        yield f"both timeouts, {other} bad", [("connect-timeout-ms", "5000"), ("grpc-timeout", "5000m"), (other, "bad")]
    for value in ("identity", "gzip", "GZIP", "x-gzip", "br", "gzip, identity", "nothing"):
        yield f"coding {value}", [(coding, value)]
        yield f"accepts {value}", [("accept-encoding", value), ("grpc-accept-encoding", value)]
    for value in ("1", "2", "", "01"):
        yield f"version {value!r}", [("connect-protocol-version", value)]
    for value in ("J\xfcrgen", "\xff\xfe", "\xc3\xa9", "a\tb", "a\x7fb", "a\x01b", "a\r\nb", "a\0b", "=?utf-8?q?a?="):
        yield f"the value {value!r}", [("x-a", value)]
        yield f"the binary value {value!r}", [("x-a-bin", value)]
    for value in ("", "AA", "AAA=", "AAAA", "AA==", "A", "AA=A", "-_-_", "//8", "AA,AA", " AA"):
        yield f"the base64 {value!r}", [("x-a-bin", value)]
    for name in (
        "connection",
        "keep-alive",
        "upgrade",
        "proxy-connection",
        "transfer-encoding",
        "trailer",
        "expect",
        "via",
        "forwarded",
    ):
        yield f"hop-by-hop {name}", [(name, "a, b")]
    for name in ("grpc-unknown", "connect-unknown", "grpc-message-type", ":authority", ":path", "trailer-x"):
        yield f"the protocol's {name}", [(name, "1")]
    for number in (250, 256, 257, 300):
        yield f"{number} fields", [(f"x-{each}", "1") for each in range(number)]
        yield f"{number} fields of one name", [("x-many", "1")] * number
    for size in (3000, 32 << 10, (64 << 10) - 200, (64 << 10) - 20, 64 << 10, 70 << 10):
        yield f"a value of {size} bytes", [("x-large", "x" * size)]
        yield f"a user agent of {size} bytes", [("user-agent", "x" * size)]
        yield f"a cookie beside {size} bytes", [("x-a", "1"), ("cookie", "y" * size)]
    yield "a long name and a long value", [("x" * 3000, "y" * ((64 << 10) - 2000))]
    yield "lengths that contradict each other", [("content-length", LONG)] * 7


def siblings(fields: Pairs) -> Iterator[Pairs]:
    """Heads like it, whose values differ as those do that come from call to call."""
    for number in range(3):
        yield [(name, value) if _kept(name) else (name, str(number)) for name, value in fields]
    yield fields


def _kept(name: str) -> bool:
    return name.endswith(("-bin", "-encoding", "timeout", "-timeout-ms", "-version", "content-type"))


def _same(answer: Answer) -> Answer:
    if gzip.compress(b"")[:3] == answer.content[:3]:
        answer = replace(answer, content=gzip.decompress(answer.content))
    return replace(answer, writes=[])


@pytest.mark.parametrize("protocol", [CONNECT, GRPC, WEB, TEXT], ids=lambda protocol: protocol[0].partition("/")[2])
def test_remembered_and_general_way_agree(interface: str, protocol: tuple[str, str, str, bool]) -> None:
    content_type, timeout, coding, enveloped = protocol
    usual, empty = message("hello"), b""
    if enveloped:
        usual, empty = envelope(usual), envelope(empty)
    remembering, general = Server(interface, {UNARY: shown}), Server(interface, {UNARY: shown})
    general.application._service.__class__ = General
    led = Server(interface, {UNARY: shown}, {"interceptors": [NOTED[interface]()]})
    number = served = 0
    for name, fields in heads(timeout, coding):
        number += 1
        content = {3: b"", 6: empty}.get(number % 7, usual)
        length = number % 5 > 0
        request = Request(UNARY, [content], content_type, fields, http_version="2", trailers=protocol is GRPC, length=length)
        for sibling in siblings(fields):
            remembering.call(replace(request, fields=sibling))
        with watched_steps() as steps:
            found = remembering.call(request)
            served += not steps.batches
        after = led.call(request)
        expected = _same(general.call(request))
        assert _same(found) == expected, (name, fields)
        assert _same(after) == expected, (name, fields, "with an interceptor before")
    assert number >= 100
    assert served >= (0 if protocol is TEXT else 30), f"{served} of {number} heads were remembered"


GOOD = gzip.compress(message("hello"))
CONTENTS = {
    "plain": message("hello"),
    "empty": b"",
    "gzip": GOOD,
    "gzip in two members": gzip.compress(message("hello")[:3]) + gzip.compress(message("hello")[3:]),
    "gzip of nothing": gzip.compress(b""),
    "gzip that is cut": GOOD[:-3],
    "gzip that is damaged": GOOD[:12] + b"\xff" + GOOD[13:],
    "gzip and more": GOOD + b"more",
    "gzip of no message": gzip.compress(b"\xff"),
    "gzip of a bomb": gzip.compress(b"\0" * 20_000),
    "gzip of as much as may be": gzip.compress(message("x" * 990)),
    "gzip of too much": gzip.compress(message("x" * 1000)),
    "no gzip": b"no gzip",
    "too large as it comes": b"x" * 1001,
    "large": message("x" * 500),
}


@pytest.mark.parametrize("protocol", [CONNECT, GRPC, WEB, TEXT], ids=lambda protocol: protocol[0].partition("/")[2])
@pytest.mark.parametrize("named", ["", "identity", "gzip", "br"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_contents_agree(interface: str, protocol: tuple[str, str, str, bool], named: str, pieces: int) -> None:
    """Every content, for heads that are remembered and in the general way; compressed or not, with a prefix or without."""
    content_type, _, coding, enveloped = protocol
    options = {"read_max_bytes": 1000}
    remembering, general = (Server(interface, {UNARY: shown}, options) for _ in range(2))
    general.application._service.__class__ = General
    noted, wanted = NOTED[interface](), NOTED[interface]()
    led, general_led = (Server(interface, {UNARY: shown}, {**options, "interceptors": [each]}) for each in (noted, wanted))
    general_led.application._service.__class__ = General
    contents = dict(CONTENTS)
    if enveloped:
        contents = {
            f"{name}, flags {flags}": envelope(content, flags) for name, content in CONTENTS.items() for flags in (0, 1, 2, 128)
        }
        contents |= {"no envelope": b"", "two": 2 * envelope(b""), "cut": envelope(b"x")[:-1], "half a prefix": b"\0\0\0"}
    for name, content in contents.items():
        if protocol is TEXT:
            content = b64encode(content)
        third = len(content) // 3
        chunks = [content] if pieces == 1 else [content[:third], content[third : 2 * third], content[2 * third :]]
        for accepts in ("", "gzip"):
            fields = [(coding, named), ("accept-encoding", accepts), ("grpc-accept-encoding", accepts)]
            request = Request(UNARY, chunks, content_type, fields, http_version="2", trailers=protocol is GRPC)
            expected = _same(general.call(request))
            for _ in range(3):
                assert _same(remembering.call(request)) == expected, (name, accepts)
                assert _same(led.call(request)) == expected, (name, accepts, "with an interceptor before")
                assert _same(general_led.call(request)) == expected
                assert noted.ends == wanted.ends, (name, accepts)
    if protocol is not TEXT and named != "br":
        large = message("x" * 500)
        content = envelope(large) if enveloped else large
        request = Request(UNARY, [content], content_type, [("accept-encoding", "gzip"), ("grpc-accept-encoding", "gzip")])
        request = replace(request, http_version="2", trailers=protocol is GRPC)
        for _ in range(3):
            with watched_steps() as steps:
                answer = remembering.call(request)
        assert answer.values("grpc-encoding" if enveloped else "content-encoding") == ["gzip"]
        assert len(answer.content) < len(large)
        assert not steps.batches
        for _ in range(3):
            with watched_steps() as steps:
                assert _same(led.call(request)) == _same(answer)
        assert not steps.batches
        content = GOOD if named == "gzip" else message("hello")
        chunks = [envelope(content, int(named == "gzip")) if enveloped else content]
        request = Request(UNARY, chunks, content_type, [(coding, named)], http_version="2", trailers=protocol is GRPC)
        for _ in range(3):
            with watched_steps() as steps:
                assert remembering.call(request).status == 200
        assert not steps.batches
