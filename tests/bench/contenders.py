"""The servers that are compared: ours, the peer (`connectrpc`), and a bare application that echoes.

The first two serve the same message class (protobuf-py) with the same handler; the bare one says what the
drivers themselves cost.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cases import STREAM, Case, envelope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

GENERATED_SUFFIX = {"ours": "connectcore", "ours, google": "connectcore", "peer": "connect"}
ENDS = {"application/connect": envelope(b"{}", 2), "application/grpc-web": envelope(b"grpc-status: 0\r\n", 0x80)}


class Echo:
    async def unary(self, request: Any, ctx: Any) -> Any:
        return request

    async def server_stream(self, request: Any, ctx: Any) -> AsyncIterator[Any]:
        make, text = type(request), request.text
        for _ in range(STREAM):
            yield make(text=text)

    async def client_stream(self, request: AsyncIterator[Any], ctx: Any) -> Any:
        last = None
        async for message in request:
            last = message
        return last


class EchoSync:
    def unary(self, request: Any, ctx: Any) -> Any:
        return request

    def server_stream(self, request: Any, ctx: Any) -> Iterator[Any]:
        make, text = type(request), request.text
        for _ in range(STREAM):
            yield make(text=text)

    def client_stream(self, request: Iterator[Any], ctx: Any) -> Any:
        last = None
        for message in request:
            last = message
        return last


class Noted:
    """A metadata interceptor that looks at one field, as authentication does."""

    async def on_start(self, ctx: Any) -> None:
        assert ctx.request_headers.get("authorization")


class NotedSync:
    def on_start_sync(self, ctx: Any) -> None:
        assert ctx.request_headers.get("authorization")


def _end(case: Case) -> bytes:
    """What follows the messages of a response."""
    return ENDS.get(case.content_type.partition("+")[0], b"")


def _bare_reply(case: Case, content: bytes) -> bytes:
    if case.procedure == "ServerStream":
        return content
    if case.procedure == "ClientStream":
        content = content[: len(content) // case.messages]
    return content + _end(case)


def _bare_head(case: Case, content: bytes) -> list[tuple[bytes, bytes]]:
    head = [(b"content-type", case.content_type.encode())]
    head += [(name.encode(), value.encode()) for name, value in case.fields if name in ("content-encoding", "grpc-encoding")]
    if case.messages == 1:
        head.append((b"content-length", str(len(content)).encode()))
    return head


def bare_asgi(case: Case) -> Any:
    trailers = case.content_type.startswith("application/grpc+")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        content = b""
        while True:
            message = await receive()
            content += message.get("body", b"")
            if not message.get("more_body", False):
                break
        reply = _bare_reply(case, content)
        head = _bare_head(case, reply)
        await send({"type": "http.response.start", "status": 200, "headers": head, "trailers": trailers})
        if case.procedure == "ServerStream":
            for _ in range(case.messages):
                await send({"type": "http.response.body", "body": reply, "more_body": True})
            await send({"type": "http.response.body", "body": _end(case), "more_body": False})
        else:
            await send({"type": "http.response.body", "body": reply, "more_body": False})
        if trailers:
            fields = [(b"grpc-status", b"0")]
            await send({"type": "http.response.trailers", "headers": fields, "more_trailers": False})

    return app


def bare_wsgi(case: Case) -> Any:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        content, left = b"", int(environ["CONTENT_LENGTH"])
        while left:  # under pyvoy a read gives what has come
            data = environ["wsgi.input"].read(left)
            content = content + data if content else data
            left -= len(data)
        reply = _bare_reply(case, content)
        start_response("200 OK", [(name.decode(), value.decode()) for name, value in _bare_head(case, reply)])
        return [reply]

    return app


def application(contender: str, case: Case) -> Any:
    """The application of `contender` that answers `case`."""
    if contender == "bare":
        return bare_asgi(case) if case.interface == "asgi" else bare_wsgi(case)
    generated = importlib.import_module(f"echo_gen.echo_{GENERATED_SUFFIX[contender]}")
    if case.interface == "asgi":
        return generated.EchoServiceASGIApplication(Echo(), interceptors=[Noted()] if case.noted else [])
    return generated.EchoServiceWSGIApplication(EchoSync(), interceptors=[NotedSync()] if case.noted else [])
