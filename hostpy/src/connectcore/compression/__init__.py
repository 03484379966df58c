"""Compressions for servers and clients to offer: `gzip.GzipCompression`, `deflate.DeflateCompression`,
`brotli.BrotliCompression`, `zstd.ZstdCompression` and `snappy.SnappyCompression`. None of them needs another package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ..code import Code
from ..errors import ConnectError
from .gzip import GzipCompression

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["AnyCompression", "Compression", "GzipCompression", "ModuleCompression"]


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


class ModuleCompression:
    """A compression that the protocol module does itself, while it deals with a call: no Python code compresses anything.

    `snappy.SnappyCompression` is one.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        """The compression's name on the wire."""
        return self._name


AnyCompression: TypeAlias = Compression | ModuleCompression
"""What servers and clients can be given."""


def checked(compression: Any) -> Any:
    """A compression as it is given. Raises TypeError for what is none."""
    if isinstance(compression, type) or not callable(getattr(compression, "name", None)):
        raise TypeError(
            f"{compression!r} is no compression: one is an object such as connectcore.compression.gzip.GzipCompression() makes"
        )
    return compression


def native(compressions: Iterable[AnyCompression]) -> bytes:
    """A byte for each, which says to the module whether Python does it."""
    return bytes(not isinstance(each, ModuleCompression) for each in compressions)


def says_too_large(error: BaseException) -> bool:
    """Whether a compression raised this because more came out than may."""
    return isinstance(error, ConnectError) and error.code is Code.RESOURCE_EXHAUSTED
