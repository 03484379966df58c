"""Mistakes that people make, each with what it says: what is wrong, and what to do.

Where a peer must not read it, a handler's mistake is told by the log. Which of them type checkers see is in
test_generated_types.py.
"""

from __future__ import annotations

import gc
import re
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from connectcore.codec import proto_binary_codec, proto_json_codec
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.transport import ASGITransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from mistakes_support import Made


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
        "GreetServiceWSGIApplication is a WSGI application, and this server called it as one of ASGI: serve it by gunicorn",
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
