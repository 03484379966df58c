"""Every transport in one list, and how a test drives one: one body for async and sync."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import httpx
import httpx2
import pyqwest
import pytest

from connectcore._client.exchange import complete
from connectcore.transport import (
    ASGITransport,
    HTTPTransport,
    HTTPTransportSync,
    HttpxTransport,
    HttpxTransportSync,
    PyqwestTransport,
    PyqwestTransportSync,
    Request,
    WSGITransport,
)
from transport_peers import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from connectcore.client import Cancellation


@dataclass(frozen=True)
class Kind:
    """A transport over a version of HTTP, or to an application. `make` gives it, and what closes what is under it."""

    name: str
    mode: str
    version: str
    make: Callable[[Any], tuple[Any, Callable[[], Any] | None]]
    trailers: bool = True
    duplex: bool = True  # the response is read while content is sent
    interrupts: bool = True  # a sync call that waits can be canceled
    resets: bool = True  # the peer is told when nobody wants the response any more
    # An HTTP/2 connection, between threads or tasks. httpcore's streams may be out of order between threads; its tasks that
    # wait for room to send may read from the connection once more when the news of that room has been read: all wait for ever.
    shares: bool = True
    sends_again: bool = False  # a request that the peer refused (REFUSED_STREAM)
    adds: frozenset[bytes] = frozenset()  # fields of the library's own

    def __str__(self) -> str:
        return f"{self.name}-{self.mode}-{self.version}"

    @property
    def network(self) -> bool:
        return self.version in ("1.1", "2")


def _ours(mode: str, version: Literal["1.1", "2"]) -> Kind:
    make = HTTPTransport if mode == "async" else HTTPTransportSync
    return Kind("http", mode, version, lambda where: (make(http_version=version), None), sends_again=True)


def _pyqwest(mode: str, version: str) -> Kind:
    only = pyqwest.HTTPVersion.HTTP2 if version == "2" else pyqwest.HTTPVersion.HTTP1

    def make(where: Any) -> tuple[Any, None]:
        return (PyqwestTransport if mode == "async" else PyqwestTransportSync)(http_version=only), None

    return Kind("pyqwest", mode, version, make, sends_again=True, adds=frozenset((b"accept",)))


def _httpx(library: Any, mode: str, version: str) -> Kind:
    limits = library.Limits(max_keepalive_connections=3)  # broken HTTP/2 connections are kept up to that number
    options = {"http1": version == "1.1", "http2": version == "2", "timeout": None, "limits": limits}

    def make(where: Any) -> tuple[Any, Callable[[], Any]]:
        if mode == "async":
            client = library.AsyncClient(**options)
            return HttpxTransport(client), client.aclose
        client = library.Client(**options)
        return HttpxTransportSync(client), client.close

    http1 = version == "1.1"
    kind = Kind(library.__name__, mode, version, make, trailers=False, duplex=False, interrupts=False)
    return replace(kind, resets=http1, shares=http1)


KINDS = [
    _ours("async", "1.1"),
    _ours("async", "2"),
    _ours("sync", "1.1"),
    _ours("sync", "2"),
    *[_pyqwest(mode, version) for mode in ("async", "sync") for version in ("1.1", "2")],
    *[_httpx(library, mode, version) for library in (httpx, httpx2) for mode in ("async", "sync") for version in ("1.1", "2")],
    Kind("app", "async", "asgi", lambda where: (ASGITransport(where.asgi), None)),
    Kind("app", "sync", "wsgi", lambda where: (WSGITransport(where.wsgi), None), duplex=False, interrupts=False),
]


class Feed:
    """Request content by steps: bytes are sent, an event is waited for, an exception is raised."""

    def __init__(self, *steps: Any) -> None:
        self.steps = steps
        self.sent = 0
        self.closed = threading.Event()

    def __iter__(self) -> Any:
        try:
            for step in self.steps:
                if isinstance(step, threading.Event):
                    assert step.wait(PATIENCE)
                elif isinstance(step, BaseException):
                    raise step
                else:
                    self.sent += 1
                    yield step
        finally:
            self.closed.set()

    async def __aiter__(self) -> Any:
        try:
            for step in self.steps:
                if isinstance(step, threading.Event):
                    await until(step)
                elif isinstance(step, BaseException):
                    raise step
                else:
                    self.sent += 1
                    yield step
        finally:
            self.closed.set()


async def until(event: threading.Event) -> None:
    """Wait for an event of another thread."""
    patience = time.monotonic() + PATIENCE
    while not event.is_set():
        assert time.monotonic() < patience
        await asyncio.sleep(0.002)


class Driver:
    """A transport as a test's body drives it, which is a coroutine for both modes."""

    def __init__(self, kind: Kind, where: Any) -> None:
        self.kind = kind
        self.sync = kind.mode == "sync"
        self.origin = where.origin
        self.transport, self._close = kind.make(where)

    def request(
        self,
        content: bytes | Feed = b"",
        *,
        method: str = "POST",
        target: str = "/a/b",
        fields: Iterable[tuple[bytes, bytes]] = (),
        timeout: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Request:
        fields = list(fields)
        body: Any = content
        if isinstance(content, Feed):
            body = iter(content) if self.sync else aiter(content)
        elif content:
            fields.append((b"content-length", b"%d" % len(content)))
        deadline = None if timeout is None else time.monotonic() + timeout
        column = b"\0".join(part for field in fields for part in field)
        request = Request(method, self.origin, target, column, body, deadline)
        request.cancellation = cancellation
        return request

    async def open(self, request: Request) -> Any:
        return self.transport.open_sync(request) if self.sync else await self.transport.open(request)

    async def read(self, response: Any) -> bytes:
        return response.read() if self.sync else await response.read()  # type: ignore[no-any-return]

    async def rest(self, response: Any) -> bytes:
        """What is left of the content."""
        pieces = []
        while piece := await self.read(response):
            pieces.append(piece)
        return b"".join(pieces)

    async def close(self, response: Any) -> None:
        response.close() if self.sync else await response.close()

    async def whole(self, request: Request) -> tuple[Any, bytes]:
        """The response with all of its content, closed."""
        response = await self.open(request)
        try:
            return response, await self.rest(response)
        finally:
            await self.close(response)

    async def done(self) -> None:
        if self._close is not None:
            closing = self._close()
            if not self.sync:
                await closing


def drive(kind: Kind, where: Any, body: Callable[[Driver], Awaitable[None]]) -> None:
    """Run a test's body with a transport of this kind."""

    async def run() -> None:
        driver = Driver(kind, where)
        try:
            await body(driver)
        finally:
            await driver.done()

    if kind.mode == "sync":
        complete(run())
    else:
        asyncio.run(run())


def kinds(**wanted: Any) -> pytest.MarkDecorator:
    """The transports that have these properties."""
    found = [kind for kind in KINDS if all(getattr(kind, name) == value for name, value in wanted.items())]
    assert found
    return pytest.mark.parametrize("kind", found, ids=str)


every = kinds()
http1 = kinds(version="1.1")
http2 = kinds(version="2")
network = kinds(network=True)


class OfTheUser(Exception):
    pass


async def gone(feed: Feed, driver: Driver) -> None:
    """The iterator is closed; a sync one, which another thread may be waiting in, as soon as that is over."""
    if driver.sync:
        for step in feed.steps:
            if isinstance(step, threading.Event):
                step.set()
        assert feed.closed.wait(PATIENCE)
    else:
        await until(feed.closed)
