"""Runs every Go fuzz target for a while: `fuzz.py [TIME]`, TIME as go test wants it (10s).

Inputs that it finds and that matter land in the package's testdata/fuzz, to be committed with the fix. At the end it says how
many inputs were tried, and of how many the corpus is.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def packages() -> list[str]:
    """Directories with a fuzz target, from the sources: listing by `go test -list` would build every package."""
    found = {path.parent for path in ROOT.glob("*/**/*_test.go") if "\nfunc Fuzz" in path.read_text()}
    return sorted(f"./{path.relative_to(ROOT)}" for path in found)


def targets(package: str) -> list[str]:
    lines = [line for path in sorted((ROOT / package).glob("*_test.go")) for line in path.read_text().splitlines()]
    return [line.removeprefix("func ").partition("(")[0] for line in lines if line.startswith("func Fuzz")]


def only_time_ended(output: str) -> bool:
    """Whether go test failed for no input, only because the time was over.

    Before Go 1.27 its fuzzer now and then takes the end of -fuzztime for a failure (golang/go#75804). A failing input has more
    lines under its "--- FAIL", and so has a panic or a worker that hangs.
    """
    _, fail, after = output.partition("--- FAIL: ")
    details = after.partition("\nFAIL\n")[0].splitlines()[1:]
    return bool(fail) and [line.strip() for line in details] == ["context deadline exceeded"]


def tried(output: str) -> tuple[int, int]:
    """How many inputs go test says it has tried, and of how many its corpus is."""
    found = re.findall(r"execs: (\d+) .*\(total: (\d+)\)", output)
    return (int(found[-1][0]), int(found[-1][1])) if found else (0, 0)


def fuzz(package: str, name: str, period: str) -> tuple[bool, str]:
    """Runs one target and shows what go test prints: whether it passed, and the output."""
    command = ["go", "test", "-run=^$", f"-fuzz=^{name}$", f"-fuzztime={period}", "-parallel=2", package]
    output = ""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            output += line
    if process.returncode and only_time_ended(output):
        print("fuzz: passed: no input failed, the time was over (golang/go#75804)", flush=True)
        return True, output
    return process.returncode == 0, output


def main() -> int:
    period = sys.argv[1] if len(sys.argv) > 1 else "10s"
    plan = [(package, name) for package in packages() for name in targets(package)]
    if not plan:
        print("fuzz: no target was found", file=sys.stderr)
        return 1
    failed = executions = corpus = 0
    started = time.monotonic()
    for number, (package, name) in enumerate(plan, 1):
        print(f"fuzz: {number} of {len(plan)}: {name} in {package} for {period}", flush=True)
        passed, output = fuzz(package, name, period)
        more = tried(output)
        failed, executions, corpus = failed + (not passed), executions + more[0], corpus + more[1]
    print(f"fuzz: {executions:,} inputs in {time.monotonic() - started:.0f} s, {corpus:,} in the corpus")
    print(f"{len(plan) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
