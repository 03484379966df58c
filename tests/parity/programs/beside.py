"""What the official pages "Errors", "Headers & trailers", "Interceptors" and "Serialization" have, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from connectrpc.client import ResponseMetadata
from connectrpc.code import Code
from connectrpc.codec import proto_json_codec
from connectrpc.compression.gzip import GzipCompression
from connectrpc.errors import ConnectError
from connectrpc.request import Headers, RequestContext
from pyqwest import Client
from pyqwest.testing import ASGITransport
from talk.talk_connect import TalkService, TalkServiceASGIApplication, TalkServiceClient
from talk.talk_pb import Sentence

REQ = TypeVar("REQ")
RES = TypeVar("RES")


class DemoTalkService(TalkService):
    async def say(self, request: Sentence, ctx: RequestContext) -> Sentence:
        if ctx.request_headers.get("acme-tenant-id") is None:
            raise ConnectError(Code.UNAUTHENTICATED, "who are you?", details=[Sentence(text="send acme-tenant-id")])
        ctx.response_headers["greet-version"] = "v1"
        ctx.response_trailers["greet-cost"] = "237"
        return Sentence(text=f"{request.text} over {ctx.method.service_name}.{ctx.method.name} by {ctx.http_method}")


class LoggingInterceptor:
    async def intercept_unary(
        self, call_next: Callable[[REQ, RequestContext], Awaitable[RES]], request: REQ, ctx: RequestContext
    ) -> RES:
        print(f"calling {ctx.method.name}")
        response = await call_next(request, ctx)
        print(f"called {ctx.method.name}")
        return response


class MeasuringInterceptor:
    async def on_start(self, ctx: RequestContext) -> str:
        return ctx.method.name

    async def on_end(self, token: str, ctx: RequestContext, error: Exception | None) -> None:
        print(f"{token} ended with {error.code.name if isinstance(error, ConnectError) else error}")


async def main():
    app = TalkServiceASGIApplication(
        DemoTalkService(),
        interceptors=[MeasuringInterceptor(), LoggingInterceptor()],
        compressions=[GzipCompression()],
        read_max_bytes=1024,
    )
    client = TalkServiceClient(
        "http://localhost",
        codec=proto_json_codec(),
        send_compression=GzipCompression(),
        accept_compression=[GzipCompression()],
        timeout_ms=20000,
        http_client=Client(ASGITransport(app)),
    )
    async with client:
        with ResponseMetadata() as meta:
            response = await client.say(Sentence(text="Hello"), headers=Headers({"acme-tenant-id": "1234"}))
        print(response.text, meta.headers["greet-version"], meta.trailers["greet-cost"])
        response = await client.say(Sentence(text="Hello"), headers={"acme-tenant-id": "1234"}, use_get=True)
        print(response.text)
        for message in (Sentence(text="Hello"), Sentence(text="x" * 2000)):
            try:
                await client.say(message, timeout_ms=20000)
            except ConnectError as e:
                print(e.code.value, [detail.value(Sentence) for detail in e.details])


if __name__ == "__main__":
    asyncio.run(main())
