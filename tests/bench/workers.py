"""Starts contenders' processes and lets them run in turns.

The machine's speed drifts between processes and by the minute. So each round starts fresh processes, one for each
contender, and lets them run short slices A B C A B C; a ratio is taken within one turn.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache"
PYTHON = {
    "ours": ROOT / ".venv/bin/python",
    "peer": CACHE / "peer/bin/python",
    "bare": ROOT / ".venv/bin/python",
}
GENERATED = {"ours": CACHE / "bench/ours", "peer": CACHE / "bench/peer", "bare": CACHE / "bench/peer"}
SLICE_NS = 60_000_000


@dataclass
class Samples:
    """Microseconds per message of one contender in one case, and why there are none."""

    values: list[float] = field(default_factory=list)
    problem: str = ""

    def row(self) -> str:
        if not self.values:
            return self.problem or "none"
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        return f"{low:9.2f} {middle:9.2f} {high:9.2f}"


def progress(text: str) -> None:
    """A line that the next one overwrites, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r{text:60}\r{text}", end="", file=sys.stderr, flush=True)


def environment(contender: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(GENERATED[contender]), str(HERE)]), "PYTHONHASHSEED": "0"}


class Worker:
    """A contender's process that has one case loaded."""

    def __init__(self, contender: str, case: str) -> None:
        self.process = subprocess.Popen(
            [PYTHON[contender], HERE / "worker.py", contender, case],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(contender),
        )
        assert self.process.stdout
        self.greeting = self.process.stdout.readline().strip() or "cannot: the process died"
        self.ready = self.greeting == "ready"

    def run(self, calls: int) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{calls}\n")
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


def calibrate(worker: Worker) -> int:
    """How many calls fill a slice."""
    calls = 1
    while (spent := worker.run(calls)) < SLICE_NS // 8:
        calls *= 2
    return max(1, calls * SLICE_NS // spent)


def compare(
    contenders: list[str], case: str, messages: int, rounds: int, turns: int
) -> tuple[dict[str, Samples], list[float]]:
    """Samples of each contender, and ratios ours/peer, one a turn where both answered."""
    samples = {contender: Samples() for contender in contenders}
    ratios: list[float] = []
    for number in range(rounds):
        progress(f"  {case}: round {number + 1} of {rounds}")
        workers = {contender: Worker(contender, case) for contender in contenders}
        try:
            for contender, worker in workers.items():
                if not worker.ready:
                    samples[contender].problem = worker.greeting
            running = {contender: worker for contender, worker in workers.items() if worker.ready}
            calls = {contender: calibrate(worker) for contender, worker in running.items()}
            for _ in range(turns):
                turn = {}
                for contender, worker in running.items():
                    turn[contender] = worker.run(calls[contender]) / calls[contender] / messages / 1000
                    samples[contender].values.append(turn[contender])
                if "ours" in turn and "peer" in turn:
                    ratios.append(turn["ours"] / turn["peer"])
        finally:
            for worker in workers.values():
                worker.close()
    progress("")
    return samples, ratios
