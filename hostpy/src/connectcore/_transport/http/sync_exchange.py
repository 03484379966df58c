"""An exchange of the sync form: what `open_sync` returns."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ..content import close_content
from ..transport import Gone, TransportError
from .exchange import Exchange
from .pump import in_thread

if TYPE_CHECKING:
    from ..transport import Request
    from .sync_connection import SyncConnection

__all__ = ["SyncExchange"]


class SyncExchange(Exchange):
    """A request on its way, and its response, for one thread. Another sends the content, if that comes from an iterator.

    Attributes:
        connection: what carries it, and nothing else meanwhile.
        over: whether nothing more is to be sent.

    """

    __slots__ = ("_failure", "_room", "_untouched", "connection", "over")

    def __init__(self, request: Request, connection: SyncConnection) -> None:
        super().__init__(request)
        self.connection = connection
        self.over = False
        self._failure: BaseException | None = None  # what the iterator raised
        self._room: threading.Event | None = None  # set when content has left
        # The content, if it comes from an iterator. Whoever takes it out sends it, or closes it.
        self._untouched: list[Any] = [] if isinstance(request.content, bytes) else [request.content]

    # What the connection tells

    def progressed(self) -> None:
        if self.ended or self.error is not None:
            self.over = True
            self.drained()

    def drained(self) -> None:
        if self._room is not None:
            self._room.set()

    # What the caller does

    def head(self) -> None:
        """Wait for the response's head. Raises TransportError, OSError, or what the iterator of the content raised."""
        while not self.status:
            if self.error is not None or self._failure is not None:
                self._check()
            self._more(head=True)

    def read(self) -> bytes:
        """See `ResponseSync`."""
        while not self.unread:
            if self.error is not None or self._failure is not None:
                self._check()
            if self.ended:
                return b""
            self._more(head=False)
        return self._take()

    def at_once(self) -> bytes | None:
        """See `ResponseHead`."""
        return self._take() if self.ended and self._failure is None else None

    def close(self) -> None:
        """See `ResponseSync`."""
        self.over = True
        if not self.ended or self.unread:
            self.fail(Gone.CANCELED)
        self.connection.done(self)
        self.drained()
        if self._untouched:
            close_content(self._taken())

    def leave(self, error: BaseException) -> None:
        """Close it after an error. Ctrl-C comes anywhere: what was just read, or was to be written, may be lost."""
        if not isinstance(error, Exception):
            self.connection.lost("its caller was interrupted")
        self.close()

    def unstart(self) -> bool:
        """Leave the content to another exchange. False if something of it has been asked for."""
        return isinstance(self.request.content, bytes) or self._taken() is not None

    def _taken(self) -> Any:
        try:
            return self._untouched.pop()
        except IndexError:  # another thread was first
            return None

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self.error is not None:
            cancellation = self.request.cancellation
            if cancellation is not None and cancellation.canceled:
                raise TransportError(Gone.CANCELED)
            raise self.error

    def _more(self, *, head: bool) -> None:
        try:
            self.connection.advance(self, head=head)
        except BaseException as error:
            self.leave(error)
            if isinstance(error, TimeoutError):
                raise TransportError(Gone.TIMEOUT) from None
            raise

    def _take(self) -> bytes:
        try:
            return self.connection.take(self)
        except BaseException as error:
            self.leave(error)
            raise

    # The content

    def pump(self) -> None:
        """Send content from an iterator, in a thread of its own."""
        self._room = threading.Event()
        in_thread(self._send_all)

    def wait_for_room(self, seconds: float) -> None:
        """Wait until content has left, or for so long."""
        assert self._room is not None
        self._room.wait(seconds)
        self._room.clear()

    def _send_all(self) -> None:
        content = None if self.over else self._taken()
        if content is None:
            return
        self.started = True
        content = iter(content)
        try:
            while True:
                try:
                    chunk = next(content)
                except StopIteration:
                    self.connection.finish(self)
                    return
                except BaseException as error:  # noqa: BLE001 - it belongs to who waits for the response
                    self._stop(error)
                    return
                if self.over or not self.connection.send(self, chunk):
                    return
        except OSError:
            pass  # whoever reads is told
        finally:
            close_content(content)

    def _stop(self, failure: BaseException) -> None:
        if not self.over:
            self._failure = failure
            self.connection.interrupt(self)
