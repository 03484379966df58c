"""gzip by CPython's own zlib."""

from __future__ import annotations

import zlib
from typing import Final

from ..code import Code
from ..errors import ConnectError

__all__ = ["GzipCompression"]

_GZIP: Final = 31  # zlib's window bits for "largest window, gzip's header and trailer"
_LEAST_PIECE: Final = 64


class GzipCompression:
    """The compression `gzip` (RFC 1952).

    Args:
        level: 1 is quickest, 9 smallest.

    Raises:
        ValueError: the level is not from 0 to 9.

    """

    def __init__(self, level: int = 6) -> None:
        if not 0 <= level <= 9:
            raise ValueError(f"gzip has levels 0 to 9, not {level}")
        self._level = level

    def name(self) -> str:
        """`gzip`."""
        return "gzip"

    def compress(self, data: bytes | bytearray | memoryview) -> bytes:
        """Compress data; equal data gives equal bytes."""
        return zlib.compress(data, self._level, _GZIP)

    def decompress(self, data: bytes | bytearray | memoryview, read_max_bytes: int | None = None) -> bytes:
        """Decompress one or more gzip members, at most `read_max_bytes` in all. Empty data is an empty message.

        It takes time and memory in proportion to what comes in and what goes out, however many members there are.

        Raises:
            ConnectError: `RESOURCE_EXHAUSTED`: more than that would come out. The excess is never made.
            ValueError: it is not gzip, is damaged, or ends too early.

        """
        content = memoryview(data).cast("B")
        out = bytearray()
        at = 0
        # zlib copies what follows a member in the piece that it was given. Nearly always there is one member, so the first
        # piece is everything. After that, pieces are as long as the last member, and grow while one goes on: then what is
        # copied is in proportion to what was read.
        size = len(content)
        try:
            while at < len(content):
                start = at
                member = zlib.decompressobj(_GZIP)
                while not member.eof:
                    if at == len(content):
                        raise ValueError("gzip data ends too early")
                    piece = content[at : at + size]
                    # One byte more than may come out tells "exactly the limit" from "too much".
                    room = 0 if read_max_bytes is None else read_max_bytes - len(out) + 1
                    part = member.decompress(piece, room)
                    at += len(piece)
                    if room and len(part) >= room:
                        raise ConnectError(
                            Code.RESOURCE_EXHAUSTED, f"message is larger than the limit of {read_max_bytes} bytes"
                        )
                    if len(piece) == len(content) and member.eof and not member.unused_data:
                        return part
                    out += part
                    size *= 2
                at -= len(member.unused_data)
                size = max(_LEAST_PIECE, at - start)
        except zlib.error as e:
            raise ValueError(f"not gzip data: {e}") from e
        return bytes(out)
