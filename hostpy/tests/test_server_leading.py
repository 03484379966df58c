"""Interceptors of metadata at the front of the list come before a request's content, for all stream types."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from connectcore._transport.transport import length_of
from connectcore.code import Code
from connectcore.errors import ConnectError
from server_support import (
    ALL,
    ASGI,
    BIDI,
    CLIENT,
    CONNECT,
    GRPC,
    SERVER,
    SERVICE,
    UNARY,
    Request,
    Server,
    Wire,
    envelope,
    environ,
    message,
)

DUPLEX = {"http_version": "2"}


def path(kind: str) -> str:
    return f"/{SERVICE}/{kind}"


class Door:
    """Refuses every call, and notes the procedure."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def shut(self, ctx: Any) -> None:
        self.seen.append(f"/{ctx.method.service_name}/{ctx.method.name}")
        raise ConnectError(Code.UNAUTHENTICATED, "who are you?")


class AsyncDoor(Door):
    async def on_start(self, ctx: Any) -> None:
        self.shut(ctx)


class SyncDoor(Door):
    def on_start_sync(self, ctx: Any) -> None:
        self.shut(ctx)


@pytest.mark.parametrize("form", [CONNECT, GRPC])
@pytest.mark.parametrize("kind", [UNARY, CLIENT, SERVER, BIDI])
async def test_before_the_content_asgi(kind: str, form: dict[str, Any]) -> None:
    """A call is refused while its peer has sent no content yet, at whatever prefix."""
    door = AsyncDoor()
    application = ASGI(ALL, interceptors=[door])
    form = {**form, **DUPLEX} if kind != UNARY or form is GRPC else DUPLEX
    for prefix in ("", "/api"):
        wire = Wire(Request(kind, [envelope(message("1"))], path=f"{prefix}{path(kind)}", root=prefix, **form), hold=True)
        task = asyncio.create_task(application(wire.scope, wire.receive, wire.send))
        async with asyncio.timeout(20):
            while not wire.sent or wire.sent[-1]["type"] == "http.response.start":  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert wire.received == 0
        wire.disconnect()
        await task
    assert door.seen == [path(kind)] * 2


@pytest.mark.parametrize("form", [CONNECT, GRPC])
@pytest.mark.parametrize("kind", [UNARY, CLIENT, SERVER, BIDI])
def test_before_the_content_wsgi(kind: str, form: dict[str, Any]) -> None:
    door = SyncDoor()
    server = Server("wsgi", ALL, {"interceptors": [door]})
    form = {**form, **DUPLEX} if kind != UNARY or form is GRPC else {}
    for prefix in ("", "/api"):
        request = Request(kind, [envelope(message("1"))], root=prefix, **form)
        variables = environ(request)
        trailers: list[Any] = []
        variables["wsgi.ext.http.send_trailers"] = trailers.extend
        read = variables["wsgi.input"]
        reads: list[int] = []
        written = server.application(variables, lambda status, fields, read=read, reads=reads: reads.append(read.reads))
        assert reads == [0], "the head is sent before anything is read"
        assert b"".join(written) or trailers
        written.close() if hasattr(written, "close") else None
    assert door.seen == [path(kind)] * 2


@pytest.mark.parametrize("length", ["1" * 5000, "1x", "-1"])
def test_a_length_that_is_none(interface: str, length: str) -> None:
    """Python refuses to read a number of thousands of digits; the call is answered like any other."""
    door = AsyncDoor() if interface == "asgi" else SyncDoor()
    server = Server(interface, {UNARY: lambda request, _: request}, {"interceptors": [door]})
    for _ in range(3):  # of which the third finds what is kept of the head
        answer = server.call(Request(UNARY, [message("1")], fields=[("content-length", length)], length=False))
        assert answer.status == 401
    assert length_of([("content-length", length)]) is None
