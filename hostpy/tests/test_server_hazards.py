"""Servers when things go wrong around them: instances that fail, threads, forks, and real servers in front."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
import wsgiref.simple_server
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h2.connection
import h2.events
import pytest

from connectcore._wasm.instance import GuestError, Instance
from connectcore._wasm.pool import LIMIT, POOL
from server_support import (
    ALL,
    ASGI,
    BIDI,
    CLIENT,
    CONNECT,
    GRPC,
    SERVER,
    UNARY,
    Answer,
    Request,
    Server,
    Wire,
    call_wsgi,
    echo,
    envelope,
    envelopes,
    message,
    text,
    watched_steps,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from google.protobuf.wrappers_pb2 import StringValue

TESTS = Path(__file__).parent


@pytest.fixture
def trap_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Instance]]:
    """Lets the instance that serves next fail at its n-th step from now."""
    made: list[Instance] = []

    def arrange(number: int) -> Instance:
        monkeypatch.setattr(POOL, "_instances", [])
        monkeypatch.setattr(POOL, "_quick_picks", 0)
        instance = POOL.pick()
        step = instance.step
        count = 0

        def failing(batch: bytes) -> bytes:
            nonlocal count
            count += 1
            if count >= number:
                instance.failed = True
                raise GuestError("wasm trap: unreachable")
            return step(batch)

        instance.step = failing
        made.append(instance)
        return instance

    yield arrange
    for instance in made:
        assert instance not in POOL.instances()


def with_metadata(request: StringValue, ctx: Any) -> StringValue:
    ctx.response_headers["x-lead"] = "1"
    return request


class TestTrap:
    """A call whose instance fails gets `internal`, in its protocol's form; the next call is served by another instance."""

    def check(self, answer: Answer, code: str) -> None:
        found = json.loads(answer.content)
        assert (found["code"], found["message"]) == (code, "the call failed inside")
        assert b"wasm" not in answer.content

    # Steps of a first call: 1 configures, 2 opens, 3 answers where the call is not plain.
    @pytest.mark.parametrize("number", [2, 3])
    def test_unary(self, interface: str, number: int, trap_at: Callable[[int], Instance]) -> None:
        failures = POOL.failures
        server = Server(interface, {UNARY: with_metadata})
        trap_at(number)
        answer = server.call()
        self.check(answer, "internal")
        assert answer.status == 500
        assert POOL.failures == failures + 1
        assert server.call().status == 200

    @pytest.mark.parametrize("number", [2, 3])
    def test_grpc(self, interface: str, number: int, trap_at: Callable[[int], Instance]) -> None:
        server = Server(interface, {UNARY: with_metadata})
        trap_at(number)
        answer = server.call(chunks=[envelope(message("hello"))], **GRPC)
        assert (answer.status, answer.trailers) == (200, [("grpc-status", "13"), ("grpc-message", "the call failed inside")])
        assert server.call(chunks=[envelope(message("hello"))], **GRPC).trailers == [("grpc-status", "0")]

    def test_stream_that_has_said_nothing(self, interface: str, trap_at: Callable[[int], Instance]) -> None:
        server = Server(interface, ALL)
        trap_at(3)
        answer = server.call(procedure=SERVER, chunks=[envelope(message("2"))], **CONNECT)
        (flags, end), *more = envelopes(answer.content)
        assert (flags, json.loads(end)["error"]["code"], more) == (2, "internal", [])

    def test_stream_that_has_spoken_is_broken_off(self, interface: str, trap_at: Callable[[int], Instance]) -> None:
        async def hesitate(request: StringValue, ctx: Any) -> AsyncIterator[StringValue]:
            for _ in range(3):
                yield request
                await asyncio.sleep(0)

        server = Server(interface, ALL)
        if interface == "asgi":
            server.application = ASGI({SERVER: hesitate})
        request = Request(SERVER, chunks=[envelope(message("3"))], **CONNECT)
        trap_at(4 if interface == "asgi" else 6)  # the second reply
        with pytest.raises(RuntimeError, match="the response was broken off"):
            server.call(request)
        answer = server.call(request)
        assert len(envelopes(answer.content)) == 4

    async def test_other_calls_of_the_instance(self, trap_at: Callable[[int], Instance]) -> None:
        go = asyncio.Event()

        async def wait(request: StringValue, ctx: Any) -> AsyncIterator[StringValue]:
            await go.wait()
            yield request

        application = ASGI({SERVER: wait})
        trap_at(4)  # after the configuration, both calls open, and the first to go on fails
        wires = [Wire(Request(SERVER, chunks=[envelope(message("a"))], **CONNECT)) for _ in range(3)]
        tasks = [asyncio.create_task(application(wire.scope, wire.receive, wire.send)) for wire in wires[:2]]
        await asyncio.sleep(0.01)
        go.set()
        await asyncio.gather(*tasks)
        await application(wires[2].scope, wires[2].receive, wires[2].send)
        ends = [json.loads(envelopes(wire.answer.content)[-1][1]) for wire in wires]
        assert [end.get("error", {}).get("code") for end in ends] == ["internal", "internal", None]


