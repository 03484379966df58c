"""What the sections of the battery share: figures, and how processes are measured."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Where modules of tests are found by the processes that the battery starts.
PLACES = [str(HERE), *(str(ROOT / folder) for folder in ("tests/serving", "hostpy/tests", "hostpy/examples"))]

PATIENCE = 60  # seconds that anything may take that should take no time


@dataclass(frozen=True)
class Figure:
    """A thing that was tried: what came of it, and what is wanted. `passed` is None where nothing is demanded."""

    what: str
    measured: str
    wanted: str
    passed: bool | None


Section = Callable[[bool], Iterator[Figure]]
"""A part of the battery: its figures, of the whole or, with False, of the short form."""


def none(what: str, found: object) -> Figure:
    """Of this nothing may be: neither a number nor a thing in a collection."""
    measured = str(found) if isinstance(found, int) else ", ".join(map(str, list(found)[:3])) or "none"  # type: ignore[call-overload]
    return Figure(what, measured[:200], "none", not found)


def at_most(what: str, value: float, limit: float, unit: str) -> Figure:
    return Figure(what, f"{value:.1f} {unit}", f"at most {limit:g} {unit}", value <= limit)


def resident(process: int | str = "self") -> float:
    """MiB of memory that a process has."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def descriptors(process: int | str = "self") -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]
