"""Histories of calls: what a peer sends and when, what a handler does, and what must come of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from connectcore.code import Code
from connectcore.errors import ConnectError
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import strategies as st
from server_support import BIDI, CLIENT, CONNECT, GRPC, SERVER, UNARY, Request, envelope, message
from test_compression_server import GRPC_WEB

KINDS = (UNARY, CLIENT, SERVER, BIDI)
PROTOCOLS = {"connect": CONNECT, "grpc": GRPC, "grpc-web": GRPC_WEB}
TAKE, SAY, TURN, WAIT, FAIL, CRASH = "take", "say", "turn", "wait", "fail", "crash"
SHORT, LONG = 10, 100_000  # milliseconds of deadlines: one that may pass before the end, and one that does not
PAUSE = 0.015  # seconds that a handler waits, longer than the short deadline


@dataclass(frozen=True)
class Does:
    """What a handler does, one after the other."""

    what: str
    text: str = ""
    code: Code = Code.ABORTED


@dataclass(frozen=True)
class History:
    """A call."""

    kind: str
    protocol: str
    asks: tuple[str, ...]
    handler: tuple[Does, ...]
    timeout: int | None = None
    # Where content is cut, how often others get their turn before each piece, and after which piece the peer is gone.
    cuts: tuple[int, ...] = ()
    turns: tuple[int, ...] = ()
    gone: int | None = None
    damage: tuple[int, int] | None = None  # the byte there becomes this one, or content ends there
    reader: int = 0  # how often others get their turn while a write waits
    broken: int | None = None  # the write that fails, as the peer is gone

    @property
    def one_request(self) -> bool:
        return self.kind in (UNARY, SERVER)

    @property
    def one_response(self) -> bool:
        return self.kind in (UNARY, CLIENT)

    @property
    def quiet(self) -> bool:
        """Whether nothing happens to the call but what peer and handler do."""
        return self.gone is None and self.damage is None and self.broken is None and self.timeout != SHORT

    @property
    def request(self) -> Request:
        if (self.kind, self.protocol) == (UNARY, "connect"):
            parts: dict[str, Any] = {}
            content = message(self.asks[0])
        else:
            parts = PROTOCOLS[self.protocol]
            content = b"".join(envelope(message(text)) for text in self.asks)
        if self.damage is not None and content:
            at, byte = self.damage[0] % len(content), self.damage[1]
            content = content[:at] + (bytes([byte]) + content[at + 1 :] if byte < 256 else b"")
        places = sorted({cut % (len(content) + 1) for cut in self.cuts})
        chunks = [content[a:b] for a, b in zip([0, *places], [*places, len(content)], strict=True)]
        field = (
            ("connect-timeout-ms", f"{self.timeout}") if self.protocol == "connect" else ("grpc-timeout", f"{self.timeout}m")
        )
        return Request(self.kind, chunks, fields=[field] if self.timeout else [], **{"http_version": "2", **parts})


@dataclass
class Outcome:
    replies: list[str] = field(default_factory=list)
    code: str = "ok"


class Handlers:
    """Handlers of both modes that do what a history says. `running` counts those that have begun and not ended."""

    def __init__(self) -> None:
        self.history: History
        self.running = 0

    def _taken(self, does: Does, taken: list[str]) -> str:
        """Raise, or the text of a reply: it tells what has been taken."""
        if does.what == FAIL:
            raise ConnectError(does.code, "told")
        if does.what == CRASH:
            raise KeyError("secret")
        return f"{does.text}:{','.join(taken)}"

    def model(self) -> Outcome:
        """What must come of a quiet call."""
        history, outcome = self.history, Outcome()
        left = [*history.asks]
        taken = [left.pop(0)] if history.one_request else []
        said = []
        try:
            for does in history.handler:
                if does.what == TAKE and left:
                    taken.append(left.pop(0))
                elif does.what in (SAY, FAIL, CRASH):
                    said.append(self._taken(does, taken))
        except ConnectError as error:
            outcome.code = error.code.value
        except KeyError:
            outcome.code = "unknown"
        if not history.one_response:
            outcome.replies = said
        elif outcome.code == "ok":
            outcome.replies = [(said or [self._taken(Does(SAY), taken)])[-1]]
        return outcome

    async def _run(self, first: list[str], requests: AsyncIterator[StringValue] | None) -> AsyncIterator[str]:
        self.running += 1
        taken = first
        try:
            for does in self.history.handler:
                if does.what == TAKE and requests is not None:
                    async for each in requests:
                        taken.append(each.value)
                        break
                elif does.what == TURN:
                    await asyncio.sleep(0)
                elif does.what == WAIT:
                    await asyncio.sleep(PAUSE)
                elif does.what in (SAY, FAIL, CRASH):
                    yield self._taken(does, taken)
        finally:
            self.running -= 1

    async def _last(self, taken: list[str], requests: AsyncIterator[StringValue] | None) -> StringValue:
        said = [each async for each in self._run(taken, requests)]
        return StringValue(value=(said or [self._taken(Does(SAY), taken)])[-1])

    async def unary(self, request: StringValue, ctx: Any) -> StringValue:
        return await self._last([request.value], None)

    async def client_stream(self, requests: AsyncIterator[StringValue], ctx: Any) -> StringValue:
        return await self._last([], requests)

    async def server_stream(self, request: StringValue, ctx: Any) -> AsyncIterator[StringValue]:
        async for each in self._run([request.value], None):
            yield StringValue(value=each)

    async def bidi_stream(self, requests: AsyncIterator[StringValue], ctx: Any) -> AsyncIterator[StringValue]:
        async for each in self._run([], requests):
            yield StringValue(value=each)

    def _run_sync(self, first: list[str], requests: Iterator[StringValue] | None) -> Iterator[str]:
        self.running += 1
        taken = first
        try:
            for does in self.history.handler:
                if does.what == TAKE and requests is not None:
                    taken += [each.value for each in [next(requests, None)] if each is not None]
                elif does.what in (SAY, FAIL, CRASH):
                    yield self._taken(does, taken)
        finally:
            self.running -= 1

    def _last_sync(self, taken: list[str], requests: Iterator[StringValue] | None) -> StringValue:
        said = [*self._run_sync(taken, requests)]
        return StringValue(value=(said or [self._taken(Does(SAY), taken)])[-1])

    def unary_sync(self, request: StringValue, ctx: Any) -> StringValue:
        return self._last_sync([request.value], None)

    def client_stream_sync(self, requests: Iterator[StringValue], ctx: Any) -> StringValue:
        return self._last_sync([], requests)

    def server_stream_sync(self, request: StringValue, ctx: Any) -> Iterator[StringValue]:
        for each in self._run_sync([request.value], None):
            yield StringValue(value=each)

    def bidi_stream_sync(self, requests: Iterator[StringValue], ctx: Any) -> Iterator[StringValue]:
        for each in self._run_sync([], requests):
            yield StringValue(value=each)

    @property
    def functions(self) -> dict[str, Any]:
        return dict(zip(KINDS, (self.unary, self.client_stream, self.server_stream, self.bidi_stream), strict=True))

    @property
    def functions_sync(self) -> dict[str, Any]:
        made = (self.unary_sync, self.client_stream_sync, self.server_stream_sync, self.bidi_stream_sync)
        return dict(zip(KINDS, made, strict=True))


TEXTS = st.text("abc\u00e9", max_size=5) | st.integers(1, 20_000).map(lambda size: "x" * size)
FAILURES = st.builds(Does, st.just(FAIL), code=st.sampled_from([*Code])) | st.just(Does(CRASH))
STEPS = st.one_of(
    st.just(Does(TAKE)),
    st.builds(Does, st.just(SAY), TEXTS),
    st.just(Does(TURN)),
    st.just(Does(WAIT)),
    st.just(Does(TAKE)),
    FAILURES,
)


@st.composite
def histories(draw: st.DrawFn, protocols: tuple[str, ...] = (*PROTOCOLS,)) -> History:
    """Any call. What happens to it besides is rare, so that what each does is seen alone, too."""

    def seldom(strategy: st.SearchStrategy[Any]) -> Any:
        return draw(strategy) if draw(st.integers(0, 3)) == 3 else None

    kind = draw(st.sampled_from(KINDS))
    one = kind in (UNARY, SERVER)
    return History(
        kind=kind,
        protocol=draw(st.sampled_from(protocols)),
        asks=tuple(draw(st.lists(TEXTS, min_size=int(one), max_size=1 if one else 5))),
        handler=tuple(draw(st.lists(STEPS, max_size=8))),
        timeout=draw(st.sampled_from([None, None, LONG, SHORT])),
        cuts=tuple(draw(st.lists(st.integers(0, 30_000), max_size=6))),
        turns=tuple(draw(st.lists(st.integers(0, 5), max_size=8))),
        gone=seldom(st.integers(0, 7)),
        damage=seldom(st.tuples(st.integers(0, 30_000), st.integers(0, 300))),
        reader=draw(st.integers(0, 3)),
        broken=seldom(st.integers(0, 4)),
    )
