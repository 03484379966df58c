"""What the servers' tests share: a service, and calls of it under ASGI and WSGI without a network."""

from __future__ import annotations

import asyncio
import contextlib
import io
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf.wrappers_pb2 import StringValue

from connectcore._wasm import records
from connectcore._wasm.pool import POOL
from connectcore.method import IdempotencyLevel, MethodInfo, StreamType
from connectcore.server import ConnectASGIApplication, ConnectWSGIApplication, Endpoint, EndpointSync

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

INTERFACES = ("asgi", "wsgi")
SERVICE = "acme.v1.Service"
CONNECT: dict[str, Any] = {"content_type": "application/connect+proto", "length": False}
GRPC: dict[str, Any] = {"content_type": "application/grpc", "length": False, "http_version": "2", "trailers": True}
"""What makes a `Request` a stream's, in these protocols."""
ADDED = "x-added"
"""Servers here add this to each list of fields that they are given, once they have read it, as they may (PEP 3333)."""
UNARY, CLIENT, SERVER, BIDI = "Unary", "ClientStream", "ServerStream", "BidiStream"
STREAM_TYPES = {
    UNARY: StreamType.UNARY,
    CLIENT: StreamType.CLIENT_STREAM,
    SERVER: StreamType.SERVER_STREAM,
    BIDI: StreamType.BIDI_STREAM,
}


def method(name: str) -> MethodInfo[Any, Any]:
    level = IdempotencyLevel.NO_SIDE_EFFECTS if name == UNARY else IdempotencyLevel.UNKNOWN
    return MethodInfo(
        name=name,
        service_name=SERVICE,
        input=StringValue,
        output=StringValue,
        idempotency_level=level,
        stream_type=STREAM_TYPES[name],
    )


def message(text: str) -> bytes:
    return StringValue(value=text).SerializeToString()


def text(data: bytes) -> str:
    return StringValue.FromString(data).value


def envelope(data: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(data)) + data


def envelopes(content: bytes) -> list[tuple[int, bytes]]:
    found = []
    while content:
        flags, size = struct.unpack_from(">BI", content)
        found.append((flags, content[5 : 5 + size]))
        content = content[5 + size :]
    return found


class ASGI(ConnectASGIApplication[Any]):
    path = f"/{SERVICE}"

    def __init__(self, functions: Mapping[str, Any], service: Any = None, **options: Any) -> None:
        makers: dict[str, Any] = {
            UNARY: Endpoint.unary,
            CLIENT: Endpoint.client_stream,
            SERVER: Endpoint.server_stream,
            BIDI: Endpoint.bidi_stream,
        }
        super().__init__(
            service=service,
            endpoints=lambda svc: {
                f"/{SERVICE}/{name}": makers[name](method(name), (lambda *a, f=function: f(svc, *a)) if svc else function)
                for name, function in functions.items()
            },
            **options,
        )


class WSGI(ConnectWSGIApplication):
    path = f"/{SERVICE}"

    def __init__(self, functions: Mapping[str, Any], **options: Any) -> None:
        makers: dict[str, Any] = {
            UNARY: EndpointSync.unary,
            CLIENT: EndpointSync.client_stream,
            SERVER: EndpointSync.server_stream,
            BIDI: EndpointSync.bidi_stream,
        }
        super().__init__(
            endpoints={
                f"/{SERVICE}/{name}": makers[name](method=method(name), function=function)
                for name, function in functions.items()
            },
            **options,
        )


@dataclass
class Request:
    """A request; content is given in these chunks."""

    procedure: str = UNARY
    chunks: Sequence[bytes] = (message("hello"),)
    content_type: str = "application/proto"
    fields: Sequence[tuple[str, str]] = ()
    http_method: str = "POST"
    query: str = ""
    path: str = ""
    root: str = ""
    raw_path: str = ""
    http_version: str = "1.1"
    trailers: bool = False
    length: bool = True  # say the content's length in the head
    host: str = "test"

    def __post_init__(self) -> None:
        self.path = self.path or f"/{SERVICE}/{self.procedure}"

    @property
    def all_fields(self) -> list[tuple[str, str]]:
        found = [("host", self.host), ("content-type", self.content_type), *self.fields]
        if self.length and self.http_method == "POST":
            found.append(("content-length", str(sum(map(len, self.chunks)))))
        return [(name, value) for name, value in found if value]


