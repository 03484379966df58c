"""Calling an application in this process: no network, no threads of its own. For tests, and for services under one roof."""

from __future__ import annotations

import asyncio
import io
import sys
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

from .transport import Gone, TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

    from .transport import Fields, Request

    ASGIApplication = Callable[
        [Any, Callable[[], Awaitable[dict[str, Any]]], Callable[[Any], Awaitable[None]]], Awaitable[None]
    ]
    WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

__all__ = ["ASGITransport", "WSGITransport"]

_DEFAULT_PORTS = {"http": 80, "https": 443}


def _authority(origin: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    parts = urlsplit(origin)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)


class ASGITransport:
    """Runs an ASGI application for each request, in a task of the caller's event loop. Its lifespan is not run.

    Args:
        app: the application (ASGI 3).
        client: the address that it sees as the caller's.
        http_version: the HTTP version that it sees: `1.1`, or `2`, with which it may send trailers.

    """

    def __init__(self, app: ASGIApplication, *, client: tuple[str, int] = ("127.0.0.1", 0), http_version: str = "1.1") -> None:
        self._app = app
        self._client = client
        self._http_version = http_version

    async def open(self, request: Request) -> _ASGIResponse:
        """Start the application and wait for the head of its response. Raises TransportError."""
        scheme, host, port = _authority(request.origin)
        path, _, query = request.target.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": self._http_version,
            "method": request.method,
            "scheme": scheme,
            "path": unquote_to_bytes(path).decode("utf-8", "surrogateescape"),
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": [(b"host", request.origin.partition("://")[2].encode("ascii")), *request.fields],
            "client": self._client,
            "server": (host, port),
            "state": {},
            "extensions": {"http.response.trailers": {}} if self._http_version != "1.1" else {},
        }
        response = _ASGIResponse(self._app, scope, request)
        try:
            await response.start()
        except BaseException:
            await response.close()
            raise
        return response


class _ASGIResponse:
    """The application's task, and what it has sent so far."""

    def __init__(self, app: ASGIApplication, scope: dict[str, Any], request: Request) -> None:
        self.status = 0
        self.fields: Fields = ()
        self.length: int | None = None
        self.trailers: list[tuple[bytes, bytes]] = []
        self._request = self._request_events(request.content)
        # One place: an application that sends faster than the caller reads waits, as it would for a slow network.
        self._sent: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(1)
        self._over = asyncio.Event()
        self._more = True
        self._trailers_follow = False
        self._task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: ASGIApplication, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._sent.put)
        finally:
            if self._more:
                await self._sent.put(None)  # it ended without its response's end

    async def _request_events(self, content: Any) -> AsyncIterator[dict[str, Any]]:
        if isinstance(content, bytes):
            yield {"type": "http.request", "body": content, "more_body": False}
        else:
            async for chunk in content:
                yield {"type": "http.request", "body": chunk, "more_body": True}
            yield {"type": "http.request", "body": b"", "more_body": False}

    async def _receive(self) -> dict[str, Any]:
        async for event in self._request:
            return event
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _next(self) -> dict[str, Any]:
        event = await self._sent.get()
        if event is None:
            self._more = False
            error = None
            if self._task.done() and not self._task.cancelled():
                error = self._task.exception()
            raise TransportError(Gone.CLOSED, "the application ended without a whole response") from error
        return event

    async def start(self) -> None:
        while True:
            event = await self._next()
            if event["type"] == "http.response.start":
                self.status = event["status"]
                self.fields = [(name.lower(), value) for name, value in event.get("headers", ())]
                self._trailers_follow = event.get("trailers", False)
                return

    async def read(self) -> bytes:
        while self._more:
            event = await self._next()
            if event["type"] == "http.response.body":
                self._more = event.get("more_body", False) or self._trailers_follow
                if event.get("body"):
                    return bytes(event["body"])
            elif event["type"] == "http.response.trailers":
                self.trailers += [(name.lower(), value) for name, value in event.get("headers", ())]
                self._more = event.get("more_trailers", False)
        return b""

    async def close(self) -> None:
        self._over.set()
        if self._more:
            self._more = False
            self._task.cancel()
        else:
            await asyncio.sleep(0)  # let an application that is done with its response end


class WSGITransport:
    """Runs a WSGI application for each request, in the caller's thread. A deadline is looked at between its chunks.

    Args:
        app: the application (PEP 3333).
        client: the address that it sees as the caller's.

    """

    def __init__(self, app: WSGIApplication, *, client: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._app = app
        self._client = client

    def open_sync(self, request: Request) -> _WSGIResponse:
        """Run the application up to the first chunk of its response. Raises TransportError."""
        return _WSGIResponse(self._app, self._environ(request), request.deadline)

    def _environ(self, request: Request) -> dict[str, Any]:
        scheme, host, port = _authority(request.origin)
        path, _, query = request.target.partition("?")
        content: Any = request.content
        body = content if isinstance(content, bytes) else b"".join(content)
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": self._client[0],
            "REMOTE_PORT": str(self._client[1]),
            "HTTP_HOST": request.origin.partition("://")[2],
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": scheme,
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for raw_name, raw_value in request.fields:
            name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
            if name not in ("CONTENT_LENGTH", "CONTENT_TYPE"):
                name = f"HTTP_{name}"
                if name in environ and name != "HTTP_HOST":
                    value = f"{environ[name]},{value}"
            environ[name] = value
        return environ


class _WSGIResponse:
    """The application's response as far as it has come."""

    def __init__(self, app: WSGIApplication, environ: dict[str, Any], deadline: float | None) -> None:
        self.status = 0
        self.fields: Fields = ()
        self.length: int | None = None
        self.trailers: Fields = ()
        self._deadline = deadline
        self._written: deque[bytes] = deque()
        try:
            self._result: Any = app(environ, self._start_response)
            self._chunks: Iterator[bytes] = iter(self._result)
            while not self.status:  # PEP 3333: start_response is called before the first chunk that is not empty
                chunk = next(self._chunks, None)
                if chunk is None:
                    break
                self._written.append(chunk)
        except Exception as error:
            raise TransportError(Gone.CLOSED, "the application failed") from error
        if not self.status:
            self.close()
            raise TransportError(Gone.CLOSED, "the application ended without a response")

    def _start_response(self, status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Callable[[bytes], None]:
        self.status = int(status.split(" ", 1)[0])
        # WSGI's text is a character per byte.
        self.fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return self._written.append

    def read(self) -> bytes:
        while True:
            while self._written:
                chunk = self._written.popleft()
                if chunk:
                    return chunk
            if self._deadline is not None and monotonic() >= self._deadline:
                raise TransportError(Gone.TIMEOUT)
            try:
                self._written.append(next(self._chunks))
            except StopIteration:
                return b""
            except Exception as error:
                raise TransportError(Gone.CLOSED, "the application failed") from error

    def close(self) -> None:
        close = getattr(self._result, "close", None)
        if close is not None:
            close()
