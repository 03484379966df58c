"""gzip by CPython's own zlib."""

from __future__ import annotations

import zlib

from ._members import Member, decompress_members
from ._zlib import Zlib

__all__ = ["GzipCompression"]


class GzipCompression(Zlib):
    """The compression `gzip` (RFC 1952).

    Args:
        level: 1 is quickest, 9 smallest, 5 the default.

    Raises:
        ValueError: the level is not from 0 to 9.

    """

    _NAME = "gzip"
    _BITS = 31  # the largest window, gzip's header and trailer

    def decompress(self, data: bytes | bytearray | memoryview, read_max_bytes: int | None = None) -> bytes:
        """Decompress one or more gzip members, at most `read_max_bytes` in all. Empty data is an empty message.

        Raises:
            ConnectError: `RESOURCE_EXHAUSTED`: more than that would come out. The excess is never made.
            ValueError: it is not gzip, is damaged, or ends too early.

        """
        try:
            return decompress_members(data, read_max_bytes, self._start)
        except (zlib.error, ValueError) as e:
            raise ValueError(f"not gzip data: {e}") from e

    def _start(self, _rest: memoryview, _left: int) -> Member:
        return zlib.decompressobj(self._BITS)
