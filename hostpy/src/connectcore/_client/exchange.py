"""What a call does with a transport: one body, for async and sync clients.

The body is a coroutine. `AsyncIO` lets it wait as coroutines do. Under `SyncIO` nothing in it ever waits: a step blocks the
thread until it is done. `complete` runs the whole.
"""

from __future__ import annotations

import threading
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final, Protocol

from .._lazy import asyncio
from .._transport.choose import transport_of, transport_of_sync
from .._transport.http.pump import start_thread
from .._transport.transport import Gone, TransportError, gone_of
from .cancellation import current_cancellation
from .content import AsyncContent, SyncContent
from .requests import AsyncRequests, SyncRequests

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .._transport.transport import Request, Response, ResponseSync
    from .._typing import T
    from .call import ClientCall
    from .cancellation import Cancellation

__all__ = ["IO", "AsyncIO", "SyncIO", "bring", "broken", "complete", "exchange"]


async def exchange(call: ClientCall, request: Request, io: IO) -> None:
    """Send the request and bring what comes to the call, until it wants no more."""
    response: Any = None
    try:
        response = await io.open(request)
        # A transport of the application's own may not have it.
        at_once = getattr(response, "at_once", None)
        data = None if at_once is None else at_once()
        if data is not None:
            call.whole(response.status, response.fields, response.length, data, response.trailers)
        else:
            call.head(response.status, response.fields, response.length)
        while not call.finished:  # as `bring` does
            data = await io.read(request, response)
            if data:
                call.content(data)
            else:
                call.ended(response.trailers)
    except Exception as error:  # noqa: BLE001 - whatever a transport raises, the call has failed
        broken(call, request, error)
    finally:
        if response is not None:
            await io.close(response)


async def bring(call: ClientCall, request: Request, response: Any, io: IO) -> None:
    """Bring the next piece of content to the call, or its end."""
    data = await io.read(request, response)
    if data:
        call.content(data)
    else:
        call.ended(response.trailers)


def broken(call: ClientCall, request: Request, error: Exception) -> None:
    """Tell the call what a transport raised."""
    if request.cancellation is not None and request.cancellation.canceled:
        call.gone(TransportError(Gone.CANCELED))  # whatever the transport saw of it first
    elif isinstance(error, TransportError | OSError):
        call.gone(gone_of(error))
    else:
        call.failed(error)


class IO(Protocol):
    """How a call reaches its transport."""

    async def within(self, limit: float | None, work: Coroutine[Any, Any, T], /) -> T:
        """Do work that may take `limit` seconds. Raises TransportError where it takes longer."""
        ...

    def requests(self, messages: Any, encode: Callable[[Any], bytes], /, *, keeps: bool) -> Any:
        """The application's stream of requests, kept for several tries or not. Raises TypeError where it is none."""
        ...

    def content(self, call: ClientCall, requests: Any, /) -> Any:
        """The content of a try's request."""
        ...

    async def done(self, requests: Any, /) -> None:
        """No more of a stream of requests is wanted."""
        ...

    def home(self) -> Any:
        """What `later` needs to know of where it is called from."""
        ...

    def later(self, home: Any, work: Callable[[], Coroutine[Any, Any, None]], /) -> None:
        """Have work done, from a finalizer. Raises RuntimeError where nobody can do it any more."""
        ...

    async def pause(self, seconds: float, cancellation: Cancellation | None, /) -> None:
        """Wait, at most until the call is canceled."""
        ...

    async def open(self, request: Request) -> Any:
        """Send a request; gives the response, whose head has come."""
        ...

    async def read(self, request: Request, response: Any, /) -> bytes:
        """The next bytes of content."""
        ...

    async def close(self, response: Any) -> None:
        """Let go of a response."""
        ...


