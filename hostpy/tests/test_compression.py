"""gzip by CPython, with its limit kept while it decompresses."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from connectcore._wasm.abi import MAX_MEMBERS
from connectcore.code import Code
from connectcore.compression.gzip import GzipCompression
from connectcore.errors import ConnectError

if TYPE_CHECKING:
    from connectcore.compression import Compression

TEXT = b"some text, " * 1000
GZIP: Compression = GzipCompression()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("limit", [None, len(TEXT), 1 << 31])
def test_round_trip(kind: type, limit: int | None) -> None:
    data = GZIP.compress(kind(TEXT))
    assert len(data) < len(TEXT) / 10
    assert GZIP.decompress(kind(data), limit) == TEXT
    assert gzip.decompress(data) == TEXT


def test_equal_data_gives_equal_bytes_and_levels_differ() -> None:
    assert GZIP.compress(TEXT) == GZIP.compress(TEXT)
    assert len(GzipCompression(9).compress(TEXT)) < len(GzipCompression(1).compress(TEXT))
    assert GZIP.name() == "gzip"


@pytest.mark.parametrize("level", [-1, 10])
def test_a_level_that_gzip_has_not(level: int) -> None:
    with pytest.raises(ValueError, match="levels 0 to 9"):
        GzipCompression(level)


@pytest.mark.parametrize("limit", [0, 1, len(TEXT) - 1])
def test_over_the_limit(limit: int) -> None:
    with pytest.raises(ConnectError, match=f"limit of {limit} bytes") as caught:
        GZIP.decompress(GZIP.compress(TEXT), limit)
    assert caught.value.code is Code.RESOURCE_EXHAUSTED


def test_nothing_at_a_limit_of_nothing() -> None:
    assert GZIP.decompress(GZIP.compress(b""), 0) == b""
    assert GZIP.decompress(b"", 0) == b""


def test_a_bomb_is_stopped_while_it_decompresses() -> None:
    bomb = GZIP.compress(bytes(64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(ConnectError):
            GZIP.decompress(bomb, 1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_several_members_share_the_limit() -> None:
    data = GZIP.compress(b"one") + GZIP.compress(b"") + GZIP.compress(b"two")
    assert GZIP.decompress(data, 6) == b"onetwo"
    assert GZIP.decompress(data) == b"onetwo"
    with pytest.raises(ConnectError):
        GZIP.decompress(data, 5)


class Counting:
    """zlib's objects, with a count of the bytes that they are given: what follows a member in them is copied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given = 0
        make = zlib.decompressobj
        counting = self

        class Member:
            def __init__(self, bits: int) -> None:
                self._member = make(bits)

            def decompress(self, data: bytes, most: int) -> bytes:
                counting.given += len(data)
                return self._member.decompress(data, most)

            def __getattr__(self, name: str) -> Any:
                return getattr(self._member, name)

        monkeypatch.setattr(zlib, "decompressobj", Member)


SHORT, MIDDLE, LONG = (GzipCompression(0).compress(bytes(size)) for size in (0, 1000, 100_000))


@pytest.mark.parametrize(
    "members",
    [
        [SHORT] * MAX_MEMBERS,
        [MIDDLE] * 500,
        [SHORT, *[LONG] * 5],
        [LONG, *[SHORT] * 2000],
        [SHORT, LONG] * 5,
        [SHORT, MIDDLE] * 300,
    ],
    ids=["short", "middle", "long", "a long one first", "in turns", "small ones in turns"],
)
def test_work_is_in_proportion_to_the_content(monkeypatch: pytest.MonkeyPatch, members: list[bytes]) -> None:
    data = b"".join(members)
    size = len(gzip.decompress(data))
    work = Counting(monkeypatch)
    assert len(GZIP.decompress(data)) == size
    assert work.given < 6 * len(data)


@pytest.mark.parametrize("more", [0, 1, 200_000])
@pytest.mark.parametrize("tail", [b"", b"junk", SHORT[:-1]], ids=["whole", "junk after them", "truncated"])
def test_many_members(tail: bytes, more: int) -> None:
    data = SHORT * (MAX_MEMBERS + more) + tail
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="gzip data") if tail or more else nullcontext():
            assert GZIP.decompress(data, 4 << 20) == b""
        assert tracemalloc.get_traced_memory()[1] < len(data) + (512 << 10)  # zlib copies what follows the first, once
    finally:
        tracemalloc.stop()


GOOD = GzipCompression().compress(TEXT)


@pytest.mark.parametrize("limit", [None, len(TEXT)])
@pytest.mark.parametrize(
    "data",
    [
        b"plain",
        GOOD[:1],
        GOOD[:-1],
        GOOD[:20],
        GOOD + b"junk",
        GOOD[:-6] + b"\xff" + GOOD[-5:],
        GOOD[:12] + b"\xff" + GOOD[13:],
    ],
    ids=["no gzip", "one byte", "truncated trailer", "truncated data", "junk after it", "wrong checksum", "damaged"],
)
def test_bad_data(data: bytes, limit: int | None) -> None:
    with pytest.raises(ValueError, match="gzip data"):
        GZIP.decompress(data, limit)
