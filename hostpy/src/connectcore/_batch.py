"""Messages of a stream that are made without waiting, collected: together they cost little more than one alone.

batch: list[bytes] = []
work = collect(messages, encode, batch)    driven by hand: a step ends where the messages have to be waited for, and at
                                           PAUSE, where the batch is full; what is in the batch is written then
"""

from __future__ import annotations

import types
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ._codec.payload import FATAL, RejectedError
from ._wasm import abi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator

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
    # Time and size are looked at every `limit` messages: each time at first, more rarely where they turn out to be small
    # and quickly made.
    limit = left = 1
    last = monotonic()
    async for message in messages:
        try:
            batch.append(encode(message))
        except FATAL:
            raise
        except BaseException as error:
            raise RejectedError(abi.REJECT_ENCODE, error) from error
        del message  # the next one may be long in coming
        left -= 1
        if left:
            continue
        size = len(batch[-1])
        if monotonic() - last < _SECONDS and size < _LARGE:
            left = limit = min(2 * limit, _SELDOM)
            if len(batch) < MESSAGES and len(batch) * size < _BYTES:
                continue
        else:
            left = limit = 1
        await _pause()
        last = monotonic()


@types.coroutine
def _pause() -> Generator[Any, None, None]:
    yield PAUSE
