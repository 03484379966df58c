"""granian speaks RSGI, an interface of its own, unless it is told another: what it finds here ends it with a clear word."""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ["NoRSGI"]


class NoRSGI:
    """An application that granian cannot serve as it comes."""

    _interface: ClassVar[str]
    """What to tell granian instead."""

    def __rsgi_init__(self, loop: Any) -> None:
        """Called when granian starts. Raises RuntimeError."""
        raise RuntimeError(f"{type(self).__name__} does not speak RSGI: start granian with --interface {self._interface}")
