"""What a server holds for peers that are slow or idle, in MiB of its memory.

    tests/bench/held.py [SERVER]...

- A reader that stops: a handler that would send 1 GiB, to a client that reads nothing.
- A writer that is not read: a client that would send 1 GiB, to a handler that reads nothing.
- Idle: 500 streams that wait, and 1,000 open connections; KiB for each, and how many of these a bare application has under the
  same server. Under ASGI: under WSGI each stream has a thread.

Each in a process of its own. Nothing may hold more than WANTED_MIB, or it fails; where an idle stream or connection takes more
than WANTED_KIB, it says so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "serving"), str(TESTS.parent / "hostpy/examples")]

from greet.v1.greet_connectcore import (  # noqa: E402
    GreetService,
    GreetServiceASGIApplication,
    GreetServiceSync,
    GreetServiceWSGIApplication,
)
from greet.v1.greet_pb2 import (  # noqa: E402
    GreetGroupRequest,
    GreetGroupResponse,
    GreetManyRequest,
    GreetManyResponse,
    GreetRequest,
    GreetResponse,
)

from proxies import HOST, backend  # noqa: E402
from servers import WSGI  # noqa: E402

WANTED_MIB, WANTED_KIB = 8, 30
SERVERS = (
    *("uvicorn-httptools", "uvicorn-h11", "gunicorn-asgi", "hypercorn", "granian", "pyvoy"),
    # Not daphne: it takes all that an application sends at once, and holds it.
    *("gunicorn-sync", "gunicorn-gthread", "gunicorn-gevent", "granian-wsgi", "pyvoy-wsgi", "waitress"),
    *("wsgiref", "uwsgi"),
)
MESSAGE = "x" * (64 << 10)
COUNT = (1 << 30) // len(MESSAGE)
SECONDS = 3
STREAMS, CONNECTIONS = 500, 1000


class Service(GreetService):
    """Streams that go on, and the process that serves them."""

    async def greet(self, request: GreetRequest, ctx: Any) -> GreetResponse:
        return GreetResponse(greeting=str(os.getpid()))

    async def greet_many(self, request: GreetManyRequest, ctx: Any) -> AsyncIterator[GreetManyResponse]:
        if not request.count:
            yield GreetManyResponse(greeting="begun")
            await asyncio.get_running_loop().create_future()  # an Event takes more, and what is measured is not the handler
        for _ in range(request.count):
            yield GreetManyResponse(greeting=MESSAGE)

    async def greet_group(self, request: AsyncIterator[GreetGroupRequest], ctx: Any) -> GreetGroupResponse:
        await anext(aiter(request))
        await asyncio.Event().wait()
        return GreetGroupResponse()


class ServiceSync(GreetServiceSync):
    """The same for threads, as far as its streams end."""

    def greet(self, request: GreetRequest, ctx: Any) -> GreetResponse:
        return GreetResponse(greeting=str(os.getpid()))

    def greet_many(self, request: GreetManyRequest, ctx: Any) -> Iterator[GreetManyResponse]:
        for _ in range(request.count):
            yield GreetManyResponse(greeting=MESSAGE)

    def greet_group(self, request: Iterator[GreetGroupRequest], ctx: Any) -> GreetGroupResponse:
        next(request)
        threading.Event().wait(3 * SECONDS)
        return GreetGroupResponse()


asgi: Any = GreetServiceASGIApplication(Service())
wsgi: Any = GreetServiceWSGIApplication(ServiceSync())


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The same as far as idle peers see it, without us."""
    while scope["type"] == "lifespan":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/connect+proto")]})
    waits = scope["path"].endswith("/GreetMany")
    content = envelope(GreetManyResponse(greeting="begun")) if waits else b'{"greeting": "%d"}' % os.getpid()
    await send({"type": "http.response.body", "body": content, "more_body": waits})
    while waits and (await receive())["type"] != "http.disconnect":
        pass


