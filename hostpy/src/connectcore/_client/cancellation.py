"""Canceling a synchronous call from another thread. (An async call is canceled with its task.)"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

from .surrounding import Surrounding

if TYPE_CHECKING:
    from collections.abc import Callable

    from .surrounding import Around

__all__ = ["Cancellation", "current_cancellation"]

_current: ContextVar[Around | None] = ContextVar("connectcore_cancellation", default=None)


class Cancellation(Surrounding):
    """Lets other threads cancel the synchronous calls that are made inside its `with` block.

        with Cancellation() as cancellation:
            on_shutdown(cancellation.cancel)
            reply = client.greet(request)

    A canceled call raises a `ConnectError` with `CANCELED`, and its HTTP request is aborted. A call that starts after the
    cancellation fails at once. Many threads may be inside of blocks of one `Cancellation`, and a block inside of another's:
    then either cancels. How soon a call ends that waits for its server is up to the transport: `PyqwestTransportSync` ends it
    at once, but where it has a `pyqwest` client of the user's own, only when the server next says something.
    """

    __slots__ = ("_canceled", "_lock", "_watchers")

    _current = _current

    def __init__(self) -> None:
        self._canceled = False
        self._lock = threading.RLock()  # the garbage collector may end a call in a thread that holds it
        self._watchers: list[Callable[[], object]] = []

    @property
    def canceled(self) -> bool:
        """Whether `cancel` has been called."""
        return self._canceled

    def cancel(self) -> None:
        """Cancel what is under way and what follows. May be called from any thread, several times."""
        with self._lock:
            self._canceled = True
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher()

    def watch(self, watcher: Callable[[], object]) -> None:
        """Have a function called on cancellation, in the thread that cancels; at once if that has been."""
        with self._lock:
            if not self._canceled:
                self._watchers.append(watcher)
                return
        watcher()

    def unwatch(self, watcher: Callable[[], object]) -> None:
        """Do not have it called any more."""
        with self._lock:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

    def _within(self, around: Around | None) -> Cancellation:
        outer = None if around is None else around[1]
        if outer is None or outer is self:
            return self
        either = Cancellation()
        for one in (self, outer):
            one.watch(either.cancel)
        return either

    def _left(self, block: Around) -> None:
        _, either, around = block
        if around is not None and either is not self:
            for one in (self, around[1]):
                one.unwatch(either.cancel)


def current_cancellation() -> Cancellation | None:
    """What may cancel the calls of this thread, if anything."""
    block = _current.get()
    return None if block is None else block[1]
