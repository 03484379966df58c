"""Coroutines that are started by hand: those that never wait are done then, and what waits goes on elsewhere.

All of it is for one task, that of the request: what an application around this one does in its `receive` may be bound to it.
"""

from __future__ import annotations

import types
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Generator

__all__ = ["awaited", "begun", "gone_on"]

T = TypeVar("T")


async def awaited(work: Awaitable[T]) -> T:
    """What can be awaited, as a coroutine."""
    return await work


def begun(work: Awaitable[Any]) -> tuple[Any, Any]:
    """Start what may wait. Gives what it gave, and None; or, where it waits, None and what goes on with it."""
    part: Any = work if work.__class__ is CoroutineType else awaited(work)
    try:
        waits = part.send(None)
    except StopIteration as stop:
        return stop.value, None
    return None, gone_on(part, waits)


@types.coroutine
def gone_on(work: Coroutine[Any, Any, T], waits: Any) -> Generator[Any, Any, T]:
    """Go on with what was started, and waits for `waits`."""
    while True:
        try:
            yield waits
        except GeneratorExit:
            work.close()
            raise
        except BaseException as raised:  # noqa: BLE001 - it belongs to the work
            try:
                waits = work.throw(raised)
            except StopIteration as stop:
                result: T = stop.value
                return result
        else:
            return (yield from work.__await__())
