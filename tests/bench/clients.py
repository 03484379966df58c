"""Client cost per unary call and per message of a stream, ours against the peer and, in gRPC, grpcio: all call one connect-go
server.

    tests/bench/clients.py [--mode async|sync]... [--way HTTP/1.1|HTTP/2|gRPC]... [--rounds N] [--turns N]

Figures are microseconds of wall clock. Compression is off. No figure makes it fail.
"""

from __future__ import annotations

import argparse
import sys

from cases import STREAM
from workers import Worker, compare, greeting, heading, report

SLICE_NS = 300_000_000
CASES = {  # how many at a time, and the size of the message
    "one at a time": ("1", "64"),
    "16 at a time": ("16", "64"),
    "64 KiB": ("1", "65536"),
}
WAYS = ("HTTP/1.1", "HTTP/2", "gRPC")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", action="append", choices=["async", "sync"])
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--streams", action="store_true", help="streams alone")
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes (default 3)")
    parser.add_argument("--turns", type=int, default=4, help="slices of 300 ms in each process (default 4)")
    options = parser.parse_args()
    with greeting() as url:
        heading("wall us per call or message")
        failed = 0
        for mode in options.mode or ["async", "sync"]:
            for way in options.way or WAYS:
                contenders = ("ours", "peer", "grpcio") if way == "gRPC" else ("ours", "peer")
                for name, case in () if options.streams else CASES.items():

                    def workers(
                        mode: str = mode, way: str = way, case: tuple[str, str] = case, contenders: tuple[str, ...] = contenders
                    ) -> dict[str, Worker]:
                        return {who: Worker(who, "client_worker.py", who, mode, way, *case, url) for who in contenders}

                    title = f"{mode} client, {way}, {name}"
                    samples, ratios = compare(workers, title, 1, options.rounds, options.turns, SLICE_NS)
                    failed += report(title, samples, ratios)
                for direction in ("down", "up"):

                    def streams(
                        mode: str = mode, way: str = way, direction: str = direction, contenders: tuple[str, ...] = contenders
                    ) -> dict[str, Worker]:
                        script = "client_stream_worker.py"
                        return {who: Worker(who, script, who, mode, way, direction, url) for who in contenders}

                    title = f"{mode} client, {way}, stream {direction}"
                    samples, ratios = compare(streams, title, STREAM, options.rounds, options.turns, SLICE_NS)
                    failed += report(title, samples, ratios)
    return 1 if failed else 0


sys.exit(main())
