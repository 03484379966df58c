"""The example service under WSGI: `gunicorn greet_server_wsgi:app`."""

from __future__ import annotations

from greet.v1.greet_connectcore import GreetServiceSync, GreetServiceWSGIApplication
from greet.v1.greet_pb2 import GreetRequest, GreetResponse

from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.request import RequestContext


class Greeter(GreetServiceSync):
    """Greets. The stream procedures are left out: a call of one answers `unimplemented`."""

    def greet(self, request: GreetRequest, ctx: RequestContext[GreetRequest, GreetResponse]) -> GreetResponse:
        if not request.name:
            raise ConnectError(Code.INVALID_ARGUMENT, "a greeting needs a name")
        return GreetResponse(greeting=f"Hello, {request.name}!")


app = GreetServiceWSGIApplication(Greeter())
