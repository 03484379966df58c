"""Messages that are made without waiting are collected; nothing that was made waits for what is not."""

from __future__ import annotations

import asyncio
import itertools
import time
import types
from typing import TYPE_CHECKING, Any

import pytest

from connectcore._batch import MESSAGES, PAUSE, collect
from connectcore._codec.payload import RejectedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterable

WAIT = object()


@types.coroutine
def wait() -> Generator[Any, Any, None]:
    yield WAIT


class Plain:
    """An async iterator that is no generator."""

    def __init__(self, made: Iterable[Any]) -> None:
        self.made = iter(made)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for each in self.made:
            if each is not WAIT:
                return bytes(each)
            await wait()
        raise StopAsyncIteration


class Iterable_:
    """What only gives an async iterator."""

    def __init__(self, made: Iterable[Any]) -> None:
        self.made = made

    def __aiter__(self) -> AsyncIterator[bytes]:
        return generator(self.made)


async def generator(made: Iterable[Any]) -> AsyncIterator[bytes]:
    for each in made:
        if each is WAIT:
            await wait()
        else:
            yield each


KINDS: list[Callable[[Iterable[Any]], Any]] = [generator, Plain, Iterable_]


def driven(messages: Any, encode: Callable[[Any], bytes] = bytes) -> list[Any]:
    """What is written, and what is waited for in between."""
    batch: list[bytes] = []
    seen: list[Any] = []
    work = collect(messages, encode, batch)
    while True:
        try:
            pending = work.send(None)
        except StopIteration:
            return [*seen, *batch]
        seen += batch
        batch.clear()
        seen.append(pending)


@pytest.mark.parametrize("kind", KINDS)
class TestCollected:
    def test_before_each_wait_is_all_that_was_made(self, kind: Callable[[Iterable[Any]], Any]) -> None:
        for count in (0, 1, 2, 3, 100, 3 * MESSAGES):
            made = [WAIT, b"a", WAIT, *[b"b"] * count, WAIT, WAIT, b"c"]
            assert [each for each in driven(kind(made)) if each is not PAUSE] == made

    def test_a_batch_is_bounded(self, kind: Callable[[Iterable[Any]], Any]) -> None:
        seen = driven(kind([b"x"] * 10 * MESSAGES))
        at = [-1, *(place for place, each in enumerate(seen) if each is PAUSE), len(seen)]
        assert max(b - a for a, b in itertools.pairwise(at)) < MESSAGES + 100

    def test_a_batch_is_bounded_in_bytes(self, kind: Callable[[Iterable[Any]], Any]) -> None:
        seen = driven(kind([bytes(1000)] * 10 * MESSAGES))
        at = [-1, *(place for place, each in enumerate(seen) if each is PAUSE), len(seen)]
        assert max(b - a for a, b in itertools.pairwise(at)) * 1000 < 200_000

    def test_work_that_takes_long_ends_a_batch(self, kind: Callable[[Iterable[Any]], Any]) -> None:
        def slow() -> Iterable[bytes]:
            for _ in range(5):
                time.sleep(0.01)
                yield b"x"

        assert driven(kind(slow())) == [b"x", PAUSE] * 5

    def test_large_messages_end_a_batch(self, kind: Callable[[Iterable[Any]], Any]) -> None:
        large = bytes(1 << 20)
        assert driven(kind([large] * 5)) == [large, PAUSE] * 5

    @pytest.mark.parametrize("raised", [ValueError, StopAsyncIteration, StopIteration, asyncio.CancelledError])
    def test_what_cannot_be_encoded(self, kind: Callable[[Iterable[Any]], Any], raised: type[BaseException]) -> None:
        def encode(message: bytes) -> bytes:
            if message == b"bad":
                raise raised
            return message

        batch: list[bytes] = []
        work = collect(kind([b"a", b"b", b"bad", b"c"]), encode, batch)
        with pytest.raises(RejectedError) as caught:
            work.send(None)
        assert isinstance(caught.value.why, raised)
        assert batch == [b"a", b"b"]

    def test_an_exception_comes_behind_what_was_made(self, kind: Callable[[Iterable[Any]], Any]) -> None:
        def failing() -> Iterable[bytes]:
            yield from [b"x"] * 10
            raise KeyError

        batch: list[bytes] = []
        with pytest.raises(KeyError):
            collect(kind(failing()), bytes, batch).send(None)
        assert batch == [b"x"] * 10


async def test_cancellation_reaches_what_waits() -> None:
    ended = []

    async def waits() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await wait()
        except asyncio.CancelledError:
            ended.append("canceled")
            raise

    work = collect(waits(), bytes, [])
    assert work.send(None) is WAIT
    with pytest.raises(asyncio.CancelledError):
        work.throw(asyncio.CancelledError())
    assert ended == ["canceled"]
