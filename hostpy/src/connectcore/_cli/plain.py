"""The command line where click is not installed: the modules are looked after, and nothing else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from .core import described, precompiled
from .problem import FAILED, USAGE, ProblemError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run"]

_SERVED: Final[dict[tuple[str, ...], bool]] = {
    ("core",): False,
    ("info",): False,
    ("core", "precompile"): True,
    ("precompile",): True,
}


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    words = tuple(sys.argv[1:] if arguments is None else arguments)
    shared = "--shared" in words
    command = tuple(word for word in words if word != "--shared")
    writes = _SERVED.get(command)
    if writes is None or (shared and not writes):
        wanted = f"`connectcore {' '.join(words)}`" if words else "the command line"
        print(
            f"connectcore: {wanted} needs the package click: pip install 'connectcore[cli]'\n"
            "Without it there are `core` and `core precompile [--shared]`.",
            file=sys.stderr,
        )
        return USAGE
    try:
        print("\n".join(precompiled(shared=shared) if writes else described().lines()))
    except ProblemError as problem:
        print(f"connectcore: {problem}", file=sys.stderr)
        return FAILED
    return 0
