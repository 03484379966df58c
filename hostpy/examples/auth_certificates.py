"""Client certificates: `python auth_certificates.py https://127.0.0.1:8443 authority.pem client.pem client.key`.

The server requires them: `uvicorn auth_certificates:app` with the options that docs/authentication.md shows. Behind a proxy
that checks them and says in a header whose they are, the application is `behind_proxy`, which knows its callers' names.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import Any
from urllib.parse import unquote

from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.interceptor import MetadataInterceptor
from connectcore.request import RequestContext
from connectcore.transport import HTTPTransport
from greet.v1.greet_connectcore import GreetServiceASGIApplication, GreetServiceClient
from greet.v1.greet_pb2 import GreetRequest
from greet_server import Greeter

app = GreetServiceASGIApplication(Greeter())


class RequireCertificate(MetadataInterceptor[None]):
    """Takes the caller's name from the header in which the proxy forwards it, and lets those in who are known.

    Only the proxy can be asked for that: it drops the header from what callers send, and nobody reaches the server around it.
    """

    def __init__(self, known: set[str]) -> None:
        self.known = known

    async def on_start(self, ctx: RequestContext[Any, Any]) -> None:
        name = subject(ctx.request_headers.get("x-forwarded-client-cert", ""))
        if name is None:
            raise ConnectError(Code.UNAUTHENTICATED, "a client certificate is needed")
        if name not in self.known:
            raise ConnectError(Code.PERMISSION_DENIED, f"{name} may not call this service")


def subject(forwarded: str) -> str | None:
    """The common name in a header like `Hash=...;Subject="CN=client,O=Acme"`."""
    for part in forwarded.split(";"):
        key, _, value = part.partition("=")
        if key.lower() == "subject":
            for attribute in unquote(value).strip('"').split(","):
                if attribute.strip().startswith("CN="):
                    return attribute.strip()[3:]
    return None


behind_proxy = GreetServiceASGIApplication(Greeter(), interceptors=[RequireCertificate({"client"})])


async def main(url: str, authority: str, *certificate: str) -> None:
    context = ssl.create_default_context(cafile=authority)
    if certificate:
        context.load_cert_chain(*certificate)
    async with HTTPTransport(ssl_context=context) as transport, GreetServiceClient(url, http_client=transport) as client:
        try:
            print((await client.greet(GreetRequest(name="World"))).greeting)
        except ConnectError as error:
            print(f"{error.code.value}: {error.message}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
