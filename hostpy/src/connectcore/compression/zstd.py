"""Zstandard, by a library if there is one: Python's own (3.14), `backports.zstd` or `zstandard`; otherwise by a module of this
package.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import TYPE_CHECKING, Any, Final

from .._wasm.codings_abi import MAX_WINDOW
from ._members import Member, decompress_members, too_large
from ._ways import Module, Way, best

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ZstdCompression"]

_LARGEST_LEVEL: Final = 22

_MAX_WINDOW_LOG: Final = MAX_WINDOW.bit_length() - 1
_LEVEL_ABOVE: Final = 19
"""Above this level, zstd uses windows that are larger."""

_SKIPPABLE: Final = 0x184D2A50  # and the 15 numbers after it
_MAGIC: Final = 0xFD2FB528
_SINGLE_SEGMENT: Final = 1 << 5


class ZstdCompression:
    """The compression `zstd` (RFC 8878), with the window that HTTP allows (RFC 9659).

    Args:
        level: 1 is quickest, 22 smallest; 0 is 3, and levels below are quicker still. Without a library, there are 1, 3, 6
            and 10, and others are the one below.

    Raises:
        ValueError: the level is above 22.

    """

    def __init__(self, level: int = 3) -> None:
        if level > _LARGEST_LEVEL:
            raise ValueError(f"zstd has levels up to {_LARGEST_LEVEL}, not {level}")
        self._level = level

    def name(self) -> str:
        """`zstd`."""
        return "zstd"

    def compress(self, data: bytes | bytearray | memoryview) -> bytes:
        """Compress data; equal data gives equal bytes."""
        return _way().compress(data, self._level)

    def decompress(self, data: bytes | bytearray | memoryview, read_max_bytes: int | None = None) -> bytes:
        """Decompress one or more frames, at most `read_max_bytes` in all.

        Raises:
            ConnectError: `RESOURCE_EXHAUSTED`: more than that would come out. The excess is never made.
            ValueError: it is not zstd's format, is damaged, ends too early, or needs a window above 8 MiB or a dictionary.

        """
        return _way().decompress(data, read_max_bytes)


class _Standard:
    """`compression.zstd` of Python 3.14, or what brings it to older ones."""

    def __init__(self, name: str) -> None:
        """Raises ImportError where it is missing."""
        self._library: Any = importlib.import_module(name)

    def compress(self, data: bytes | bytearray | memoryview, level: int) -> bytes:
        if level <= _LEVEL_ABOVE:
            return self._library.compress(data, level)  # type: ignore[no-any-return]
        parameter = self._library.CompressionParameter
        options = {parameter.compression_level: level, parameter.window_log: _MAX_WINDOW_LOG}
        return self._library.compress(data, options=options)  # type: ignore[no-any-return]

    def decompress(self, data: bytes | bytearray | memoryview, limit: int | None) -> bytes:
        return _by_frames(data, limit, self._library.ZstdDecompressor, self._library.ZstdError, sys.maxsize)


class _Zstandard:
    """The package `zstandard`, whose objects give all that comes out of a piece at once."""

    # A block is at most 128 KiB, and at least 4 bytes of what comes: so at most 8 MiB come out of a piece.
    _PIECE: Final = 256

    def __init__(self) -> None:
        """Raises ImportError where it is missing, or too old to tell where a frame ends."""
        self._library: Any = importlib.import_module("zstandard")
        if not hasattr(self._library.ZstdDecompressor().decompressobj(), "unused_data"):
            raise ImportError("this zstandard cannot tell where a frame ends")

    def compress(self, data: bytes | bytearray | memoryview, level: int) -> bytes:
        if level <= _LEVEL_ABOVE:
            return self._library.ZstdCompressor(level).compress(data)  # type: ignore[no-any-return]
        parameters = self._library.ZstdCompressionParameters.from_level(level, window_log=_MAX_WINDOW_LOG)
        return self._library.ZstdCompressor(compression_params=parameters).compress(data)  # type: ignore[no-any-return]

    def decompress(self, data: bytes | bytearray | memoryview, limit: int | None) -> bytes:
        # An object of its own for each call: threads must not share one.
        make = self._library.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj
        return _by_frames(data, limit, lambda: _Unbounded(make()), self._library.ZstdError, self._PIECE)


class _Unbounded:
    """A member that cannot be told how much may come out."""

    __slots__ = ("_member",)

    def __init__(self, member: Any) -> None:
        self._member = member

    @property
    def eof(self) -> bool:
        return self._member.eof  # type: ignore[no-any-return]

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data  # type: ignore[no-any-return]

    def decompress(self, data: memoryview, max_length: int, /) -> bytes:  # noqa: ARG002
        return self._member.decompress(data)  # type: ignore[no-any-return]


def _by_frames(
    data: bytes | bytearray | memoryview, limit: int | None, make: Callable[[], Member], error: type[Exception], piece: int
) -> bytes:
    def start(rest: memoryview, left: int) -> Member:
        size, window = _head(bytes(rest[:18]))
        if size > left:
            raise too_large(limit)
        if window > MAX_WINDOW:
            raise ValueError("a frame needs a window above 8 MiB")
        return make()

    try:
        if not len(data):
            raise ValueError("there is none")
        return decompress_members(data, limit, start, piece)
    except (error, ValueError) as e:
        raise ValueError(f"not zstd data: {e}") from e


def _head(head: bytes) -> tuple[int, int]:
    """How many bytes a frame declares that it stands for, and the window that it needs; 0 where it does not say so.

    Libraries are content with some frames that must not be. Whatever else is wrong with a head (RFC 8878, section 3.1.1.1),
    they find.
    """
    magic = int.from_bytes(head[:4], "little")
    if magic & ~15 == _SKIPPABLE or len(head) < 6:
        return 0, 0
    if magic != _MAGIC:
        raise ValueError("a frame starts otherwise")
    flags = head[4]
    single = flags & _SINGLE_SEGMENT
    at = (5 if single else 6) + (0, 1, 2, 4)[flags & 3]  # behind the window and the dictionary
    width = (1 if single else 0, 2, 4, 8)[flags >> 6]
    size = int.from_bytes(head[at : at + width], "little") + (256 if width == 2 else 0)
    return size, size if single else (8 + (head[5] & 7)) << (7 + (head[5] >> 3))


_WAYS: Final[dict[str, Callable[[], Way]]] = {
    "compression.zstd": lambda: _Standard("compression.zstd"),
    "backports.zstd": lambda: _Standard("backports.zstd"),
    "zstandard": _Zstandard,
    "module": lambda: Module("zstd"),
}
"""All ways, the best first."""


@functools.cache
def _way() -> Way:
    return best(_WAYS)
