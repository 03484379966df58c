"""Breaks each rule of core/RULES.md on purpose, as mutations.toml says, and tells which tapes turn red: `mutate.py [RULE]...`.

Nothing in the tree is changed: the compiler is given another text of the file. All rules (without numbers) take some
minutes. What comes of them stands in proofs.md, which is committed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TAPES = ROOT / "tests/tapes"
PROOFS = HERE / "proofs.md"
SHOWN = 3  # tapes in a row of the table
HEAD = """# What breaks when a rule breaks

Each row of [core/RULES.md](../../core/RULES.md) was broken on purpose ([mutations.toml](mutations.toml)), and these tapes of
[tests/tapes](../tapes) turned red. `make mutate` writes this page.

| rule | what | broken: | red tapes | among them |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Mutation:
    rule: int
    what: str  # the beginning of the row's text
    breaks: str
    file: str
    old: str
    new: str

    def text(self) -> str:
        """The file with the rule broken. Raises ValueError."""
        text = (ROOT / "core" / self.file).read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"core/{self.file} has {text.count(self.old)} times what is to be replaced: {self.old!r}")
        return text.replace(self.old, self.new)

    def row(self) -> str:
        """How its row of the table begins."""
        what = next(what for rule, what in rules() if rule == self.rule and what.startswith(self.what))
        return f"| {self.rule} | {what} | {self.breaks} |"


def rules() -> list[tuple[int, str]]:
    """The rows of RULES.md: number and text."""
    number, found = 0, []
    for first, what in re.findall(r"^\| (\d[^|]*)?\| ([^|]*) \|", (ROOT / "core/RULES.md").read_text(), re.MULTILINE):
        number = int(first.split()[0]) if first else number
        if number:
            found.append((number, what))
    return found


def mutations() -> list[Mutation]:
    return [Mutation(**each) for each in tomllib.loads((HERE / "mutations.toml").read_text())["mutation"]]


def cites(tape: str, rule: int) -> bool:
    """Whether a tape says that it proves a rule."""
    head = (TAPES / f"{tape}.tape").read_text()
    return any(str(rule) in re.findall(r"\d+", line) for line in re.findall(r"^spec: ours, rules? (.*)", head, re.MULTILINE))


def red(mutation: Mutation) -> list[str]:
    """The tapes that turn red, those first that cite the rule. Raises ValueError where the mutation does not compile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broken, overlay, program = folder / "broken.go", folder / "overlay.json", folder / "tapes.test"
        broken.write_text(mutation.text())
        overlay.write_text(json.dumps({"Replace": {str(ROOT / "core" / mutation.file): str(broken)}}))
        build = ["go", "test", "-c", f"-overlay={overlay}", "-o", str(program), "./tests/tapes"]
        built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
        if built.returncode:
            raise ValueError(built.stderr)
        play = [str(program), "-test.run=^TestNative$", "-test.timeout=120s"]
        played = subprocess.run(play, cwd=TAPES, capture_output=True, text=True, check=False)
    found = sorted(set(re.findall(r"^ +--- FAIL: TestNative/(\S+)", played.stdout + played.stderr, re.MULTILINE)))
    return sorted(found, key=lambda tape: not cites(tape, mutation.rule))


def row(mutation: Mutation) -> tuple[str, str]:
    """The row of the table, and what is wrong."""
    try:
        tapes = red(mutation)
    except ValueError as error:
        return "", f"{mutation.row()} {error}"
    noticed = tapes and cites(tapes[0], mutation.rule)
    wrong = "" if noticed else f"{mutation.row()} no tape that cites rule {mutation.rule} turns red"
    line = f"{mutation.row()} {len(tapes)} | {', '.join(f'`{tape}`' for tape in tapes[:SHOWN])} |"
    print(line, flush=True)
    return line, wrong


def write(lines: dict[str, str]) -> None:
    """Put rows into the table, each by how it begins; those of other rules stay."""
    wanted = [mutation.row() for mutation in mutations()]
    for line in PROOFS.read_text().splitlines() if PROOFS.exists() else ():
        for start in wanted:
            if line.startswith(start):
                lines.setdefault(start, line)
    PROOFS.write_text(HEAD + "".join(f"{lines[start]}\n" for start in wanted if start in lines))


def main() -> int:
    asked = {int(number) for number in sys.argv[1:]}
    chosen = [mutation for mutation in mutations() if not asked or mutation.rule in asked]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        rows = list(threads.map(row, chosen))
    problems = [wrong for _, wrong in rows if wrong]
    for wrong in problems:
        print(f"mutate: {wrong}", file=sys.stderr)
    if not problems:
        write(dict(zip((mutation.row() for mutation in chosen), (line for line, _ in rows), strict=True)))
    print(f"mutate: {len(rows) - len(problems)} of {len(rows)} mutations are noticed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
