"""A request's content as a transport pulls it: made of the messages that the application streams.

Several messages that are ready without waiting go into one step of the module and one chunk. An async iterator shows whether
it waits; of a sync one nobody can know that, unless it is that of a list or a tuple.
"""

from __future__ import annotations

import logging
import threading
import types
from typing import TYPE_CHECKING, Any, Final

from .._batch import MESSAGES, PAUSE, collect
from .._codec.payload import RejectedError, encoded
from .._lazy import asyncio
from ..errors import canceled
from .call import OverError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Generator, Iterator

    from .call import ClientCall

__all__ = ["AsyncContent", "SyncContent"]

_log: Final = logging.getLogger("connectcore")

_BATCH_BYTES: Final = 64 << 10
"""About what is taken at a time from a sync iterator that does not wait."""

_READY: Final[tuple[type[Any], ...]] = (type(iter([])), type(iter(())))
_NOTHING: Final = object()


class AsyncContent:
    """The chunks of a request's content, to be pulled by one task. `OverError` from it says that the call is over."""

    __slots__ = ("_batch", "_call", "_done", "_messages", "_pending", "_producer", "_running")

    def __init__(self, call: ClientCall, messages: AsyncIterator[Any]) -> None:
        self._call = call
        self._messages = messages
        self._batch: list[bytes] = []
        self._producer: Coroutine[Any, Any, None] | None = None
        self._pending: Any = _NOTHING  # what the messages wait for
        self._done = self._running = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._done:
            raise StopAsyncIteration
        self._running = True
        try:
            last = await self._collected()
            content = self._call.send(self._batch, last=last)
            self._batch.clear()
        except RejectedError as rejected:
            self._call.refuse(rejected)
            raise OverError from rejected
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if not isinstance(error, OverError):
                self._call.stop(error)
            raise
        finally:
            self._running = False
        if last and not content:
            raise StopAsyncIteration
        return content

    @types.coroutine
    def _collected(self) -> Generator[Any, Any, bool]:
        """Wait for messages, one at least, and collect those that are ready. Gives whether they were the last."""
        pending, self._pending = self._pending, _NOTHING
        if self._producer is None:
            self._producer = collect(self._messages, self._call.procedure.encode, self._batch)
        producer = self._producer
        while True:
            resume: Any = producer.send
            value: Any = None
            thrown = False
            if pending is not _NOTHING:
                try:
                    value = yield _again(pending)
                except BaseException as error:  # noqa: BLE001 - it belongs to the application's stream
                    resume, value, thrown = producer.throw, error, True
            try:
                pending = resume(value)
            except StopIteration:
                self._done = True
                return True
            except asyncio.CancelledError:
                self._done = True
                if thrown:
                    raise
                # What the stream waited for was canceled, not the stream.
                raise canceled() from None
            except BaseException:
                self._done = True
                raise
            if self._batch:
                self._pending = None if pending is PAUSE else pending
                return False

    async def aclose(self) -> None:
        """No more is pulled: end the application's stream where it stands. In the middle of a pull it is ended by that."""
        if self._running:
            return
        try:
            if self._producer is not None and not self._done:
                self._done = True
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


def _again(pending: Any) -> Any:
    """What a coroutine gave to be waited for some time ago, made ready to be given to a task.

    A future is marked when it is awaited, and a task takes the mark off. Another task that waited for the same future in the
    meantime has taken off ours.
    """
    if getattr(pending, "_asyncio_future_blocking", None) is False:
        pending._asyncio_future_blocking = True
    return pending


class SyncContent:
    """The chunks of a request's content, to be pulled by one thread, closed by any. `OverError` from it says that the call is
    over."""

    __slots__ = ("_at_once", "_call", "_lock", "_messages", "_over", "_pulling")

    def __init__(self, call: ClientCall, messages: Iterator[Any]) -> None:
        self._call = call
        self._messages = messages
        self._at_once = MESSAGES if isinstance(messages, _READY) else 1
        self._lock = threading.Lock()
        self._over = self._pulling = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._lock:
            if self._over:
                raise StopIteration
            self._pulling = True
        try:
            return self._pull()
        except StopIteration:
            self._over = True
            raise
        except BaseException as error:
            self._over = True
            if not isinstance(error, OverError):
                self._call.stop(error)
            raise
        finally:
            with self._lock:
                self._pulling, over = False, self._over
            if over:
                self._close()

    def _pull(self) -> bytes:
        payloads: list[bytes] = []
        size = 0
        last = False
        encode = self._call.procedure.encode
        while len(payloads) < self._at_once and size < _BATCH_BYTES:
            try:
                message = next(self._messages)
            except StopIteration:
                last = True
                break
            try:
                payloads.append(encoded(encode, message))
            except RejectedError as rejected:
                self._call.refuse(rejected)
                raise OverError from rejected
            size += len(payloads[-1])
        if self._over:
            raise StopIteration
        content = self._call.send(payloads, last=last)
        if last:
            self._over = True
            if not content:
                raise StopIteration
        return content

    def close(self) -> None:
        """No more is pulled. In the middle of a pull, which waits for the application, it ends when that gives a message."""
        with self._lock:
            self._over = True
            if self._pulling:
                return
        self._close()

    def _close(self) -> None:
        close = getattr(self._messages, "close", None)
        if close is not None:
            close()
