"""What a request's owner hears of its peer under ASGI: content as it comes, that the peer is gone, that it is late.

Work that waits for anything else has an ear for the peer all the same. News that it is gone come behind content, so that some
of that is read ahead. Such news, and a deadline that passes, end in the handler's cancellation at once.
"""

from __future__ import annotations

from contextlib import suppress
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from .._lazy import asyncio
from .started import awaited

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .call import ServerCall

    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]

__all__ = ["Peer", "behind", "early"]

_AHEAD: Final = 64 << 10
_TINY: Final = 512
"""Bytes of content that are read ahead of the handler, and what each piece counts beside its own."""

_DRAIN: Final = 8 << 20
"""Bytes of content that an answer did not want which are read and forgotten."""

_POLL: Final = 0.05
"""Seconds between two questions whether the peer is gone, where a server does not wait with its answer: pyvoy says again and
again, at once, that no content came."""

_LONGEST: Final = 365 * 86400.0  # seconds that a timer is set to at most


def _listening(coming: Any) -> asyncio.Future[Message]:
    """What will have the event that was asked for. Where the server gives no future, as granian does, it is a task."""
    if asyncio.isfuture(coming):
        return coming
    work = coming if coming.__class__ is CoroutineType else awaited(coming)
    return asyncio.get_running_loop().create_task(work, name="connectcore listens to a peer")


async def early(coming: Any) -> tuple[Message | None, asyncio.Future[Message] | None]:
    """The event that was asked for, if it is there at once; else what will have it. Peers that are gone already, which over
    HTTP/2 are cheap to be, cost no call then; for others it is a turn of the loop."""
    try:
        watch = _listening(coming)
        try:
            await asyncio.sleep(0)
            return (watch.result(), None) if watch.done() else (None, watch)
        except BaseException:
            watch.cancel()
            raise
    except Exception:  # noqa: BLE001 - what the server raises where the peer is gone
        return {"type": "http.disconnect"}, None


def behind(first: Awaitable[Message], receive: Receive) -> Receive:
    """What asks for events, of which the first was asked for already."""
    left = [first]
    return lambda: left.pop() if left else receive()


class Peer:
    """The peer of one call, and the clock. `_more`: content follows. `_unwanted`: bytes that nobody asked for."""

    __slots__ = (
        "_ahead",
        "_ahead_size",
        "_brittle",
        "_fired",
        "_loop",
        "_more",
        "_polls",
        "_reading",
        "_receive",
        "_task",
        "_timer",
        "_told",
        "_unwanted",
        "_watch",
        "_writing",
        "call",
    )

    def __init__(
        self,
        call: ServerCall,
        receive: Receive,
        *,
        more: bool,
        brittle: bool,
        watch: asyncio.Future[Message] | None,
    ) -> None:
        self.call = call
        self._receive = receive
        self._more = more
        self._brittle = brittle
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Future[Message] | asyncio.Handle | None = watch  # who listens, or will
        if watch is not None:
            watch.add_done_callback(self._heard)
        self._ahead: list[Message] | None = None  # content that the handler has not asked for
        self._ahead_size = self._unwanted = 0
        self._polls = 0  # times that no content was told after its end; granian tells the end of it once more
        self._reading = self._writing = self._fired = False
        self._told = False  # the handler, of the end; one that waits while it cleans up is not told again

    async def _read(self) -> None:
        """Wait for content, and tell the call."""
        self._reading = True
        try:
            if not self._ahead:
                watch = self._watch
                if asyncio.isfuture(watch):
                    await self._overheard(watch)
                else:
                    self._take(await self._receive())
        finally:
            self._reading = False
        if not self._ahead:
            # The peer is gone. If this is the handler's own task, it hears of that here; another task of the handler's goes on
            # to find the call stopped.
            if not self._fired and self._own:
                self._told = True
                raise asyncio.CancelledError
            await asyncio.sleep(0)
            return
        event = self._ahead.pop(0)
        self._ahead = self._ahead or None
        self._ahead_size -= _weight(event)
        self.call.feed(event.get("body", b""), end=not event.get("more_body", False))

    async def _overheard(self, watch: asyncio.Future[Message]) -> None:
        """Wait for what is listened to already; `_heard` leaves it to the work, which reads."""
        try:
            event = await watch
        except Exception:  # noqa: BLE001 - what the server raises where the peer is gone
            self._gone()
        else:
            self._take(event)
        finally:
            self._watch = None

    def _take(self, event: Message) -> None:
        """Keep content, where somebody may ask for it; or take the news that the peer is gone."""
        ended, self._more = not self._more, event.get("more_body", False)
        if event["type"] == "http.disconnect":
            self._gone()
            return
        self._polls = self._polls + 1 if ended else 0
        self._ahead_size += _weight(event)
        if not self.call.received:
            if self._ahead is None:
                self._ahead = []
            self._ahead.append(event)

    async def _drain(self, seconds: float) -> None:
        """Read and forget what still comes, within bounds."""
        if self._more:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._more and (self._brittle or self._unwanted < _DRAIN):
                        coming: Any = self._receive() if self._watch is None else self._watch
                        self._watch = None
                        event = await coming
                        self._more = event.get("more_body", False)
                        self._unwanted += _weight(event)

    def _supervise(self) -> None:
        """The work waits for the first time: set its deadline's timer."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        remaining = self.call.ctx.timeout_ms
        if remaining is not None:
            self._timer = self._loop.call_later(min(max(remaining / 1000, 0), _LONGEST), self._expired)

    def _listen(self) -> None:
        """The work waits: listen to the peer, unless the work does so itself. News that the peer is gone come behind content
        that the handler has not asked for, so that some of it is read ahead."""
        room = self._ahead_size < _AHEAD or not self._more
        if self._watch is None and room and not self._reading and not self.call.done:
            assert self._loop is not None
            # Not at once: a handler that waits for a moment only is ready before this runs.
            start, loop = self._start_watch, self._loop
            self._watch = loop.call_later(_POLL, start) if self._polls > 1 else loop.call_soon(start)

    def _start_watch(self) -> None:
        self._watch = None
        if self._reading or self.call.done:
            return
        try:
            self._watch = watch = _listening(self._receive())
        except Exception:  # noqa: BLE001 - what the server raises where the peer is gone
            self._gone()
        else:
            watch.add_done_callback(self._heard)

    def _heard(self, coming: asyncio.Future[Message]) -> None:
        """Something came, unless the work has taken it itself, or is over."""
        if self._watch is not coming or self._reading:
            return
        self._watch = None
        if coming.cancelled():
            return
        try:
            event = coming.result()
        except Exception:  # noqa: BLE001 - what the server raises where the peer is gone
            self._gone()
            return
        self._take(event)
        del event
        self._listen()

    def _gone(self) -> None:
        if not self.call.done:
            self.call.peer_gone()
            if not self._reading or not self._own:
                self._cancel()

    @property
    def _own(self) -> bool:
        """Whether what runs is the request's own task, and no other of its handler's, which only runs where that waits."""
        return self._task is None or asyncio.current_task() is self._task

    def _expired(self) -> None:
        if not self.call.done:
            self.call.deadline()
            if not self._writing:  # a write is never cut short by the clock; the answer follows it
                self._cancel()

    def _cancel(self) -> None:
        if self._task is None:
            self._task = asyncio.current_task()
        assert self._task is not None
        self._fired = True
        self._task.cancel()


def _weight(event: Message) -> int:
    """What content that is read ahead counts; tiny pieces cost more than their bytes."""
    return len(event.get("body", b"")) + _TINY
