"""Servers in several processes, forks, threads, event loops, and little address space: every call is answered, and rightly."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.protocol import ProtocolType
from connectcore.transport import ASGITransport, WSGITransport
from server_support import UNARY, method
from stream_support import said

from figures import PATIENCE, PLACES, Figure
from proxies import HOST, backend
from served import asgi, wsgi

METHOD = method(UNARY)
SIZES = (10, 3_000, 40_000)
THREADS = 8


def text(name: object, number: int) -> str:
    return f"{name}-{number}-" + "x" * SIZES[number % len(SIZES)]


def calls(client: ConnectClientSync, name: object, count: int, sizes: bool = True) -> int:
    """How many of so many calls were answered wrongly."""
    wrong = 0
    for number in range(count):
        asked = text(name, number) if sizes else f"{name}-{number}"
        try:
            wrong += client.execute_unary(request=said(asked), method=METHOD, timeout=PATIENCE).value != asked
        except Exception as error:
            print(f"{name}: {error!r}", file=sys.stderr)
            wrong += 1
    return wrong


def at_once(work: Callable[[int], int], seconds: float) -> tuple[int, int]:
    """What THREADS threads found wrong, and how many of them did not end in time."""
    wrong: list[int] = []
    threads = [threading.Thread(target=lambda name=name: wrong.append(work(name)), daemon=True) for name in range(THREADS)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    return sum(wrong), sum(thread.is_alive() for thread in threads)


def figure(what: str, wrong: int, hang: int, begun: float) -> Figure:
    measured = f"{wrong} wrong, {hang} hang; {time.monotonic() - begun:.1f} s"
    return Figure(what, measured, "0 wrong, 0 hang", not wrong and not hang)


def gunicorn(worker: str, *, preload: bool, count: int) -> Figure:
    """Calls over HTTP/1.1 in two protocols; with `preload` the module has been used before the fork."""
    begun = time.monotonic()
    target = f"served:{'preloaded' if preload else 'wsgi'}"
    os.environ["SERVING_PRELOAD"] = "1" if preload else ""
    with backend(f"gunicorn-{worker}", target) as (port, _):

        def work(name: int) -> int:
            protocol = (ProtocolType.CONNECT, ProtocolType.GRPC_WEB)[name % 2]
            with ConnectClientSync(f"http://{HOST}:{port}", protocol=protocol) as client:
                return calls(client, name, count)

        wrong, hang = at_once(work, PATIENCE)
    what = f"gunicorn, {worker} workers{', application preloaded and used' * preload}: {THREADS * count:,} calls"
    return figure(what, wrong, hang, begun)


def in_child(name: int) -> int:
    with ConnectClientSync("http://a", http_client=WSGITransport(wsgi)) as client:
        return calls(client, name, 50)


def children(how: str) -> Figure:
    """Processes of a pool serve and call, after their parent has."""
    begun = time.monotonic()
    wrong = in_child(-1)
    with multiprocessing.get_context(how).Pool(4) as pool:
        found = pool.map_async(in_child, range(16))
        try:
            return figure(f"multiprocessing, {how}", wrong + sum(found.get(PATIENCE)), 0, begun)
        except multiprocessing.TimeoutError:
            return figure(f"multiprocessing, {how}", wrong, 1, begun)


def threads(count: int) -> Figure:
    begun = time.monotonic()
    with ConnectClientSync("http://a", http_client=WSGITransport(wsgi)) as client:
        wrong, hang = at_once(lambda name: calls(client, name, count, sizes=False), 240)
    return figure(f"{THREADS} threads on one client and one application: {THREADS * count:,} calls", wrong, hang, begun)


def loops(count: int) -> Figure:
    """Event loops in threads, all on one application."""

    async def run(name: int) -> int:
        wrong = 0
        async with ConnectClient("http://a", http_client=ASGITransport(asgi), protocol=[*ProtocolType][name % 3]) as client:
            for number in range(count):
                wrong += (await client.execute_unary(request=said(text(name, number)), method=METHOD)).value != text(
                    name, number
                )
        return wrong

    begun = time.monotonic()
    wrong, hang = at_once(lambda name: asyncio.run(run(name)), 120)
    return figure(f"{THREADS} event loops on one application: {THREADS * count:,} calls", wrong, hang, begun)


def limited() -> Figure:
    """In a process that may have 8 GiB of addresses."""
    begun = time.monotonic()
    code = "import processes, sys; sys.exit(processes.in_little_space())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(PLACES)}
    try:
        done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return figure("addresses limited to 8 GiB", 0, 1, begun)
    return figure("addresses limited to 8 GiB", abs(done.returncode), 0, begun)


def in_little_space() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    wrong, hang = at_once(in_child, PATIENCE)
    return wrong + hang


def figures(whole: bool) -> Iterator[Figure]:
    for worker in ("sync", "gthread", "gevent") if whole else ("sync",):
        for preload in (False, True):
            yield gunicorn(worker, preload=preload, count=1000 if whole else 50)
    for how in ("fork", "spawn") if whole else ("fork",):
        yield children(how)
    yield threads(20_000 if whole else 500)
    yield loops(2_000 if whole else 100)
    yield limited()
