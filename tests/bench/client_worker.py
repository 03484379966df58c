"""One client in a process of its own: `client_worker.py CONTENDER MODE WAY FLIGHT SIZE URL`.

MODE is async or sync, WAY how it speaks (WAYS), FLIGHT how many calls are under way at a time. Like worker.py, but the time is
wall clock, since a client waits for its server.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
import time
from typing import Any

from cases import text_of
from contenders import GENERATED_SUFFIX

ROOM = 64  # the server's greeting adds to the name
WAYS = ("HTTP/1.1", "HTTP/2", "gRPC")

# Said, because the peer compresses requests unless told otherwise.
PLAIN: dict[str, Any] = {"send_compression": None, "accept_compression": []}


def options(contender: str, mode: str, way: str) -> dict[str, Any]:
    """What makes a client speak so."""
    if contender == "grpcio":
        return {}
    package = "connectcore" if contender == "ours" else "connectrpc"
    chosen = dict(PLAIN)
    if way == "gRPC":
        chosen["protocol"] = importlib.import_module(f"{package}.protocol").ProtocolType.GRPC
    if way == "HTTP/1.1":
        return chosen
    if contender == "ours":
        transports = importlib.import_module("connectcore.transport")
        make = transports.HTTPTransport if mode == "async" else transports.HTTPTransportSync
        chosen["http_client"] = make(http_version="2")
    else:
        import pyqwest

        version: Any = pyqwest.HTTPVersion.HTTP2
        if mode == "async":
            chosen["http_client"] = pyqwest.Client(pyqwest.HTTPTransport(http_version=version))
        else:
            chosen["http_client"] = pyqwest.SyncClient(pyqwest.SyncHTTPTransport(http_version=version))
    return chosen


def clients(contender: str) -> Any:
    """The module with the contender's clients."""
    return importlib.import_module(
        "grpcio_client" if contender == "grpcio" else f"greet.v1.greet_{GENERATED_SUFFIX[contender]}"
    )


class Async:
    def __init__(self, generated: Any, url: str, request: Any, flight: int, chosen: dict[str, Any]) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = generated.GreetServiceClient(url, **chosen)
        self.request = request
        self.flight = flight

    def once(self) -> Any:
        return self.loop.run_until_complete(self.client.greet(self.request))

    async def _repeat(self, calls: int) -> None:
        for _ in range(calls):
            await self.client.greet(self.request)

    async def _all(self, calls: int) -> int:
        start = time.perf_counter_ns()
        if self.flight == 1:
            await self._repeat(calls)
        else:
            await asyncio.gather(*(self._repeat(-(-calls // self.flight)) for _ in range(self.flight)))
        return time.perf_counter_ns() - start

    def run(self, calls: int) -> int:
        return self.loop.run_until_complete(self._all(calls))


class Sync:
    def __init__(self, generated: Any, url: str, request: Any, flight: int, chosen: dict[str, Any]) -> None:
        self.client = generated.GreetServiceClientSync(url, **chosen)
        self.request = request
        self.flight = flight

    def once(self) -> Any:
        return self.client.greet(self.request)

    def _repeat(self, calls: int) -> None:
        for _ in range(calls):
            self.client.greet(self.request)

    def run(self, calls: int) -> int:
        start = time.perf_counter_ns()
        if self.flight == 1:
            self._repeat(calls)
        else:
            share = -(-calls // self.flight)
            threads = [threading.Thread(target=self._repeat, args=(share,)) for _ in range(self.flight)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return time.perf_counter_ns() - start


def main() -> None:
    contender, mode, way, flight, size, url = sys.argv[1:]
    name = text_of(max(16, int(size) - ROOM))
    try:
        generated = clients(contender)
        messages = importlib.import_module("greet.v1.greet_pb")
        make = Async if mode == "async" else Sync
        player = make(generated, url, messages.GreetRequest(name=name), int(flight), options(contender, mode, way))
        answer = player.once().greeting
        if name not in answer:
            raise ValueError(f"a wrong answer: {answer[:80]!r}")
        player.run(50)
    except Exception as error:  # any failure is the contender's answer
        print(f"cannot: {type(error).__name__}: {error}".replace("\n", " ")[:300], flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        print(player.run(int(line)), flush=True)


if __name__ == "__main__":
    main()
