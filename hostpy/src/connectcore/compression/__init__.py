"""Compressions for servers and clients to offer: `gzip.GzipCompression`, `deflate.DeflateCompression`,
`brotli.BrotliCompression` and `zstd.ZstdCompression`. None of them needs another package.
"""

from __future__ import annotations

from typing import Protocol

from ..code import Code
from ..errors import ConnectError
from .gzip import GzipCompression

__all__ = ["Compression", "GzipCompression"]


class Compression(Protocol):
    """A way to compress messages. Any object with these methods is one."""

    def name(self) -> str:
        """The compression's name on the wire, such as `gzip`."""
        ...

    def compress(self, data: bytes | bytearray | memoryview) -> bytes:
        """Compress data."""
        ...

    def decompress(self, data: bytes | bytearray | memoryview, read_max_bytes: int | None = None) -> bytes:
        """Decompress data.

        Args:
            data: what came.
            read_max_bytes: how many bytes may come out; None for any number. Stop as soon as there are more: what came may
                be made to fill the memory.

        Raises:
            ConnectError: `RESOURCE_EXHAUSTED`, more came out than may. Any other exception means that the data is bad.

        """
        ...


def says_too_large(error: BaseException) -> bool:
    """Whether a compression raised this because more came out than may."""
    return isinstance(error, ConnectError) and error.code is Code.RESOURCE_EXHAUSTED
