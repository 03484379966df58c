"""The interop service on this project's Python servers: `asgi` and `wsgi`, applications that do what service.go says.

gRPC's health service and server reflection are beside it. Pages may call `asgi_for_pages` and `wsgi_for_pages`, if they are
from an address of the loopback interface that is written in numbers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from queue import SimpleQueue
from typing import Any

from connectcore.code import Code
from connectcore.cors import CORSASGIMiddleware, CORSWSGIMiddleware
from connectcore.errors import ConnectError
from connectcore.health import Health, HealthASGIApplication, HealthWSGIApplication
from connectcore.reflection import with_reflection
from connectcore.request import RequestContext
from connectcore.server import ConnectASGIRouter, ConnectWSGIRouter
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from interop_connectcore import Interop, InteropASGIApplication, InteropSync, InteropWSGIApplication

Context = RequestContext[StringValue, StringValue]
LARGE_SIZE = 300_000
SECRET = "secret"


def metadata(ctx: Context) -> None:
    """Answers the peer's metadata with metadata of both kinds."""
    for value in ctx.request_headers.getall("x-ask"):
        ctx.response_headers.add("x-lead", value)
        ctx.response_trailers.add("x-trail", value)
    for data in ctx.request_headers.getallbin("x-ask-bin"):
        ctx.response_headers.add_bin("x-lead-bin", data)
        ctx.response_trailers.add_bin("x-trail-bin", data)


def act(ask: str, ctx: Context) -> str:
    """What can be said without waiting."""
    if ask == "fail":
        raise ConnectError(Code.FAILED_PRECONDITION, "not now: é", [Int64Value(value=42)], metadata={"x-error": "why"})
    if ask == "panic":
        raise ZeroDivisionError(SECRET)
    if ask == "deadline":
        return "none" if ctx.timeout_ms is None else str(int(ctx.timeout_ms))
    if ask == "method":
        return ctx.http_method
    return "l" * LARGE_SIZE if ask == "large" else ask.upper()


def texts(ask: str) -> Iterator[StringValue]:
    return (StringValue(value=f"{ask} {number}") for number in range(3))


class Service(Interop):
    def __init__(self) -> None:
        self.told: dict[str, asyncio.Queue[str]] = {"began": asyncio.Queue(), "ended": asyncio.Queue()}

    async def act(self, ask: str, ctx: Context) -> StringValue:
        if ask == "sleep":
            self.told["began"].put_nowait("began")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                late = ctx.timeout_ms is not None and ctx.timeout_ms <= 0
                self.told["ended"].put_nowait("deadline" if late else "canceled")
                raise
        if ask in self.told:
            return StringValue(value=await self.told[ask].get())
        return StringValue(value=act(ask, ctx))

    async def unary(self, request: StringValue, ctx: Context) -> StringValue:
        metadata(ctx)
        return await self.act(request.value, ctx)

    safe = unary

    async def client(self, request: AsyncIterator[StringValue], ctx: Context) -> StringValue:
        return await self.unary(StringValue(value="+".join([each.value async for each in request])), ctx)

    async def server(self, request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
        metadata(ctx)
        for each in texts(request.value):
            yield each
        await self.act(request.value, ctx)

    async def bidi(self, request: AsyncIterator[StringValue], ctx: Context) -> AsyncIterator[StringValue]:
        metadata(ctx)
        async for each in request:
            yield await self.act(each.value, ctx)


class ServiceSync(InteropSync):
    """The same. A thread cannot be told that the peer has gone, so that only the deadline ends a sleep."""

    def __init__(self) -> None:
        self.told: dict[str, SimpleQueue[str]] = {"began": SimpleQueue(), "ended": SimpleQueue()}

    def act(self, ask: str, ctx: Context) -> StringValue:
        if ask == "sleep":
            assert ctx.timeout_ms is not None
            self.told["began"].put("began")
            threading.Event().wait(ctx.timeout_ms / 1000)
            self.told["ended"].put("deadline")
        return StringValue(value=self.told[ask].get(timeout=20) if ask in self.told else act(ask, ctx))

    def unary(self, request: StringValue, ctx: Context) -> StringValue:
        metadata(ctx)
        return self.act(request.value, ctx)

    safe = unary

    def client(self, request: Iterator[StringValue], ctx: Context) -> StringValue:
        return self.unary(StringValue(value="+".join(each.value for each in request)), ctx)

    def server(self, request: StringValue, ctx: Context) -> Iterator[StringValue]:
        metadata(ctx)
        yield from texts(request.value)
        self.act(request.value, ctx)

    def bidi(self, request: Iterator[StringValue], ctx: Context) -> Iterator[StringValue]:
        metadata(ctx)
        for each in request:
            yield self.act(each.value, ctx)


health = Health("interop.v1.Interop")
asgi: Any = ConnectASGIRouter(*with_reflection(InteropASGIApplication(Service()), HealthASGIApplication(health)))
wsgi: Any = ConnectWSGIRouter(*with_reflection(InteropWSGIApplication(ServiceSync()), HealthWSGIApplication(health)))


def is_page(origin: str) -> bool:
    return origin.startswith("http://127.0.0.1:")


PAGES: Any = {
    "origins": is_page,
    "request_metadata": ["x-ask", "x-ask-bin"],
    "response_metadata": ["x-lead", "x-lead-bin", "x-trail", "x-trail-bin", "x-error"],
}
asgi_for_pages = CORSASGIMiddleware(asgi, **PAGES)
wsgi_for_pages = CORSWSGIMiddleware(wsgi, **PAGES)
