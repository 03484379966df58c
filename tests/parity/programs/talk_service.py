"""As the official package's example `eliza_service` has it: a service under Starlette, beside a route of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from talk.talk_connect import TalkService, TalkServiceASGIApplication
from talk.talk_pb import Sentence

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from connectrpc.request import RequestContext
    from starlette.types import ASGIApp


class DemoTalkService(TalkService):
    def __init__(self, stream_delay_secs: float = 0):
        self.stream_delay_secs = stream_delay_secs

    async def say(self, request: Sentence, ctx: RequestContext) -> Sentence:
        if not request.text:
            raise ConnectError(Code.INVALID_ARGUMENT, "say something")
        return Sentence(text=f"Why do you say {request.text}?")

    async def listen(self, request: AsyncIterator[Sentence], ctx: RequestContext) -> Sentence:
        return Sentence(text=" ".join([sentence.text async for sentence in request]))

    async def tell(self, request: Sentence, ctx: RequestContext) -> AsyncIterator[Sentence]:
        for text in (f"Hello {request.text}.", "How are you?"):
            if self.stream_delay_secs > 0:
                await asyncio.sleep(self.stream_delay_secs)
            yield Sentence(text=text)

    async def converse(self, request: AsyncIterator[Sentence], ctx: RequestContext) -> AsyncIterator[Sentence]:
        async for sentence in request:
            yield Sentence(text=f"{sentence.text}, you say?")
            if sentence.text == "bye":
                return


talk_app = TalkServiceASGIApplication(DemoTalkService())

app = Starlette(
    routes=[
        Route("/healthz", lambda _: PlainTextResponse("OK")),
        Mount(talk_app.path, cast("ASGIApp", talk_app)),
    ]
)
