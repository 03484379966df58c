"""Servers over loopback: ours against the peer and a bare application that echoes, under each server, and against others'.

    tests/bench/network.py [--row NAME]... [--server NAME]... [--rounds N] [--turns N] [--milliseconds N] [--quick]

The server has one core, the load generator another. Figures are thousands of requests a second (of messages, for streams):
smallest, median, largest. Behind each other contender stands the median of ours/theirs, of pairs measured one after the
other, with the ratio that is wanted. No figure makes it fail: only a contender that does not answer, or answers wrongly, does.
What servers log goes to .cache/bench/servers.log.

The second ratio is of the servers' CPU a call, turned over, which other work on the machine disturbs less.

"load" is how busy the load generator was at most: near 100 % it, and not the server, was measured.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from network_rows import OWN, ROWS, Row, plan
from proxies import backend, started
from workers import CACHE, GENERATED, HERE, ROOT, Samples, progress

PROGRAMS = {name: CACHE / f"bench/{name}" for name in ("load", "goserver")}
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
LOG = CACHE / "bench/servers.log"  # pyvoy tells of each call whose end it tells twice
OPTIONS = {"SERVING_THREADS": "8", "SERVING_WORKERS": "1"}


@contextlib.contextmanager
def on(core: int) -> Iterator[None]:
    """Processes that the block starts have this core to themselves, where there are several and it can be said."""
    if len(CORES) < 2:
        yield
        return
    os.sched_setaffinity(0, {CORES[core]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


@contextlib.contextmanager
def serving(row: Row, contender: str) -> Iterator[tuple[int, int]]:
    """The port at which a contender answers a row's calls, and its process."""
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(LOG.open("a"))
        with on(0):
            if contender in OWN:
                command: list[object] = [PROGRAMS["goserver"]]
                if contender != "connect-go":
                    command = [sys.executable, HERE / "grpcioserver.py", "loop" if "aio" in contender else "threads"]
                process = stack.enter_context(started(command, stdout=subprocess.PIPE, stderr=log))
                assert process.stdout
                port = int(process.stdout.readline().rpartition(":")[2])
            else:
                paths = os.pathsep.join([str(GENERATED[contender]), str(HERE)])
                variables = {**OPTIONS, "BENCH": f"{contender}|{row.name}", "PYTHONPATH": paths}
                port, process = stack.enter_context(backend(row.server, "network_app:app", 2, variables, stderr=log))
        yield port, process.pid


def spent(process: int) -> int:
    """Nanoseconds of CPU of a process and its children, as far as they live; 0 where Linux does not tell."""
    total = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
            total += sum(map(spent, map(int, (task / "children").read_text().split())))
    return total


@dataclass
class Slice:
    """Calls a second; nanoseconds of the server's CPU for each; the part of the time that the load generator was busy."""

    rate: float
    cpu: float
    busy: float


class Load:
    """A load generator's process, for one contender."""

    def __init__(self, process: subprocess.Popen[str], plan: str, port: int, server: int) -> None:
        self.process, self.port, self.server = process, port, server
        self.say(plan)

    def say(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def run(self, milliseconds: int) -> Slice:
        """Raises RuntimeError."""
        before = spent(self.server)
        self.say(f"{self.port} {milliseconds}")
        assert self.process.stdout
        line = self.process.stdout.readline().strip()
        try:
            calls, took, busy = map(int, line.split())
        except ValueError:
            raise RuntimeError(line or "the load generator died") from None
        return Slice(calls / took * 1e9, (spent(self.server) - before) / calls, busy / took)


class Measured:
    """A row's figures: samples of each contender, and ours to each other's, once by requests and once by CPU."""

    def __init__(self, contenders: list[str], others: list[str]) -> None:
        self.samples = {name: Samples() for name in contenders}
        self.ratios: dict[str, list[float]] = {name: [] for name in others}
        self.cpu: dict[str, list[float]] = {name: [] for name in others}
        self.busy = dict.fromkeys(contenders, 0.0)


def measure(row: Row, rounds: int, turns: int, milliseconds: int) -> Measured:
    contenders = ["ours", *row.wanted]
    measured = Measured(contenders, list(row.wanted))
    for number in range(rounds):
        progress(f"  {row.title}: round {number + 1} of {rounds}")
        with contextlib.ExitStack() as stack:
            loads: dict[str, Load] = {}
            for name in contenders:
                port, server = stack.enter_context(serving(row, name))
                with on(1):
                    process = stack.enter_context(started([PROGRAMS["load"]], stdout=subprocess.PIPE))
                loads[name] = Load(process, plan(row, name), port, server)
            for load in loads.values():
                with contextlib.suppress(RuntimeError):  # is said below
                    load.run(milliseconds // 4)
            for _ in range(turns):
                turn: dict[str, Slice] = {}
                for name, load in loads.items():
                    try:
                        turn[name] = load.run(milliseconds)
                    except RuntimeError as error:
                        measured.samples[name].problem = str(error)
                        continue
                    measured.samples[name].values.append(turn[name].rate * row.case.messages / 1000)
                    measured.busy[name] = max(measured.busy[name], turn[name].busy)
                for name in turn.keys() & row.wanted.keys() if "ours" in turn else ():
                    measured.ratios[name].append(turn["ours"].rate / turn[name].rate)
                    if turn["ours"].cpu:
                        measured.cpu[name].append(turn[name].cpu / turn["ours"].cpu)
    progress("")
    return measured


def report(row: Row, measured: Measured) -> int:
    """A line for each contender. Gives how many failed."""
    title, failed = row.title, 0
    for name, sample in measured.samples.items():
        line = f"{title:44}{name:12}{sample.row()} {measured.busy[name]:5.0%}"
        if measured.ratios.get(name):
            wanted = row.wanted[name]
            line += f"   {statistics.median(measured.ratios[name]):5.2f}"
            line += f" {statistics.median(measured.cpu[name]):5.2f}" if measured.cpu[name] else ""
            line += f" ({wanted:.2f})" if wanted else ""
        print(line + (f"   {sample.problem}" if sample.values and sample.problem else ""), flush=True)
        title = ""
        failed += bool(sample.problem)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", choices=[*ROWS], help="only this row (may be repeated)")
    parser.add_argument("--server", action="append", help="only rows of this server (may be repeated)")
    parser.add_argument("--rounds", type=int, default=2, help="fresh processes (default 2)")
    parser.add_argument("--turns", type=int, default=4, help="slices in each process (default 4)")
    parser.add_argument("--milliseconds", type=int, default=500, help="length of a slice (default 500)")
    parser.add_argument("--quick", action="store_true", help="the most telling rows alone")
    options = parser.parse_args()
    LOG.unlink(missing_ok=True)
    for name, program in PROGRAMS.items():
        subprocess.run(["go", "build", "-o", program, f"./tests/bench/{name}"], cwd=ROOT, check=True)
    heads = f"{'1000 requests or messages a second':44}{'':12}{'min':>9} {'median':>9} {'max':>9}  load"
    print(f"{heads}   ours to theirs, by CPU (wanted)", flush=True)
    failed = 0
    for name, row in ROWS.items():
        wanted = name in (options.row or ROWS) and (not options.server or row.server in options.server)
        if wanted and (row.quick or not options.quick):
            failed += report(row, measure(row, options.rounds, options.turns, options.milliseconds))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
