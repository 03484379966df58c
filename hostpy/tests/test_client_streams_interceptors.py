"""Interceptors around clients' streams, in process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.transport import ASGITransport, WSGITransport
from server_support import ASGI, BIDI, CLIENT, SERVER, UNARY, method
from stream_support import KINDS, Service, call_any, said
from test_client_streams import wsgi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from google.protobuf.wrappers_pb2 import StringValue


class Around:
    """Marks each message, and notes metadata."""

    def __init__(self, name: str) -> None:
        self.name = name

    def mark(self, message: StringValue) -> StringValue:
        return said(f"{message.value}{self.name}")

    async def marked(self, messages: AsyncIterator[StringValue]) -> AsyncIterator[StringValue]:
        async for message in messages:
            yield self.mark(message)

    def marked_sync(self, messages: Iterator[StringValue]) -> Iterator[StringValue]:
        return map(self.mark, messages)


class AroundAsync(Around):
    async def intercept_unary(self, call_next: Any, request: Any, ctx: Any) -> Any:
        return self.mark(await call_next(self.mark(request), ctx))

    async def intercept_client_stream(self, call_next: Any, request: Any, ctx: Any) -> Any:
        return self.mark(await call_next(self.marked(request), ctx))

    async def intercept_server_stream(self, call_next: Any, request: Any, ctx: Any) -> AsyncIterator[Any]:
        async for message in call_next(self.mark(request), ctx):
            yield self.mark(message)

    async def intercept_bidi_stream(self, call_next: Any, request: Any, ctx: Any) -> AsyncIterator[Any]:
        async for message in call_next(self.marked(request), ctx):
            yield self.mark(message)


class AroundSync(Around):
    def intercept_unary_sync(self, call_next: Any, request: Any, ctx: Any) -> Any:
        return self.mark(call_next(self.mark(request), ctx))

    def intercept_client_stream_sync(self, call_next: Any, request: Any, ctx: Any) -> Any:
        return self.mark(call_next(self.marked_sync(request), ctx))

    def intercept_server_stream_sync(self, call_next: Any, request: Any, ctx: Any) -> Iterator[Any]:
        for message in call_next(self.mark(request), ctx):
            yield self.mark(message)

    def intercept_bidi_stream_sync(self, call_next: Any, request: Any, ctx: Any) -> Iterator[Any]:
        for message in call_next(self.marked_sync(request), ctx):
            yield self.mark(message)


class Metadata:
    """Sends metadata, and notes what the call came to."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def on_start(self, ctx: Any) -> str:
        return self.start(ctx)

    async def on_end(self, token: str, ctx: Any, error: Exception | None) -> None:
        self.end(token, ctx, error)

    def start(self, ctx: Any) -> str:
        ctx.request_headers.add("x-many", "z")
        return "token"

    def end(self, token: str, ctx: Any, error: Exception | None) -> None:
        self.seen.append((token, getattr(error, "code", None), ctx.response_trailers.getbin("x-trail-bin", b"")))


class MetadataSync:
    def __init__(self) -> None:
        self._same = Metadata()
        self.seen = self._same.seen

    def on_start_sync(self, ctx: Any) -> str:
        return self._same.start(ctx)

    def on_end_sync(self, token: str, ctx: Any, error: Exception | None) -> None:
        self._same.end(token, ctx, error)


def client_of(mode: str, *interceptors: Any) -> Any:
    if mode == "async":
        return ConnectClient("http://t", http_client=ASGITransport(ASGI(Service().functions)), interceptors=interceptors)
    return ConnectClientSync("http://t", http_client=WSGITransport(wsgi()), interceptors=interceptors)


def around(mode: str, name: str) -> Any:
    return AroundAsync(name) if mode == "async" else AroundSync(name)


def metadata_of(mode: str) -> Any:
    return Metadata() if mode == "async" else MetadataSync()


@pytest.mark.parametrize("kind", KINDS)
def test_order(mode: str, kind: str) -> None:
    """The first is the outermost, for requests and for responses."""
    seen = metadata_of(mode)
    outcome = call_any(client_of(mode, around(mode, "1"), seen, around(mode, "2")), kind, ["a"])
    assert outcome.messages == ["A1221"]
    assert seen.seen == [("token", None, b"\2\3")]
    assert outcome.metadata.trailers.getbin("x-trail-bin") == b"\2\3"
    if outcome.trailers is not None:
        assert outcome.trailers.getbin("x-trail-bin") == b"\2\3"
    if mode == "async":
        assert outcome.metadata.headers["x-lead"] == "z"
        assert outcome.headers is None or outcome.headers["x-lead"] == "z"


@pytest.mark.parametrize("kind", [SERVER, BIDI, CLIENT])
def test_failures(mode: str, kind: str) -> None:
    """What came before is given first, through interceptors, too; those that look at metadata see the error."""
    seen = metadata_of(mode)
    outcome = call_any(client_of(mode, seen), kind, ["a", "fail"])
    assert outcome.messages == ([] if kind == CLIENT else ["A"])
    assert outcome.error is not None
    assert outcome.error.code is Code.FAILED_PRECONDITION
    assert seen.seen == [("token", Code.FAILED_PRECONDITION, b"\2\3")]


@pytest.mark.parametrize("kind", [SERVER, BIDI])
def test_leaving_early_ends_them(mode: str, kind: str) -> None:
    seen = metadata_of(mode)
    client = client_of(mode, seen, around(mode, ""))

    if mode == "sync":
        if kind == SERVER:
            stream = client.execute_server_stream(request=said("a b"), method=method(kind))
        else:
            stream = client.execute_bidi_stream(request=iter([said("a"), said("b")]), method=method(kind))
        with stream:
            assert next(stream) == said("A")
    else:

        async def requests() -> AsyncIterator[Any]:
            yield said("a")
            await asyncio.sleep(60)

        async def run() -> None:
            if kind == SERVER:
                stream = client.execute_server_stream(request=said("a hang"), method=method(kind))
            else:
                stream = client.execute_bidi_stream(request=requests(), method=method(kind))
            async with stream:
                assert await anext(stream) == said("A")
            await asyncio.sleep(0.01)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(run())
    ((token, code, _),) = seen.seen
    assert (token, code) == ("token", Code.CANCELED)


def test_an_answer_of_its_own(mode: str) -> None:
    """An interceptor may give a stream without making the call."""

    class Own:
        async def intercept_server_stream(self, _next: Any, _request: Any, _ctx: Any) -> AsyncIterator[Any]:
            yield said("mine")

    class OwnSync:
        def intercept_server_stream_sync(self, _next: Any, _request: Any, _ctx: Any) -> Iterator[Any]:
            return iter([said("mine")])

    outcome = call_any(client_of(mode, Own() if mode == "async" else OwnSync()), SERVER, ["a"])
    assert outcome.messages == ["mine"]
    assert not outcome.headers
    assert not outcome.trailers
    assert call_any(client_of(mode, Own() if mode == "async" else OwnSync()), UNARY, ["a"]).messages == ["A"]
