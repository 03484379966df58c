"""Server cost per call without a network, ours against the peer and a bare application that echoes.

    tests/bench/inprocess.py [--case NAME]... [--rounds N] [--turns N] [--contender NAME]...

Figures are CPU microseconds per call (per message for streams): smallest, median, largest. The ratio is the median
of ours/peer, each pair measured one after the other. It reports; it never fails because of a figure.
"""

from __future__ import annotations

import argparse

from cases import CASES
from workers import Worker, compare, heading, report

SLICE_NS = 60_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[*CASES], help="only this case (may be repeated)")
    parser.add_argument("--contender", action="append", choices=["ours", "peer", "bare"])
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes (default 3)")
    parser.add_argument("--turns", type=int, default=5, help="slices of 60 ms in each process (default 5)")
    options = parser.parse_args()
    contenders = options.contender or ["ours", "peer", "bare"]
    heading("CPU us per call")
    for name in options.case or CASES:
        case = CASES[name]

        def workers(name: str = name) -> dict[str, Worker]:
            return {contender: Worker(contender, "worker.py", contender, name) for contender in contenders}

        samples, ratios = compare(workers, name, case.messages, options.rounds, options.turns, SLICE_NS)
        report(case.title, samples, ratios, case.target)


main()
