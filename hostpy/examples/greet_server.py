"""The example service under ASGI: `uvicorn greet_server:app`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.request import RequestContext
from greet.v1.greet_connectcore import GreetService, GreetServiceASGIApplication
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


class Greeter(GreetService):
    """Greets. A greeting without a name is an error."""

    async def greet(self, request: GreetRequest, ctx: RequestContext[GreetRequest, GreetResponse]) -> GreetResponse:
        if not request.name:
            raise ConnectError(Code.INVALID_ARGUMENT, "a greeting needs a name")
        return GreetResponse(greeting=f"Hello, {request.name}!")

    async def greet_many(
        self, request: GreetManyRequest, ctx: RequestContext[GreetManyRequest, GreetManyResponse]
    ) -> AsyncIterator[GreetManyResponse]:
        for number in range(1, request.count + 1):
            yield GreetManyResponse(greeting=f"Hello {number}, {request.name}!")

    async def greet_group(
        self, request: AsyncIterator[GreetGroupRequest], ctx: RequestContext[GreetGroupRequest, GreetGroupResponse]
    ) -> GreetGroupResponse:
        names = [message.name async for message in request]
        return GreetGroupResponse(greeting=f"Hello, {' and '.join(names)}!")

    async def chat(
        self, request: AsyncIterator[ChatRequest], ctx: RequestContext[ChatRequest, ChatResponse]
    ) -> AsyncIterator[ChatResponse]:
        async for message in request:
            yield ChatResponse(line=f"You said: {message.line}")


app = GreetServiceASGIApplication(Greeter())
