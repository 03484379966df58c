"""Snappy, in its framing format, by the protocol module."""

from __future__ import annotations

from . import ModuleCompression

__all__ = ["SnappyCompression"]


class SnappyCompression(ModuleCompression):
    """The compression `snappy`: chunks of at most 64 KiB with a checksum each (google/snappy, `framing_format.txt`)."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("snappy")
