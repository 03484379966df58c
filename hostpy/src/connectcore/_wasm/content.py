"""Content that a host holds, because the guest names its parts instead of carrying them (wasm/ABI.md, section 4).

Chunks stay as they came: a part that is taken or looked at is copied out of those that it lies in, and nothing else is.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, TypeAlias

from . import abi

if TYPE_CHECKING:
    from collections.abc import Sequence

    from . import records

__all__ = ["CARRY_STREAM", "Content", "Payload", "carried", "laid_out", "length_said", "payloads_of"]

Payload: TypeAlias = "bytes | tuple[bytes, int, int]"
"""A message that came; if it is compressed, with its coding and the most bytes that it may become."""

CARRY_STREAM: Final = 64 << 10
"""Of a stream, in which a message begins every few bytes, content up to this size is given to the guest whole."""


_DIGITS: Final = 19
"""No length has so many digits, and Python refuses to read a number of thousands."""


def length_said(value: str | bytes) -> int | None:
    """The length that a `content-length` says; None where it says none."""
    return int(value) if len(value) < _DIGITS and value.isdigit() and value.isascii() else None


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

    @property
    def size(self) -> int:
        """Bytes that came."""
        return self._end

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


def payloads_of(event: records.Messages, content: Content) -> list[Payload]:
    """The payloads that spans name, out of the event or of the content that is held."""
    spans, coding, limit = event.spans, event.coding, event.limit
    if event.flags & abi.MESSAGES_INLINE:
        data = event.data
    else:
        data = content.take(event.base, spans[-2] + (spans[-1] & ~abi.COMPRESSED))
    places = zip(spans[0::2], spans[1::2], strict=True)
    if not coding:
        return [data[start : start + length] for start, length in places]
    return [
        (data[start : start + (length & ~abi.COMPRESSED)], coding, limit)
        if length & abi.COMPRESSED
        else data[start : start + length]
        for start, length in places
    ]


def laid_out(event: records.HttpBody, payloads: Sequence[bytes]) -> bytes:
    """Content to be written: the first `count` payloads, each behind its prefix, then the rest of the event's data."""
    count, prefix, data = event.count, event.prefix, event.data
    if not count:
        return data
    if count == 1:
        return b"".join((data[:prefix], payloads[0], data[prefix:]))
    first, rest = data[:prefix], data[prefix * count :]
    if data.startswith(first * count):  # messages of one size, such as samples or pieces of a file
        return b"".join((first, first.join(payloads[:count]), rest))
    parts: list[bytes] = [b""] * (2 * count + 1)
    parts[0:-1:2] = struct.unpack_from(f"{prefix}s" * count, data)
    parts[1::2] = payloads[:count]
    parts[-1] = rest
    return b"".join(parts)
