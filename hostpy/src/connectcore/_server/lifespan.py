"""ASGI scopes other than HTTP requests: a server's lifespan, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .outcome import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Startable", "serve_other"]


class Startable(Protocol):
    """What lives as long as a server does."""

    async def start(self) -> None:
        """The server starts."""

    async def stop(self) -> None:
        """The server stops."""


async def serve_other(
    application: Startable, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Serve a scope that is not an HTTP request. Raises ValueError for one that this package does not know."""
    kind = scope["type"]
    if kind == "lifespan":
        await _lifespan(application, receive, send)
    elif kind == "websocket":
        await receive()
        await send({"type": "websocket.close"})  # before it was accepted: refused
    else:
        raise ValueError(f"an ASGI scope of type {kind!r} is not served")


async def _lifespan(
    application: Startable, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    await receive()
    try:
        await application.start()
    except Exception as error:  # noqa: BLE001 - the server reports it
        log.exception("The service did not start")
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    try:
        await application.stop()
    except Exception as error:  # noqa: BLE001 - the server reports it
        log.exception("The service did not stop well")
        await send({"type": "lifespan.shutdown.failed", "message": str(error)})
        return
    await send({"type": "lifespan.shutdown.complete"})
