"""Server cost per call without a network, ours against the peer and a bare application that echoes.

    tests/bench/inprocess.py [--case NAME]... [--rounds N] [--turns N] [--contender NAME]...

Figures are CPU microseconds per call (per message for streams): smallest, median, largest. The first ratio is
the median of ours/peer, each pair measured one after the other; the second is that of the smallest figures. No figure
makes it fail: only a contender that does not answer, or answers wrongly, does.
"""

from __future__ import annotations

import argparse
import sys

from cases import CASES
from workers import Worker, compare, heading, report

SLICE_NS = 60_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[*CASES], help="only this case (may be repeated)")
    parser.add_argument("--contender", action="append", choices=["ours", "peer", "bare"])
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes (default 3)")
    parser.add_argument("--turns", type=int, default=5, help="slices of 60 ms in each process (default 5)")
    options = parser.parse_args()
    contenders = options.contender or ["ours", "peer", "bare"]
    heading("CPU us per call")
    failed = 0
    for name in options.case or CASES:
        case = CASES[name]

        def workers(name: str = name) -> dict[str, Worker]:
            return {contender: Worker(contender, "worker.py", contender, name) for contender in contenders}

        samples, ratios = compare(workers, name, case.messages, options.rounds, options.turns, SLICE_NS)
        failed += report(case.title, samples, ratios, case.target)
    return 1 if failed else 0


sys.exit(main())
