"""gRPC's health service (grpc/grpc, doc/health-checking.md).

    Health.set, clear, shutdown, resume -> its watches are woken -> each takes the newest status, if that is another

A watch learns the newest status and not those between, as the service wants it.
"""

from __future__ import annotations

import asyncio
import enum
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from ..code import Code
from ..errors import ConnectError
from ..server import ConnectASGIApplication, ConnectWSGIApplication, Endpoint, EndpointSync
from .messages import Named, make, message, method

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from ..interceptor import Interceptor, InterceptorSync
    from ..request import RequestContext

    Context = RequestContext[Any, Any]

__all__ = ["Health", "HealthASGIApplication", "HealthWSGIApplication", "ServingStatus"]

_NAME: Final = "grpc.health.v1.Health"
_METHODS: Final = {name: method(_NAME, name) for name in ("Check", "List", "Watch")}
_RESPONSE: Final = message("grpc.health.v1.HealthCheckResponse")
_LIST: Final = message("grpc.health.v1.HealthListResponse")
_WATCH_SECONDS: Final = 300.0


def _response(status: int) -> Any:
    return make(_RESPONSE, status=int(status))


class ServingStatus(enum.IntEnum):
    """What the health service says of a service. The numbers are the protocol's."""

    UNKNOWN = 0
    """Nothing is known."""

    SERVING = 1
    """Calls are welcome."""

    NOT_SERVING = 2
    """Calls should go elsewhere."""

    SERVICE_UNKNOWN = 3
    """There is no such service. Only watches are told this; a check fails with `not_found`."""


class Health:
    """The statuses of a server's services, which any thread may read and change at any time.

    The empty name stands for the server as a whole.

    Args:
        services: full names of services, such as `greet.v1.GreetService`. They, and the server as a whole, start as `SERVING`.

    """

    def __init__(self, *services: str) -> None:
        self._lock = threading.Lock()
        self._statuses = dict.fromkeys(("", *services), ServingStatus.SERVING)
        self._down = False
        self._watches: set[_Watch] = set()

    def status(self, service: str = "") -> ServingStatus | None:
        """What a service's status is now; None for a service that is not known."""
        with self._lock:
            return self._status(service)

    def statuses(self) -> dict[str, ServingStatus]:
        """The statuses of all services by name."""
        with self._lock:
            return {service: self._shown(status) for service, status in self._statuses.items()}

    def set(self, service: str, status: ServingStatus) -> None:
        """Set a service's status, and tell those who watch it.

        Raises:
            ValueError: the status is none that a known service can have.

        """
        status = ServingStatus(status)
        if status is ServingStatus.SERVICE_UNKNOWN:
            raise ValueError("a service with a status is known: clear() makes it unknown")
        with self._lock:
            self._statuses[service] = status
            self._changed()

    def clear(self, service: str) -> None:
        """Forget a service: checks of it fail with `not_found` from now on."""
        with self._lock:
            self._statuses.pop(service, None)
            self._changed()

    def shutdown(self) -> None:
        """Show every service as `NOT_SERVING`, whatever is set, until `resume`: for a server that is about to stop."""
        with self._lock:
            self._down = True
            self._changed()

    def resume(self) -> None:
        """Show what is set again, after `shutdown`."""
        with self._lock:
            self._down = False
            self._changed()

    def _shown(self, status: ServingStatus) -> ServingStatus:
        return ServingStatus.NOT_SERVING if self._down else status

    def _status(self, service: str) -> ServingStatus | None:
        status = self._statuses.get(service)
        return None if status is None else self._shown(status)

    def _changed(self) -> None:
        for watch in self._watches:
            watch.wake()

    def _check(self, request: Any) -> Any:
        status = self.status(request.service)
        if status is None:
            raise ConnectError(Code.NOT_FOUND, "unknown service")
        return _response(status)

    def _list(self) -> Any:
        return make(_LIST, statuses={service: _response(status) for service, status in self.statuses().items()})


class _Watch:
    """One caller that watches one service, from `with` on. `wake` is called, perhaps by another thread, after each change."""

    def __init__(self, health: Health, service: str, wake: Callable[[], object]) -> None:
        self._health = health
        self._service = service
        self._told: ServingStatus | None = None
        self.wake = wake

    def __enter__(self) -> Self:
        with self._health._lock:
            self._health._watches.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        with self._health._lock:
            self._health._watches.discard(self)

    def news(self) -> list[Any]:
        """A response with the status, if it is not the one that was told last."""
        status = self._health.status(self._service)
        if status is None:
            status = ServingStatus.SERVICE_UNKNOWN
        if status is self._told:
            return []
        self._told = status
        return [_response(status)]


class HealthASGIApplication(Named, ConnectASGIApplication[Health]):
    """Serves `grpc.health.v1.Health` under ASGI.

    Args:
        health: the statuses that it tells.
        interceptors: around every call, the first outermost.

    """

    _name = _NAME

    def __init__(self, health: Health, *, interceptors: Iterable[Interceptor] = ()) -> None:
        async def check(request: Any, _: Context) -> Any:
            return health._check(request)

        async def list_(_request: Any, _: Context) -> Any:
            return health._list()

        async def watch(request: Any, _: Context) -> AsyncIterator[Any]:
            changed = asyncio.Event()
            loop = asyncio.get_running_loop()

            def wake() -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(changed.set)

            with _Watch(health, request.service, wake) as watching:
                while True:
                    changed.clear()
                    for response in watching.news():
                        yield response
                    await changed.wait()

        super().__init__(
            service=health,
            endpoints=lambda _: {
                f"{self.path}/Check": Endpoint.unary(_METHODS["Check"], check),
                f"{self.path}/List": Endpoint.unary(_METHODS["List"], list_),
                f"{self.path}/Watch": Endpoint.server_stream(_METHODS["Watch"], watch),
            },
            interceptors=interceptors,
        )


class HealthWSGIApplication(Named, ConnectWSGIApplication):
    """Serves `grpc.health.v1.Health` under WSGI.

    Args:
        health: the statuses that it tells.
        interceptors: around every call, the first outermost.
        watch_seconds: how long a watch lasts, unless its deadline comes first. It occupies a thread of the server, which is not
            told when the caller goes away. After it the caller has to watch again, as the service's rules say.

    """

    _name = _NAME

    def __init__(
        self, health: Health, *, interceptors: Iterable[InterceptorSync] = (), watch_seconds: float = _WATCH_SECONDS
    ) -> None:
        def check(request: Any, _: Context) -> Any:
            return health._check(request)

        def list_(_request: Any, _: Context) -> Any:
            return health._list()

        def watch(request: Any, ctx: Context) -> Iterator[Any]:
            changed = threading.Event()
            timeout = watch_seconds if ctx.timeout_ms is None else min(watch_seconds, ctx.timeout_ms / 1000)
            end = monotonic() + timeout
            with _Watch(health, request.service, changed.set) as watching:
                while True:
                    changed.clear()
                    yield from watching.news()
                    left = end - monotonic()
                    if left <= 0:
                        return
                    changed.wait(left)

        super().__init__(
            endpoints={
                f"{self.path}/Check": EndpointSync.unary(_METHODS["Check"], check),
                f"{self.path}/List": EndpointSync.unary(_METHODS["List"], list_),
                f"{self.path}/Watch": EndpointSync.server_stream(_METHODS["Watch"], watch),
            },
            interceptors=interceptors,
        )