@dataclass
class Answer:
    status: int = 0
    fields: list[tuple[str, str]] = field(default_factory=list)
    content: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    writes: list[bytes] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        return [value for each, value in self.fields if each == name]


@dataclass
class Wire:
    """An ASGI server's side of one request. Tests may put events into `incoming` and look at `sent` while a call runs."""

    request: Request
    hold: bool = False  # content is given only when a test says so
    incoming: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    sent: list[dict[str, Any]] = field(default_factory=list)
    received: int = 0
    gate: asyncio.Event | None = None  # a write waits for it
    unread: bool = False  # as under granian: content goes on after the response
    futures: bool = False  # as under granian: what `receive` gives is a future

    def __post_init__(self) -> None:
        if not self.hold:
            chunks = list(self.request.chunks) or [b""]
            for number, chunk in enumerate(chunks, 1):
                self.content(chunk, more=number < len(chunks))

    def content(self, chunk: bytes, *, more: bool = True) -> None:
        self.incoming.put_nowait({"type": "http.request", "body": chunk, "more_body": more})

    def disconnect(self) -> None:
        self.incoming.put_nowait({"type": "http.disconnect"})

    def receive(self) -> Awaitable[dict[str, Any]]:
        return asyncio.ensure_future(self._receive()) if self.futures else self._receive()

    async def _receive(self) -> dict[str, Any]:
        if self.sent and not self.unread and not self._more:
            return {"type": "http.disconnect"}
        event = await self.incoming.get()
        self.received += 1
        return event

    @property
    def _more(self) -> bool:
        """Whether the response goes on."""
        last = self.sent[-1]
        if last["type"] == "http.response.body":
            return bool(last.get("more_body", False) or self.sent[0].get("trailers", False))
        return bool(last["type"] == "http.response.start" or last.get("more_trailers", False))

    async def send(self, event: dict[str, Any]) -> None:
        if "headers" in event:
            fields, event = event["headers"], {**event, "headers": list(event["headers"])}
            fields.append((ADDED.encode(), b"1"))  # as middleware does
        self.sent.append(event)
        if self.gate is not None:
            await self.gate.wait()

    @property
    def scope(self) -> dict[str, Any]:
        request = self.request
        scope: dict[str, Any] = {
            "type": "http",
            "method": request.http_method,
            "path": request.path,
            "root_path": request.root,
            "query_string": request.query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in request.all_fields],
            "http_version": request.http_version,
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.2", 1234),
            "extensions": {"http.response.trailers": {}} if request.trailers else {},
        }
        if request.raw_path:
            scope["raw_path"] = request.raw_path.encode()
        return scope

    @property
    def answer(self) -> Answer:
        """What was sent; that it is a whole response as ASGI has it is checked."""
        answer = Answer()
        complete = False
        for event in self.sent:
            assert not complete, event
            kind = event["type"]
            if kind == "http.response.start":
                assert not answer.status
                answer.status = event["status"]
                answer.fields = _texts(event["headers"])
            elif kind == "http.response.body":
                assert answer.status
                answer.writes.append(event.get("body", b""))
                complete = not event.get("more_body", False) and not self.sent[0].get("trailers", False)
            else:
                assert kind == "http.response.trailers"
                assert self.sent[0]["trailers"]
                answer.trailers = _texts(event["headers"])
                complete = not event.get("more_trailers", False)
        assert complete or not self.sent, self.sent
        answer.content = b"".join(answer.writes)
        return answer


def _texts(fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]


