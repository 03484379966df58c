"""gzip by CPython's own zlib."""

from __future__ import annotations

import zlib

from ..code import Code
from ..errors import ConnectError

__all__ = ["GzipCompression"]

_GZIP = 31  # zlib's window bits for "largest window, gzip's header and trailer"


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
        """Decompress one or more gzip members, at most `read_max_bytes` in all.

        Raises:
            ConnectError: `RESOURCE_EXHAUSTED`: more than that would come out. The excess is never made.
            ValueError: it is not gzip, is damaged, or ends too early.

        """
        parts: list[bytes] = []
        left = read_max_bytes
        rest: bytes | bytearray | memoryview = data
        try:
            while rest:
                member = zlib.decompressobj(_GZIP)
                # One byte more than may come out tells "exactly the limit" from "too much".
                part = member.decompress(rest, 0 if left is None else left + 1)
                if left is not None:
                    if len(part) > left:
                        raise ConnectError(
                            Code.RESOURCE_EXHAUSTED, f"message is larger than the limit of {read_max_bytes} bytes"
                        )
                    left -= len(part)
                if not member.eof:
                    raise ValueError("gzip data ends too early")
                parts.append(part)
                rest = member.unused_data
        except zlib.error as e:
            raise ValueError(f"not gzip data: {e}") from e
        return parts[0] if len(parts) == 1 else b"".join(parts)
