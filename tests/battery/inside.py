"""What is inside stays inside: no path, address, name of a class, nor word of the module, in any byte that a peer sees."""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from client_support import Exchange, RawServer
from connectcore._wasm.pool import POOL
from connectcore.client import ConnectClientSync
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from server_support import (
    ALL,
    BIDI,
    CLIENT,
    CONNECT,
    GRPC,
    SERVER,
    SERVICE,
    UNARY,
    Request,
    Server,
    envelope,
    message,
    method,
)
from stream_support import said
from test_compression_server import GRPC_WEB

import served
from faults import Faults
from figures import ROOT, Figure
from proxies import HOST, backend, started
from served import CRASH

INSIDE = re.compile(
    rb"(?<![\w.])/(?:home|usr|opt|tmp|var|work|root|etc|proc|lib)/|\.(?:py|go|wasm|so)\b|0x[0-9a-f]{5,}"
    rb"|wasm|goroutine|traceback|panic|runtime error|<class|object at|site-packages|secret"
    rb"|\b[A-Z]\w*(?:Error|Exception)\b|google\.protobuf\.message|connectcore\.|hostgo|hostpy",
    re.IGNORECASE,
)
FAITHFUL = re.compile(rb"connectcore[-/][\w.]*", re.IGNORECASE)  # what a client may say it is
KINDS = (UNARY, CLIENT, SERVER, BIDI)


def raising(error: BaseException) -> Callable[..., Any]:
    def handler(*_: Any) -> Any:
        raise error

    return handler


def returning(value: Any) -> Callable[..., Any]:
    return lambda *_: value


def bad_metadata(request: Any, ctx: Any) -> Any:
    ctx.response_headers["x-a"] = "a\r\nb"
    return request


HANDLERS: dict[str, Callable[..., Any]] = {
    "own class": raising(served.SecretClass(f"{__file__} at 0x{id(KINDS):x}")),
    "chained": raising(OSError(2, "no such file", __file__)),
    "system exit of a library": raising(RuntimeError("goroutine 1 [running]: wasm")),
    "nothing": returning(None),
    "another class": returning(served.SecretClass()),
    "text": returning("text"),
    "bad metadata": bad_metadata,
}


def requests() -> Iterator[Request]:
    """Requests of every protocol and stream type, good ones and others."""
    for kind in KINDS:
        for parts in (CONNECT, GRPC, GRPC_WEB):
            for content in (
                envelope(message("1")),
                envelope(b"\xff\xff"),
                b"\0\0",
                envelope(message("1"), 1),
                envelope(b"{}", 9),
            ):
                yield Request(kind, [content], **parts)
            yield Request(
                kind, [envelope(message("1"))], **{**parts, "content_type": parts["content_type"].replace("proto", "json")}
            )
    for content_type in ("application/json", "application/proto", "text/plain", ""):
        for content in (b'"1"', b'{"a', b"[" * 5000, message("1"), b"\xff"):
            yield Request(chunks=[content], content_type=content_type)
    for fields in ([("content-encoding", "gzip")], [("connect-timeout-ms", "-1")], [("connect-protocol-version", "9")]):
        yield Request(fields=fields)
    for query in ("connect=v1&encoding=json&message=%ff", "connect=v1&encoding=proto&base64=1&message=!!", "%zz"):
        yield Request(http_method="GET", query=query, content_type="", chunks=[])
    yield Request(path="/none")
    yield Request(http_method="PUT")


def seen(answer: Any) -> bytes:
    fields = [*answer.fields, *answer.trailers]
    return answer.content + repr(fields).encode()  # type: ignore[no-any-return]


class Found:
    """How much was looked at, and what should not have been there."""

    def __init__(self) -> None:
        self.looked = 0
        self.bad: dict[str, bytes] = {}

    def look(self, what: str, data: bytes) -> None:
        self.looked += 1
        data = FAITHFUL.sub(b"", data)
        if found := INSIDE.search(data):
            self.bad.setdefault(what, data[max(0, found.start() - 40) : found.end() + 40])

    def figure(self, what: str) -> Figure:
        bad = "; ".join(f"{name}: {data!r}" for name, data in self.bad.items())
        return Figure(what, (bad or f"nothing, in {self.looked:,} answers")[:400], "nothing", not self.bad and self.looked > 0)


