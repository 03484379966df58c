"""Messages of a stream that are made without waiting, collected: together they cost little more than one alone.

batch: list[bytes] = []
work = collect(messages, encode, batch)    driven by hand: a step ends where the messages have to be waited for, and at
                                           PAUSE, where the batch is full; what is in the batch is written then
"""

from __future__ import annotations

import types
from itertools import repeat
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from ._codec.payload import FATAL, RejectedError
from ._wasm import abi

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator

__all__ = ["MESSAGES", "PAUSE", "collect"]

PAUSE: Final = object()
"""What `collect` yields, in the place of something to wait for, where the batch is full."""

MESSAGES: Final = 1024
_SECONDS: Final = 0.002
_LARGE: Final = 2 << 10
_BYTES: Final = 64 << 10
"""Messages are collected up to so many, for so long, while the last one is smaller than this, and up to so many bytes, as if
all were as long as the last: each peer that reads nothing costs a batch."""

_SELDOM: Final = 64


async def collect(messages: AsyncIterator[Any], encode: Callable[[Any], bytes], batch: list[bytes]) -> None:
    """Encode messages into the batch, which its owner empties. Raises RejectedError where one cannot be encoded."""
    add = batch.append
    take = _taker(aiter(messages))
    # Time and size are looked at every `limit` messages: each time at first, more rarely where they turn out to be small
    # and quickly made.
    limit = 1
    payload = b""
    last = monotonic()
    try:
        while True:
            for _ in repeat(None, limit):  # a message costs half a microsecond, and counting by arithmetic 5 % of that
                message = await take(None)
                try:
                    payload = encode(message)
                except FATAL:
                    raise
                except BaseException as error:
                    raise RejectedError(abi.REJECT_ENCODE, error) from error
                add(payload)
            if monotonic() - last < _SECONDS and len(payload) < _LARGE:
                limit = min(2 * limit, _SELDOM)
                if len(batch) < MESSAGES and len(batch) * len(payload) < _BYTES:
                    continue
            else:
                limit = 1
            await _pause()
            last = monotonic()
    except StopAsyncIteration:
        return


def _taker(messages: AsyncIterator[Any]) -> Callable[[None], Awaitable[Any]]:
    """What gives the next message. A generator's own function is called more quickly than `anext`."""
    if isinstance(messages, types.AsyncGeneratorType):
        return cast("AsyncGenerator[Any, None]", messages).asend
    return lambda _: anext(messages)


@types.coroutine
def _pause() -> Generator[Any, None, None]:
    yield PAUSE
