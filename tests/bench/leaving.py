"""How soon a handler hears that its caller has left: milliseconds, by server and stream type.

    tests/bench/leaving.py [SERVER]... [--times N]

From the cancellation of a call to the answer of another, which waits for the news: a round trip is in it. The news is wanted
within WANTED_MS. No figure makes it fail.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "serving"), str(TESTS / "deployment"), str(TESTS.parent / "hostpy/examples")]


from proxies import backend  # noqa: E402
from test_leaving import SERVERS, calling  # noqa: E402

WANTED_MS = 100


async def measure(server: str, http: Any, port: int, times: int) -> None:
    async with calling(server, http, port) as (said, calls):
        for name, call in calls.items():
            took = []
            for _ in range(times):
                task = asyncio.create_task(call())
                await said("began")
                start = time.perf_counter()
                task.cancel()
                await said("left")
                took.append((time.perf_counter() - start) * 1000)
            late = "  MORE THAN WANTED" if max(took) > WANTED_MS else ""
            middle, high = statistics.median(took), max(took)
            print(f"{server + ', HTTP/' + http:28} {name:12} {middle:8.1f} median {high:8.1f} max{late}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*")
    parser.add_argument("--times", type=int, default=20, help="calls of each kind (default 20)")
    options = parser.parse_args()
    for server, http in SERVERS:
        if not options.servers or server in options.servers:
            with backend(server, "told:asgi") as (port, _):
                asyncio.run(measure(server, http, port, options.times))


if __name__ == "__main__":
    main()
