"""What a new process costs: import plus first call, with a warm cache and with none, ours against the peer.

    tests/bench/startup.py [--rounds N]

Warm figures are CPU milliseconds; the cold one is the wall clock of the whole process, with no compiled module cached.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from workers import HERE, PYTHON, Samples, environment, greeting, heading, progress, report

WANTED_WARM_MS = 150
WANTED_COLD_MS = 2000


def first_call(contender: str, script: str, *arguments: str, cache: str = "") -> tuple[list[float], float, float]:
    """What the process printed, then its wall clock and CPU, all in milliseconds."""
    settings = environment(contender)
    if cache:
        settings["CONNECTCORE_CACHE"] = cache
    start, spent = time.perf_counter(), children()
    done = subprocess.run(
        [PYTHON[contender], HERE / script, contender, *arguments], env=settings, capture_output=True, text=True
    )
    wall = (time.perf_counter() - start) * 1e3
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or "no reason given").splitlines()[-1])
    return [float(value) for value in done.stdout.split()], wall, children() - spent


def children() -> float:
    """CPU milliseconds of all processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (usage.ru_utime + usage.ru_stime) * 1e3


def warm(title: str, rounds: int, contenders: tuple[str, ...], *command: str) -> int:
    parts = [f"import, {title}", f"first call, {title}", f"both, {title}", "MiB"]
    table = {part: {contender: Samples() for contender in contenders} for part in parts}
    for number in range(rounds + 1):
        progress(f"  start-up, {title}: round {number} of {rounds}")
        for contender in contenders:
            try:
                (imported, called, resident), _, _ = first_call(contender, *command)
            except RuntimeError as error:
                for part in parts:
                    table[part][contender].problem = f"cannot: {error}"
                continue
            if number == 0:  # fills the caches
                continue
            for part, value in zip(parts, (imported, called, imported + called, resident), strict=True):
                table[part][contender].values.append(value)
    progress("")
    failed = 0
    for part, samples in table.items():
        ours, peer = samples["ours"].values, samples["peer"].values
        ratios = [ours_ / peer_ for ours_, peer_ in zip(ours, peer, strict=False)]
        failed += report(part, samples, ratios, 1.0 if part.startswith("both") else None)
        if part.startswith("both") and ours:
            print(f"{'':50}median {statistics.median(ours):.0f} ms of {WANTED_WARM_MS} ms wanted", flush=True)
    return failed


def cold(rounds: int) -> int:
    table = {"cold, whole process, wall": {"ours": Samples()}, "cold, whole process, CPU": {"ours": Samples()}}
    for number in range(rounds):
        progress(f"  cold start: round {number + 1} of {rounds}")
        with tempfile.TemporaryDirectory() as cache:
            try:
                _, *both = first_call("ours", "firstcall.py", "asgi", cache=f"{cache}/connectcore")
            except RuntimeError as error:
                for samples in table.values():
                    samples["ours"].problem = f"cannot: {error}"
                continue
        for samples, value in zip(table.values(), both, strict=True):
            samples["ours"].values.append(value)
    progress("")
    failed = 0
    for part, samples in table.items():
        failed += report(part, samples, [])
    wall = next(iter(table.values()))["ours"].values
    if wall:
        print(f"{'':50}median {statistics.median(wall):.0f} ms of {WANTED_COLD_MS} ms wanted", flush=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    heading("ms of a new process (CPU)")
    failed = 0
    for interface in ("asgi", "wsgi"):
        failed += warm(interface.upper(), rounds, ("ours", "ours, google", "peer"), "firstcall.py", interface)
    with greeting() as url:
        for mode in ("async", "sync"):
            failed += warm(f"{mode} client", rounds, ("ours", "peer"), "firstclientcall.py", mode, url)
    failed += cold(min(rounds, 3))
    return 1 if failed else 0


sys.exit(main())
