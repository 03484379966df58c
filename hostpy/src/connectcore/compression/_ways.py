"""The ways to do a coding: libraries that may be installed, and the module that is there without any."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol

from ._members import too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Module", "Way", "best"]


class Way(Protocol):
    """A way to do a coding."""

    def compress(self, data: bytes | bytearray | memoryview, level: int) -> bytes:
        """Compress data."""
        ...

    def decompress(self, data: bytes | bytearray | memoryview, limit: int | None) -> bytes:
        """Decompress data to at most `limit` bytes. Raises ConnectError where it is more, ValueError where data is bad."""
        ...


class Module:
    """The codings' module does it."""

    def __init__(self, coding: str) -> None:
        self._coding = coding

    def compress(self, data: bytes | bytearray | memoryview, level: int) -> bytes:
        """Compress data."""
        from .._wasm import codings

        return codings.compress(self._coding, level, data)

    def decompress(self, data: bytes | bytearray | memoryview, limit: int | None) -> bytes:
        """Decompress data."""
        from .._wasm import codings

        try:
            return codings.decompress(self._coding, data, sys.maxsize if limit is None else limit)
        except codings.TooLargeError:
            raise too_large(limit) from None
        except ValueError as e:
            raise ValueError(f"not {self._coding} data: {e}") from e


def best(ways: Mapping[str, Callable[[], Way]]) -> Way:
    """The first way that can be gone: the others raise ImportError."""
    for make in ways.values():
        try:
            return make()
        except ImportError:
            continue
    raise ImportError("nothing here does it")
