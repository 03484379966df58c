"""Synchronous requests that another thread can abort.

`pyqwest` cannot interrupt a thread that waits in it, but it aborts an async request whose task is canceled. So a call under a
`Cancellation` is made by the async form on an event loop in a thread of its own, one for the process, made on first use. That
costs two changes of thread for each wait, which calls without a `Cancellation` do not pay, unless they stream their content:
`pyqwest` does not abort a sync request either while it waits for the next piece of content.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .http.pump import in_thread, start_thread
from .transport import Gone, TransportError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .._client.cancellation import Cancellation
    from .transport import Fields, Request, Response, Transport

__all__ = ["open_cancelable"]

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _running_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            start_thread(_loop.run_forever, "connectcore-cancelable")
        return _loop


def open_cancelable(transport: Transport, request: Request, cancellation: Cancellation | None) -> CancelableResponse:
    """Send a request by an async transport and wait for the head of its response. Raises TransportError."""
    if not isinstance(request.content, bytes):
        request.content = _Pulled(request.content)
    opened: list[Response] = []

    async def open_it() -> Response:
        response = await transport.open(request)
        opened.append(response)
        return response

    try:
        response = _wait(open_it(), request.deadline, cancellation)
    except BaseException:
        asyncio.run_coroutine_threadsafe(_close(opened), _running_loop())
        raise
    return CancelableResponse(response, request.deadline, cancellation)


async def _close(opened: list[Response]) -> None:
    """Close what was opened in the moment when nobody waited for it any more."""
    for response in opened:
        await response.close()


class CancelableResponse:
    """A response of the async transport, read from another thread."""

    __slots__ = ("_cancellation", "_deadline", "_response", "fields", "length", "status")

    def __init__(self, response: Response, deadline: float | None, cancellation: Cancellation | None) -> None:
        self._response = response
        self._deadline = deadline
        self._cancellation = cancellation
        self.status = response.status
        self.fields: Fields = response.fields
        self.length = response.length

    @property
    def trailers(self) -> Fields:
        return self._response.trailers

    def read(self) -> bytes:
        return _wait(self._response.read(), self._deadline, self._cancellation)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._response.close(), _running_loop())


class _Pulled:
    """Content that is pulled in a thread of its own, for a transport in an event loop: pulling may wait for the application."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._asked = threading.Semaphore(0)
        self._answer: asyncio.Future[bytes] | None = None
        self._closed = False
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        loop = asyncio.get_running_loop()
        self._answer = answer = loop.create_future()
        if not self._begun:
            self._begun = True
            # Mostly one that waits for work: until a new one runs, which takes long beside busy threads, the loop would wait.
            in_thread(lambda: self._pull(loop))
        self._asked.release()
        piece: bytes = await answer
        return piece

    async def aclose(self) -> None:
        self._closed = True
        self._asked.release()
        self._content.close()

    def _pull(self, loop: asyncio.AbstractEventLoop) -> None:
        pieces = iter(self._content)
        while True:
            self._asked.acquire()
            answer = self._answer
            if self._closed or answer is None:
                return
            try:
                piece = next(pieces)
            except StopIteration:
                loop.call_soon_threadsafe(_give, answer, b"", StopAsyncIteration())
                return
            except BaseException as error:  # noqa: BLE001 - it belongs to who pulls
                loop.call_soon_threadsafe(_give, answer, b"", error)
                return
            loop.call_soon_threadsafe(_give, answer, piece, None)


def _give(answer: asyncio.Future[bytes], piece: bytes, error: BaseException | None) -> None:
    if answer.done():
        return  # nobody waits for it any more
    if error is None:
        answer.set_result(piece)
    else:
        answer.set_exception(error)


def _wait(work: Coroutine[Any, Any, T], deadline: float | None, cancellation: Cancellation | None) -> T:
    future = asyncio.run_coroutine_threadsafe(work, _running_loop())
    if cancellation is not None:
        cancellation.watch(future.cancel)
    try:
        return future.result(None if deadline is None else max(deadline - monotonic(), 0))
    except concurrent.futures.CancelledError:
        raise TransportError(Gone.CANCELED) from None
    except TimeoutError:
        raise TransportError(Gone.TIMEOUT) from None
    finally:
        future.cancel()  # nothing, where it is done
        if cancellation is not None:
            cancellation.unwatch(future.cancel)


def _after_fork_in_child() -> None:
    global _lock, _loop
    _lock = threading.Lock()
    _loop = None  # its thread stayed behind


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