def connected(port: int, method: str, content: bytes, *, ends: bool = True) -> socket.socket:
    """A call in Connect's streaming form over HTTP/1.1, or with `ends` false only its beginning."""
    connection = socket.create_connection((HOST, port), timeout=20)
    length = f"content-length: {len(content)}" if ends else "transfer-encoding: chunked"
    connection.sendall(
        f"POST /greet.v1.GreetService/{method} HTTP/1.1\r\nhost: {HOST}\r\n"
        f"content-type: application/connect+proto\r\n{length}\r\n\r\n".encode()
        + (content if ends else b"%x\r\n%b\r\n" % (len(content), content))
    )
    return connection


def envelope(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return struct.pack(">BI", 0, len(data)) + data


def greet(connection: socket.socket) -> int:
    """Make a unary call: the process that answers."""
    head = f"POST /greet.v1.GreetService/Greet HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\n"
    connection.sendall(f"{head}content-length: 2\r\n\r\n{{}}".encode())
    answer = b""
    while not (found := re.search(rb'"greeting":\s*"(\d+)"', answer)):
        data = connection.recv(4096)
        assert data, answer
        answer += data
    return int(found[1])


def resident(process: int) -> float:
    """MiB."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


# Each case holds what it is about while its block runs.


@contextlib.contextmanager
def stopped_reader(port: int) -> Iterator[None]:
    with connected(port, "GreetMany", envelope(GreetManyRequest(count=COUNT))) as connection:
        connection.recv(1)
        time.sleep(SECONDS)
        yield


@contextlib.contextmanager
def unread_writer(port: int) -> Iterator[None]:
    content = envelope(GreetGroupRequest(name=MESSAGE))
    chunk = b"%x\r\n%b\r\n" % (len(content), content)
    with connected(port, "GreetGroup", content, ends=False) as connection:
        connection.settimeout(SECONDS)
        with contextlib.suppress(OSError):  # that it takes too long, or the server refuses it
            for _ in range(COUNT):
                connection.sendall(chunk)
        yield


@contextlib.contextmanager
def idle_streams(port: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(STREAMS):
            connection = stack.enter_context(connected(port, "GreetMany", envelope(GreetManyRequest())))
            connection.recv(4096)
        yield


@contextlib.contextmanager
def open_connections(port: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            greet(stack.enter_context(socket.create_connection((HOST, port), timeout=20)))
        yield


Case = Callable[[int], contextlib.AbstractContextManager[None]]
CASES: list[tuple[str, Case, int]] = [
    ("reader that stops, 1 GiB", stopped_reader, 0),
    ("writer that is not read, 1 GiB", unread_writer, 0),
    (f"{STREAMS} idle streams", idle_streams, STREAMS),
    (f"{CONNECTIONS:,} open connections", open_connections, CONNECTIONS),
]


def held(server: str, app: str, case: Case) -> float:
    """MiB that an application under a server has more while a case goes on."""
    with backend(server, f"held:{app}") as (port, _):
        for _ in range(20):  # what is made once is made
            with socket.create_connection((HOST, port), timeout=20) as connection:
                process = greet(connection)
        if app != "bare":
            with connected(port, "GreetMany", envelope(GreetManyRequest(count=3))) as connection:
                connection.recv(4096)
        before = resident(process)
        with case(port):
            return resident(process) - before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", default=SERVERS)
    failed = False
    for server in parser.parse_args().servers:
        app = "wsgi" if server in WSGI else "asgi"
        for title, case, each in CASES:
            if each and (app == "wsgi" or server == "pyvoy"):
                continue
            more = held(server, app, case)
            if each:
                own, bares = (mib * 1024 / each for mib in (more, held(server, "bare", case)))
                figure, bad = f"{own:8.1f} KiB each, a bare application's {bares:.1f}", own > WANTED_KIB
            else:
                figure, bad = f"{more:8.1f} MiB", more > WANTED_MIB
                failed |= bad
            print(f"{server:20} {title:32} {figure}{'  MORE THAN WANTED' if bad else ''}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
