"""Writes which specification, or rule of ours, stands behind what the core says: `connectcore inspect` shows it.

    python tests/tapes/citations.py

A tape names what it proves, and holds what the core says to bytes that break it. So a text of the core stands for what the
tapes that hold it prove, and others do not.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TAPES = ROOT / "tests/tapes"
OUT = ROOT / "hostpy/src/connectcore/_cli/rules.json"
SHORTEST = 14  # of what is a text, and no word
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
FAMILY = re.compile(r"(connect|grpc-web|grpc)-")
RULE = re.compile(r"^\| (\d+) ([^|]+) \|", re.MULTILINE)
SECOND = 0.6  # a second rule is named, too, if it fits as well as this
# What the tapes hold by a pattern only; and answers that are HTTP alone.
PATTERNS = {
    "the timeout is not a number that the protocol allows": "rule 3",
    "the parameter message is missing": "rule 4",
    "the parameter message is not URL-safe base64": "rule 4",
    "the parameter message is not UTF-8": "rule 4",
    "a parameter of the query is given twice": "rule 4",
    "the query has a broken percent-escape": "rule 4",
    "the protocol version must be 1": "rule 4",
    **dict.fromkeys((f"http-response-head status={status}" for status in (404, 405, 415)), "rule 10"),
    "http-response-head status=411": "rule 12",
}
WHEN = {"rule 9", "rule 11"}  # say when a verdict comes, not what is wrong


def texts() -> set[str]:
    """What the core can say."""
    files = [path for path in (ROOT / "core").glob("*.go") if not path.name.endswith("_test.go")]
    found = (literal for path in files for literal in LITERAL.findall(path.read_text()))
    return {text.strip(" :") for text in found if " " in text.strip() and len(text) >= SHORTEST and text[:1].islower()}


def said(tape: str) -> Iterator[str]:
    """The lines of a tape that hold what comes out."""
    event = False
    for line in tape.splitlines():
        if line[:1] in "<>":
            event = line.startswith("<")
        if event:
            yield line


def citations() -> dict[str, dict[str, list[str]]]:
    """For each text and protocol, and for any: what it stands for, a specification and rules of ours."""
    tapes: list[tuple[str, set[str], str]] = []
    for path in sorted(TAPES.glob("*/*.tape")):
        found_in = FAMILY.match(path.parent.name)
        if found_in is not None:
            tape = path.read_text()
            tapes.append((found_in[1], set(cited(tape)), "\n".join(said(tape))))
    found: dict[str, dict[str, list[str]]] = {}
    for text in sorted(texts() | PATTERNS.keys()):
        families: dict[str, list[str]] = {}
        ours = [PATTERNS[text]] if text in PATTERNS else best(text, [tape[1:] for tape in tapes])[1]
        for family in ("any", "connect", "grpc", "grpc-web"):
            specs = best(text, [(specs, lines) for name, specs, lines in tapes if family in ("any", name)])[0]
            if text in PATTERNS:
                specs = []
            if family == "any" or specs:
                families[family] = [*specs, *ours]
        if families["any"]:
            found[text] = families
    return found


def cited(tape: str) -> Iterator[str]:
    """What a tape proves: specifications as they stand, rules of ours one by one."""
    for spec in re.findall(r"^spec: (.*)$", tape, re.MULTILINE):
        if spec.startswith("ours"):
            yield from (f"rule {number}" for number in re.findall(r"\d+", spec))
        elif not spec.startswith("wasm/"):
            yield spec


def best(text: str, tapes: list[tuple[set[str], str]]) -> tuple[list[str], list[str]]:
    """What the tapes with a text prove, and others seldom do: a specification, and rules of ours."""
    all_of: Counter[str] = Counter()
    with_text: Counter[str] = Counter()
    for specs, lines in tapes:
        times = lines.count(text)  # a tape may hold many cases
        for spec in specs:
            all_of[spec] += lines.count("code=") + lines.count("status=")
            with_text[spec] += times
    kinds: dict[bool, list[tuple[float, str]]] = defaultdict(list)
    for spec, count in (+with_text).items():
        kinds[spec.startswith("rule ")].append((-count * count / all_of[spec], spec))
    others, ours = sorted(kinds[False]), sorted(kinds[True])
    ours = [each for each in ours if each[1] not in WHEN] or ours
    return [spec for _, spec in others[:1]], [spec for score, spec in ours[:2] if score <= SECOND * ours[0][0]]


def titles() -> dict[str, str]:
    """The rules of ours by their numbers."""
    return dict(RULE.findall((ROOT / "core/RULES.md").read_text()))


if __name__ == "__main__":
    OUT.write_text(json.dumps({"rules": titles(), "texts": citations()}, indent=1, ensure_ascii=False) + "\n")
