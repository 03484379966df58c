"""One client in a process of its own: `client_stream_worker.py CONTENDER MODE WAY DIRECTION URL`, a stream a call.

MODE is async or sync, WAY how it speaks (`client_worker.WAYS`), DIRECTION down for a server stream or up for a client stream.
The time is wall clock, since a client waits for its server.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from typing import TYPE_CHECKING, Any

from cases import STREAM
from client_worker import clients, options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Async:
    def __init__(self, generated: Any, messages: Any, url: str, direction: str, chosen: dict[str, Any]) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = generated.GreetServiceClient(url, **chosen)
        self.once = self.down if direction == "down" else self.up
        self.many = messages.GreetManyRequest(name="Ada", count=STREAM)
        self.each = messages.GreetGroupRequest

    async def down(self) -> int:
        count = 0
        async for _ in self.client.greet_many(self.many):
            count += 1
        return count

    async def requests(self) -> AsyncIterator[Any]:
        for _ in range(STREAM):
            yield self.each(name="Ada")

    async def up(self) -> int:
        return str((await self.client.greet_group(self.requests())).greeting).count("Ada")

    async def repeat(self, calls: int) -> int:
        start = time.perf_counter_ns()
        for _ in range(calls):
            if await self.once() != STREAM:
                raise ValueError("messages are missing")
        return time.perf_counter_ns() - start

    def run(self, calls: int) -> int:
        return self.loop.run_until_complete(self.repeat(calls))


class Sync:
    def __init__(self, generated: Any, messages: Any, url: str, direction: str, chosen: dict[str, Any]) -> None:
        self.client = generated.GreetServiceClientSync(url, **chosen)
        self.once = self.down if direction == "down" else self.up
        self.many = messages.GreetManyRequest(name="Ada", count=STREAM)
        self.each = messages.GreetGroupRequest

    def down(self) -> int:
        count = 0
        for _ in self.client.greet_many(self.many):
            count += 1
        return count

    def requests(self) -> Iterator[Any]:
        for _ in range(STREAM):
            yield self.each(name="Ada")

    def up(self) -> int:
        return str(self.client.greet_group(self.requests()).greeting).count("Ada")

    def run(self, calls: int) -> int:
        start = time.perf_counter_ns()
        for _ in range(calls):
            if self.once() != STREAM:
                raise ValueError("messages are missing")
        return time.perf_counter_ns() - start


def main() -> None:
    contender, mode, way, direction, url = sys.argv[1:]
    try:
        generated = clients(contender)
        messages = importlib.import_module("greet.v1.greet_pb")
        make: Any = Async if mode == "async" else Sync
        player = make(generated, messages, url, direction, options(contender, mode, way))
        player.run(1)
    except Exception as error:  # any failure is the contender's answer
        print(f"cannot: {type(error).__name__}: {error}".replace("\n", " ")[:300], flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        print(player.run(int(line)), flush=True)


main()
