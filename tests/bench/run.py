"""The whole benchmark: `run.py [quick]`. Sets up what it compares, then prints every table.

`quick` plays each case once and briefly: it proves that the benchmark works, its figures are rough.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time

import setup
from workers import HERE, ROOT

PACKAGES = ("./core/...", "./wasm/...", "./hostgo/...")


def part(title: str, *command: str) -> int:
    print(f"\n{title}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    quick = sys.argv[1:] == ["quick"]
    start = time.monotonic()
    setup.main()
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}; small, median, large")
    few = ["--rounds", "1", "--turns", "2"] if quick else []
    failed = part("Servers, in process", sys.executable, str(HERE / "inprocess.py"), *few)
    few_orders = ["--orders", "3", "--slices", "1"] if quick else []
    failed |= part("Servers, cases that share a process", sys.executable, str(HERE / "mixed.py"), *few_orders)
    briefly = ["--quick", "--rounds", "1", "--turns", "2", "--milliseconds", "400"] if quick else []
    failed |= part("Servers, over loopback", sys.executable, str(HERE / "network.py"), *briefly)
    failed |= part("Clients, over loopback", sys.executable, str(HERE / "clients.py"), *few)
    failed |= part("Start-up", sys.executable, str(HERE / "startup.py"), *(["--rounds", "2"] if quick else []))
    failed |= part(
        "br and zstd in the codings' module", sys.executable, str(HERE / "codings.py"), *(["--rounds", "1"] if quick else [])
    )
    if not quick:
        failed |= part("What servers hold for slow and idle peers", sys.executable, str(HERE / "held.py"))
        failed |= part("How soon handlers hear that their callers have left", sys.executable, str(HERE / "leaving.py"))
    period = "100x" if quick else "1s"
    failed |= part("Core and module in Go", "go", "test", "-run=^$", "-bench=.", f"-benchtime={period}", "-benchmem", *PACKAGES)
    failed |= part(
        "Go's handler and connect-go's, in process and in turns (ratio: ours to theirs)",
        *("go", "test", "-run=^$", "-bench=Handlers", "-benchtime=2x" if quick else "-benchtime=1s", "./tests/interop"),
    )
    print(f"\nbench: {'FAILED' if failed else 'done'} in {time.monotonic() - start:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
