"""Runs every Go fuzz target for a while, then plays what they have found to both modules: `fuzz.py [TIME] [--report]`.

TIME is as go test wants it (10s). An input fails on what its target says that must hold, and on its cost (tests/bound): more
than 100 ms of processor time, or more memory than the target allows. Inputs that fail land in the package's testdata/fuzz, to
be committed with the fix. At the end the corpora, those that were generated included, go through both modules under wazero and
wasmtime, which must say what the code says natively (tests/tapes). With --report the page fuzz.md says what came of it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPORT = Path(__file__).with_suffix(".md")
CODINGS, TRIMMED = "./wasm/codings", ".cache/codings"
"""What is built from a changed copy of a library, and where that lies: it is the copy that is tried."""
REPLAY = ["go", "test", "-count=1", "-run=^TestCorpora$", "-v", "./tests/tapes", "-args", "-generated"]


@dataclass
class Target:
    """A fuzz target: what its comment says that must hold, and what came of a run."""

    package: str
    name: str
    invariant: str
    tried: int = 0
    corpus: int = 0
    passed: bool = False

    def source(self) -> str:
        """The text of the file that it stands in."""
        files = (path.read_text() for path in sorted((ROOT / self.package).glob("*_test.go")))
        return next(text for text in files if f"\nfunc {self.name}(" in text)


def targets() -> list[Target]:
    """From the sources: listing by `go test -list` would build every package."""
    found = []
    for path in sorted(ROOT.glob("*/**/*_test.go")):
        for comment, name in re.findall(r"^((?://.*\n)*)func (Fuzz\w+)\(", path.read_text(), re.MULTILINE):
            said = " ".join(re.sub(r"^//\s*(- )?", "", line) for line in comment.splitlines())
            found.append(Target(f"./{path.parent.relative_to(ROOT)}", name, said))
    return sorted(found, key=lambda each: each.package)


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


def failing(output: str, package: Path) -> str:
    """The inputs that go test says have failed, as their files have them, for who has nothing of a run but what it printed."""
    files = [package / name for name in re.findall(r"Failing input written to (testdata/fuzz/\w+/\w+)", output)]
    return "".join(f"fuzz: {file.relative_to(ROOT)}:\n{file.read_text()}" for file in files)


def run(command: list[str]) -> tuple[bool, str]:
    """Runs a command and shows what it prints: whether it passed, and the output."""
    output = ""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            output += line
    return process.returncode == 0, output


def fuzz(target: Target, period: str) -> None:
    # Else go test makes each input that is new to it smaller for up to a minute, and tries no other in that time.
    sparing = "-fuzzminimizetime=1000x"
    command = ["go", "test", "-run=^$", f"-fuzz=^{target.name}$", f"-fuzztime={period}", sparing, "-parallel=2", target.package]
    if target.package.startswith(CODINGS):
        command[2:2] = [f"-modfile={TRIMMED}/go.mod"]
    target.passed, output = run(command)
    if not target.passed and only_time_ended(output):
        print("fuzz: passed: no input failed, the time was over (golang/go#75804)", flush=True)
        target.passed = True
    if not target.passed:
        print(failing(output, ROOT / target.package), end="", flush=True)
    target.tried, target.corpus = tried(output)


def report(plan: list[Target], period: str, seconds: float, replay: str) -> str:
    """The page about a run."""
    rows = "\n".join(
        f"| `{each.name}` in `{each.package[2:]}` | {each.invariant.removeprefix('Invariant: ')} "
        f"| {each.tried:,} | {each.corpus:,} | {'pass' if each.passed else '**fail**'} |"
        for each in plan
    )
    failed = sum(not each.passed for each in plan)
    return f"""# What fuzzing found

`make fuzz FUZZTIME={period} REPORT=yes` writes this page: **{sum(each.tried for each in plan):,} inputs in one go**, in \
{seconds:.0f} s on {os.cpu_count()} cores, {sum(each.corpus for each in plan):,} in the corpus, {failed} targets failed.

An input fails, too, that takes more than 100 ms of processor time, or more memory than its target allows in proportion to its
size and the limits. What the targets found goes through both modules afterwards: {replay}.

| target | what must hold | inputs | corpus | |
|---|---|---|---|---|
{rows}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("time", nargs="?", default="10s", help="for each target")
    parser.add_argument("--report", action="store_true", help=f"write {REPORT.name}")
    options = parser.parse_args()
    plan = targets()
    if not plan:
        print("fuzz: no target was found", file=sys.stderr)
        return 1
    subprocess.run([f"{CODINGS}/trim.sh", TRIMMED], cwd=ROOT, check=True)
    started = time.monotonic()
    for number, target in enumerate(plan, 1):
        print(f"fuzz: {number} of {len(plan)}: {target.name} in {target.package} for {options.time}", flush=True)
        fuzz(target, options.time)
    seconds = time.monotonic() - started
    inputs, corpus = sum(each.tried for each in plan), sum(each.corpus for each in plan)
    print(f"fuzz: {inputs:,} inputs in {seconds:.0f} s, {corpus:,} in the corpus")
    print("fuzz: what was found goes through both modules, under wazero and wasmtime", flush=True)
    agreed, output = run(REPLAY)
    failed = sum(not target.passed for target in plan) + (not agreed)
    if options.report:
        numbers = re.findall(r": (\d+) (batches|messages for the codings' module)", output)
        said = " and ".join(f"{int(number):,} {what}" for number, what in numbers)
        said += " mean the same natively, under wazero and under wasmtime" if agreed else ": **they differ**"
        REPORT.write_text(report(plan, options.time, seconds, said))
    print(f"{len(plan) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
