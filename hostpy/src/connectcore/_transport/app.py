"""Calling an application in this process: no network, no threads of its own. For tests, and for services under one roof."""

from __future__ import annotations

import asyncio
import io
import sys
from collections import deque
from contextvars import copy_context
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

from .transport import Gone, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from .transport import Fields, Request

    ASGIApplication = Callable[
        [Any, Callable[[], Awaitable[dict[str, Any]]], Callable[[Any], Awaitable[None]]], Awaitable[None]
    ]
    WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

__all__ = ["ASGITransport", "WSGITransport"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_DISCONNECT = {"type": "http.disconnect"}


def _authority(origin: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    parts = urlsplit(origin)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)


class ASGITransport:
    """Runs an ASGI application for each request, in a task of the caller's event loop. Its lifespan is not run.

    Args:
        app: the application (ASGI 3).
        client: the address that it sees as the caller's.
        http_version: the HTTP version that it sees: `2`, or `1.1`, with which an application may take it that a response does
            not begin before the request has ended.

    """

    def __init__(self, app: ASGIApplication, *, client: tuple[str, int] = ("127.0.0.1", 0), http_version: str = "2") -> None:
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
            "extensions": {"http.response.trailers": {}},
        }
        response = _ASGIResponse(self._app, scope, request)
        try:
            await response.start()
        except BaseException:
            await response.close()
            raise
        return response


class _ASGIResponse:
    """The application's task, a task that pulls the request's content, and what the application has sent so far."""

    def __init__(self, app: ASGIApplication, scope: dict[str, Any], request: Request) -> None:
        self.status = 0
        self.fields: Fields = ()
        self.length: int | None = None
        self.trailers: list[tuple[bytes, bytes]] = []
        # One place in each: whoever sends faster than the other reads waits, as it would for a slow network.
        self._came: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1)
        self._sent: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(1)
        self._failure: Exception | None = None  # of the content
        self._over = False
        self._more = True
        self._trailers_follow = False
        self._answered = False  # all of the response was sent
        self._pump: asyncio.Task[None] | None = None
        content = request.content
        if isinstance(content, bytes):
            self._came.put_nowait({"type": "http.request", "body": content, "more_body": False})
        else:
            self._pump = asyncio.create_task(self._pull(content))
        self._task = asyncio.ensure_future(app(scope, self._receive, self._send))
        self._task.add_done_callback(self._ended)

    def _ended(self, _task: object) -> None:
        if not self._sent.full():
            self._sent.put_nowait(None)  # wakes a reader; another one finds the task done

    async def _send(self, event: dict[str, Any]) -> None:
        await self._sent.put(event)
        kind = event["type"]
        if kind == "http.response.start":
            self._trailers_follow = event.get("trailers", False)
        elif kind == "http.response.body":
            self._answered = not event.get("more_body", False) and not self._trailers_follow
        else:
            self._answered = not event.get("more_trailers", False)

    async def _receive(self) -> dict[str, Any]:
        return _DISCONNECT if self._over or self._answered else await self._came.get()

    async def _pull(self, content: Any) -> None:
        try:
            async for chunk in content:
                await self._came.put({"type": "http.request", "body": chunk, "more_body": True})
            await self._came.put({"type": "http.request", "body": b"", "more_body": False})
        except Exception as error:  # noqa: BLE001 - the reader of the response is told
            self._failure = error
            self._task.cancel()
        finally:
            close = getattr(content, "aclose", None)
            if close is not None:
                await close()

    async def _next(self) -> dict[str, Any]:
        event = None if self._sent.empty() and self._task.done() else await self._sent.get()
        if self._failure is not None:
            raise self._failure
        if event is None:
            self._more = False
            error = None if self._task.cancelled() else self._task.exception()
            raise TransportError(Gone.CLOSED, "the application ended without a whole response") from error
        return event

    async def start(self) -> None:
        while True:
            event = await self._next()
            if event["type"] == "http.response.start":
                self.status = event["status"]
                self.fields = [(name.lower(), value) for name, value in event.get("headers", ())]
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
        self._over = True
        if self._pump is not None:
            self._pump.cancel()
        if self._more:
            self._more = False
            self._task.cancel()
        else:
            if self._came.full():
                self._came.get_nowait()
            self._came.put_nowait(_DISCONNECT)  # wakes an application that listens
        await asyncio.sleep(0)  # let both end


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
        return _WSGIResponse(self._app, self._environ(request), request)

    def _environ(self, request: Request) -> dict[str, Any]:
        scheme, host, port = _authority(request.origin)
        path, _, query = request.target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "REQUEST_URI": request.target,
            "QUERY_STRING": query,
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": self._client[0],
            "REMOTE_PORT": str(self._client[1]),
            "HTTP_HOST": request.origin.partition("://")[2],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": scheme,
            "wsgi.input_terminated": True,
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

    def __init__(self, app: WSGIApplication, environ: dict[str, Any], request: Request) -> None:
        self.status = 0
        self.fields: Fields = ()
        self.length: int | None = None
        self.trailers: list[tuple[bytes, bytes]] = []
        self._deadline = request.deadline
        self._written: deque[bytes] = deque()
        self._result: Any = None
        # The application runs in the caller's thread and must not see, nor change, the caller's context variables.
        self._context = copy_context()
        self._content = _Pulled(request.content)
        environ["wsgi.input"] = io.BufferedReader(self._content)
        environ["wsgi.ext.http.send_trailers"] = self._send_trailers
        try:
            self._result = self._context.run(app, environ, self._start_response)
            self._chunks: Iterator[bytes] = iter(self._result)
            while not self.status:  # PEP 3333: start_response is called before the first chunk that is not empty
                chunk = self._context.run(next, self._chunks, None)
                if chunk is None:
                    break
                self._written.append(chunk)
        except Exception as error:
            raise self._failed() from error
        if not self.status:
            self.close()
            raise TransportError(Gone.CLOSED, "the application ended without a response")

    def _failed(self) -> Exception:
        """What to raise where the application raised something. That the content failed is what the caller should see."""
        self.close()
        return self._content.failure or TransportError(Gone.CLOSED, "the application failed")

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
                self._written.append(self._context.run(next, self._chunks))
            except StopIteration:
                if self._content.failure is not None:
                    raise self._content.failure from None
                return b""
            except Exception as error:
                raise self._failed() from error

    def _send_trailers(self, trailers: list[tuple[str, str]]) -> None:
        self.trailers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in trailers]

    def close(self) -> None:
        try:
            result, self._result = self._result, None
            close = getattr(result, "close", None)
            if close is not None:
                self._context.run(close)
        finally:
            self._content.close()


class _Pulled(io.RawIOBase):
    """The request's content as a file, whose chunks are pulled as they are read."""

    def __init__(self, content: Any) -> None:
        self._chunks: Any = iter([content] if isinstance(content, bytes) else content)
        self._context = copy_context()  # the caller's, while the application runs in another
        self._left = memoryview(b"")
        self.failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            try:
                chunk = self._context.run(next, self._chunks, None)
            except Exception as error:
                self.failure = error
                raise ConnectionAbortedError("the request's content failed") from error
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
        super().close()
