"""What commands print: messages to standard output, everything about them to standard error."""

from __future__ import annotations

import json
from typing import Any, Final

import click

__all__ = ["DIM", "GOOD", "HEAD", "NAME", "PROBLEM", "RECEIVED", "SENT", "compact", "note", "paint", "pretty", "say"]

SENT: Final = {"fg": "cyan"}
RECEIVED: Final = {"fg": "yellow"}
GOOD: Final = {"fg": "green"}
PROBLEM: Final = {"fg": "red"}
HEAD: Final = {"bold": True}
NAME: Final = {"fg": "blue"}
DIM: Final = {"dim": True}


def paint(text: str, style: dict[str, Any]) -> str:
    """The text in a style, which `say` and `note` leave out where nobody sees it."""
    return click.style(text, **style)


def say(text: str) -> None:
    """A line of the result. It is out when this returns, so that a reader behind a pipe sees a stream as it comes."""
    click.echo(text)


def note(text: str) -> None:
    """A line about it."""
    click.echo(text, err=True)


def compact(value: object) -> str:
    """JSON in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def pretty(value: object) -> str:
    """JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)
