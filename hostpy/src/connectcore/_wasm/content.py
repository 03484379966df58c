"""Incoming content that a host holds, because the guest names its parts instead of carrying them."""

from __future__ import annotations

__all__ = ["Content"]


class Content:
    """Content that came and may still be asked for, by absolute offsets."""

    __slots__ = ("_at", "_chunk", "_later", "_used")

    def __init__(self) -> None:
        self._at = 0  # offset of the chunk
        self._chunk = b""
        self._later: list[bytes] = []  # what came after it
        self._used = 0  # what lies before this offset is needed no more

    def add(self, data: bytes) -> None:
        """Content came."""
        if self._later or self._used < self._at + len(self._chunk):
            if self._used > self._at:
                self._chunk = self._chunk[self._used - self._at :]
                self._at = self._used
            self._later.append(data)
            return
        self._at += len(self._chunk)
        self._chunk = data

    def take(self, base: int, size: int) -> bytes:
        """The `size` bytes from `base` on. What lies before their end is then forgotten."""
        data = self.peek(base, size)
        self._used = base + size
        return data

    def peek(self, base: int, size: int) -> bytes:
        """The bytes from `base` on, at most `size`."""
        if self._later and base + size > self._at + len(self._chunk):
            self._chunk = b"".join((self._chunk, *self._later))
            self._later.clear()
        start = base - self._at
        return self._chunk[start : start + size]
