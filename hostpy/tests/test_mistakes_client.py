"""Mistakes that people make with a client, each with what it says: what is wrong, and what to do."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from connectcore.codec import proto_json_codec
from connectcore.transport import WSGITransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from mistakes_support import Made


def closed(made: Made) -> Any:
    client = made.wsgi_client(made.good_sync)
    client.close()
    client.greet(made.request())


async def closed_async(made: Made) -> Any:
    async with made.asgi_client(made.good) as client:
        pass
    await client.greet(made.request())


def plain_with(made: Made) -> Any:
    with made.asgi_client(made.good):
        pass


async def async_with(made: Made) -> Any:
    async with made.wsgi_client(made.good_sync):
        pass


async def awaited(made: Made) -> Any:
    await made.wsgi_client(made.good_sync).greet(made.request())


def not_awaited(made: Made) -> Any:
    call = made.asgi_client(made.good).greet(made.request())
    try:
        return call.greeting
    finally:
        call.close()


async def plain_for(made: Made) -> Any:
    for _ in made.asgi_client(made.good).greet_many(made.request()):
        pass


def client_of(made: Made, **options: Any) -> Any:
    return made.module.GreetServiceClient("http://localhost", **options)


CLIENTS: dict[str, tuple[Callable[[Made], Any], type[Exception], str]] = {
    "another message's class": (
        lambda made: made.call(made.asgi_client(made.good), "greet", made.response()),
        TypeError,
        "GreetService.Greet takes {request}, not {response}",
    ),
    "another runtime's message": (
        lambda made: made.call(made.wsgi_client(made.good_sync), "greet", made.foreign),
        TypeError,
        "which is of {theirs}: this client's code was generated for {ours}",
    ),
    "a dict": (
        lambda made: made.call(made.asgi_client(made.good), "greet", {"name": "x"}),
        TypeError,
        "GreetService.Greet takes {request}, not dict",
    ),
    "closed": (closed, RuntimeError, "this client is closed: make another, or call inside of its block"),
    "closed, async": (closed_async, RuntimeError, "this client is closed: make another, or call inside of its block"),
    "with": (
        plain_with,
        TypeError,
        "GreetServiceClient is asynchronous: use 'async with', or the client GreetServiceClientSync",
    ),
    "async with": (
        async_with,
        TypeError,
        "GreetServiceClientSync is synchronous: use 'with', or the client GreetServiceClient",
    ),
    "await": (awaited, TypeError, "object GreetResponse can't be used in 'await' expression"),
    "no await": (not_awaited, AttributeError, "'coroutine' object has no attribute 'greeting'"),
    "no async for": (plain_for, TypeError, "'ResponseStream' object is not iterable"),
    "a misspelt method": (
        lambda made: made.asgi_client(made.good).gret(made.request()),
        AttributeError,
        "'GreetServiceClient' object has no attribute 'gret'",
    ),
    "a misspelt option": (
        lambda made: client_of(made, timout=1),
        TypeError,
        "a client has no option 'timout': is timeout meant?",
    ),
    "an option of something else": (
        lambda made: client_of(made, verify=False),
        TypeError,
        "a client has no option 'verify', but codec, protocol, accept_compression, ",
    ),
    "a misspelt option of a call": (
        lambda made: client_of(made).greet(made.request(), timout=1),
        TypeError,
        "GreetServiceClient.greet() got an unexpected keyword argument 'timout'",
    ),
    "a timeout as text": (
        lambda made: client_of(made, timeout="1"),
        TypeError,
        "timeout must be a number of seconds, or a timedelta, not '1'",
    ),
    "a protocol's name": (
        lambda made: client_of(made, protocol="grpc"),
        TypeError,
        "protocol must be a connectcore.protocol.ProtocolType, not 'grpc'",
    ),
    "a codec's name": (lambda made: client_of(made, codec="json"), TypeError, "'json' is no codec: one is an object such as"),
    "a codec's function": (lambda made: client_of(made, codec=proto_json_codec), TypeError, "is no codec: one is an object"),
    "a compression's name": (
        lambda made: client_of(made, send_compression="gzip"),
        TypeError,
        "'gzip' is no compression: one is an object such as",
    ),
    "an application": (
        lambda made: client_of(made, http_client=made.module.GreetServiceASGIApplication(made.good)),
        TypeError,
        "an application is called through ASGITransport(app) or WSGITransport(app)",
    ),
    "a transport of the other kind": (
        lambda made: client_of(made, http_client=WSGITransport(lambda *_: [])),
        TypeError,
        "not WSGITransport, which is for a sync client",
    ),
    "no scheme": (
        lambda made: made.module.GreetServiceClient("localhost:8000"),
        ValueError,
        "'localhost:8000' has no scheme; it must look like https://example.com or http://localhost:8080/prefix",
    ),
    "a misspelt scheme": (
        lambda made: made.module.GreetServiceClientSync("htp://localhost"),
        ValueError,
        "has the scheme 'htp', but only http and https are served",
    ),
}


@pytest.mark.parametrize("case", CLIENTS)
def test_a_call_that_cannot_be(made: Made, case: str) -> None:
    do, kind, words = CLIENTS[case]
    with pytest.raises(kind, match=re.escape(words.format(**made.names))):
        asyncio.run(do(made)) if asyncio.iscoroutinefunction(do) else do(made)


def test_what_was_not_awaited_is_told(made: Made) -> None:
    """By Python itself."""
    with pytest.warns(RuntimeWarning, match=r"'GreetServiceClient\.greet' was never awaited"):
        made.asgi_client(made.good).greet(made.request())
