"""Decompression by libraries that take one member of a message at a time, as zlib and zstd do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Protocol

from .._wasm.abi import MAX_MEMBERS
from ..code import Code
from ..errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Member", "decompress_members", "too_large"]

_LEAST_PIECE: Final = 64


class Member(Protocol):
    """What decompresses one member: an object of zlib's or of zstd's."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What came after its end."""
        ...

    def decompress(self, data: memoryview, max_length: int, /) -> bytes:
        """Take a piece and give what it stands for, at most so many bytes."""
        ...


def too_large(limit: int | None) -> ConnectError:
    """The error for a message that decompresses to more than the limit."""
    return ConnectError(Code.RESOURCE_EXHAUSTED, f"message is larger than the limit of {limit} bytes")


def decompress_members(
    data: bytes | bytearray | memoryview,
    limit: int | None,
    start: Callable[[memoryview, int], Member],
    most: int = sys.maxsize,
) -> bytes:
    """Decompress members, one after the other, to at most `limit` bytes in all; nothing from nothing.

    It takes time and memory in proportion to what comes in and what goes out, however many members there are.

    Args:
        data: the members.
        limit: the most bytes that may come out; None for any number.
        start: makes what decompresses the member that the given bytes start with, when so many bytes may still come out.
        most: how long a piece may be, in bytes, that is given to a member.

    Raises:
        ConnectError: `RESOURCE_EXHAUSTED`: more would come out. The excess is never made.
        ValueError: the last member ends too early, or there are too many: each costs a thousand times what its bytes do.
        Exception: what the members raise where data is bad.

    """
    content = memoryview(data).cast("B")
    out = bytearray()
    at = 0
    # A library copies what follows a member in the piece that it was given. Nearly always there is one member, so the first
    # piece is everything. After that, pieces are as long as the last member, and grow while one goes on: then what is copied
    # is in proportion to what was read.
    size = len(content)
    members = 0
    while at < len(content):
        if members == MAX_MEMBERS:
            raise ValueError(f"it has more than {MAX_MEMBERS} members")
        members += 1
        begin = at
        left = sys.maxsize - 1 if limit is None else limit - len(out)
        member = start(content[at:], left)
        while not member.eof:
            if at == len(content):
                raise ValueError("the data ends too early")
            piece = content[at : at + min(size, most)]
            at += len(piece)
            # One byte more than may come out tells "exactly the limit" from "too much".
            part = member.decompress(piece, left + 1)
            left -= len(part)
            if left < 0:
                raise too_large(limit)
            if len(piece) == len(content) and member.eof and not member.unused_data:
                return part
            out += part
            size *= 2
        at -= len(member.unused_data)
        size = max(_LEAST_PIECE, at - begin)
    return bytes(out)
