"""Runs every Go fuzz target for a while: `fuzz.py [TIME]`, TIME as go test wants it (10s).

Inputs that it finds and that matter land in the package's testdata/fuzz, to be committed with the fix.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def packages() -> list[str]:
    """Directories with a fuzz target, from the sources: listing by `go test -list` would build every package."""
    found = {path.parent for path in ROOT.glob("*/**/*_test.go") if "\nfunc Fuzz" in path.read_text()}
    return sorted(f"./{path.relative_to(ROOT)}" for path in found)


def targets(package: str) -> list[str]:
    lines = [line for path in sorted((ROOT / package).glob("*_test.go")) for line in path.read_text().splitlines()]
    return [line.removeprefix("func ").partition("(")[0] for line in lines if line.startswith("func Fuzz")]


def main() -> int:
    period = sys.argv[1] if len(sys.argv) > 1 else "10s"
    plan = [(package, name) for package in packages() for name in targets(package)]
    if not plan:
        print("fuzz: no target was found", file=sys.stderr)
        return 1
    failed = 0
    for number, (package, name) in enumerate(plan, 1):
        print(f"fuzz: {number} of {len(plan)}: {name} in {package} for {period}", flush=True)
        command = ["go", "test", "-run=^$", f"-fuzz=^{name}$", f"-fuzztime={period}", "-parallel=2", package]
        failed += subprocess.run(command, cwd=ROOT, check=False).returncode != 0
    print(f"{len(plan) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
