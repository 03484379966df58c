"""Servers when things go wrong around them: instances that fail, threads, forks, and real servers in front."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connectcore._wasm.instance import GuestError, Instance
from connectcore._wasm.pool import LIMIT, POOL
from server_support import (
    ALL,
    ASGI,
    BIDI,
    INTERFACES,
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
CONNECT: dict[str, Any] = {"content_type": "application/connect+proto", "length": False}
GRPC: dict[str, Any] = {"content_type": "application/grpc", "length": False, "http_version": "2", "trailers": True}


@pytest.fixture(params=INTERFACES)
def interface(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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


class TestTrap:
    """A call whose instance fails gets `internal`, in its protocol's form; the next call is served by another instance."""

    def check(self, answer: Answer, code: str) -> None:
        found = json.loads(answer.content)
        assert (found["code"], found["message"]) == (code, "the call failed inside")
        assert b"wasm" not in answer.content

    # Steps of a first call: 1 configures, 2 opens, 3 answers where the call is not plain.
    @pytest.mark.parametrize("number", [2, 3])
    def test_unary(self, interface: str, number: int, trap_at: Callable[[int], Instance]) -> None:
        def with_metadata(request: StringValue, ctx: Any) -> StringValue:
            ctx.response_headers["x-lead"] = "1"
            return request

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
        server = Server(interface, {UNARY: echo})
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


def post(port: int, path: str, content: bytes, content_type: str) -> bytes:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=content, headers={"content-type": content_type}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        assert response.status == 200
        return bytes(response.read())


@pytest.mark.parametrize("code", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
def test_behind_a_real_server(code: str) -> None:
    if code is GUNICORN and not hasattr(os, "fork"):
        pytest.skip("gunicorn needs fork")
    with running("-c", code) as port:
        for number in range(20):
            said = message("x" * number * 10_000)
            assert post(port, "/acme.v1.Service/Unary", said, "application/proto") == said
            content = post(port, "/acme.v1.Service/ServerStream", envelope(message("5")), "application/connect+proto")
            assert [text(data) for flags, data in envelopes(content) if not flags] == list("01234")
