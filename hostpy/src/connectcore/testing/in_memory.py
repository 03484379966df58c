"""Clients of an application in the same process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ..client import ConnectClient, ConnectClientSync
from ..server import ConnectASGIApplication, ConnectASGIRouter, ConnectWSGIApplication, ConnectWSGIRouter
from ..transport import ASGITransport, WSGITransport

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["client"]

C = TypeVar("C", bound=ConnectClient | ConnectClientSync)


def client(client_class: type[C], app: Callable[..., Any], **options: Any) -> C:
    """A client that calls an application in this process, without a network.

    The calls are whole: heads, messages as bytes, deadlines, cancellation, interceptors. The application's lifespan is not run.

    Args:
        client_class: a generated client. An asynchronous one calls an ASGI application, a synchronous one a WSGI application.
        app: the application: a generated one, a router, or a framework's with these inside.
        options: what the client takes beside its address, such as `protocol` or `interceptors`.

    Raises:
        TypeError: the client is none, or the application is of the other kind.

    """
    given: Any = client_class
    if not isinstance(given, type) or not issubclass(given, (ConnectClient, ConnectClientSync)):
        raise TypeError(f"the first argument is a generated client class, not {client_class!r}")
    asynchronous = issubclass(client_class, ConnectClient)
    others: Any = (ConnectASGIApplication, ConnectASGIRouter), (ConnectWSGIApplication, ConnectWSGIRouter)
    if isinstance(app, others[asynchronous]):
        kind, wanted = ("asynchronous", "an ASGI") if asynchronous else ("synchronous", "a WSGI")
        raise TypeError(f"{client_class.__name__} is {kind}: it calls {wanted} application, not {type(app).__name__}")
    transport: Any = ASGITransport(app) if asynchronous else WSGITransport(app)
    return client_class("http://in-memory.test", http_client=transport, **options)
