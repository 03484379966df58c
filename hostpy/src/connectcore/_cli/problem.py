"""What ends a command badly, and its exit code."""

from __future__ import annotations

from signal import SIGINT
from typing import Final

__all__ = ["CALL", "FAILED", "INTERRUPTED", "NO_SCHEMA", "USAGE", "VERDICT", "ProblemError"]

FAILED: Final = 1
"""Something here failed: the module, the cache, a port that is taken."""

USAGE: Final = 2
"""The command, an option or the input makes no sense."""

NO_SCHEMA: Final = 3
"""The messages or the method are not known: reflection, a `.proto` file or a descriptor set does not have them."""

VERDICT: Final = 4
"""`inspect` found that a rule is broken."""

CALL: Final = 64
"""A call failed: this, and the number of its code, from 65 (canceled) to 80 (unauthenticated). As grpcurl does."""

INTERRUPTED: Final = 128 + SIGINT
"""Ctrl-C, as shells count it."""


class ProblemError(Exception):
    """A command cannot go on. The text says what was wrong and what to do."""

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.code = code