class AsyncIO:
    """An async transport, in the caller's event loop.

    Args:
        http_client: what `transport_of` knows; None for the transport that all clients share.

    Raises:
        TypeError: it is neither.

    """

    __slots__ = ("_transport",)

    def __init__(self, http_client: object) -> None:
        self._transport = transport_of(http_client)

    async def within(self, limit: float | None, work: Coroutine[Any, Any, T]) -> T:
        if limit is None:
            return await work
        timer = asyncio.timeout(limit)
        try:
            async with timer:
                return await work
        except TimeoutError:
            if timer.expired():
                raise TransportError(Gone.TIMEOUT) from None
            raise

    def requests(self, messages: Any, encode: Callable[[Any], bytes], *, keeps: bool) -> AsyncRequests:
        if not hasattr(messages, "__aiter__"):
            raise TypeError(f"an async client takes an async iterator of messages, not {type(messages).__name__}")
        return AsyncRequests(aiter(messages), encode, keeps=keeps)

    def content(self, call: ClientCall, requests: AsyncRequests) -> AsyncContent:
        return AsyncContent(call, requests)

    async def done(self, requests: AsyncRequests) -> None:
        await requests.aclose()

    def home(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def later(self, home: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        home.call_soon_threadsafe(_start, home, work)

    async def pause(self, seconds: float, _cancellation: Cancellation | None) -> None:
        await asyncio.sleep(seconds)

    async def open(self, request: Request) -> Response:
        transport = self._transport
        if transport is None:
            from .._transport.default import default_transport

            transport = default_transport()
        return await transport.open(request)

    async def read(self, _request: Request, response: Response) -> bytes:
        return await response.read()

    async def close(self, response: Response) -> None:
        await response.close()


class SyncIO:
    """A sync transport, in the caller's thread.

    Args:
        http_client: what `transport_of_sync` knows; None for the transport that all clients share.

    Raises:
        TypeError: it is neither.

    """

    __slots__ = ("_transport",)

    def __init__(self, http_client: object) -> None:
        self._transport = transport_of_sync(http_client)

    async def within(self, _limit: float | None, work: Coroutine[Any, Any, T]) -> T:
        return await work  # the transport looks at the request's deadline

    def requests(self, messages: Any, encode: Callable[[Any], bytes], *, keeps: bool) -> SyncRequests:
        if not hasattr(messages, "__iter__"):
            raise TypeError(f"a sync client takes an iterator of messages, not {type(messages).__name__}")
        return SyncRequests(iter(messages), encode, keeps=keeps)

    def content(self, call: ClientCall, requests: SyncRequests) -> SyncContent:
        return SyncContent(call, requests)

    async def done(self, requests: SyncRequests) -> None:
        requests.close()

    def home(self) -> None:
        return None

    def later(self, _home: None, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        # In a thread of its own: the garbage collector may have interrupted the transport while it holds a lock.
        start_thread(lambda: complete(work()), "connectcore-close")

    async def pause(self, seconds: float, cancellation: Cancellation | None) -> None:
        if cancellation is None:
            cancellation = current_cancellation()
        if cancellation is None:
            sleep(seconds)  # noqa: ASYNC251 - nothing here waits in a loop
            return
        canceled = threading.Event()
        cancellation.watch(canceled.set)
        canceled.wait(seconds)
        cancellation.unwatch(canceled.set)

    async def open(self, request: Request) -> ResponseSync:
        if request.cancellation is None:
            request.cancellation = current_cancellation()
        if request.cancellation is not None and request.cancellation.canceled:
            raise TransportError(Gone.CANCELED)
        transport = self._transport
        if transport is None:
            from .._transport.default import default_transport_sync

            transport = default_transport_sync()
        return transport.open_sync(request)

    async def read(self, request: Request, response: ResponseSync) -> bytes:
        # A transport that always has data at hand never waits, and so looks at neither of these.
        if request.deadline is not None and monotonic() >= request.deadline:
            raise TransportError(Gone.TIMEOUT)
        if request.cancellation is not None and request.cancellation.canceled:
            raise TransportError(Gone.CANCELED)
        return response.read()

    async def close(self, response: ResponseSync) -> None:
        response.close()


_tasks: Final[set[asyncio.Task[None]]] = set()  # the event loop itself does not hold them


def _start(loop: asyncio.AbstractEventLoop, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task = loop.create_task(work())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def complete(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, and return what it returns."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("a synchronous call waited")
