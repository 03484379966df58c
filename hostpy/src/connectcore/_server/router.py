"""Several services in one application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .lifespan import serve_other
from .wrong_server import NOT_GIVEN, NoRSGI, called_as_asgi

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from typing import Never

    from .asgi import ConnectASGIApplication
    from .wsgi import ConnectWSGIApplication

__all__ = ["ConnectASGIRouter", "ConnectWSGIRouter"]

A = TypeVar("A", "ConnectASGIApplication[Any]", "ConnectWSGIApplication")


class ConnectASGIRouter(NoRSGI):
    """Several services' applications as one, which can be mounted under a prefix like each of them.

    A path of none of them is answered as any of them answers an unknown path.

    Args:
        applications: one for each service.

    Raises:
        ValueError: there is none, or two are for the same service.

    """

    _interface = "asgi"

    def __init__(self, *applications: ConnectASGIApplication[Any]) -> None:
        self._applications = _by_service(applications)
        self._other = applications[0]

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        """Serve one request, or the server's lifespan."""
        if scope["type"] != "http":
            await serve_other(self, scope, receive, send)
        else:
            await self._applications.get(_service(scope["path"]), self._other)(scope, receive, send)

    async def start(self) -> None:
        """Start the services in order; if one does not start, those before it are stopped."""
        started: list[ConnectASGIApplication[Any]] = []
        try:
            for application in self._applications.values():
                await application.start()
                started.append(application)
        except BaseException:
            await _stop(started)
            raise

    async def stop(self) -> None:
        """Stop the services in reverse order, all of them; then raise what the first of those that failed raised."""
        await _stop(list(self._applications.values()))


class ConnectWSGIRouter(NoRSGI):
    """Several services' applications as one, which can be mounted under a prefix like each of them.

    A path of none of them is answered as any of them answers an unknown path.

    Args:
        applications: one for each service.

    Raises:
        ValueError: there is none, or two are for the same service.

    """

    _interface = "wsgi"

    def __init__(self, *applications: ConnectWSGIApplication) -> None:
        self._applications = _by_service(applications)
        self._other = applications[0]

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any] = NOT_GIVEN, *others: Never
    ) -> Iterable[bytes]:
        """Serve one request."""
        if start_response is NOT_GIVEN or others:
            raise called_as_asgi(self)
        return self._applications.get(_service(environ.get("PATH_INFO", "")), self._other)(environ, start_response)


def _by_service(applications: Sequence[A]) -> dict[str, A]:
    if not applications:
        raise ValueError("a router needs at least one application")
    found: dict[str, A] = {}
    for application in applications:
        if application.path in found:
            raise ValueError(f"two applications serve {application.path}")
        found[application.path] = application
    return found


def _service(path: str) -> str:
    """The part of a procedure's path that names its service, wherever it is mounted."""
    before = path.rpartition("/")[0]
    return before[before.rfind("/") :]


async def _stop(applications: list[ConnectASGIApplication[Any]]) -> None:
    failure: BaseException | None = None
    for application in reversed(applications):
        try:
            await application.stop()
        except BaseException as error:  # noqa: BLE001 - the others are stopped all the same
            failure = failure or error
    if failure is not None:
        raise failure
