"""Every coding in every way that it can be done, and other programs that do the same coding."""

from __future__ import annotations

import gzip
import sys
import zlib
from typing import TYPE_CHECKING, Any, Final

import brotli
import cramjam
import zstandard

from connectcore.compression import AnyCompression, GzipCompression, ModuleCompression, zstd
from connectcore.compression import brotli as br
from connectcore.compression.deflate import DeflateCompression
from connectcore.compression.snappy import SnappyCompression

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from connectcore.compression._ways import Way

STANDARD: Final = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


class By:
    """A coding by one of its ways: also, an object of a user's own."""

    def __init__(self, coding: str, way: Way) -> None:
        self._coding = coding
        self._way = way

    def name(self) -> str:
        return self._coding

    def compress(self, data: bytes | bytearray | memoryview) -> bytes:
        return self._way.compress(data, 3)

    def decompress(self, data: bytes | bytearray | memoryview, read_max_bytes: int | None = None) -> bytes:
        return self._way.decompress(data, read_max_bytes)


WAYS: Final[dict[str, AnyCompression]] = {
    "gzip natively": GzipCompression(),
    "gzip in the module": ModuleCompression("gzip"),
    "deflate natively": DeflateCompression(),
    "deflate in the module": ModuleCompression("deflate"),
    "br natively": By("br", br._WAYS["brotli"]()),
    "br in the module": By("br", br._WAYS["module"]()),
    "zstd natively": By("zstd", zstd._WAYS[STANDARD]()),
    "zstd in the module": By("zstd", zstd._WAYS["module"]()),
    "snappy": SnappyCompression(),
}
CODINGS: Final = ("gzip", "deflate", "br", "zstd", "snappy")


def packed(coding: str, data: bytes) -> bytes:
    """Data as another program compresses it."""
    make: dict[str, Callable[[], Any]] = {
        "gzip": lambda: gzip.compress(data),
        "deflate": lambda: zlib.compress(data),
        "br": lambda: brotli.compress(data),
        "zstd": lambda: zstandard.ZstdCompressor().compress(data),
        "snappy": lambda: cramjam.snappy.compress(data),
    }
    return bytes(make[coding]())


def unpacked(coding: str, data: bytes) -> bytes:
    """What another program makes of compressed data."""
    make: dict[str, Callable[[], Any]] = {
        "gzip": lambda: gzip.decompress(data),
        "deflate": lambda: zlib.decompress(data),
        "br": lambda: brotli.decompress(data),
        "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        "snappy": lambda: cramjam.snappy.decompress(data),
    }
    return bytes(make[coding]())


def damaged(coding: str, data: bytes) -> Sequence[bytes]:
    """Data that is not of this coding, made of some that is."""
    good = packed(coding, data)
    found = [b"no such coding", good[:1], good[: len(good) // 2], good[:-1], good + b"junk"]
    checked = {"gzip": -5, "deflate": -1, "snappy": 14}.get(coding)  # where a sum of what comes out stands
    if checked is not None:
        wrong = bytearray(good)
        wrong[checked] ^= 1
        found.append(bytes(wrong))
    return found


class Counting(GzipCompression):
    """It counts what it is asked to decompress."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def decompress(self, data: Any, read_max_bytes: int | None = None) -> bytes:
        self.asked += 1
        return super().decompress(data, read_max_bytes)


BAD = {"no gzip": b"no gzip", "a bomb": packed("gzip", bytes(8 << 20)), "no message": packed("gzip", b"\xff")}
"""Content that is bad in gzip's way, behind it, or by its size."""
