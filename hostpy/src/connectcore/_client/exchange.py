"""What a call does with a transport: one body, for async and sync clients.

The body is a coroutine. `AsyncIO` lets it wait as coroutines do. Under `SyncIO` nothing in it ever waits: a step blocks the
thread until it is done. `complete` runs the whole.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from .._lazy import asyncio
from .._transport.transport import Gone, Transport, TransportError, TransportSync, gone_of
from .cancellation import current_cancellation

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .._transport.transport import Request, Response, ResponseSync
    from .._typing import T
    from .call import ClientCall

__all__ = ["IO", "AsyncIO", "SyncIO", "complete", "exchange"]


async def exchange(call: ClientCall, request: Request, io: IO) -> None:
    """Send the request and bring what comes to the call, until it wants no more."""
    response: Any = None
    try:
        response = await io.open(request)
        call.head(response.status, response.fields, response.length)
        while not call.finished:
            data = await io.read(request, response)
            if not data:
                call.ended(response.trailers)
                break
            call.content(data)
    except (TransportError, OSError) as error:
        call.gone(gone_of(error))
    except Exception as error:  # noqa: BLE001 - whatever a transport raises, the call has failed
        call.failed(error)
    finally:
        if response is not None:
            await io.close(response)


class IO(Protocol):
    """How a call reaches its transport."""

    async def within(self, call: ClientCall, limit: float | None, work: Coroutine[Any, Any, None], /) -> None:
        """Do work that may take `limit` seconds, and tell the call if it takes longer."""
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
        http_client: a `pyqwest.Client` or a transport; None for the one that all clients share.

    Raises:
        TypeError: it is neither.

    """

    __slots__ = ("_transport",)

    def __init__(self, http_client: object) -> None:
        self._transport: Transport | None = None
        if http_client is None or isinstance(http_client, Transport):
            self._transport = http_client
            return
        import pyqwest

        from .._transport.pyqwest import PyqwestTransport

        if not isinstance(http_client, pyqwest.Client):
            raise TypeError(
                "http_client must be a pyqwest.Client or an async transport of connectcore.transport, "
                f"not {type(http_client).__name__}"
            )
        self._transport = PyqwestTransport(client=http_client)

    async def within(self, call: ClientCall, limit: float | None, work: Coroutine[Any, Any, None]) -> None:
        if limit is None:
            await work
            return
        try:
            async with asyncio.timeout(limit):
                await work
        except TimeoutError:
            call.gone(TransportError(Gone.TIMEOUT))

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
        http_client: a `pyqwest.SyncClient` or a transport; None for the one that all clients share.

    Raises:
        TypeError: it is neither.

    """

    __slots__ = ("_transport",)

    def __init__(self, http_client: object) -> None:
        self._transport: TransportSync | None = None
        if http_client is None or isinstance(http_client, TransportSync):
            self._transport = http_client
            return
        import pyqwest

        from .._transport.pyqwest import PyqwestTransportSync

        if not isinstance(http_client, pyqwest.SyncClient):
            raise TypeError(
                "http_client must be a pyqwest.SyncClient or a sync transport of connectcore.transport, "
                f"not {type(http_client).__name__}"
            )
        self._transport = PyqwestTransportSync(client=http_client)

    async def within(self, _call: ClientCall, _limit: float | None, work: Coroutine[Any, Any, None]) -> None:
        await work  # the transport looks at the request's deadline

    async def open(self, request: Request) -> ResponseSync:
        request.cancellation = current_cancellation()
        if request.cancellation is not None and request.cancellation.canceled:
            raise TransportError(Gone.CANCELED)
        transport = self._transport
        if transport is None:
            from .._transport.pyqwest import default_transport_sync

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


def complete(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits, and return what it returns."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("a synchronous call waited")
