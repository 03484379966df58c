"""One client in a process of its own: `client_worker.py CONTENDER MODE SIZE URL`, MODE is async or sync.

Like worker.py, but the time is wall clock, since a client waits for its server.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from typing import Any

from cases import text_of
from contenders import GENERATED_SUFFIX

ROOM = 64  # the server's greeting adds to the name


# Said, because the peer compresses requests unless told otherwise.
PLAIN: dict[str, Any] = {"send_compression": None, "accept_compression": []}


class Async:
    def __init__(self, generated: Any, url: str, request: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = generated.GreetServiceClient(url, **PLAIN)
        self.request = request

    def once(self) -> Any:
        return self.loop.run_until_complete(self.client.greet(self.request))

    def run(self, calls: int) -> int:
        async def repeat() -> int:
            start = time.perf_counter_ns()
            for _ in range(calls):
                await self.client.greet(self.request)
            return time.perf_counter_ns() - start

        return self.loop.run_until_complete(repeat())


class Sync:
    def __init__(self, generated: Any, url: str, request: Any) -> None:
        self.client = generated.GreetServiceClientSync(url, **PLAIN)
        self.request = request

    def once(self) -> Any:
        return self.client.greet(self.request)

    def run(self, calls: int) -> int:
        start = time.perf_counter_ns()
        for _ in range(calls):
            self.client.greet(self.request)
        return time.perf_counter_ns() - start


def main() -> None:
    contender, mode, size, url = sys.argv[1:]
    name = text_of(max(16, int(size) - ROOM))
    try:
        generated = importlib.import_module(f"greet.v1.greet_{GENERATED_SUFFIX[contender]}")
        messages = importlib.import_module("greet.v1.greet_pb")
        player = (Async if mode == "async" else Sync)(generated, url, messages.GreetRequest(name=name))
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


main()
