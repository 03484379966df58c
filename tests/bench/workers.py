"""Starts contenders' processes and lets them run in turns.

The machine's speed drifts between processes and by the minute. So each round starts fresh processes, one for each
contender, and lets them run short slices A B C A B C; a ratio is taken within one turn.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache"
PYTHON = {
    "ours": ROOT / ".venv/bin/python",
    "ours, google": ROOT / ".venv/bin/python",  # the same with Google's message classes
    "peer": CACHE / "peer/bin/python",
    "bare": ROOT / ".venv/bin/python",
    "grpcio": ROOT / ".venv/bin/python",
}
GENERATED = {
    "ours": CACHE / "bench/ours",
    "ours, google": CACHE / "bench/google",
    "peer": CACHE / "bench/peer",
    "bare": CACHE / "bench/peer",
    "grpcio": CACHE / "bench/ours",
}


@dataclass
class Samples:
    """Figures of one contender, or why there are none."""

    values: list[float] = field(default_factory=list)
    problem: str = ""

    def row(self) -> str:
        if not self.values:
            return self.problem or "none"
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        return f"{low:9.2f} {middle:9.2f} {high:9.2f}"


@contextmanager
def greeting() -> Iterator[str]:
    """The URL of a connect-go server, which runs while the block does."""
    binary = CACHE / "demo/goserver"
    binary.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", binary, "./tests/demo/goserver"], cwd=ROOT, check=True)
    with subprocess.Popen([binary, "-plain"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin
        assert server.stdout
        yield server.stdout.readline().strip()
        server.stdin.close()
        server.wait(10)


def progress(text: str) -> None:
    """A line that the next one overwrites, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r{text:60}\r{text}", end="", file=sys.stderr, flush=True)


def environment(contender: str) -> dict[str, str]:
    """Like that of an installed program: its byte code is kept."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(GENERATED[contender]), str(HERE)]), "PYTHONHASHSEED": "0"}


class Worker:
    """A contender's process: a script of this folder with its arguments loaded, waiting for its turn."""

    def __init__(self, contender: str, script: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [PYTHON[contender], HERE / script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(contender),
        )
        assert self.process.stdout
        self.greeting = self.process.stdout.readline().strip() or "cannot: the process died"
        self.ready = self.greeting == "ready"

    def run(self, calls: int, case: str = "") -> int:
        """Nanoseconds that so many calls take; of `case`, where the worker has several."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{calls} {case}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process died: exit code {self.process.wait()}")
        return int(line)

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


def calibrate(worker: Worker, slice_ns: int) -> int:
    """How many calls fill a slice."""
    calls = 1
    while (spent := worker.run(calls)) < slice_ns // 8:
        calls *= 2
    return max(1, calls * slice_ns // spent)


def compare(
    workers: Callable[[], dict[str, Worker]], title: str, messages: int, rounds: int, turns: int, slice_ns: int
) -> tuple[dict[str, Samples], list[float]]:
    """Samples of each contender that `workers` starts, and the ratios ours/peer, one a turn where both answered."""
    samples: dict[str, Samples] = {}
    ratios: list[float] = []
    for number in range(rounds):
        progress(f"  {title}: round {number + 1} of {rounds}")
        started = workers()
        try:
            for contender, worker in started.items():
                samples.setdefault(contender, Samples()).problem = "" if worker.ready else worker.greeting
            running = {contender: worker for contender, worker in started.items() if worker.ready}
            calls = {contender: calibrate(worker, slice_ns) for contender, worker in running.items()}
            for _ in range(turns):
                turn = {}
                for contender, worker in running.items():
                    turn[contender] = worker.run(calls[contender]) / calls[contender] / messages / 1000
                    samples[contender].values.append(turn[contender])
                if "ours" in turn and "peer" in turn:
                    ratios.append(turn["ours"] / turn["peer"])
        finally:
            for worker in started.values():
                worker.close()
    progress("")
    return samples, ratios


def report(title: str, samples: dict[str, Samples], ratios: list[float], target: float | None = None) -> int:
    """A row for each contender; ours says its ratios to the peer: the median of the turns', and that of the minima, which
    a busy machine disturbs least. Gives how many contenders failed.
    """
    failed = sum(not sample.values for sample in samples.values())
    for contender, sample in samples.items():
        line = f"{title:36}{contender:14}{sample.row()}"
        if contender == "ours" and ratios:
            least = min(sample.values) / min(samples["peer"].values)
            line += f"   {statistics.median(ratios):.2f} {least:.2f}" + (f" ({target:.2f})" if target else "")
        print(line, flush=True)
        title = ""
    return failed


def heading(unit: str) -> None:
    print(f"{unit:36}{'':14}{'min':>9} {'median':>9} {'max':>9}   to peer: median, of minima (wanted)", flush=True)
