"""Content that is held: the parts that are asked for, at a cost in proportion to them."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from connectcore._wasm import abi, records
from connectcore._wasm.content import Content, laid_out


def held(data: bytes, size: int) -> Content:
    content = Content()
    for at in range(0, len(data), size):
        content.add(data[at : at + size])
    return content


@pytest.mark.parametrize("seed", range(20))
def test_any_parts_of_any_chunks(seed: int) -> None:
    dice = random.Random(seed)
    data = dice.randbytes(2000)
    content = Content()
    came = taken = 0
    while taken < len(data):
        match dice.randrange(3):
            case 0:
                size = dice.choice((0, 1, 7, 300))
                content.add(data[came : came + size])
                came = min(came + size, len(data))
            case 1:
                start = dice.randint(taken, came)
                end = dice.randint(start, came)
                assert content.peek(start, end - start) == data[start:end]
                assert content.peek(start, len(data)) == data[start:came]
            case _:
                start = dice.randint(taken, came)
                taken = dice.randint(start, came)
                assert content.take(start, taken - start) == data[start:taken]


def test_one_chunk_is_not_copied() -> None:
    content = Content()
    chunk = bytes(1000)
    content.add(chunk)
    assert content.peek(0, 1000) is chunk
    assert content.take(0, 1000) is chunk


@pytest.mark.parametrize("method", ["peek", "take"])
def test_a_part_costs_what_it_is_long(method: str) -> None:
    """A call that answers only after its content has ended holds all of it, and is asked for a part with each chunk."""
    size = 8 << 20
    content = held(bytes(size), 70_000)
    tracemalloc.start()
    try:
        for start in range(60_000, size - 70_000, 70_000):
            assert len(getattr(content, method)(start, 20_000)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_chunks_that_were_used_are_forgotten() -> None:
    tracemalloc.start()
    try:
        content = Content()
        for number in range(200):
            content.add(bytes(100_000))
            content.take(number * 100_000 + 1, 50_000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("sizes", [[], [3], [3, 3], [3] * 1000, [0, 0], [3, 4], [4, *[3] * 1000], [*[3] * 1000, 4]], ids=len)
@pytest.mark.parametrize("prefix", [0, 5])
def test_payloads_are_laid_out_behind_their_prefixes(sizes: list[int], prefix: int) -> None:
    payloads = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    prefixes = [size.to_bytes(prefix, "big") if prefix else b"" for size in sizes]
    event = records.HttpBody.__new__(records.HttpBody)
    event.flags, event.handle, event.count, event.prefix = abi.HTTP_END, 1, len(sizes), prefix
    event.data = b"".join([*prefixes, b"rest"])
    written = [part for pair in zip(prefixes, payloads, strict=True) for part in pair]
    assert laid_out(event, [*payloads, b"of the next event"]) == b"".join([*written, b"rest"])
