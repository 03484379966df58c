"""A service that tells what it knows of its caller, and of itself: `asgi` and `wsgi`, for servers in other processes.

`greet` answers to what is in the name: "address", "scheme", "process"; to "ended" once a stream was ended early by its caller.
`greet_many` says its process, waits until there is a file of the request's name, and counts; without a name it waits for ever.
"""

from __future__ import annotations

import asyncio
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
        self.ended = 0
        self.end = asyncio.Event()

    async def greet(self, request: GreetRequest, ctx: Any) -> GreetResponse:
        if request.name == "ended":
            await self.end.wait()
            self.end.clear()
        return told(request.name, ctx)

    async def greet_many(self, request: GreetManyRequest, ctx: Any) -> AsyncIterator[GreetManyResponse]:
        try:
            yield GreetManyResponse(greeting=str(os.getpid()))
            while not os.path.exists(request.name):
                await asyncio.sleep(PAUSE)
            for number in range(1, request.count):
                yield GreetManyResponse(greeting=str(number))
        except asyncio.CancelledError:
            self.end.set()
            raise

    async def greet_group(self, request: AsyncIterator[GreetGroupRequest], ctx: Any) -> GreetGroupResponse:
        return GreetGroupResponse(greeting="+".join([each.name async for each in request]))

    async def chat(self, request: AsyncIterator[ChatRequest], ctx: Any) -> AsyncIterator[ChatResponse]:
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
