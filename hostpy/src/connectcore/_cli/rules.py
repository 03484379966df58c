"""Which specification, or rule of core/RULES.md, stands behind what the module says.

`rules.json` is made from the tapes (tests/tapes/citations.py): each proves a rule, and holds what is said when it is broken.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["cited"]


def cited(text: str, protocol: str | None) -> list[str] | None:
    """What a verdict's text rests on, for a protocol; None where the module has no such text: then it is the peer's own."""
    known = _rules()
    found = max((each for each in known["texts"] if each in text), key=len, default=None)
    if found is None:
        return None
    families: dict[str, list[str]] = known["texts"][found]
    family = next(
        (name for name in sorted(families, reverse=True) if protocol is not None and protocol.startswith(name)), "any"
    )
    return [_titled(spec, known["rules"]) for spec in families[family]]


def _titled(spec: str, titles: dict[str, str]) -> str:
    """A citation; one of a rule of ours with its title."""
    mark, _, number = spec.partition("rule ")
    return spec if mark or number not in titles else f"core/RULES.md, rule {number}: {titles[number]}"


@cache
def _rules() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(resources.files("connectcore._cli").joinpath("rules.json").read_text(encoding="utf-8"))
    return found
