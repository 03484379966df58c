"""The sync transport."""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Self

from ..content import close_content
from ..transport import Gone, TransportError
from .address import why
from .balance import Rotation
from .configured import Configured, keep_in_child
from .exchange import TRIES
from .options import target_of
from .pump import in_thread
from .sync_connect import resolve
from .sync_exchange import SyncExchange
from .sync_pool import PlaceSync

if TYPE_CHECKING:
    from types import TracebackType

    from ..transport import Request
    from .options import Target
    from .sync_connection import SyncConnection

__all__ = ["HTTPTransportSync"]


class HTTPTransportSync(Configured):
    """Sends requests over HTTP/1.1 and HTTP/2, in the caller's own thread, by blocking sockets.

    It keeps connections and uses them again, and may be used from any number of threads. What was made before a fork serves the
    child too, which makes its own connections. The options are those of `HTTPTransport`.
    """

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._targets: dict[tuple[str, bool | None], tuple[Target, Rotation[PlaceSync]]] = {}
        self._rotations: dict[Target, Rotation[PlaceSync]] = {}
        self._closer = weakref.finalize(self, _close, self._rotations)

    def open_sync(self, request: Request) -> SyncExchange:
        """Send a request and wait for the head of its response. Raises TransportError, OSError and ValueError."""
        tries = TRIES
        while True:
            tries -= 1
            try:
                target, connection = self._connection(request)
            except BaseException:
                close_content(request.content)
                raise
            exchange = SyncExchange(request, connection)
            kept = not connection.fresh
            connection.fresh = False
            try:
                connection.start(exchange, target.scheme, target.authority)
                exchange.head()
            except (TransportError, OSError) as error:
                if isinstance(error, OSError):
                    exchange.fail(Gone.CLOSED, str(error))
                canceled = request.cancellation is not None and request.cancellation.canceled
                again = tries and not canceled and exchange.may_go_again(kept=kept) and exchange.unstart()
                exchange.close()
                if canceled:
                    raise TransportError(Gone.CANCELED) from error
                if not again:
                    raise
            except BaseException as error:
                exchange.leave(error)
                raise
            else:
                return exchange

    def close(self) -> None:
        """Close the connections: those at rest now, the others as they become free."""
        self._closer()
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def _connection(self, request: Request) -> tuple[Target, SyncConnection]:
        """A connection for a request, and where it goes. Raises TransportError, OSError and ValueError."""
        entry = self._targets.get((request.origin, request.http2))
        if entry is None:
            entry = self._add(request.origin, request.http2)
        target, rotation = entry
        try:
            while True:
                place = rotation.place or self._next(rotation, request)
                try:
                    return target, place.take(request)
                except TransportError as error:
                    if error.reason is not Gone.REFUSED or not rotation.refused(place, monotonic()):
                        raise
        except TimeoutError:
            raise TransportError(Gone.TIMEOUT) from None

    def _add(self, origin: str, http2: bool | None) -> tuple[Target, Rotation[PlaceSync]]:
        target = target_of(origin, http2, self._options)
        options, tls = self._options, self._tls
        with self._lock:
            rotation = self._rotations.get(target)
            if rotation is None:
                rotation = self._rotations[target] = Rotation(lambda addresses: PlaceSync(target, options, tls, addresses))
            entry = self._targets[(origin, http2)] = (target, rotation)
        return entry

    def _next(self, rotation: Rotation[PlaceSync], request: Request) -> PlaceSync:
        """The place whose turn it is. Raises TransportError, and TimeoutError after the request's deadline."""
        with self._lock:
            due, known = rotation.due(monotonic()), rotation.known
        if not known:
            self._look_up(rotation, request)
        elif due:
            with suppress(RuntimeError):  # where no thread can be started, those that are known go on serving
                in_thread(lambda: self._look_up(rotation, None))
        with self._lock:
            return rotation.pick(monotonic())

    def _look_up(self, rotation: Rotation[PlaceSync], request: Request | None) -> None:
        """Look a name up, for a request that waits for it, or for those to come."""
        target = rotation.first.target
        try:
            if request is None:
                found = resolve(target.host, target.port, None, None)
            else:
                limit = monotonic() + self._options.connect_timeout
                deadline = limit if request.deadline is None else min(limit, request.deadline)
                found = resolve(target.host, target.port, deadline, request.cancellation)
        except OSError as error:  # those that were known go on serving
            if request is not None and request.deadline is not None and monotonic() >= request.deadline:
                raise
            rotation.failure = why(error)
            return
        with self._lock:
            rotation.update(found, monotonic())

    def _forked(self) -> None:
        """This is a child: the connections are its parent's."""
        self._closer.detach()
        keep_in_child(self._rotations)
        self._begin()


def _close(rotations: dict[Target, Rotation[PlaceSync]]) -> None:
    for rotation in rotations.values():
        rotation.close()
