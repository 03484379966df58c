"""Request content that comes piece by piece, on its way into an HTTP library.

Libraries close such iterators late or never, and report what one raises as a failure of the network. So what they get is one of
these, which remembers what was raised, is used once, and is closed by the transport as soon as nothing more is to be sent.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from .._lazy import asyncio
from .transport import Gone, TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["Sending", "SendingSync", "aclose_content", "close_content"]


async def aclose_content(content: Any) -> None:
    """Close content that comes from an async iterator. What that raises as it is closed concerns nobody any more."""
    close = getattr(content, "aclose", None)
    if close is not None:
        try:
            await close()
        except Exception:  # noqa: BLE001, S110
            pass


def close_content(content: Any) -> None:
    """The same for an iterator."""
    close = getattr(content, "close", None)
    if close is not None:
        try:
            close()
        except Exception:  # noqa: BLE001, S110
            pass


class _Sending:
    """What both forms share: `error` is what the iterator raised."""

    __slots__ = ("_begun", "_over", "error")

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._begun = False
        self._over = False

    def _check(self) -> None:
        """Whether it may be iterated: nothing has been taken from it."""
        if self._begun:
            raise TransportError(Gone.CLOSED, "the request would have to be sent again, but its content comes from an iterator")

    def _failed(self, error: BaseException) -> None:
        if not self._over:  # else it was told to end, and obeys
            self.error = error
            self._over = True


class Sending(_Sending):
    """The chunks of an async iterator. Once closed, there are no more."""

    __slots__ = ("_chunks", "_left", "_task")

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._task: asyncio.Task[Any] | None = None  # who waits for a chunk
        self._left: asyncio.Future[None] | None = None  # until it does no more

    def __aiter__(self) -> Sending:
        self._check()
        return self

    async def __anext__(self) -> bytes:
        self._begun = True
        if self._over:
            raise StopAsyncIteration
        self._task = asyncio.current_task()
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            self._over = True
            raise
        except BaseException as error:
            self._failed(error)
            raise
        finally:
            self._task = None
            if self._left is not None and not self._left.done():
                self._left.set_result(None)

    async def aclose(self) -> None:
        """Want no more. Never raises."""
        self._over = True
        task = self._task
        if task is not None and task is not asyncio.current_task():
            self._left = asyncio.get_running_loop().create_future()
            task.cancel()
            await self._left
        await aclose_content(self._chunks)


class SendingSync(_Sending):
    """The chunks of an iterator. Once closed, there are no more.

    Another thread may be waiting for a chunk by then, which nothing can interrupt: the iterator is closed when it has one.

    Args:
        chunks: the iterator.
        before: called before each chunk is asked for.

    """

    __slots__ = ("_before", "_busy", "_chunks", "_lock")

    def __init__(self, chunks: Iterator[bytes], before: Callable[[], object] | None = None) -> None:
        super().__init__()
        self._chunks = chunks
        self._before = before
        self._lock = threading.Lock()
        self._busy = False

    def __iter__(self) -> SendingSync:
        self._check()
        return self

    def __next__(self) -> bytes:
        with self._lock:
            self._begun = True
            if self._over:
                raise StopIteration
            self._busy = True
        ended = False
        try:
            if self._before is not None:
                self._before()
            return next(self._chunks)
        except BaseException as error:
            ended = isinstance(error, StopIteration)
            if not ended:
                self._failed(error)
            raise
        finally:
            with self._lock:
                self._busy = False
                closing = self._over
                self._over = closing or ended
            if closing:
                close_content(self._chunks)

    def close(self) -> None:
        """Want no more. Never raises."""
        with self._lock:
            self._over = True
            if self._busy:
                return
        close_content(self._chunks)
