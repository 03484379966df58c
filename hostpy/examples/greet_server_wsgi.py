"""The example service under WSGI: `gunicorn greet_server_wsgi:app`."""

from __future__ import annotations

from collections.abc import Iterator

from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.request import RequestContext
from greet.v1.greet_connectcore import GreetServiceSync, GreetServiceWSGIApplication
from greet.v1.greet_pb2 import (
    GreetGroupRequest,
    GreetGroupResponse,
    GreetManyRequest,
    GreetManyResponse,
    GreetRequest,
    GreetResponse,
)


class Greeter(GreetServiceSync):
    """Greets. `chat` is left out, as WSGI has no answers before the request's end: a call of it is `unimplemented`."""

    def greet(self, request: GreetRequest, ctx: RequestContext[GreetRequest, GreetResponse]) -> GreetResponse:
        if not request.name:
            raise ConnectError(Code.INVALID_ARGUMENT, "a greeting needs a name")
        return GreetResponse(greeting=f"Hello, {request.name}!")

    def greet_many(
        self, request: GreetManyRequest, ctx: RequestContext[GreetManyRequest, GreetManyResponse]
    ) -> Iterator[GreetManyResponse]:
        for number in range(1, request.count + 1):
            yield GreetManyResponse(greeting=f"Hello {number}, {request.name}!")

    def greet_group(
        self, request: Iterator[GreetGroupRequest], ctx: RequestContext[GreetGroupRequest, GreetGroupResponse]
    ) -> GreetGroupResponse:
        return GreetGroupResponse(greeting=f"Hello, {' and '.join(message.name for message in request)}!")


app = GreetServiceWSGIApplication(Greeter())