def in_process(interface: str) -> Iterator[Figure]:
    found = Found()
    for name, handler in {"good": None, **HANDLERS}.items():
        functions = ALL if handler is None else dict.fromkeys(KINDS, handler)
        server = Server(interface, functions)
        for request in requests():
            with contextlib.suppress(RuntimeError):  # a response that had begun is broken off
                found.look(f"{name}, {request.procedure}, {request.content_type}", seen(server.call(request)))
    yield found.figure(f"{interface}: handlers that fail, malformed requests")
    found = Found()
    faults = Faults()
    server = Server(interface, ALL)
    for number in range(3):
        for request in requests():
            faults.steps = 98 + number  # the next, or the one after it, is a hundredth
            with contextlib.suppress(RuntimeError):
                found.look(f"{request.procedure}, {request.content_type}", seen(server.call(request)))
    yield found.figure(f"{interface}: instances that fail ({faults.made} times)")
    POOL.forget()


def raw(path: str, content_type: str, content: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {content_type}\r\nconnection: close\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def over_sockets(port: int) -> Found:
    """All bytes that come over connections, of calls that fail inside and of what is not HTTP."""
    found = Found()
    plain, stream = message(CRASH), envelope(message(CRASH))
    unary = f"/{SERVICE}/{UNARY}"
    asked = [raw(unary, "application/proto", plain), raw(unary, "application/proto", b"\xff"), b"\0\1\2\3\r\n\r\n"]
    for kind in (CLIENT, SERVER, BIDI):
        asked += [raw(f"/{SERVICE}/{kind}", each["content_type"], stream) for each in (CONNECT, GRPC_WEB)]
    asked += [raw(unary, "application/grpc", stream), b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"]
    for request in asked:
        found.look(repr(request[:60]), heard(port, request))
    return found


def heard(port: int, request: bytes) -> bytes:
    """All that comes over a connection on which a request was sent."""
    data = bytearray()
    with socket.create_connection((HOST, port), timeout=10) as connection, contextlib.suppress(OSError):
        connection.sendall(request)
        while more := connection.recv(65536):
            data += more
    return bytes(data)


def go_host() -> Found:
    """The Go host's answers, of which some say that a handler has panicked."""
    found = Found()
    texts = [make(message(word)) for word in ("panic", "plain", "fail") for make in (bytes, envelope)]
    types = ("application/proto", "application/json", CONNECT["content_type"], "application/grpc-web+proto")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "goserver")
        subprocess.run(["go", "build", "-o", program, "./tests/interop/goserver"], cwd=ROOT, check=True)
        with started([program], stdout=subprocess.PIPE) as process:
            assert process.stdout
            port = int(process.stdout.readline().strip().rpartition(":")[2])
            for path, kind in itertools.product(("Unary", "Safe", "Client", "Server", "Bidi", "None"), types):
                for content in (*texts, b'"panic"', b"\xff", b"[" * 5000, b'{"a', b""):
                    said = heard(port, raw(f"/interop.v1.Interop/{path}", kind, content))
                    # A stream gives back what it was asked before it fails.
                    found.look(f"{path} {kind} {content[:20]!r}", re.sub(rb"(panic|plain|fail) \d", b"", said))
    return found


def client_says() -> Found:
    """What clients send."""
    found = Found()

    def answer(exchange: Exchange) -> bool:
        found.look(exchange.target, exchange.head + exchange.content)
        return False

    server = RawServer(answer)
    for protocol in (ProtocolType.CONNECT, ProtocolType.GRPC_WEB):
        with ConnectClientSync(server.address, protocol=protocol) as client, contextlib.suppress(ConnectError):
            client.execute_unary(request=said("x"), method=method(UNARY), timeout=5)
    server.close()
    return found


def figures(whole: bool) -> Iterator[Figure]:
    logging.disable()
    for interface in ("asgi", "wsgi"):
        yield from in_process(interface)
    yield client_says().figure("what clients send")
    names = ("uvicorn-zttp", "uvicorn-httptools", "uvicorn-h11", "hypercorn", "granian", "daphne", "gunicorn-asgi")
    for name in names if whole else names[:1]:
        with backend(name, "served:asgi") as (port, _):
            yield over_sockets(port).figure(f"under {name}")
    if whole:
        for name in ("gunicorn-sync", "gunicorn-gthread", "waitress", "wsgiref", "uwsgi"):
            with backend(name, "served:wsgi") as (port, _):
                yield over_sockets(port).figure(f"under {name}")
        yield go_host().figure("the Go host")
