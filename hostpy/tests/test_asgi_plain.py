"""A unary call waits in any of its parts or in none: interceptors that see its head first, its content, its handler. Wherever
it does, it is answered the same; its deadline is kept; and it hears that its peer is gone."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from server_support import ASGI, UNARY, Request, Wire, envelope, message, text, watched_steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.wrappers_pb2 import StringValue

    from connectcore.errors import ConnectError
    from connectcore.request import RequestContext

    Context = RequestContext[Any, Any]

PARTS = ("start", "content", "handler", "end")
KINDS: dict[str, dict[str, Any]] = {
    "connect": {"content_type": "application/proto", "chunks": [message("hello")]},
    "grpc": {"content_type": "application/grpc", "chunks": [envelope(message("hello"))], "http_version": "2", "trailers": True},
    "too large": {"content_type": "application/proto", "chunks": [message("h" * 200)]},
    "no message": {"content_type": "application/proto", "chunks": [b"\xff\xff"]},
}
CODES = {"too large": "resource_exhausted", "no message": "invalid_argument"}
NO_FIELDS: Mapping[str, str] = {}


class Parts:
    """A service behind a metadata interceptor, and the server's side of one call, whose parts wait if they are told to."""

    def __init__(self, *waiting: str) -> None:
        self.waiting = waiting
        self.reached = asyncio.Event()
        self.told: list[str] = []
        self.application = ASGI({UNARY: self.handle}, interceptors=[self], read_max_bytes=100)

    async def part(self, name: str, *, for_ever: bool) -> None:
        self.told.append(name)
        if name in self.waiting:
            self.reached.set()
            await asyncio.sleep(60 if for_ever else 0.001)

    async def on_start(self, ctx: Context) -> None:
        await self.part("start", for_ever=self.for_ever)

    async def on_end(self, token: None, ctx: Context, error: ConnectError | None) -> None:
        self.told.append("no error" if error is None else error.code.value)
        await self.part("end", for_ever=False)

    async def handle(self, request: StringValue, ctx: Context) -> StringValue:
        await self.part("handler", for_ever=self.for_ever)
        return request

    async def call(self, kind: str, *, pieces: int = 1, for_ever: bool = False, fields: Mapping[str, str] = NO_FIELDS) -> Wire:
        """Serve a call."""
        self.told.clear()
        self.reached.clear()
        self.for_ever = for_ever
        self.wire = wire = Wire(Request(**KINDS[kind], length=pieces == 1, fields=list(fields.items())), hold=True)
        if "content" not in self.waiting:
            self.give(pieces)
        task = asyncio.create_task(self.application(wire.scope, wire.receive, wire.send))
        if "content" in self.waiting:
            for _ in range(10):
                await asyncio.sleep(0)
            self.reached.set()
            if not for_ever:
                self.give(pieces)
        async with asyncio.timeout(20):
            await task
        return wire

    def give(self, pieces: int) -> None:
        """Content, in so many pieces."""
        (content,) = self.wire.request.chunks
        size = -(-len(content) // pieces)
        for at in range(0, len(content), size):
            self.wire.content(content[at : at + size], more=at + size < len(content))


@pytest.mark.parametrize("waiting", [each for count in range(5) for each in itertools.combinations(PARTS, count)], ids="+".join)
@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
async def test_it_is_answered(kind: str, pieces: int, waiting: tuple[str, ...]) -> None:
    """Three times, because a head is known when it comes again; with a deadline and without."""
    parts = Parts(*waiting)
    for fields in ({}, {}, {}, {"connect-timeout-ms": "9000", "grpc-timeout": "9S"}):
        wire = await parts.call(kind, pieces=pieces, fields=fields)
        code = CODES.get(kind)
        if code is not None:
            assert json.loads(wire.answer.content)["code"] == code
            # A length that is too large is refused before anything else is done.
            assert parts.told == ([] if kind == "too large" and pieces == 1 else ["start", code, "end"])
        else:
            assert text(wire.answer.content[5 if kind == "grpc" else 0 :]) == "hello"
            assert parts.told == ["start", "handler", "no error", "end"]


@pytest.mark.parametrize("part", ["start", "content", "handler"])
@pytest.mark.parametrize("kind", ["connect", "grpc"])
async def test_its_deadline_is_kept(kind: str, part: str) -> None:
    parts = Parts(part)
    for _ in range(3):
        wire = await parts.call(kind, for_ever=True, fields={"connect-timeout-ms": "20", "grpc-timeout": "20m"})
        answer = wire.answer
        if kind == "grpc":
            assert "4" in [value for name, value in answer.trailers or answer.fields if name == "grpc-status"]
        else:
            assert json.loads(answer.content)["code"] == "deadline_exceeded"
        # An interceptor that did not start has no end.
        assert parts.told[-2:] == ([part] if part == "start" else ["deadline_exceeded", "end"])


@pytest.mark.parametrize("part", ["start", "content", "handler"])
@pytest.mark.parametrize("pieces", [1, 3])
async def test_it_hears_that_its_peer_is_gone(pieces: int, part: str) -> None:
    parts = Parts(part)
    for fields in ({}, {}, {}, {"connect-timeout-ms": "9000"}):
        task = asyncio.create_task(parts.call("connect", pieces=pieces, for_ever=True, fields=fields))
        await asyncio.sleep(0)
        await parts.reached.wait()
        parts.wire.disconnect()
        wire = await task
        assert not wire.sent
        assert parts.told[-2:] == ([part] if part == "start" else ["canceled", "end"])


@pytest.mark.parametrize("futures", [False, True], ids=["coroutines", "futures"])
async def test_a_head_is_known_again_although_its_content_came_later(futures: bool) -> None:
    """As it does under granian and pyvoy, always: then the module is asked no more."""

    async def handle(request: StringValue, ctx: Context) -> StringValue:
        return request

    application = ASGI({UNARY: handle})
    for number in range(5):
        wire = Wire(Request(chunks=[message("hello")]), hold=True, futures=futures)
        with watched_steps() as steps:
            task = asyncio.create_task(application(wire.scope, wire.receive, wire.send))
            for _ in range(10):
                await asyncio.sleep(0)
            wire.content(message("hello"), more=False)
            await asyncio.wait_for(task, 20)
        assert text(wire.answer.content) == "hello"
        assert not steps.batches or number < 3


async def test_what_the_server_raises_is_no_fault_of_the_handler(caplog: pytest.LogCaptureFixture) -> None:
    """Where its peer is gone, say. It goes back to the server, whether the head is known or not."""

    async def handle(request: StringValue, ctx: Context) -> StringValue:
        return request

    class Raising(Wire):
        async def _receive(self) -> dict[str, Any]:
            raise OSError("connection lost")

    application = ASGI({UNARY: handle})
    for _ in range(3):
        wire: Wire = Raising(Request(chunks=[message("hello")]))
        with pytest.raises(OSError, match="connection lost"):
            await application(wire.scope, wire.receive, wire.send)
        assert not wire.sent
        wire = Wire(Request(chunks=[message("hello")]))
        await application(wire.scope, wire.receive, wire.send)
        assert wire.answer.status == 200
    assert not caplog.records
