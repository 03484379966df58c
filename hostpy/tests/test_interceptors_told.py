"""A metadata interceptor that has started hears of the same end as the peer, also where the handler was never called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from server_support import ASGI, CLIENT, SERVER, UNARY, WSGI, Request, call_asgi, call_wsgi, envelope, envelopes, message

if TYPE_CHECKING:
    from connectcore.errors import ConnectError

STREAM = "application/connect+proto"
BAD: dict[str, tuple[str, str, bytes]] = {
    "too large": (UNARY, "application/proto", message("a" * 200)),
    "no message": (UNARY, "application/proto", b"\xff\xff"),
    "a stream's, too large": (SERVER, STREAM, envelope(message("a" * 200))),
    "a stream's, no message": (SERVER, STREAM, envelope(b"\xff\xff")),
    "a stream's, two": (SERVER, STREAM, 2 * envelope(message("a"))),
    "a stream's, none": (SERVER, STREAM, b""),
    "a stream's, cut short": (SERVER, STREAM, envelope(message("a"))[:-1]),
    "a stream's, unknown flags": (SERVER, STREAM, envelope(message("a"), 8)),
    "a stream of requests', too large": (CLIENT, STREAM, envelope(message("a" * 200))),
    "a stream of requests', no message": (CLIENT, STREAM, envelope(b"\xff\xff")),
    "a stream of requests', cut short": (CLIENT, STREAM, envelope(message("a"))[:-1]),
}


class Told:
    """What an interceptor hears of, by the start and the end of each call."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def on_start(self, ctx: Any) -> None:
        self.on_start_sync(ctx)

    async def on_end(self, token: None, ctx: Any, error: ConnectError | None) -> None:
        self.on_end_sync(token, ctx, error)

    def on_start_sync(self, ctx: Any) -> None:
        self.told.append("start")

    def on_end_sync(self, token: None, ctx: Any, error: ConnectError | None) -> None:
        self.told.append("no error" if error is None else error.code.value)


async def handle(request: Any, ctx: Any) -> Any:
    raise AssertionError("called")


async def stream(request: Any, ctx: Any) -> Any:
    raise AssertionError("called")
    yield


async def streamed(requests: Any, ctx: Any) -> Any:
    messages = [each async for each in requests]
    return messages[0]


def handle_sync(request: Any, ctx: Any) -> Any:
    raise AssertionError("called")


def stream_sync(request: Any, ctx: Any) -> Any:
    raise AssertionError("called")
    yield


def streamed_sync(requests: Any, ctx: Any) -> Any:
    messages = list(requests)
    return messages[0]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
def test_it_hears_what_the_peer_hears(interface: str, bad: str) -> None:
    procedure, content_type, content = BAD[bad]
    told = Told()
    options: dict[str, Any] = {"interceptors": [told], "read_max_bytes": 100}
    asgi = ASGI({UNARY: handle, SERVER: stream, CLIENT: streamed}, **options)
    wsgi = WSGI({UNARY: handle_sync, SERVER: stream_sync, CLIENT: streamed_sync}, **options)
    request = Request(procedure, chunks=[content], content_type=content_type, length=False)
    for _ in range(3):  # a head is known when it comes again
        told.told.clear()
        answer = call_asgi(asgi, request) if interface == "asgi" else call_wsgi(wsgi, request)
        error = json.loads(answer.content) if procedure == UNARY else json.loads(envelopes(answer.content)[-1][1])["error"]
        assert told.told == ["start", error["code"]]