def test_no_call_is_left_open(interface: str) -> None:
    """What a call leaves behind in its instance would add up; 65,535 open calls are all that there can be."""
    server = Server(interface, ALL)
    requests = [
        Request(),
        Request(chunks=[b"\xff"]),
        Request(fields=[("x-request-id", "1")]),
        Request(chunks=[envelope(message("x"))], **GRPC),
        Request(SERVER, chunks=[envelope(message("3"))], **CONNECT),
        Request(BIDI, chunks=[envelope(message("3"))], **CONNECT),
        Request(SERVER, chunks=[envelope(message("no number"))], **CONNECT),
        Request(SERVER, chunks=[b"\0\0"], **CONNECT),
        Request(path="/none"),
    ]
    server.call()
    with watched_steps() as steps:
        for request in requests:
            server.call(request)
            assert steps.batches
            assert not steps.open, request


def test_threads() -> None:
    """Many threads on one application: each gets its own answer, also while instances are busy."""
    server = Server("wsgi", {UNARY: echo, SERVER: ALL[SERVER]})
    wrong: list[Any] = []

    def work(name: int) -> None:
        for number in range(60):
            size = (10, 3_000, 40_000)[number % 3]
            said = f"{name}-{number}-" + "x" * size
            fields = [("x-request-id", f"{name}-{number}")] if number % 2 else []
            answer = call_wsgi(server.application, Request(chunks=[message(said)], fields=fields))
            if (answer.status, text(answer.content)) != (200, said):
                wrong.append(answer)
            answer = call_wsgi(
                server.application, Request(SERVER, chunks=[envelope(message("5"))], **CONNECT, fields=[("x-n", str(name))])
            )
            if [text(data) for flags, data in envelopes(answer.content) if not flags] != list("01234"):
                wrong.append(answer)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert 1 <= len(POOL.instances()) <= LIMIT


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork_between_calls() -> None:
    """A parent that has served forks; parent and children go on serving."""
    code = """
import os, sys
sys.path.insert(0, sys.argv[1])
from server_support import *
server = Server("wsgi", {UNARY: echo})
assert server.call().status == 200
for _ in range(3):
    child = os.fork()
    if not child:
        try:
            os._exit(0 if server.call(fields=[("x-request-id", "c")]).status == server.call().status == 200 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert server.call(fields=[("x-request-id", "p")]).status == 200
"""
    subprocess.run([sys.executable, "-c", code, str(TESTS)], check=True, timeout=60)


@contextlib.contextmanager
def running(*command: str) -> Iterator[int]:
    """A server's process, and the port that it prints first."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=TESTS,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield int(line)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


UVICORN = """
import socket, uvicorn
from server_support import *
async def unary(request, ctx):
    return request
async def server_stream(request, ctx):
    for number in range(int(request.value)):
        yield StringValue(value=str(number))
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(ASGI({UNARY: unary, SERVER: server_stream}), log_level="warning")).run([listener])
"""

GUNICORN = """
import faulthandler
from gunicorn.app.base import BaseApplication
from server_support import *
class Application(BaseApplication):
    def load_config(self):
        for name, value in {
            "bind": "127.0.0.1:0", "workers": 2, "preload_app": True, "loglevel": "warning", "graceful_timeout": 1,
            "when_ready": lambda arbiter: print(arbiter.LISTENERS[0].sock.getsockname()[1], flush=True),
            "post_worker_init": lambda worker: faulthandler.enable(),
        }.items():
            self.cfg.set(name, value)
    def load(self):
        server = Server("wsgi", ALL)
        assert server.call().status == 200  # in the parent, before it forks
        return server.application
