"""Mistakes that people make, each with what it says: what is wrong, and what to do.

Where a peer must not read it, a handler's mistake is told by the log. Which of them type checkers see is in
test_generated_types.py.
"""

from __future__ import annotations

import asyncio
import gc
import re
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from protobuf.wkt.google.protobuf import wrappers_pb

from connectcore.codec import proto_binary_codec, proto_json_codec
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.transport import ASGITransport, WSGITransport
from protoc import GREET, Protoc

if TYPE_CHECKING:
    from collections.abc import Callable

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


@pytest.fixture(scope="module", params=RUNTIMES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    package = f"mistakes_{request.param.replace('-', '_')}"
    protoc = Protoc(tmp_path_factory.mktemp(package), {f"{package}/greet.proto": GREET.replace("greet.v1", package)})
    protoc.generate(request.param)
    with pytest.MonkeyPatch.context() as patch:
        return Made(protoc.load(patch, f"{package}.greet_connectcore"), request.param)


# --- handlers -----------------------------------------------------------------------------------------------------

YIELDS = "yields, but the method gives one response: return it"
LACKS_CTX = "must take two arguments, a request and a context"
ASYNCHRONOUS = "is asynchronous: serve it under ASGI, or make it a plain function"
REFUSED = [
    ("asgi", "greet", "yields", YIELDS),
    ("asgi", "greet", "plain_yields", YIELDS),
    ("asgi", "greet", "lacks_ctx", LACKS_CTX),
    ("wsgi", "greet", "plain_yields", YIELDS),
    ("wsgi", "greet", "plain_lacks_ctx", LACKS_CTX),
    ("wsgi", "greet", "returns", ASYNCHRONOUS),
    ("wsgi", "greet_many", "yields", ASYNCHRONOUS),
]


@pytest.mark.parametrize(("interface", "rpc", "handler", "words"), REFUSED)
def test_a_handler_that_cannot_serve(made: Made, interface: str, rpc: str, handler: str, words: str) -> None:
    """The application is not made, so nobody has to wait for a call to learn it."""
    with pytest.raises(TypeError, match=re.escape(words)) as caught:
        made.client(interface, rpc, handler)
    assert f"GreetService/{''.join(word.title() for word in rpc.split('_'))} " in str(caught.value)


LOGGED = [
    (
        "asgi",
        "greet",
        "plain_returns",
        "under ASGI a handler is a coroutine function, 'async def'; this one returned GreetResponse",
    ),
    ("asgi", "greet", "forgets", "gave None, not {response}: is a return missing?"),
    ("asgi", "greet", "echoes", "gave {request}, not {response}"),
    ("asgi", "greet", "mixes", "its class is of {theirs}, and the code was generated for {ours}"),
    ("asgi", "greet", "lacks_await", "not {response}: is an await missing?"),
    (
        "asgi",
        "greet_many",
        "plain_lists",
        "returned list, but the method gives a stream: yield each response, in an async generator",
    ),
    (
        "asgi",
        "greet_many",
        "plain_yields",
        "returned generator, but the method gives a stream: yield each response, in an async",
    ),
    ("asgi", "greet_many", "returns", ".returns, but the method gives a stream: yield each response, in an async generator"),
    ("asgi", "greet_many", "yields_requests", "gave {request}, not {response}"),
    ("wsgi", "greet", "plain_forgets", "gave None, not {response}: is a return missing?"),
    ("wsgi", "greet", "plain_echoes", "gave {request}, not {response}"),
    ("wsgi", "greet", "plain_mixes", "its class is of {theirs}, and the code was generated for {ours}"),
    ("wsgi", "greet", "plain_lacks_await", "not {response}: is an await missing?"),
    (
        "wsgi",
        "greet_many",
        "plain_returns",
        "returned {response}, but the method gives a stream: yield each response, in a generator",
    ),
    (
        "wsgi",
        "greet_many",
        "plain_forgets",
        "returned None, but the method gives a stream: yield each response, in a generator",
    ),
    ("wsgi", "greet_many", "plain_yields_requests", "gave {request}, not {response}"),
]


@pytest.mark.parametrize("codec", ["proto", "json"])
@pytest.mark.parametrize(("interface", "rpc", "handler", "words"), LOGGED)
def test_a_handler_whose_answer_is_none(
    made: Made, interface: str, rpc: str, handler: str, words: str, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time, and with each codec. The peer learns that the server failed, and no name of a class."""
    client = made.client(interface, rpc, handler, codec=proto_binary_codec() if codec == "proto" else proto_json_codec())
    for _ in range(2):
        caplog.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ConnectError) as caught:
                made.call(client, rpc)
            gc.collect()
        assert caught.value.message in ("the handler failed unexpectedly", "the message to send cannot be encoded")
        assert words.format(**made.names) in caplog.text


def test_a_stream_is_still_good_behind_its_first_message(made: Made) -> None:
    """The test of its class is made once."""
    client = made.client("wsgi", "greet_many", "plain_yields")
    assert [made.call(client, "greet_many") for _ in range(2)] == [[made.response(greeting="x")]] * 2


# --- services, and the servers that they are given to -----------------------------------------------------------------


APPLICATIONS: dict[str, tuple[Callable[[Made], Any], str]] = {
    "a class": (
        lambda made: made.module.GreetServiceASGIApplication(type(made.good)),
        "Good is a class: pass an instance of it",
    ),
    "a class, WSGI": (
        lambda made: made.module.GreetServiceWSGIApplication(type(made.good_sync)),
        "is the service a class in place of an instance?",
    ),
    "no service": (
        lambda made: made.module.GreetServiceASGIApplication("http://localhost"),
        "str has no handler 'greet': derive the service from the generated class",
    ),
    "asynchronous under WSGI": (lambda made: made.module.GreetServiceWSGIApplication(made.good), "serve it under ASGI"),
    "a misspelt option": (
        lambda made: made.module.GreetServiceASGIApplication(made.good, acces_log=True),
        "an application has no option 'acces_log': is access_log meant?",
    ),
    "an option of something else": (
        lambda made: made.module.GreetServiceWSGIApplication(made.good_sync, workers=4),
        "an application has no option 'workers', but interceptors, read_max_bytes, ",
    ),
    "a codec's name": (
        lambda made: made.module.GreetServiceASGIApplication(made.good, codecs=["json"]),
        "'json' is no codec: one is an object such as connectcore.codec.proto_json_codec() gives",
    ),
    "a compression's name": (
        lambda made: made.module.GreetServiceWSGIApplication(made.good_sync, compressions=["gzip"]),
        "'gzip' is no compression: one is an object such as connectcore.compression.gzip.GzipCompression() makes",
    ),
    "an interceptor without a list": (
        lambda made: made.module.GreetServiceASGIApplication(made.good, interceptors=made.good),
        "interceptors must be a list of them, if only of one, not Good",
    ),
    "ASGI's application under WSGI": (
        lambda made: made.module.GreetServiceASGIApplication(made.good)({}, print),
        "ConnectASGIApplication.__call__() missing 1 required positional argument: 'send'",
    ),
    "WSGI's application under ASGI": (
        lambda made: made.module.GreetServiceWSGIApplication(made.good_sync)({}, print, print),
        "ConnectWSGIApplication.__call__() takes 3 positional arguments",
    ),
}


@pytest.mark.parametrize("case", APPLICATIONS)
def test_an_application_that_cannot_be(made: Made, case: str) -> None:
    make, words = APPLICATIONS[case]
    with pytest.raises(TypeError, match=re.escape(words)):
        make(made)


def test_a_handler_that_is_misspelt(made: Made) -> None:
    """It may be one that is still to be written, so the server serves the others."""
    client = made.asgi_client(type("Service", (made.module.GreetService,), {"gret": made.handler("returns")})())
    with pytest.raises(ConnectError, match=r"GreetService\.Greet is not implemented$"):
        made.call(client, "greet")


def test_grpc_where_the_server_carries_no_trailers(made: Made) -> None:
    application = made.module.GreetServiceASGIApplication(made.good)

    async def server(scope: Any, receive: Any, send: Any) -> None:
        await application({**scope, "extensions": {}}, receive, send)

    client = made.module.GreetServiceClient("http://here", http_client=ASGITransport(server), protocol=ProtocolType.GRPC)
    with pytest.raises(ConnectError, match="cannot send trailers, and gRPC needs them: use the Connect protocol"):
        made.call(client, "greet")


def test_a_codec_that_the_server_does_not_speak(made: Made) -> None:
    application = made.module.GreetServiceASGIApplication(made.good, codecs=[proto_binary_codec()])
    transport = ASGITransport(application)
    client = made.module.GreetServiceClient("http://here", http_client=transport, codec=proto_json_codec())
    with pytest.raises(ConnectError) as caught:
        made.call(client, "greet")
    assert "415" in caught.value.message


# --- clients ----------------------------------------------------------------------------------------------------------


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
    "a misspelt option": (lambda made: client_of(made, timout=1), TypeError, "unexpected keyword argument 'timout'"),
    "a misspelt option of a call": (
        lambda made: client_of(made).greet(made.request(), timout=1),
        TypeError,
        "GreetServiceClient.greet() got an unexpected keyword argument 'timout'",
    ),
    "a timeout as text": (
        lambda made: client_of(made, timeout="1"),
        TypeError,
        "a timeout must be a number of seconds, not '1'",
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
