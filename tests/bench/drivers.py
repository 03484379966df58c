"""Plays a case on an application without a network: what a server would do, and no more.

Each driver has `check` (one call, whose answer is compared in full) and `run` (many calls, timed by CPU).
"""

from __future__ import annotations

import asyncio
import gzip
import io
import itertools
import time
from typing import Any

from cases import PREFIX, Case, envelope

HOST = "bench.test"
PATH = "/bench.v1.EchoService/"


class WrongAnswerError(Exception):
    """The application did not answer as the case says."""


def verify(case: Case, status: int, fields: dict[str, str], content: bytes, trailers: dict[str, str]) -> None:
    if status != 200:
        raise WrongAnswerError(f"status {status}: {content[:200]!r}")
    if fields.get("content-encoding") == "gzip":
        content = gzip.decompress(content)
    if fields.get("grpc-encoding") == "gzip" and content[:1] == b"\1":
        content = envelope(gzip.decompress(content[PREFIX:]))
    if case.content_type.startswith("application/grpc-web"):  # the last envelope has the trailers
        content, _, block = content.rpartition(b"\x80")
        trailers = dict(line.replace(" ", "").split(":") for line in block[PREFIX - 1 :].decode().split("\r\n") if line)
    if content.replace(b": ", b":") != case.reply:
        raise WrongAnswerError(f"{len(content)} bytes of content, {len(case.reply)} wanted: {content[:80]!r}")
    if case.content_type.startswith("application/grpc") and trailers.get("grpc-status") != "0":
        raise WrongAnswerError(f"trailers {trailers}")


class AsgiDriver:
    def __init__(self, app: Any, case: Case) -> None:
        self.app, self.case = app, case
        self.numbers = itertools.count(1)
        self.loop = asyncio.new_event_loop()
        fields = [("host", HOST), ("user-agent", "bench/1"), ("accept", "*/*"), ("content-type", case.content_type)]
        fields += [("content-length", str(len(case.content)))] if case.http_version == "1.1" else []
        self.headers = [(name.encode(), value.encode()) for name, value in [*fields, *case.fields]]
        self.lifespan = self.loop.run_until_complete(self._start())

    async def _start(self) -> Any:
        """Runs the lifespan's start as a server does; an application without one may refuse."""
        incoming: asyncio.Queue[Any] = asyncio.Queue()
        started: asyncio.Future[None] = self.loop.create_future()

        async def send(message: Any) -> None:
            if not started.done():
                started.set_result(None)

        incoming.put_nowait({"type": "lifespan.startup"})
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        task = self.loop.create_task(self.app(scope, incoming.get, send))
        await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.exception()  # refused: said, and read
        return task

    def close(self) -> None:
        """Stops the lifespan as a server's end would."""
        self.lifespan.cancel()
        self.loop.run_until_complete(asyncio.wait([self.lifespan]))
        self.loop.close()

    def scope(self) -> dict[str, Any]:
        headers = list(self.headers)
        if self.case.unlike:
            name, value = self.case.unlike
            headers.append((name.encode(), value.format(next(self.numbers)).encode()))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self.case.http_version,
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 50000),
            "scheme": "http",
            "root_path": "",
            "headers": headers,
            "state": {},
            "method": "POST",
            "path": PATH + self.case.procedure,
            "raw_path": (PATH + self.case.procedure).encode(),
            "query_string": b"",
            "extensions": {"http.response.trailers": {}} if self.case.http_version == "2" else {},
        }

    async def _call(self, send: Any) -> None:
        content: bytes | None = self.case.content
        ended: asyncio.Future[None] | None = None

        async def receive() -> dict[str, Any]:
            nonlocal content, ended
            if content is not None:
                chunk, content = content, None
                return {"type": "http.request", "body": chunk, "more_body": False}
            # A server has nothing more to say until the connection closes.
            if ended is None:
                ended = self.loop.create_future()
            await ended
            return {"type": "http.disconnect"}

        await self.app(self.scope(), receive, send)

    def check(self) -> None:
        status = 0
        fields: dict[str, str] = {}
        trailers: dict[str, str] = {}
        content = bytearray()

        async def send(message: Any) -> None:
            nonlocal status
            kind = message["type"]
            if kind == "http.response.body":
                content.extend(message.get("body", b""))
                return
            into = fields if kind == "http.response.start" else trailers
            status = message.get("status", status)
            into.update((bytes(n).decode().lower(), bytes(v).decode()) for n, v in message["headers"])

        self.loop.run_until_complete(self._call(send))
        verify(self.case, status, fields, bytes(content), trailers)

    def run(self, calls: int) -> int:
        """CPU nanoseconds that `calls` calls took."""

        async def send(message: Any) -> None:
            return None

        async def repeat() -> int:
            call = self._call
            start = time.process_time_ns()
            for _ in range(calls):
                await call(send)
            return time.process_time_ns() - start

        return self.loop.run_until_complete(repeat())


class WsgiDriver:
    def __init__(self, app: Any, case: Case) -> None:
        self.app, self.case = app, case
        self.numbers = itertools.count(1)
        self.environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": PATH + case.procedure,
            "QUERY_STRING": "",
            "CONTENT_TYPE": case.content_type,
            "CONTENT_LENGTH": str(len(case.content)),
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": HOST,
            "HTTP_USER_AGENT": "bench/1",
            "HTTP_ACCEPT": "*/*",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in case.fields:
            self.environ["HTTP_" + name.upper().replace("-", "_")] = value

    def _call(self, start_response: Any) -> bytes:
        environ = dict(self.environ)
        if self.case.unlike:
            name, value = self.case.unlike
            environ["HTTP_" + name.upper().replace("-", "_")] = value.format(next(self.numbers))
        environ["wsgi.input"] = io.BytesIO(self.case.content)
        result = self.app(environ, start_response)
        try:
            return b"".join(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def check(self) -> None:
        said: list[Any] = []
        content = self._call(lambda status, fields, exc=None: said.append((status, fields)))
        status, fields = said[0]
        verify(self.case, int(status[:3]), {n.lower(): v for n, v in fields}, content, {})

    def run(self, calls: int) -> int:
        """CPU nanoseconds that `calls` calls took."""

        def start_response(status: str, fields: Any, exc: Any = None) -> None:
            return None

        call = self._call
        start = time.process_time_ns()
        for _ in range(calls):
            call(start_response)
        return time.process_time_ns() - start

    def close(self) -> None:
        """A WSGI application knows no end."""


def driver(app: Any, case: Case) -> AsgiDriver | WsgiDriver:
    return AsgiDriver(app, case) if case.interface == "asgi" else WsgiDriver(app, case)
