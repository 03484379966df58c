"""gzip by CPython, with its limit kept while it decompresses."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import TYPE_CHECKING

import pytest

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
