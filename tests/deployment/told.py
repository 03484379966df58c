"""A service that tells what it knows of its caller, and of itself: `asgi` and `wsgi`, for servers in other processes.

`greet` answers to what is in the name: "address", "scheme", "process"; to "began" and "left" with the name of a method, once a
call of it has begun, or its caller has left. Where a name is a path, or missing, `greet` and `greet_many` wait until there is a
file of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

from connectcore.code import Code
from connectcore.errors import ConnectError
from greet.v1.greet_connectcore import (
    GreetService,
    GreetServiceASGIApplication,
    GreetServiceSync,
    GreetServiceWSGIApplication,
)
from greet.v1.greet_pb2 import (
    ChatRequest,
    ChatResponse,
    GreetGroupRequest,
    GreetGroupResponse,
    GreetManyRequest,
    GreetManyResponse,
    GreetRequest,
    GreetResponse,
)

PAUSE = 0.02


def told(name: str, ctx: Any) -> GreetResponse:
    if name == "fail":
        raise ConnectError(Code.FAILED_PRECONDITION, "not now", [GreetRequest(name="why")], metadata={"x-error": "1"})
    said = {
        "address": str(ctx.client_address).rpartition(":")[0],
        "scheme": ctx.scope.get("scheme") or ctx.scope.get("wsgi.url_scheme"),
        "process": str(os.getpid()),
    }
    return GreetResponse(greeting=said.get(name, name))


class Told(GreetService):
    def __init__(self) -> None:
        self.said: dict[str, asyncio.Queue[str]] = {"began": asyncio.Queue(), "left": asyncio.Queue()}

    @contextlib.contextmanager
    def telling(self, ctx: Any) -> Iterator[None]:
        self.said["began"].put_nowait(ctx.method.name)
        try:
            yield
        except asyncio.CancelledError:
            self.said["left"].put_nowait(ctx.method.name)
            raise

    async def until_there_is(self, file: str) -> None:
        while not os.path.exists(file):
            await asyncio.sleep(PAUSE)

    async def greet(self, request: GreetRequest, ctx: Any) -> GreetResponse:
        if request.name in self.said:
            return GreetResponse(greeting=await self.said[request.name].get())
        if not request.name or request.name.startswith("/"):
            with self.telling(ctx):
                await self.until_there_is(request.name)
        return told(request.name, ctx)

    async def greet_many(self, request: GreetManyRequest, ctx: Any) -> AsyncIterator[GreetManyResponse]:
        with self.telling(ctx):
            yield GreetManyResponse(greeting=str(os.getpid()))
            await self.until_there_is(request.name)
            for number in range(1, request.count):
                yield GreetManyResponse(greeting=str(number))

    async def greet_group(self, request: AsyncIterator[GreetGroupRequest], ctx: Any) -> GreetGroupResponse:
        with self.telling(ctx):
            return GreetGroupResponse(greeting="+".join([each.name async for each in request]))

    async def chat(self, request: AsyncIterator[ChatRequest], ctx: Any) -> AsyncIterator[ChatResponse]:
        with self.telling(ctx):
            async for each in request:
                yield ChatResponse(line=each.line.upper())


class ToldSync(GreetServiceSync):
    def greet(self, request: GreetRequest, ctx: Any) -> GreetResponse:
        return told(request.name, ctx)

    def greet_many(self, request: GreetManyRequest, ctx: Any) -> Iterator[GreetManyResponse]:
        yield GreetManyResponse(greeting=str(os.getpid()))
        for number in range(1, request.count):
            yield GreetManyResponse(greeting=str(number))

    def greet_group(self, request: Iterator[GreetGroupRequest], ctx: Any) -> GreetGroupResponse:
        return GreetGroupResponse(greeting="+".join(each.name for each in request))

    def chat(self, request: Iterator[ChatRequest], ctx: Any) -> Iterator[ChatResponse]:
        for each in request:
            yield ChatResponse(line=each.line.upper())


asgi: Any = GreetServiceASGIApplication(Told())
wsgi: Any = GreetServiceWSGIApplication(ToldSync())
