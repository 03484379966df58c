"""The application's stream of requests: where it stands, and what it gave as long as that may have to be sent again.

A call has one of these, each of its tries a content of its own (`content.py`) that takes from it. Where other tries may follow,
what was given is kept, up to a bound as gRPC's retry design (proposal A6) has it; what goes beyond it commits the call to the
try that is under way. And then the end of a try must not be felt by the stream: it stays where it waits, for the next one.
"""

from __future__ import annotations

import logging
import threading
import types
from typing import TYPE_CHECKING, Any, Final

from .._batch import MESSAGES, PAUSE, collect
from .._codec.payload import encoded
from .._lazy import asyncio
from ..errors import canceled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Sequence

    from .content import AsyncContent, SyncContent

__all__ = ["KEPT_MAX", "AsyncRequests", "SyncRequests"]

_log: Final = logging.getLogger("connectcore")

KEPT_MAX: Final = 256 << 10
"""Bytes of messages that are kept for another try."""

_EACH: Final = 64
"""About what a message takes beside its bytes."""

_BATCH_BYTES: Final = 64 << 10
"""About what is taken at a time from a sync iterator that does not wait."""

_READY: Final[tuple[type[Any], ...]] = (type(iter([])), type(iter(())))
_NOTHING: Final = object()


class _Requests:
    """What both forms share.

    Attributes:
        keeps: whether other tries may follow the first.
        ended: whether the stream has given all it had.

    """

    __slots__ = ("_committed", "_encode", "_kept", "_size", "ended", "keeps")

    def __init__(self, encode: Callable[[Any], bytes], *, keeps: bool) -> None:
        self._encode = encode
        self._kept: list[bytes] = []
        self._size = 0
        self._committed = not keeps
        self.keeps = keeps
        self.ended = False

    def _keep(self, payloads: Sequence[bytes]) -> None:
        """The stream gave these. They are the last to be kept if they are too much."""
        if not self._committed:
            self._kept += payloads
            self._size += sum(map(len, payloads)) + _EACH * len(payloads)
            if self._size > KEPT_MAX:
                self._committed = True

    def _replayed(self, taken: int) -> list[bytes]:
        """Messages behind those that a content has taken already; none where the stream has to be asked."""
        kept = self._kept
        if taken < len(kept):
            return kept[taken : taken + MESSAGES]
        if self._committed and kept:
            kept.clear()  # the try under way has all of them
        return []

    def _last(self, taken: int, payloads: list[bytes]) -> bool:
        """Whether a try that has these next has got all."""
        return self.ended and (not payloads or taken + len(payloads) == len(self._kept))

    def commit(self) -> None:
        """No other try follows."""
        self._committed = True


