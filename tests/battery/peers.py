"""A server in a process of its own, what it holds, and a client that goes on calling it from another."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connectcore.client import ConnectClientSync
from server_support import UNARY, method
from stream_support import said

from figures import PATIENCE, Figure, at_most, none, percentile
from proxies import HOST, backend
from served import STATUS

METHOD = method(UNARY)
WORK = 20  # milliseconds that a server may do other things while a good call is under way
ENOUGH = 200  # calls
# What a server may have more than before: connections come and go, each with a task or two.
SPARE = {"running": 0, "open": 1, "tasks": 4, "descriptors": 4}


def scheduled(process: int) -> tuple[float, float]:
    """Milliseconds that a process's first thread, where event loops run, has had of a processor, and that it stood in line for
    one. What else the machine does is not in the former. Both are told when the thread waits, and every few milliseconds while
    it runs."""
    had, stood, _ = Path(f"/proc/{process}/schedstat").read_text().split()
    return int(had) / 1e6, int(stood) / 1e6


def processor(process: int) -> float:
    """Milliseconds that it has had."""
    return scheduled(process)[0]


@dataclass
class Server:
    port: int
    process: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def status(self) -> dict[str, Any]:
        """What it holds, by a new connection. Not to be asked while many calls are open: they are counted by opening more."""
        with ConnectClientSync(self.url) as client:
            found: dict[str, Any] = json.loads(ask(client, STATUS))
        return found

    def left(self, before: dict[str, Any], what: str, most: float = 16) -> Iterator[Figure]:
        """What is left since `before` of what went on, when it has had time to end."""
        end = time.monotonic() + PATIENCE / 2
        while True:
            after = self.status()
            more = {name: after[name] - before[name] - spare for name, spare in SPARE.items()}
            found = [f"{count} {name}" for name, count in more.items() if count > 0]
            if not found or time.monotonic() > end:
                break
            time.sleep(0.1)
        yield none(f"{what}: what is left", found)
        yield at_most(f"{what}: the server's memory", after["resident"] - before["resident"], most, "MiB more")


@contextlib.contextmanager
def serving(name: str, application: str = "served:asgi") -> Iterator[Server]:
    """The service under a server, which has answered some calls."""
    with backend(name, application) as (port, process):
        with ConnectClientSync(f"http://{HOST}:{port}") as client:
            for _ in range(200):
                ask(client, "warm")
        yield Server(port, process.pid)


def ask(client: ConnectClientSync, text: str) -> str:
    answer: str = client.execute_unary(request=said(text), method=METHOD, timeout=PATIENCE).value
    return answer


@dataclass
class Calls:
    """Good calls, one after the other: how long each took, how much the server's event loop did meanwhile and how long it stood
    in line for a processor, all in milliseconds, and what went wrong."""

    took: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)
    stood: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def good(server: Server, ended: Any) -> None:
    """Make one call after the other until the parent says something; then tell it how they went."""
    calls = Calls()
    with ConnectClientSync(server.url) as client:
        for _ in range(50):
            ask(client, "warm")
        ended.send(None)
        while not ended.poll() or not calls.took:
            before, begun = scheduled(server.process), time.perf_counter()
            try:
                assert ask(client, "good") == "good"
            except Exception as error:
                calls.wrong.append(repr(error))
            calls.took.append((time.perf_counter() - begun) * 1000)
            after = scheduled(server.process)
            calls.worked.append(after[0] - before[0])
            calls.stood.append(after[1] - before[1])
            time.sleep(0.001)
    ended.send(calls)


class Good:
    """Good calls beside whatever else happens."""

    def __init__(self, server: Server) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=good, args=(server, there), daemon=True)
        self._process.start()
        self._here.recv()  # it calls

    def end(self) -> Calls:
        self._here.send(None)
        calls: Calls = self._here.recv()
        self._process.join(PATIENCE)
        return calls


@dataclass
class Usual:
    """Good calls when nothing else happens: the 99th percentiles of their time and of the server's work meanwhile, and the
    server's work for each, all in milliseconds."""

    took: float
    worked: float
    cost: float


def usual(server: Server, seconds: float) -> Usual:
    good_, before = Good(server), processor(server.process)
    time.sleep(seconds)
    cost = processor(server.process) - before
    calls = good_.end()
    return Usual(percentile(calls.took, 0.99), percentile(calls.worked, 0.99), cost / len(calls.took))


def beside(what: str, server: Server, attack: Callable[[], object], count: int) -> Iterator[Figure]:
    """Figures of good calls while an attack of so many things goes on, and of what each of these costs the server."""
    alone = usual(server, count / 3000)
    good_, before = Good(server), processor(server.process)
    attack()
    cost = processor(server.process) - before
    calls = good_.end()
    each = (cost - len(calls.took) * alone.cost) / count
    yield none(f"{what}: wrong among {len(calls.took):,} good calls beside them", calls.wrong)
    measured = f"{each * 1000:.0f} us of its processor's time, and a good call {alone.cost * 1000:.0f} us"
    yield Figure(f"{what}: what each costs the server", measured, "at most 3 good calls", each <= 3 * alone.cost)
    worked = percentile(calls.worked, 0.99)
    measured = f"p99 {worked:.1f} ms, alone {alone.worked:.1f} ms"
    enough = len(calls.took) >= ENOUGH  # for a percentile to be one
    yield Figure(
        f"{what}: work of the server's that a good call waits for",
        measured,
        f"at most {WORK} ms",
        worked <= WORK or (False if enough else None),
    )
    took = percentile(calls.took, 0.99)
    measured = f"p99 {took:.1f} ms, alone {alone.took:.1f} ms: {took / alone.took:.1f} times"
    wanted = "below 3 times, if the machine has time"
    yield Figure(f"{what}: how long good calls take", measured, wanted, took < 3 * alone.took or None)


def compared(name: str, what: str, attack: Callable[[Server], object], count: int) -> Iterator[Figure]:
    """The same of a bare ASGI application: what of it is the server's, and the machine's."""
    with serving(name, "bare:asgi") as server:
        for figure in beside(f"{what}, a bare application", server, lambda: attack(server), count):
            if "good calls beside" not in figure.what:
                yield Figure(figure.what, figure.measured, "", None)
