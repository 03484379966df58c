"""What the tests of clients' streams share: a service with all stream types, servers for it, and calls in both modes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyqwest
import uvicorn
from google.protobuf.wrappers_pb2 import StringValue

from connectcore._wasm.pool import POOL
from connectcore.client import ConnectClient, ConnectClientSync, ResponseMetadata
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.transport import HTTPTransport, HTTPTransportSync, PyqwestTransport, PyqwestTransportSync
from server_support import ASGI, BIDI, CLIENT, SERVER, UNARY, method

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from connectcore.request import Headers, RequestContext

    Context = RequestContext[Any, Any]

PROTOCOLS = list(ProtocolType)
VERSIONS = {"1": pyqwest.HTTPVersion.HTTP1, "2": pyqwest.HTTPVersion.HTTP2}
KINDS = (UNARY, CLIENT, SERVER, BIDI)


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a condition; fails where it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def said(text: str) -> StringValue:
    return StringValue(value=text)


class Service:
    """Answers in upper case. `fail` in a request makes the call fail after what came before it, `hang` makes it wait.

    `running` counts the handlers under way, `canceled` those that were canceled.
    """

    def __init__(self) -> None:
        self.running = 0
        self.canceled = 0
        self.sent = 0

    @contextlib.contextmanager
    def _handler(self, ctx: Context) -> Iterator[None]:
        self.running += 1
        ctx.response_headers["x-lead"] = ",".join(ctx.request_headers.getall("x-many"))
        ctx.response_headers.add_bin("x-lead-bin", b"\0\1")
        ctx.response_trailers.add_bin("x-trail-bin", b"\2\3")
        try:
            yield
        except asyncio.CancelledError:
            self.canceled += 1
            raise
        finally:
            self.running -= 1

    async def _one(self, request: StringValue) -> StringValue:
        if request.value == "fail":
            raise ConnectError(Code.FAILED_PRECONDITION, "n\u00f6", [said("detail")], metadata={"x-error": "1"})
        if request.value == "hang":
            await asyncio.sleep(60)
        return said(request.value.upper())

    async def unary(self, request: StringValue, ctx: Context) -> StringValue:
        with self._handler(ctx):
            return await self._one(request)

    async def client_stream(self, requests: AsyncIterator[StringValue], ctx: Context) -> StringValue:
        with self._handler(ctx):
            return said(",".join([(await self._one(request)).value async for request in requests]))

    async def server_stream(self, request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
        """The words of the request; `many:N` gives N messages, with a stop now and then."""
        with self._handler(ctx):
            if request.value.startswith("many:"):
                for number in range(int(request.value[5:])):
                    self.sent += 1
                    yield said(f"{number}")
                    if number % 100 == 99:
                        await asyncio.sleep(0)
                return
            for word in request.value.split():
                yield await self._one(said(word))

    async def bidi_stream(self, requests: AsyncIterator[StringValue], ctx: Context) -> AsyncIterator[StringValue]:
        with self._handler(ctx):
            async for request in requests:
                yield await self._one(request)

    @property
    def functions(self) -> dict[str, Any]:
        return {
            UNARY: self.unary,
            CLIENT: self.client_stream,
            SERVER: self.server_stream,
            BIDI: self.bidi_stream,
        }


@contextlib.contextmanager
def under_uvicorn(application: Any, **options: Any) -> Iterator[str]:
    """An application under uvicorn, which speaks HTTP/1.1 and HTTP/2 with trailers. Gives its address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    config = uvicorn.Config(application, http="zttp", http2=True, lifespan="off", log_level="warning", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def serving_streams(service: Service) -> contextlib.AbstractContextManager[str]:
    """The service under uvicorn. Gives its address."""
    return under_uvicorn(ASGI(service.functions))


def transport(mode: str, version: str, *, pyqwest: bool = False) -> Any:
    """What sends the requests: the default, or `pyqwest`."""
    make: Any
    if not pyqwest:
        make = HTTPTransport if mode == "async" else HTTPTransportSync
        return make(http_version="2" if version == "2" else "1.1")
    make = PyqwestTransport if mode == "async" else PyqwestTransportSync
    return make(http_version=VERSIONS[version])


def new_client(mode: str, address: str, version: str = "2", *, pyqwest: bool = False, **options: Any) -> Any:
    make: Any = ConnectClient if mode == "async" else ConnectClientSync
    return make(address, http_client=transport(mode, version, pyqwest=pyqwest), **options)


@dataclass
class Outcome:
    """What came of a call."""

    messages: list[str] = field(default_factory=list)
    error: ConnectError | None = None
    metadata: ResponseMetadata = field(default_factory=ResponseMetadata)
    headers: Headers | None = None  # as the stream gives them
    trailers: Headers | None = None


async def played(texts: Iterable[str]) -> AsyncIterator[StringValue]:
    """Requests, some of which are waited for."""
    for text in texts:
        yield said(text)
        if text.endswith("."):
            await asyncio.sleep(0.001)


def played_sync(texts: Iterable[str]) -> Iterator[StringValue]:
    for text in texts:
        yield said(text)
        if text.endswith("."):
            time.sleep(0.001)


async def call_async(client: ConnectClient, kind: str, texts: list[str], **options: Any) -> Outcome:
    """One call of any kind."""
    outcome = Outcome()
    options.update(method=method(kind), response_metadata=outcome.metadata)
    try:
        if kind == UNARY:
            outcome.messages.append((await client.execute_unary(request=said(texts[0]), **options)).value)
        elif kind == CLIENT:
            outcome.messages.append((await client.execute_client_stream(request=played(texts), **options)).value)
        else:
            if kind == SERVER:
                stream = client.execute_server_stream(request=said(" ".join(texts)), **options)
            else:
                stream = client.execute_bidi_stream(request=played(texts), **options)
            async with stream:
                outcome.headers = await stream.headers()
                async for message in stream:
                    outcome.messages.append(message.value)
            outcome.trailers = stream.trailers
    except ConnectError as error:
        outcome.error = error
    return outcome


def call_sync(client: ConnectClientSync, kind: str, texts: list[str], **options: Any) -> Outcome:
    """One call of any kind."""
    outcome = Outcome()
    options.update(method=method(kind), response_metadata=outcome.metadata)
    try:
        if kind == UNARY:
            outcome.messages.append(client.execute_unary(request=said(texts[0]), **options).value)
        elif kind == CLIENT:
            outcome.messages.append(client.execute_client_stream(request=played_sync(texts), **options).value)
        else:
            if kind == SERVER:
                stream = client.execute_server_stream(request=said(" ".join(texts)), **options)
            else:
                stream = client.execute_bidi_stream(request=played_sync(texts), **options)
            with stream:
                outcome.headers = stream.headers()
                outcome.messages.extend(message.value for message in stream)
            outcome.trailers = stream.trailers
    except ConnectError as error:
        outcome.error = error
    return outcome


def call_any(client: Any, kind: str, texts: list[str], **options: Any) -> Outcome:
    """One call of any kind by a client of either mode."""
    if isinstance(client, ConnectClient):
        return asyncio.run(call_async(client, kind, texts, **options))
    return call_sync(client, kind, texts, **options)


@contextlib.contextmanager
def counted_steps() -> Iterator[list[bytes]]:
    """The batches of all steps that the process's instances make. There are several where threads have met."""
    batches: list[bytes] = []

    def watched(step: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
        def counted(batch: bytes) -> bytes:
            batches.append(batch)
            return step(batch)

        return counted

    POOL.pick()
    steps = [(instance, instance.step) for instance in POOL.instances()]
    for instance, step in steps:
        instance.step = watched(step)
    try:
        yield batches
    finally:
        for instance, step in steps:
            instance.step = step
