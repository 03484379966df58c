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

from connectcore.transport import HTTPTransport  # noqa: E402
from greet.v1.greet_connectcore import GreetServiceClient  # noqa: E402
from greet.v1.greet_pb2 import GreetRequest  # noqa: E402

from proxies import HOST, backend  # noqa: E402
from test_leaving import SERVERS, WHOLE, endless  # noqa: E402

WANTED_MS = 100


async def measure(server: str, http: Any, port: int, times: int) -> None:
    url = f"http://{HOST}:{port}"
    async with HTTPTransport(http_version=http) as transport, GreetServiceClient(url, http_client=transport) as client:

        async def said(what: str) -> str:
            return (await client.greet(GreetRequest(name=what), timeout=20)).greeting

        for name, call in endless(client).items():
            if server in WHOLE and name in ("GreetGroup", "Chat"):
                continue
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
