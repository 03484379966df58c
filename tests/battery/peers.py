"""A server in a process of its own, what it holds, and a client that goes on calling it from another."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from connectcore.client import ConnectClientSync
from server_support import UNARY, method
from stream_support import said

from figures import PATIENCE, Figure, at_most, none, percentile
from proxies import HOST, backend
from served import STATUS

METHOD = method(UNARY)
# What a server may have more than before: connections come and go, each with a task or two.
SPARE = {"running": 0, "open": 1, "tasks": 4, "descriptors": 4}


@dataclass
class Server:
    port: int

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
def serving(name: str) -> Iterator[Server]:
    """The service under a server, which has answered some calls."""
    with backend(name, "served:asgi") as (port, _):
        with ConnectClientSync(f"http://{HOST}:{port}") as client:
            for _ in range(200):
                ask(client, "warm")
        yield Server(port)


def ask(client: ConnectClientSync, text: str) -> str:
    answer: str = client.execute_unary(request=said(text), method=METHOD, timeout=PATIENCE).value
    return answer


def good(url: str, ended: Any) -> None:
    """Make one call after the other until the parent says something; then tell it how long each took, and what went wrong."""
    took: list[float] = []
    wrong: list[str] = []
    with ConnectClientSync(url) as client:
        for _ in range(50):
            ask(client, "warm")
        ended.send(None)
        while not ended.poll() or not took:
            begun = time.perf_counter()
            try:
                assert ask(client, "good") == "good"
            except Exception as error:
                wrong.append(repr(error))
            took.append((time.perf_counter() - begun) * 1000)
            time.sleep(0.001)
    ended.send((took, wrong))


class Good:
    """Good calls beside whatever else happens."""

    def __init__(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=good, args=(url, there), daemon=True)
        self._process.start()
        self._here.recv()  # it calls

    def end(self) -> tuple[float, list[str], int]:
        """The 99th percentile of their time in milliseconds, what went wrong, and how many there were."""
        self._here.send(None)
        took, wrong = self._here.recv()
        self._process.join(PATIENCE)
        return percentile(took, 0.99), wrong, len(took)


def usual(url: str, seconds: float) -> float:
    """How long good calls take when nothing else happens, in milliseconds (p99)."""
    calls = Good(url)
    time.sleep(seconds)
    return calls.end()[0]


def beside(what: str, calls: Good, alone: float) -> Iterator[Figure]:
    """Figures of good calls that were made meanwhile."""
    p99, wrong, count = calls.end()
    yield none(f"{what}: wrong among {count:,} good calls beside them", wrong)
    measured = f"p99 {p99:.1f} ms, alone {alone:.1f} ms: {p99 / alone:.1f} times"
    yield Figure(
        f"{what}: how long good calls take", measured, "below 3 times, if the machine has time", p99 < 3 * alone or None
    )