class AsyncRequests(_Requests):
    """A stream for an event loop.

    Attributes:
        batch: messages that were collected, for who takes them out.

    """

    __slots__ = ("_left", "_messages", "_over", "_pending", "_producer", "_running", "batch")

    def __init__(self, messages: AsyncIterator[Any], encode: Callable[[Any], bytes], *, keeps: bool) -> None:
        super().__init__(encode, keeps=keeps)
        self.batch: list[bytes] = []
        self._messages = messages
        self._producer: Coroutine[Any, Any, None] | None = None
        self._pending: Any = _NOTHING  # what the messages wait for
        self._over = False  # the producer is
        self._running = False
        self._left = False  # by all that could want more of it

    def again(self, content: AsyncContent) -> bool:
        """Whether all that the stream gave is there for another try. If so, this content takes no more."""
        content.over = content.over or not self._committed
        return not self._committed

    async def take(self, content: AsyncContent) -> tuple[list[bytes], bool]:
        """The next messages for a try, and whether they are the last. Raises what the stream does."""
        if self.keeps:
            payloads = self._replayed(content.taken)
            if payloads or self.ended:
                return payloads, self._last(content.taken, payloads)
        self._running = True
        try:
            self.ended = await self._collected()
        finally:
            self._running = False
            if self._left:
                await self.aclose()
        payloads = self.batch[:]
        self.batch.clear()
        self._keep(payloads)
        return payloads, self.ended

    @types.coroutine
    def _collected(self) -> Generator[Any, Any, bool]:
        """Wait for messages, one at least, and collect those that are ready. Gives whether they were the last."""
        pending, self._pending = self._pending, _NOTHING
        if self._producer is None:
            self._producer = collect(self._messages, self._encode, self.batch)
        producer = self._producer
        while True:
            resume: Any = producer.send
            value: Any = None
            thrown = False
            if pending is not _NOTHING:
                try:
                    if self.keeps:
                        yield from self._waited(pending).__await__()
                    else:
                        value = yield _again(pending)
                except BaseException as error:
                    if self.keeps and not self._left:
                        self._pending = pending  # this try is over, not the stream
                        raise
                    resume, value, thrown = producer.throw, error, True
            try:
                pending = resume(value)
            except StopIteration:
                self._over = True
                return True
            except asyncio.CancelledError:
                self._over = True
                if thrown:
                    raise
                # What the stream waited for was canceled, not the stream.
                raise canceled() from None
            except BaseException:
                self._over = True
                raise
            if self.batch:
                self._pending = None if pending is PAUSE else pending
                return False

    async def _waited(self, pending: Any) -> None:
        """Wait for the same as the stream. To be canceled here, as a task does to what it waits for, does nothing to that."""
        if getattr(pending, "_asyncio_future_blocking", None) is None:
            await _bare(pending)
            return
        pending._asyncio_future_blocking = False  # as a task does that takes a future over
        if not pending.done():
            done = asyncio.get_running_loop().create_future()

            def wake(_: Any) -> None:
                if not done.done():
                    done.set_result(None)

            pending.add_done_callback(wake)
            try:
                await done
            finally:
                pending.remove_done_callback(wake)

    async def aclose(self) -> None:
        """No more is wanted: end the application's stream where it stands. In the middle of a pull it is ended by that."""
        self._left = self._committed = True
        if self._running:
            return
        try:
            if self._producer is not None and not self._over:
                self._over = True
                await self._ended(self._producer)
            close = getattr(self._messages, "aclose", None)
            if close is not None:
                await close()
        except Exception:  # noqa: BLE001 - the application's own, of which nobody waits to hear
            _log.exception("A stream of requests that was not wanted any more failed when it was closed")

    @types.coroutine
    def _ended(self, producer: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        """Cancel a stream that waits, and let it clean up."""
        resume: Any = producer.throw
        value: Any = asyncio.CancelledError()
        canceled_too = False
        while True:
            try:
                pending = resume(value)
            except StopIteration:
                return
            except asyncio.CancelledError:
                if canceled_too:
                    raise
                return
            resume, value = producer.send, None
            try:
                value = yield None if pending is PAUSE else pending
            except BaseException as error:  # noqa: BLE001 - it belongs to the application's stream
                resume, value, canceled_too = producer.throw, error, True


@types.coroutine
def _bare(pending: Any) -> Generator[Any, Any, None]:
    yield pending


def _again(pending: Any) -> Any:
    """What a coroutine gave to be waited for some time ago, made ready to be given to a task.

    A future is marked when it is awaited, and a task takes the mark off. Another task that waited for the same future in the
    meantime has taken off ours.
    """
    if getattr(pending, "_asyncio_future_blocking", None) is False:
        pending._asyncio_future_blocking = True
    return pending


class SyncRequests(_Requests):
    """A stream for threads. One of them pulls at a time; nothing can interrupt it while the stream keeps it waiting."""

    __slots__ = ("_at_once", "_failure", "_left", "_lock", "_messages", "_pulling", "_turn", "_waiting")

    def __init__(self, messages: Iterator[Any], encode: Callable[[Any], bytes], *, keeps: bool) -> None:
        super().__init__(encode, keeps=keeps)
        self._messages = messages
        self._at_once = MESSAGES if isinstance(messages, _READY) else 1
        self._lock = threading.Lock()
        self._turn = threading.Condition(self._lock)
        self._waiting = 0  # threads that wait for their turn
        self._pulling = False
        self._left = False  # by all that could want more of it
        self._failure: BaseException | None = None  # what it raised

    def again(self, content: SyncContent) -> bool:
        """Whether all that the stream gave is there for another try. If so, this content takes no more."""
        with self._lock:
            if not self._committed:
                content.over = True
                self._turn.notify_all()
            return not self._committed

    def take(self, content: SyncContent) -> tuple[list[bytes], bool] | None:
        """The next messages for a try, and whether they are the last; None if it wants no more. Raises what the stream does."""
        with self._lock:
            while True:
                if content.over or self._left:
                    return None
                if self.keeps:
                    payloads = self._replayed(content.taken)
                    if payloads or self.ended:
                        return payloads, self._last(content.taken, payloads)
                if self._failure is not None:
                    raise self._failure
                if not self._pulling:
                    break
                # The thread of an earlier try still waits for the stream.
                self._waiting += 1
                self._turn.wait()
                self._waiting -= 1
            self._pulling = True
        pulled: list[bytes] = []
        ended = False
        failure: BaseException | None = None
        try:
            ended = self._pull(pulled)
        except BaseException as error:  # noqa: BLE001 - it is raised below
            failure = error
        with self._lock:
            self._pulling = False
            self.ended, self._failure = ended, failure
            if self.keeps:
                self._keep(pulled)
                if self._waiting:
                    self._turn.notify_all()
            over = content.over or self._left
            done = self._left or failure is not None or (ended and not self.keeps)
        if done:
            self._close()
        if failure is not None:
            raise failure
        return None if over else (pulled, ended)

    def _pull(self, payloads: list[bytes]) -> bool:
        """Collect messages. Gives whether they were the last. Raises RejectedError where one cannot be encoded."""
        size = 0
        while True:
            try:
                message = next(self._messages)
            except StopIteration:
                return True
            payload = encoded(self._encode, message)
            payloads.append(payload)
            if self._at_once == 1:
                return False
            size += len(payload)
            if len(payloads) >= self._at_once or size >= _BATCH_BYTES:
                return False

    def close(self) -> None:
        """No more is wanted. In the middle of a pull the stream is closed when it gives a message."""
        with self._lock:
            self._left = self._committed = True
            self._turn.notify_all()
            if self._pulling:
                return
        self._close()

    def _close(self) -> None:
        close = getattr(self._messages, "close", None)
        if close is not None:
            close()
