"""Incoming content that a host holds, because the guest names its parts instead of carrying them.

Chunks stay as they came: a part that is taken or looked at is copied out of those that it lies in, and nothing else is.
"""

from __future__ import annotations

from bisect import bisect_right

from . import abi

__all__ = ["Content", "carried"]


def carried(length: int, whole: int = abi.CARRY_WHOLE) -> int:
    """How many bytes of content of this length the guest is given: all up to `whole`, of longer content the first."""
    return length if length <= whole else abi.CARRY_FIRST


class Content:
    """Content that came and may still be asked for, by absolute offsets."""

    __slots__ = ("_chunks", "_end", "_starts")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._starts: list[int] = []  # their offsets
        self._end = 0

    def add(self, data: bytes) -> None:
        """Content came."""
        if data:
            self._chunks.append(data)
            self._starts.append(self._end)
            self._end += len(data)

    def take(self, base: int, size: int) -> bytes:
        """The `size` bytes from `base` on. What lies before their end is then forgotten, chunk by chunk."""
        data = self.peek(base, size)
        used = len(self._starts)
        if base + size < self._end:
            used = bisect_right(self._starts, base + size) - 1
        del self._chunks[:used], self._starts[:used]
        return data

    def peek(self, base: int, size: int) -> bytes:
        """The bytes from `base` on, at most `size`."""
        if not size or base >= self._end:
            return b""
        at = bisect_right(self._starts, base) - 1
        start = base - self._starts[at]
        data = self._chunks[at][start : start + size]
        size -= len(data)
        if not size:
            return data
        parts = [data]
        while size and (at := at + 1) < len(self._chunks):
            parts.append(self._chunks[at][:size])
            size -= len(parts[-1])
        return b"".join(parts)
