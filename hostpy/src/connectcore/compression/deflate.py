"""deflate, as HTTP means it, by CPython's own zlib."""

from __future__ import annotations

import sys
import zlib

from ._members import too_large
from ._zlib import Zlib

__all__ = ["DeflateCompression"]


class DeflateCompression(Zlib):
    """The compression `deflate` of HTTP (RFC 9110, section 8.4.1.2): zlib's format (RFC 1950).

    Args:
        level: 1 is quickest, 9 smallest, 5 the default.

    Raises:
        ValueError: the level is not from 0 to 9.

    """

    _NAME = "deflate"
    _BITS = zlib.MAX_WBITS  # the largest window, zlib's header and trailer

    def decompress(self, data: bytes | bytearray | memoryview, read_max_bytes: int | None = None) -> bytes:
        """Decompress one stream, to at most `read_max_bytes`.

        Raises:
            ConnectError: `RESOURCE_EXHAUSTED`: more than that would come out. The excess is never made.
            ValueError: it is not zlib's format, is damaged, ends too early, or something follows it.

        """
        stream = zlib.decompressobj(self._BITS)
        limit = sys.maxsize - 1 if read_max_bytes is None else read_max_bytes
        try:
            # One byte more than may come out tells "exactly the limit" from "too much".
            out = stream.decompress(data, limit + 1)
        except zlib.error as e:
            raise ValueError(f"not deflate data: {e}") from e
        if len(out) > limit:
            raise too_large(read_max_bytes)
        if not stream.eof or stream.unused_data:
            raise ValueError("not deflate data: it ends too early, or something follows it")
        return out
