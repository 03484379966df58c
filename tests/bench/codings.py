"""br and zstd in the module of the codings: how long the first use takes, and a message against the native libraries.

    tests/bench/codings.py [--rounds N]

First uses are milliseconds of wall clock, in a process that has made a call already; a message of 64 KiB of text is CPU
microseconds, the ways in turns, with the smallest ratio of a turn's.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from workers import PYTHON, ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Callable

WANTED_COLD_MS = 3000
WANTED_WARM_MS = 5
WANTED_RATIO = 10
CALLS = 20
LEVELS = {"br": 3, "zstd": 3}  # what the classes have where nobody says otherwise
LIBRARIES = {"br": ("brotli", "brotlicffi"), "zstd": ("compression.zstd", "backports.zstd", "zstandard")}

FIRST = """
import time
from connectcore._wasm import codings, pool
pool.POOL.pick()
start = time.perf_counter()
data = codings.compress({coding!r}, 3, b"a message " * 100)
middle = time.perf_counter()
assert codings.decompress({coding!r}, data, 1000)
print((middle - start) * 1e3)
"""


def text() -> bytes:
    """64 KiB of text: this repository's own pages, and some code."""
    pages = [*sorted(ROOT.glob("*/*.md")), *sorted(ROOT.glob("core/*.go"))]
    found = b"".join(page.read_bytes() for page in pages)[: 64 << 10]
    assert len(found) == 64 << 10
    return found


def first_use(coding: str, rounds: int) -> None:
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            settings = {**environment("ours"), "CONNECTCORE_CACHE": f"{cache}/connectcore"}
            found = []
            for _ in range(6):  # the first fills the cache
                command = [str(PYTHON["ours"]), "-c", FIRST.format(coding=coding)]
                found.append(float(subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stdout))
        if not number:
            print(f"{'first use of ' + coding:36}{'cold':>9} {'warm: min, median, max':>30}")
        cold, warm = found[0], sorted(found[1:])
        middle = statistics.median(warm)
        print(
            f"{'':36}{cold:9.0f} {warm[0]:10.2f} {middle:9.2f} {warm[-1]:9.2f}"
            f"   ({WANTED_COLD_MS} and {WANTED_WARM_MS} ms wanted)",
            flush=True,
        )


def spent(work: Callable[[], object]) -> float:
    """CPU microseconds of a call."""
    start = time.process_time()
    for _ in range(CALLS):
        work()
    return (time.process_time() - start) / CALLS * 1e6


def message(coding: str, turns: int) -> None:
    from connectcore.compression import brotli, zstd

    made = {"br": brotli._WAYS, "zstd": zstd._WAYS}[coding]
    ways = {}
    for name in (*LIBRARIES[coding], "module"):
        try:
            ways[name] = made[name]()
        except ImportError:
            continue
    data, level = text(), LEVELS[coding]
    packed = ways["module"].compress(data, level)
    for title, what in (
        ("compress", lambda way: way.compress(data, level)),
        ("decompress", lambda way: way.decompress(packed, len(data))),
    ):
        table: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(turns):
            for name, way in ways.items():
                table[name].append(spent(lambda way=way, what=what: what(way)))  # type: ignore[misc]
        for name, values in table.items():
            line = f"{f'{coding}, {title} 64 KiB of text':36}{name:20}{min(values):9.1f} {statistics.median(values):9.1f}"
            if name == "module":
                pairs = [zip(values, theirs, strict=True) for library, theirs in table.items() if library != "module"]
                ratios = [f"{statistics.median(ours / theirs for ours, theirs in each):.1f}" for each in pairs]
                line += f"   {', '.join(ratios)} times the libraries' ({WANTED_RATIO} wanted)"
            print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    for coding in LEVELS:
        first_use(coding, rounds)
    for coding in LEVELS:
        message(coding, rounds * 5)
    return 0


sys.exit(main())
