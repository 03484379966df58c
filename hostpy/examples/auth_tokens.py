"""Bearer tokens: `uvicorn auth_tokens:app`, then `python auth_tokens.py http://127.0.0.1:8000 token-of-ada`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.interceptor import MetadataInterceptor
from connectcore.request import RequestContext
from greet.v1.greet_connectcore import GreetServiceASGIApplication, GreetServiceClient
from greet.v1.greet_pb2 import GreetManyRequest, GreetRequest
from greet_server import Greeter

# In earnest a signed token, such as a JWT, says these two; or a database knows them.
USERS = {"token-of-ada": "ada", "token-of-bob": "bob"}
RIGHTS = {"ada": {"Greet", "GreetMany"}, "bob": {"Greet"}}


class RequireToken(MetadataInterceptor[None]):
    """On the server: refuses calls without a token that is known, before any of their content is read."""

    async def on_start(self, ctx: RequestContext[Any, Any]) -> None:
        scheme, _, token = ctx.request_headers.get("authorization", "").partition(" ")
        user = USERS.get(token) if scheme.lower() == "bearer" else None
        if user is None:
            raise ConnectError(Code.UNAUTHENTICATED, "send 'authorization: Bearer' with a token that is known here")
        if ctx.method.name not in RIGHTS[user]:
            raise ConnectError(Code.PERMISSION_DENIED, f"{user} may not call {ctx.method.name}")
        if ctx.scope is not None:
            ctx.scope["user"] = user  # where handlers find it


class SendToken(MetadataInterceptor[None]):
    """In the client: sends the token with every call."""

    def __init__(self, token: str) -> None:
        self.token = token

    async def on_start(self, ctx: RequestContext[Any, Any]) -> None:
        ctx.request_headers["authorization"] = f"Bearer {self.token}"


app = GreetServiceASGIApplication(Greeter(), interceptors=[RequireToken()])


async def main(url: str, token: str) -> None:
    async with GreetServiceClient(url, interceptors=[SendToken(token)]) as client:
        try:
            print((await client.greet(GreetRequest(name="World"))).greeting)
            async for response in client.greet_many(GreetManyRequest(name="World", count=1)):
                print(response.greeting)
        except ConnectError as error:
            print(f"{error.code.value}: {error.message}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
