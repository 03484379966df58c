"""Server cost per call of cases that share a process and its applications, against the same case alone in one.

    tests/bench/mixed.py [--case NAME]... [--orders N] [--slices N]

In each order a fresh process plays all cases twice, one after the other; orders are shuffled by fixed seeds. A figure is the
smallest of a case's slices, CPU microseconds per call; the slices of a process of the case's own, which had no other calls, are
played in turns with them. What ran before a case should not matter: ratios to the cost alone near 1 are wanted. No figure
makes it fail: only a case that is not answered does.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from dataclasses import dataclass, field

from cases import CASES
from workers import Worker, calibrate, progress

SLICE_NS = 20_000_000
PASSES = 2


@dataclass
class Row:
    """A case: its cost alone, and in each order its cost and the ratio to that alone, the larger of the two passes."""

    worker: Worker
    calls: int
    alone: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)


def play(order: list[str], rows: dict[str, Row], slices: int) -> None:
    """All cases of `order` in one process, and each alone in turns with it."""
    shared = Worker("ours", "worker.py", "ours", *order)
    try:
        if not shared.ready:
            raise RuntimeError(shared.greeting)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in order}
        for name in order * PASSES:
            row = rows[name]
            shared.run(row.calls, name)
            pairs = [(shared.run(row.calls, name), row.worker.run(row.calls)) for _ in range(slices)]
            ratio = statistics.median(ours / alone for ours, alone in pairs)
            ours, alone = (min(each) / row.calls / CASES[name].messages / 1000 for each in zip(*pairs, strict=True))
            found[name].append((ratio, ours))
            row.alone.append(alone)
        for name, measured in found.items():
            ratio, cost = max(measured)
            rows[name].ratios.append(ratio)
            rows[name].costs.append(cost)
    finally:
        shared.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[*CASES], help="only these cases (may be repeated)")
    parser.add_argument("--orders", type=int, default=4, help="orders, a fresh process each (default 4)")
    parser.add_argument("--slices", type=int, default=5, help="slices of 20 ms a case, in each of two passes (default 5)")
    options = parser.parse_args()
    names: list[str] = options.case or [*CASES]
    rows: dict[str, Row] = {}
    try:
        for name in names:
            progress(f"  {name} alone")
            worker = Worker("ours", "worker.py", "ours", name)
            rows[name] = Row(worker, calibrate(worker, SLICE_NS) if worker.ready else 0)
            if not worker.ready:
                raise RuntimeError(f"{name} {worker.greeting}")
        for seed in range(options.orders):
            progress(f"  order {seed + 1} of {options.orders}")
            order = names[:]
            random.Random(seed).shuffle(order)
            play(order, rows, options.slices)
    except RuntimeError as error:
        progress("")
        print(f"mixed: {error}")
        return 1
    finally:
        for row in rows.values():
            row.worker.close()
    progress("")
    orders = "".join(f"{f'order {seed + 1}':>9}" for seed in range(options.orders))
    print(f"{'CPU us per call, after others':36}{'alone':>9}{orders}   largest ratio to alone")
    for name, row in rows.items():
        costs = "".join(f"{cost:9.2f}" for cost in row.costs)
        print(f"{CASES[name].title:36}{min(row.alone):9.2f}{costs}   {max(row.ratios):.2f}", flush=True)
    print(f"largest of all: {max(max(row.ratios) for row in rows.values()):.2f}")
    return 0


sys.exit(main())
