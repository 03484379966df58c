"""An exchange of the async form: what `open` returns."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..content import aclose_content
from ..transport import Gone, TransportError
from .exchange import Exchange

if TYPE_CHECKING:
    from ..transport import Request
    from .async_connection import AsyncConnection

__all__ = ["AsyncExchange"]


class AsyncExchange(Exchange):
    """A request on its way in an event loop, and its response.

    Attributes:
        connection: what carries it.

    """

    __slots__ = ("_failure", "_pump", "_room", "_waiter", "connection")

    def __init__(self, request: Request, connection: AsyncConnection) -> None:
        super().__init__(request)
        self.connection = connection
        self._waiter: asyncio.Future[None] | None = None  # who waits for something to come
        self._room: asyncio.Future[None] | None = None  # who waits for content to leave
        self._pump: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None  # what the iterator raised

    # What the connection tells

    def progressed(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._pump is not None and (self.ended or self.error is not None):
            self._pump.cancel()

    def drained(self) -> None:
        room = self._room
        if room is not None and not room.done():
            room.set_result(None)

    # What the caller does

    async def head(self) -> None:
        """Wait for the response's head. Raises TransportError, or what the iterator of the content raised."""
        while not self.status:
            if self._failure is not None:
                raise self._failure
            if self.error is not None:
                raise self.error
            await self._more()

    async def read(self) -> bytes:
        """See `Response`."""
        while True:
            if self.unread:
                size = self.unread
                data = self.take()
                self.connection.taken(self, size)
                return data
            if self._failure is not None:
                raise self._failure
            if self.error is not None:
                raise self.error
            if self.ended:
                return b""
            try:
                await self._more()
            except BaseException:
                self.abort()
                raise

    def at_once(self) -> bytes | None:
        """See `ResponseHead`."""
        if not self.ended or self._failure is not None:
            return None
        size = self.unread
        data = self.take()
        self.connection.taken(self, size)
        return data

    async def close(self) -> None:
        """See `Response`."""
        self.abort()
        pump = self._pump
        if pump is not None and not pump.done() and pump is not asyncio.current_task():
            pump.cancel()
            await asyncio.wait((pump,))
        content = self.request.content
        if not self.started and not isinstance(content, bytes):
            await aclose_content(content)

    def abort(self) -> None:
        """Let go of the response at once."""
        if not self.ended or self.unread:
            if not self.ended:
                self.fail(Gone.CANCELED)
            self.connection.abort(self)
            self.progressed()

    async def _more(self) -> None:
        self._waiter = waiter = self.connection.loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    # The content

    def pump(self, content: Any) -> None:
        """Send content from an iterator, in a task of its own."""
        self._pump = self.connection.loop.create_task(self._send_all(content))

    def unstart(self) -> None:
        """Stop the task before its first step: the iterator is untouched."""
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None

    async def _send_all(self, content: Any) -> None:
        self.started = True
        connection = self.connection
        try:
            async for chunk in content:
                connection.send(self, chunk)
                # Wait here, so that the iterator is asked no earlier than there is room.
                while self.pending:
                    self._room = connection.loop.create_future()
                    await self._room
                if not connection.writable.is_set():
                    await connection.writable.wait()
            if self.error is None:
                connection.finish(self)
        except asyncio.CancelledError:
            if not self.ended and self.error is None:  # not by us: the iterator raised it, or the loop goes down
                self._fail(TransportError(Gone.CANCELED, "the request's content was canceled"))
        except Exception as error:  # noqa: BLE001 - it belongs to who waits for the response
            self._fail(error)
        finally:
            await aclose_content(content)

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure
        self.fail(Gone.CANCELED)
        self.connection.abort(self)
        self.progressed()
