"""Brotli, by a library if there is one: `brotli` or `brotlicffi`, 1.2 or later; otherwise by a module of this package."""

from __future__ import annotations

import functools
import importlib
import sys
from typing import TYPE_CHECKING, Any, Final

from ._members import too_large
from ._ways import Module, Way, best

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BrotliCompression"]

_LARGEST_QUALITY: Final = 11
_AT_ONCE: Final = 256 << 10
"""Bytes that come out of a library in one piece: beside them it has a window of up to 16 MiB."""


class BrotliCompression:
    """The compression `br` (RFC 7932).

    Args:
        quality: 0 is quickest, 11 smallest. Without a library, 10 and 11 are 9.

    Raises:
        ValueError: the quality is not from 0 to 11.

    """

    def __init__(self, quality: int = 3) -> None:
        if not 0 <= quality <= _LARGEST_QUALITY:
            raise ValueError(f"br has qualities 0 to {_LARGEST_QUALITY}, not {quality}")
        self._quality = quality

    def name(self) -> str:
        """`br`."""
        return "br"

    def compress(self, data: bytes | bytearray | memoryview) -> bytes:
        """Compress data; equal data gives equal bytes."""
        return _way().compress(data, self._quality)

    def decompress(self, data: bytes | bytearray | memoryview, read_max_bytes: int | None = None) -> bytes:
        """Decompress one stream, to at most `read_max_bytes`.

        Raises:
            ConnectError: `RESOURCE_EXHAUSTED`: more than that would come out. The excess is never made.
            ValueError: it is not brotli's format, is damaged, ends too early, or something follows it.

        """
        return _way().decompress(data, read_max_bytes)


class _Library:
    """One of the two libraries, which are alike."""

    def __init__(self, name: str) -> None:
        """Raises ImportError where it is missing, or older than the limits on its output."""
        self._library: Any = importlib.import_module(name)
        if not hasattr(self._library.Decompressor, "can_accept_more_data"):
            raise ImportError(f"this {name} cannot be told how much may come out")

    def compress(self, data: bytes | bytearray | memoryview, level: int) -> bytes:
        return self._library.compress(bytes(data), quality=level)  # type: ignore[no-any-return]

    def decompress(self, data: bytes | bytearray | memoryview, limit: int | None) -> bytes:
        stream = self._library.Decompressor()
        left = sys.maxsize - 1 if limit is None else limit
        out = bytearray()
        piece = bytes(data)
        try:
            while True:
                # One byte more than may come out tells "exactly the limit" from "too much".
                part: bytes = stream.process(piece, output_buffer_limit=min(left + 1, _AT_ONCE))
                left -= len(part)
                if left < 0:
                    raise too_large(limit)
                if stream.is_finished():
                    if not out:
                        return part
                    out += part
                    return bytes(out)
                if not part and not piece:
                    raise ValueError("not br data: it ends too early")
                out += part
                piece = b""
        except self._library.error as e:
            raise ValueError(f"not br data: {e}") from e


_WAYS: Final[dict[str, Callable[[], Way]]] = {
    "brotli": lambda: _Library("brotli"),
    "brotlicffi": lambda: _Library("brotlicffi"),
    "module": lambda: Module("br"),
}
"""All ways, the best first."""


@functools.cache
def _way() -> Way:
    return best(_WAYS)