Application().run()
"""


HYPERCORN = """
import asyncio, socket
from hypercorn.asyncio import serve
from hypercorn.config import Config
from server_support import *
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = Config()
config.bind = [f"fd://{listener.fileno()}"]
config.loglevel = "WARNING"
asyncio.run(serve(Server("wsgi", ALL).application, config, mode="wsgi"))
"""


def post(port: int, path: str, content: bytes, content_type: str) -> bytes:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=content, headers={"content-type": content_type}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        assert response.status == 200
        return bytes(response.read())


@pytest.mark.parametrize("code", [UVICORN, GUNICORN, HYPERCORN], ids=["uvicorn", "gunicorn", "hypercorn"])
def test_behind_a_real_server(code: str) -> None:
    if code is GUNICORN and not hasattr(os, "fork"):
        pytest.skip("gunicorn needs fork")
    with running("-c", code) as port:
        for number in range(20):
            said = message("x" * number * 10_000)
            assert post(port, "/acme.v1.Service/Unary", said, "application/proto") == said
            content = post(port, "/acme.v1.Service/ServerStream", envelope(message("5")), "application/connect+proto")
            assert [text(data) for flags, data in envelopes(content) if not flags] == list("01234")


def test_empty_answers_under_hypercorn() -> None:
    """Its WSGI side sends the head with the first part of the content: an answer without one would become a 500."""

    def status(port: int, path: str, content: bytes, content_type: str, method: str = "POST") -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request(method, f"/acme.v1.Service/{path}", content, {"content-type": content_type})
        with contextlib.closing(connection), connection.getresponse() as response:
            return response.status

    with running("-c", HYPERCORN) as port:
        assert status(port, "None", b"a", "application/proto") == 404
        assert status(port, UNARY, b"a", "application/proto", "PUT") == 405
        assert status(port, UNARY, b"a", "text/plain") == 415
        assert status(port, UNARY, b"", "application/proto") == 200
        assert status(port, UNARY, envelope(b""), "application/grpc") == 200


def test_content_of_unknown_length_under_wsgiref() -> None:
    """Its input is the connection, and does not end where the content does: to read on would be to wait for ever."""

    class Quiet(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing."""

    application = Server("wsgi", ALL).application
    proto, stream = "content-type: application/proto\r\n", "content-type: application/connect+proto\r\n"
    chunked = "transfer-encoding: chunked\r\n"
    with wsgiref.simple_server.make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            said = {}
            for name, path, fields, content in (
                ("chunked", UNARY, proto + chunked, b"7\r\n\n\x05hello\r\n0\r\n\r\n"),
                ("chunked stream", CLIENT, stream + chunked, b"0\r\n\r\n"),
                ("no length", UNARY, proto, b""),
                ("length", UNARY, proto + "content-length: 7\r\n", b"\n\x05hello"),
                ("empty", UNARY, proto + "content-length: 0\r\n", b""),
            ):
                head = f"POST /acme.v1.Service/{path} HTTP/1.1\r\nhost: a\r\n{fields}\r\n"
                with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
                    connection.sendall(head.encode() + content)
                    said[name] = connection.makefile("rb").read().split(None, 2)[1]
        finally:
            server.shutdown()
            thread.join()
    assert said == {"chunked": b"200", "chunked stream": b"200", "no length": b"200", "length": b"200", "empty": b"200"}


class TestEmptyContentOverHTTP2:
    """uvicorn with zttp gives an application nothing where an HTTP/2 head has ended the request.

    The smallest proof without this package, for whoever mends the server:

        # app.py
        async def app(scope, receive, send):
            print(await receive())
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

        $ uvicorn --http zttp --http2 --lifespan off app:app &
        $ curl --http2-prior-knowledge -m 2 http://127.0.0.1:8000/          # no answer; http.disconnect when curl has gone
        $ curl --http2-prior-knowledge -m 2 -d abc http://127.0.0.1:8000/   # ok

    So nothing is received where a request has no content: a GET, or a length of 0. A POST that ends with its head and says no
    length looks like one whose content is still to come, and is never taken for an empty message.
    """

    @pytest.fixture
    def port(self) -> Iterator[int]:
        pytest.importorskip("zttp")
        with running("-c", UVICORN.replace('log_level="warning"', 'log_level="warning", http="zttp", http2=True')) as port:
            yield port

    def call(self, port: int, method: str, path: str, *fields: tuple[str, str]) -> tuple[str, bytes]:
        """Status and content of a request that ends with its head; what the peer says until then."""
        connection = h2.connection.H2Connection()
        connection.initiate_connection()
        head = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "a"), *fields]
        connection.send_headers(1, head, end_stream=True)
        status, content = "", b""
        with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
            peer.sendall(connection.data_to_send())
            while True:
                for event in connection.receive_data(peer.recv(65536)):
                    if isinstance(event, h2.events.ResponseReceived):
                        status = dict(event.headers)[b":status"].decode()
                    elif isinstance(event, h2.events.DataReceived):
                        content += event.data
                    elif isinstance(event, h2.events.StreamEnded):
                        return status, content
                peer.sendall(connection.data_to_send())

    def test_get(self, port: int) -> None:
        query = "connect=v1&encoding=json&message=%22hello%22"
        assert self.call(port, "GET", f"/acme.v1.Service/Unary?{query}") == ("200", b'"hello"')

    @pytest.mark.parametrize("content_type", ["application/proto", "application/json"])
    def test_length_of_zero(self, port: int, content_type: str) -> None:
        status, content = self.call(
            port, "POST", "/acme.v1.Service/Unary", ("content-type", content_type), ("content-length", "0")
        )
        assert (status, content) == ("200", b"") if content_type == "application/proto" else status == "400"

    def test_refused(self, port: int) -> None:
        assert self.call(port, "PUT", "/acme.v1.Service/Unary") == ("405", b"")
        assert self.call(port, "GET", "/acme.v1.Service/None") == ("404", b"")
