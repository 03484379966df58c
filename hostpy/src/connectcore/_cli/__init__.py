"""The command line `connectcore`, also `python -m connectcore`.

    application   the commands and what they share        plain     what there is without click
    core          the modules: versions, cache            problem   failures and exit codes
    call          one call                                output    text, JSON, colors
    inspect       what bytes mean, and rules that they break
    serve         a mock server, with `answers` from a file

`schema` knows messages and methods, from `sources` or by `reflection`. `recorder` sees what goes over the wire, `wire` writes
it down. `guest` plays bytes to the module, whose verdict `inspect` shows: nothing here decides what is right.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, by default the process's own; returns its exit code."""
    if importlib.util.find_spec("click") is None:
        from .plain import run
    else:
        from .application import run
    return run(arguments)