def environ(request: Request) -> dict[str, Any]:
    """A WSGI environment. Content is what a stream gives that ends where the content does."""
    found: dict[str, Any] = {
        "REQUEST_METHOD": request.http_method,
        "SCRIPT_NAME": request.root,
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "SERVER_PROTOCOL": f"HTTP/{request.http_version}",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.2",
        "REMOTE_PORT": "1234",
        "wsgi.url_scheme": "http",
        "wsgi.input": Chunks(request.chunks),
        "wsgi.input_terminated": True,
        "wsgi.errors": io.StringIO(),
    }
    if request.raw_path:
        found["RAW_URI"] = request.raw_path
    for name, value in request.all_fields:
        key = name.upper().replace("-", "_")
        found[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return found


class Chunks(io.RawIOBase):
    """Content as it comes from a network: a read gives no more than one chunk."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = [chunk for chunk in chunks if chunk]
        self.reads = 0

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        if not self._chunks:
            return b""
        chunk = self._chunks.pop(0)
        if 0 <= size < len(chunk):
            self._chunks.insert(0, chunk[size:])
            chunk = chunk[:size]
        return chunk


def call_asgi(application: Any, request: Request) -> Answer:
    async def run() -> Answer:
        wire = Wire(request)
        async with asyncio.timeout(20):
            await application(wire.scope, wire.receive, wire.send)
        return wire.answer

    return asyncio.run(run())


def call_wsgi(application: Any, request: Request) -> Answer:
    answer = Answer()
    variables = environ(request)

    def send_trailers(fields: list[tuple[str, str]]) -> None:
        answer.trailers.extend(fields)
        fields.append((ADDED, "1"))

    if request.trailers:
        variables["wsgi.ext.http.send_trailers"] = send_trailers

    def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> None:
        assert not answer.status
        number, _, phrase = status.partition(" ")
        assert phrase
        answer.status, answer.fields = int(number), fields.copy()
        fields.append((ADDED, "1"))

    written = application(variables, start_response)
    assert answer.status, "granian wants the head before it takes content"
    for part in written:
        assert not answer.trailers, "pyvoy ends the response with its trailers"
        answer.writes.append(part)
    if hasattr(written, "close"):
        written.close()
    answer.content = b"".join(answer.writes)
    return answer


@dataclass
class Server:
    """A service under one interface; handlers are written once, without waiting."""

    interface: str
    functions: Mapping[str, Any]
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.interface == "wsgi":
            self.application: Any = WSGI(self.functions, **self.options)
        else:
            self.application = ASGI({name: _awaitable(name, f) for name, f in self.functions.items()}, **self.options)

    def call(self, request: Request | None = None, **parts: Any) -> Answer:
        request = request or Request(**parts)
        return (call_wsgi if self.interface == "wsgi" else call_asgi)(self.application, request)


def _awaitable(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """An async handler that does what a sync one does."""
    if name == UNARY:

        async def unary(request: Any, ctx: Any) -> Any:
            return function(request, ctx)

        return unary
    if name == CLIENT:

        async def client_stream(requests: Any, ctx: Any) -> Any:
            return function(iter([each async for each in requests]), ctx)

        return client_stream
    if name == SERVER:

        async def server_stream(request: Any, ctx: Any) -> Any:
            for each in function(request, ctx):
                yield each

        return server_stream

    async def bidi_stream(requests: Any, ctx: Any) -> Any:
        async for request in requests:
            for each in function(iter([request]), ctx):
                yield each

    return bidi_stream


class Steps:
    """What the process's instance is told, and which calls it has open since then."""

    def __init__(self) -> None:
        self.batches: list[bytes] = []
        self._opened: set[int] = set()
        self._instance = POOL._choose()  # looks at all first: one that has grown is replaced now, and not within the test
        self._step = self._instance.step
        self._instance.step = self._watched

    @property
    def open(self) -> set[int]:
        """The calls that are open, without those whose close goes with the next batch."""
        return self._opened - {int.from_bytes(record[8:12], "little") for record in self._instance._later}

    def stop(self) -> None:
        self._instance.step = self._step

    def _watched(self, batch: bytes) -> bytes:
        self.batches.append(batch)
        self._opened = self.open
        events = self._step(batch)
        for event in records.decode(events):
            if isinstance(event, records.Done):
                self._opened.discard(event.handle)
            elif not isinstance(event, (records.Configured, records.Fault)):
                self._opened.add(event.handle)
        return events


@contextlib.contextmanager
def watched_steps() -> Iterator[Steps]:
    """Watch the steps of the instance that serves next."""
    steps = Steps()
    try:
        yield steps
    finally:
        steps.stop()


def echo(request: StringValue, ctx: Any) -> StringValue:
    return request


def join(requests: Any, ctx: Any) -> StringValue:
    return StringValue(value="+".join(each.value for each in requests))


def repeat(request: StringValue, ctx: Any) -> Any:
    for number in range(int(request.value)):
        yield StringValue(value=str(number))


def answer_each(requests: Any, ctx: Any) -> Any:
    for request in requests:
        yield StringValue(value=request.value.upper())


ALL = {UNARY: echo, CLIENT: join, SERVER: repeat, BIDI: answer_each}
