"""Content that becomes far larger or deeper than it comes: the right code, little CPU, little memory, and other calls go on.

Each bomb's process, where it is said what it costs, plays nothing else: hostpy/tests/test_bombs.py has the places.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import test_bombs
import test_metadata_limits
from client_support import call
from compression_support import WAYS, packed
from connectcore.compression import AnyCompression
from connectcore.errors import ConnectError
from server_support import ALL, CLIENT, CONNECT, Request, Server, Wire, envelope, message
from test_client_transport import Canned
from test_compression_server import code

from figures import Figure, percentile, resident

GIB = 1 << 30
SIDES = ("asgi", "wsgi", "async", "sync")
MOST_CPU, MOST_MEMORY = 50, 24  # ms, MiB
LENIENT = 5000  # ms, where each of many small things is a message, and for the short form on a busy machine
most_cpu = MOST_CPU
DEEP = 100_000


def figure(what: str, said: list[test_bombs.Measured]) -> Figure:
    cpu, grown = max(each.cpu for each in said), max(each.grown for each in said) / 1024
    measured = f"at most {cpu} ms and {grown:.1f} MiB in {len(said)} places"
    wanted = f"{most_cpu} ms, {MOST_MEMORY} MiB"
    return Figure(what, measured, wanted, cpu <= most_cpu and grown <= MOST_MEMORY)


def inflating(size: int, ways: list[str]) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        bombs = test_bombs.make(Path(folder), size)
        for what in ways:
            try:
                said = [each for side in SIDES for each in test_bombs.measured(what, side, bombs)]
            except AssertionError as error:
                yield Figure(f"{what}: {size >> 20} MiB", str(error)[-300:], "`resource_exhausted` everywhere", False)
            else:
                yield figure(what if what is test_bombs.SHORT else f"{what}: {size >> 20} MiB", said)


def costs(what: str, wanted: str, run: Any, most: int = 0) -> Figure:
    """The same of other content, whose call `run` makes: what it came to."""
    run()
    memory, begun = resident(), time.process_time()
    said = run()
    cpu, grown = (time.process_time() - begun) * 1000, resident() - memory
    most = most or most_cpu
    passed = said == wanted and cpu <= most and grown <= MOST_MEMORY
    return Figure(what, f"{said}; {cpu:.0f} ms, {grown:.1f} MiB", f"{wanted}; {most} ms, {MOST_MEMORY} MiB", passed)


def other(side: str) -> Iterator[Figure]:
    """What servers are sent that is no bomb by its size."""

    def at(compression: AnyCompression, data: bytes) -> Any:
        server = Server(side, ALL, {"compressions": [compression]})
        return lambda: code(server.call(chunks=test_bombs.pieces(data), fields=[("content-encoding", compression.name())]))

    # RFC 8878, 3.1.1.1.2: a window of 2 ^ (10 + 17) bytes, then one block of zeros that would fill 128 KiB.
    window = b"\x28\xb5\x2f\xfd\x00" + bytes([17 << 3]) + (((128 << 10) << 3) | 3).to_bytes(3, "little") + b"\0"
    # The form that brotli's reference has beside RFC 7932: its first byte is one that the RFC has no meaning for.
    large = bytes([0x11, 0x1E]) + packed("br", b"a" * 1000)
    for way in ("natively", "in the module"):
        yield costs(f"{side}: zstd, a window of 128 MiB, {way}", "invalid_argument", at(WAYS[f"zstd {way}"], window))
        yield costs(f"{side}: br, a large window, {way}", "invalid_argument", at(WAYS[f"br {way}"], large))
        for coding, name, member in (
            ("gzip", "members of nothing", packed("gzip", b"")),
            ("zstd", "frames of nothing", packed("zstd", b"")),
            ("zstd", "frames to skip", b"\x50\x2a\x4d\x18\0\0\0\0"),
        ):
            count = (4 << 20) // len(member) - 1
            run = at(WAYS[f"{coding} {way}"], member * count + b"x")
            yield costs(f"{side}: {coding}, {count:,} {name}, {way}", "invalid_argument", run)
    for opened, closed in (("[", "]"), ('{"a":', "}")):
        nested = (opened * DEEP + "1" + closed * DEEP).encode()
        server = Server(side, ALL)
        run = lambda: code(server.call(chunks=test_bombs.pieces(nested), content_type="application/json"))  # noqa: B023, E731
        yield costs(f"{side}: JSON, {DEEP:,} deep, of `{opened}`", "invalid_argument", run)
    server = Server(side, ALL)
    named = [(f"{test_metadata_limits.NAME}-bin", test_metadata_limits.LIST)]
    run = lambda: code(server.call(fields=named))  # noqa: E731
    yield costs(f"{side}: a long name of 10,000 values, 300 MB if each had its own", "resource_exhausted", run)
    tiny = envelope(b"") * ((1 << 20) // 5)
    request = Request(CLIENT, test_bombs.pieces(tiny), **CONNECT)
    run = lambda: f"{server.call(request).status}"  # noqa: E731
    yield costs(f"{side}: {len(tiny) // 5:,} empty envelopes, each a message", "200", run, LENIENT)
    yield costs(f"{side}: one bomb in each of 1,000 envelopes", "resource_exhausted", many_bombs(side))


def many_bombs(side: str) -> Any:
    server = Server(side, ALL, {"compressions": [WAYS["gzip natively"]]})
    chunk = envelope(packed("gzip", message("x" * (5 << 20))), 1)
    return lambda: code(server.call(Request(CLIENT, [chunk] * 1000, fields=[("connect-content-encoding", "gzip")], **CONNECT)))


def clients(mode: str) -> Iterator[Figure]:
    deep = json.dumps({"code": "aborted", "details": 0}).replace("0", "[" * DEEP + "]" * DEEP).encode()

    def run() -> str:
        try:
            call(mode, "http://a", http_client=Canned(deep, status=500, fields=[("content-type", "application/json")]))
        except ConnectError as error:
            return error.code.value
        return "success"

    # It is no valid error: its code comes from the HTTP status.
    yield costs(f"{mode} client: an error's JSON, {DEEP:,} deep", "unknown", run)
    for where in test_metadata_limits.responses():
        named = partial(test_metadata_limits.outcome, mode, where)
        yield costs(f"{mode} client: a long name of 10,000 values, {where}", "resource_exhausted", named)


def beside(count: int) -> Figure:
    """Good calls of the same instance while bombs come: the longest that one waits."""
    server = Server("asgi", ALL, {"compressions": [WAYS["gzip in the module"]]})
    bomb = packed("gzip", bytes(64 << 20))
    waited: list[float] = []
    wrong = 0

    async def ask(request: Request) -> Any:
        wire = Wire(request)
        await server.application(wire.scope, wire.receive, wire.send)
        await asyncio.sleep(0)
        return wire.answer

    async def run() -> None:
        nonlocal wrong
        ended = False

        async def good() -> None:
            nonlocal wrong
            while not ended:
                begun = time.perf_counter()
                wrong += (await ask(Request(fields=[("connect-timeout-ms", "5000")]))).status != 200
                waited.append((time.perf_counter() - begun) * 1000)

        task = asyncio.create_task(good())
        for _ in range(count):
            wrong += code(await ask(Request(chunks=test_bombs.pieces(bomb), fields=[("content-encoding", "gzip")]))) != (
                "resource_exhausted"
            )
        ended = True
        await task

    asyncio.run(run())
    measured = f"{len(waited)} calls, {wrong} wrong; longest {max(waited):.0f} ms, median {percentile(waited, 0.5):.1f} ms"
    return Figure(f"good calls beside {count} bombs, one instance", measured, "0 wrong", not wrong)


def figures(whole: bool) -> Iterator[Figure]:
    global most_cpu
    most_cpu = MOST_CPU if whole else LENIENT
    yield from inflating(GIB if whole else GIB >> 6, [*WAYS, test_bombs.SHORT] if whole else ["gzip in the module"])
    for side in SIDES[:2] if whole else SIDES[:1]:
        yield from other(side)
    for mode in SIDES[2:]:
        yield from clients(mode)
    yield beside(100 if whole else 10)
