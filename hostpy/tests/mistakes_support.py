"""What the tests of mistakes share: generated code of either message runtime, and handlers written rightly and wrongly."""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue
from protobuf.wkt.google.protobuf import wrappers_pb

from connectcore.transport import ASGITransport, WSGITransport

RUNTIMES = {"google": "Google's protobuf", "protobuf-py": "protobuf-py"}


class Made:
    """Generated code, and what one may do wrong with it."""

    def __init__(self, module: Any, messages: str) -> None:
        self.module = module
        found = next(value for name, value in vars(module).items() if name in ("_greet_pb2", "_greet_pb"))
        self.request, self.response = found.GreetRequest, found.GreetResponse
        self.foreign = wrappers_pb.StringValue() if messages == "google" else StringValue()
        names = {"ours": RUNTIMES[messages], "theirs": next(name for key, name in RUNTIMES.items() if key != messages)}
        names |= {"request": f"{found.__name__}.GreetRequest", "response": f"{found.__name__}.GreetResponse"}
        self.names = names
        Base, BaseSync = module.GreetService, module.GreetServiceSync
        self.good = type("Good", (Base,), {"greet": self.handler("returns"), "greet_many": self.handler("yields")})()
        sync = {"greet": self.handler("plain_returns"), "greet_many": self.handler("plain_yields")}
        self.good_sync = type("GoodSync", (BaseSync,), sync)()

    def handler(self, name: str) -> Any:
        """A way to write a handler, right or wrong."""
        response, request, foreign = self.response, self.request, self.foreign

        async def returns(self: Any, request: Any, ctx: Any) -> Any:
            return response(greeting="x")

        def plain_returns(self: Any, request: Any, ctx: Any) -> Any:
            return response(greeting="x")

        async def yields(self: Any, request: Any, ctx: Any) -> Any:
            yield response(greeting="x")

        def plain_yields(self: Any, request: Any, ctx: Any) -> Any:
            yield response(greeting="x")

        async def forgets(self: Any, request: Any, ctx: Any) -> Any: ...

        def plain_forgets(self: Any, request: Any, ctx: Any) -> Any: ...

        async def echoes(self: Any, _: Any, ctx: Any) -> Any:
            return request(name="x")

        def plain_echoes(self: Any, _: Any, ctx: Any) -> Any:
            return request(name="x")

        async def yields_requests(self: Any, _: Any, ctx: Any) -> Any:
            yield request(name="x")

        def plain_yields_requests(self: Any, _: Any, ctx: Any) -> Any:
            yield request(name="x")

        async def mixes(self: Any, request: Any, ctx: Any) -> Any:
            return foreign

        def plain_mixes(self: Any, request: Any, ctx: Any) -> Any:
            return foreign

        async def lacks_await(self: Any, request: Any, ctx: Any) -> Any:
            return returns(self, request, ctx)

        def plain_lacks_await(self: Any, request: Any, ctx: Any) -> Any:
            return returns(self, request, ctx)

        def plain_lists(self: Any, request: Any, ctx: Any) -> Any:
            return [response(greeting="x")]

        async def lacks_ctx(self: Any, request: Any) -> Any: ...

        def plain_lacks_ctx(self: Any, request: Any) -> Any: ...

        return locals()[name]

    def client(self, interface: str, rpc: str, handler: str, **options: Any) -> Any:
        """A client of an application with one handler written so."""
        service = {rpc: self.handler(handler)}
        if interface == "asgi":
            return self.asgi_client(type("Service", (self.module.GreetService,), service)(), **options)
        return self.wsgi_client(type("Service", (self.module.GreetServiceSync,), service)(), **options)

    def asgi_client(self, service: Any, **options: Any) -> Any:
        app = self.module.GreetServiceASGIApplication(service)
        return self.module.GreetServiceClient("http://here", http_client=ASGITransport(app), **options)

    def wsgi_client(self, service: Any, **options: Any) -> Any:
        app = self.module.GreetServiceWSGIApplication(service)
        return self.module.GreetServiceClientSync("http://here", http_client=WSGITransport(app), **options)

    def call(self, client: Any, rpc: str, request: Any = None) -> Any:
        """The responses of a call."""
        call = getattr(client, rpc)
        if request is None:
            request = self.request(name="x")
        if hasattr(client, "execute_unary") and asyncio.iscoroutinefunction(client.execute_unary):

            async def run() -> Any:
                return [await call(request)] if rpc == "greet" else [each async for each in call(request)]

            return asyncio.run(run())
        return [call(request)] if rpc == "greet" else list(call(request))
