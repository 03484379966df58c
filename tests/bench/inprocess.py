"""Server cost per call without a network, ours against the peer and a bare application that echoes.

    tests/bench/inprocess.py [--case NAME]... [--rounds N] [--turns N] [--contender NAME]...

Figures are CPU microseconds per call (per message for streams): smallest, median, largest. The ratio is the median
of ours/peer, each pair measured one after the other. It reports; it never fails because of a figure.
"""

from __future__ import annotations

import argparse
import statistics

from cases import CASES
from workers import compare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[*CASES], help="only this case (may be repeated)")
    parser.add_argument("--contender", action="append", choices=["ours", "peer", "bare"])
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes (default 3)")
    parser.add_argument("--turns", type=int, default=5, help="slices of 60 ms in each process (default 5)")
    options = parser.parse_args()
    contenders = options.contender or ["ours", "peer", "bare"]
    print(f"{'us per call':32}{'':8}{'min':>9} {'median':>9} {'max':>9}   ratio to peer (wanted)")
    for name in options.case or CASES:
        case = CASES[name]
        samples, ratios = compare(contenders, name, case.messages, options.rounds, options.turns)
        for contender in contenders:
            line = f"{case.title if contender == contenders[0] else '':32}{contender:8}{samples[contender].row()}"
            if contender == "ours" and ratios:
                wanted = f" ({case.target:.1f})" if case.target else ""
                line += f"   {statistics.median(ratios):.2f}{wanted}"
            print(line, flush=True)


main()
