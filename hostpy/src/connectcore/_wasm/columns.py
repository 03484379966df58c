"""Columns of records as bytes (wasm/ABI.md, section 2): fields, pairs, lists of names; and layouts for the hot paths.

Names and values of fields are bytes here, joined by NUL: one native call joins or splits any number of them.
"""

from __future__ import annotations

from itertools import chain
from struct import Struct
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Buffer",
    "Pairs",
    "join_fields",
    "join_names",
    "join_pairs",
    "join_text_fields",
    "layout",
    "split_fields",
    "split_pairs",
    "split_text_fields",
]

Buffer: TypeAlias = "bytes | bytearray | memoryview"
Pairs: TypeAlias = "Sequence[tuple[bytes, bytes]]"

_SIZES: Final = Struct("<II")
_SKIPPED: Final = {"H": "2x", "I": "4x", "Q": "8x"}


def join_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Fields as one column. A NUL inside of one is found by the guest, which counts."""
    return b"\0".join(chain.from_iterable(fields))


def join_text_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """The same of text, a character per byte (latin-1); others, which no peer can have sent, become question marks."""
    return "\0".join(chain.from_iterable(fields)).encode("latin-1", "replace")


def split_fields(column: bytes) -> list[tuple[bytes, bytes]]:
    """The fields in a column of an event."""
    if not column:
        return []
    parts = iter(column.split(b"\0"))
    return list(zip(parts, parts, strict=True))


def split_text_fields(column: bytes, encoding: str = "latin-1") -> list[tuple[str, str]]:
    """The same as text; a character per byte, as WSGI takes them, if not told otherwise."""
    if not column:
        return []
    parts = iter(column.decode(encoding).split("\0"))
    return list(zip(parts, parts, strict=True))


def join_pairs(pairs: Pairs) -> bytes:
    """Pairs as one column."""
    return b"".join([part for a, b in pairs for part in (_SIZES.pack(len(a), len(b)), a, b)])


def split_pairs(count: int, batch: bytes, at: int) -> list[tuple[bytes, bytes]]:
    """The `count` pairs that stand in a batch from `at` on."""
    pairs: list[tuple[bytes, bytes]] = []
    for _ in range(count):
        size_a, size_b = _SIZES.unpack_from(batch, at)
        middle = at + _SIZES.size + size_a
        at = middle + size_b
        pairs.append((batch[middle - size_a : middle], batch[middle:at]))
    return pairs


def join_names(names: Iterable[str]) -> bytes:
    """Names of codecs, codings or procedures as one column."""
    return "\0".join(names).encode()


def layout(*parts: tuple[str, str]) -> Struct:
    """What packs or unpacks, in one go, records that stand one after the other.

    Each part is a record's layout (`abi.LAYOUT_...`), or numbers that follow it, and the names of those that are wanted, in
    their order. The others are skipped, or zero where they are packed.
    """
    letters = "<"
    for numbers, names in parts:
        wanted = names.split()
        for number in numbers.split():
            name, _, letter = number.partition(":")
            if wanted and wanted[0] == name:
                letters += letter
                del wanted[0]
            else:
                letters += _SKIPPED[letter]
        if wanted:
            raise ValueError(f"{wanted[0]} is not in its place among {numbers}")
    return Struct(letters)
