"""A server and a client for a long time, in three protocols and all stream types: neither grows."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from connectcore.client import ConnectClient
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.transport import HTTPTransport
from server_support import BIDI, CLIENT, SERVER, UNARY
from stream_support import call_async

from figures import PATIENCE, Figure, descriptors, none, resident
from peers import Server, serving
from served import CRASH, FAIL, HANG

AT_ONCE = 8
GONE = "gone"
LONG = 20_000  # milliseconds that no call takes
SLOPE = 0.2  # MiB a minute
KINDS = (UNARY, CLIENT, SERVER, BIDI)
WANTED = {FAIL: Code.FAILED_PRECONDITION, CRASH: Code.UNKNOWN, HANG: Code.DEADLINE_EXCEEDED}


def goes(error: ConnectError | None) -> bool:
    """Whether the server has closed the connection, because calls are canceled more often than it likes over HTTP/2."""
    return error is not None and error.code is Code.UNAVAILABLE


async def call(client: ConnectClient, kind: str, random_: random.Random) -> str:
    """A call of a third that fail, of a tenth that are canceled, or of the others: nothing, or what was wrong."""
    texts = [f"{random_.random()}"] * random_.randint(1, 20)
    chance = random_.random()
    if chance < 0.1:
        task = asyncio.create_task(call_async(client, kind, [HANG]))
        await asyncio.sleep(random_.random() * 0.02)
        task.cancel()
        await asyncio.wait([task])
        return "" if task.cancelled() or task.result().error is not None else "a canceled call went well"
    if chance < 0.1 + 1 / 3:
        word = random_.choice([*WANTED])
        outcome = await call_async(client, kind, [word], timeout_ms=20 if word == HANG else LONG)
        code = outcome.error and outcome.error.code
        return GONE if goes(outcome.error) else "" if code is WANTED[word] else f"{kind} {word}: {outcome.error!r}"
    outcome = await call_async(client, kind, texts, timeout_ms=LONG)
    if goes(outcome.error):
        return GONE
    wanted = {UNARY: texts[:1], CLIENT: ["+".join(texts)]}.get(kind, texts)
    return "" if outcome.messages == wanted and outcome.error is None else f"{kind}: {outcome}"


async def calls(server: Server, seconds: float, samples: list[tuple[float, ...]], process: int) -> Counter[str]:
    """What came of calls for so long; `samples` are taken every second: minutes, and memory and descriptors of both."""
    found: Counter[str] = Counter()
    end = time.monotonic() + seconds

    async def work(number: int) -> None:
        """With a connection of its own: a server closes one on which too many calls are canceled."""
        random_ = random.Random(number)
        async with HTTPTransport(http_version="2") as http2:
            made: list[Any] = [ConnectClient(server.url, protocol=each, http_client=http2) for each in ProtocolType]
            while time.monotonic() < end:
                kind = random_.choice(KINDS)
                try:
                    async with asyncio.timeout(PATIENCE):
                        found[await call(random_.choice(made), kind, random_)] += 1
                except TimeoutError:
                    found[f"{kind}: a call does not end"] += 1

    workers = [asyncio.create_task(work(number)) for number in range(AT_ONCE)]
    begun = time.monotonic()
    while time.monotonic() < end:
        sample = (resident(process), resident(), descriptors(process), descriptors())
        samples.append(((time.monotonic() - begun) / 60, *sample))
        await asyncio.sleep(1)
    await asyncio.gather(*workers)
    return found


def slope(points: list[tuple[float, float]]) -> float:
    """Of the line that fits best."""
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def figures(whole: bool) -> Iterator[Figure]:
    samples: list[tuple[float, ...]] = []
    with serving("uvicorn-zttp") as server:
        before = server.status()
        found = asyncio.run(calls(server, 600 if whole else 4, samples, before["process"]))
        good, gone = found.pop("", 0), found.pop(GONE, 0)
        what = f"wrong among {good + gone + found.total():,} calls in {samples[-1][0]:.1f} minutes"
        # The short form bears one: a machine that is very busy may end a call by its deadline.
        yield none(what, found) if whole else Figure(what, f"{found.total()}", "at most 1", found.total() <= 1)
        what = "calls whose connection the server closed, as it does over many cancellations"
        yield Figure(what, f"{gone}", "1 in 1,000", gone <= good / 1000 + 10)
        late = samples[len(samples) // 3 :]
        for column, who in ((1, "server"), (2, "client")):
            grown = slope([(each[0], each[column]) for each in late])
            measured = f"{grown:+.2f} MiB a minute, from {late[0][column]:.1f} to {late[-1][column]:.1f} MiB"
            # A few seconds tell nothing about a slope.
            yield Figure(f"the {who}'s memory", measured, f"below {SLOPE} MiB a minute", grown < SLOPE if whole else None)
        for column, who in ((3, "server"), (4, "client")):
            first, last = late[0][column], late[-1][column]
            yield Figure(f"the {who}'s descriptors", f"{first:.0f}, then {last:.0f}", "no more", last <= first + 2)
        yield from server.left(before, "afterwards")
