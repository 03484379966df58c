"""A load balancer over four processes, of which one is killed and one is told to end while calls are under way."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from greet.v1.greet_connectcore import GreetServiceClientSync
from greet.v1.greet_pb2 import GreetManyRequest, GreetRequest

from proxies import HOST, backend, proxy, until_closed
from servers import Serving
from test_proxies import need

COUNT = 40
PROCESSES = 4


class Stream(threading.Thread):
    """A call that goes on until there is a file: which process serves it, what came, and how it ended."""

    def __init__(self, client: GreetServiceClientSync, file: Path) -> None:
        super().__init__()
        self.file = file
        self.client = client
        self.begun = threading.Event()
        self.said: list[str] = []
        self.error: ConnectError | None = None
        self.start()

    def run(self) -> None:
        try:
            for response in self.client.greet_many(GreetManyRequest(name=str(self.file), count=COUNT), timeout=60):
                self.said.append(response.greeting)
                self.begun.set()
        except ConnectError as error:
            self.error = error
        self.begun.set()

    @property
    def process(self) -> int:
        assert self.begun.wait(30)
        assert self.said, self.error
        return int(self.said[0])


class Caller(threading.Thread):
    """Makes one call after the other until it is told to stop: how each ended."""

    def __init__(self, client: GreetServiceClientSync) -> None:
        super().__init__()
        self.client = client
        self.ended: Counter[str] = Counter()
        self.calls = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            self.call()

    def call(self) -> None:
        self.calls += 1
        try:
            self.ended[self.client.greet(GreetRequest(name="process"), timeout=30).greeting] += 1
        except ConnectError as error:
            self.ended[error.code.value] += 1


@contextlib.contextmanager
def calling(client: GreetServiceClientSync) -> Iterator[Caller]:
    caller = Caller(client)
    caller.start()
    try:
        yield caller
    finally:
        caller.over.set()
        caller.join(30)


@pytest.mark.parametrize(("name", "protocol"), [("nginx", ProtocolType.CONNECT), ("envoy", ProtocolType.GRPC)])
def test_processes_that_end(name: str, protocol: ProtocolType, tmp_path: Path) -> None:
    need(name)
    with contextlib.ExitStack() as stack:
        servers = dict(stack.enter_context(backend("uvicorn-zttp", "told:asgi", grace=60)) for _ in range(PROCESSES))
        serving = Serving("", lambda port: None, http2=protocol is ProtocolType.GRPC)
        port = stack.enter_context(proxy(name, serving, [*servers], [*servers]))
        client = stack.enter_context(GreetServiceClientSync(f"http://{HOST}:{port}", protocol=protocol))
        processes = {process.pid: port for port, process in servers.items()}
        streams: list[Stream] = []
        while {stream.process for stream in streams} < set(processes):
            assert len(streams) < 100
            streams.append(Stream(client, tmp_path / "go"))
        callers = [stack.enter_context(calling(client)) for _ in range(4)]
        killed, ended, *others = processes
        os.kill(killed, signal.SIGKILL)
        os.kill(ended, signal.SIGTERM)
        until_closed(processes[ended])
        (tmp_path / "go").touch()
        for stream in streams:
            stream.join(30)
            assert not stream.is_alive()
            if stream.process == killed:
                # Over HTTP/2 a proxy says no more than that it reset the stream.
                assert stream.error is not None
                assert stream.error.code is (Code.INTERNAL if "reset" in stream.error.message else Code.UNAVAILABLE)
                assert len(stream.said) == 1
            else:
                assert stream.error is None
                assert stream.said[1:] == [str(number) for number in range(1, COUNT)]
        for caller in callers:
            caller.over.set()
            caller.join(30)
            assert not caller.is_alive()
            assert caller.ended.total() == caller.calls
            assert {*caller.ended} <= {*map(str, processes), "unavailable", "internal"}
        servers[processes[ended]].wait(30)
        last = Caller(client)
        for _ in range(60):
            last.call()
        assert sum(last.ended[str(process)] for process in others) >= 50, last.ended
        assert {*last.ended} <= {*map(str, others), "unavailable"}
