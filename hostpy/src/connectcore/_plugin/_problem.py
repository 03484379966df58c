"""The one error of the generator."""

from __future__ import annotations

__all__ = ["ProblemError"]


class ProblemError(Exception):
    """The request cannot be served. The text goes to the person who ran protoc or buf and says what to change."""
