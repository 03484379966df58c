"""gzip by CPython's own zlib."""

from __future__ import annotations

import zlib
from typing import Final

from ._members import ZLIB_LEVEL, Member, decompress_members

__all__ = ["GzipCompression"]

_GZIP: Final = 31  # zlib's window bits for "largest window, gzip's header and trailer"


class GzipCompression:
    """The compression `gzip` (RFC 1952).

    Args:
        level: 1 is quickest, 9 smallest, 5 the default.

    Raises:
        ValueError: the level is not from 0 to 9.

    """

    def __init__(self, level: int = ZLIB_LEVEL) -> None:
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

        Raises:
            ConnectError: `RESOURCE_EXHAUSTED`: more than that would come out. The excess is never made.
            ValueError: it is not gzip, is damaged, or ends too early.

        """
        try:
            return decompress_members(data, read_max_bytes, _start)
        except (zlib.error, ValueError) as e:
            raise ValueError(f"not gzip data: {e}") from e


def _start(_rest: memoryview, _left: int) -> Member:
    return zlib.decompressobj(_GZIP)
