"""Which transport sends for the `http_client` that a client was made with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias

from .transport import Transport, TransportSync

if TYPE_CHECKING:
    import pyqwest

    from .httpx import HttpxClient, HttpxClientSync

    AnyClient: TypeAlias = pyqwest.Client | HttpxClient | Transport
    AnyClientSync: TypeAlias = pyqwest.SyncClient | HttpxClientSync | TransportSync

__all__ = ["AnyClient", "AnyClientSync", "transport_of", "transport_of_sync"]


def transport_of(http_client: Any) -> Transport | None:
    """The async transport; None for the one that all clients share.

    Raises:
        TypeError: it is nothing that sends.

    """
    if http_client is None or isinstance(http_client, Transport):
        return http_client
    if _of_pyqwest(http_client, "Client"):
        from .pyqwest import PyqwestTransport

        return PyqwestTransport(client=http_client)
    from .httpx import HttpxTransport, library_of

    if library_of(http_client, "AsyncClient") is not None:
        return HttpxTransport(http_client)
    raise _wrong("a pyqwest.Client, an httpx.AsyncClient, an httpx2.AsyncClient or an async", http_client)


def transport_of_sync(http_client: Any) -> TransportSync | None:
    """The sync transport; None for the one that all clients share.

    Raises:
        TypeError: it is nothing that sends.

    """
    if http_client is None or isinstance(http_client, TransportSync):
        return http_client
    if _of_pyqwest(http_client, "SyncClient"):
        from .pyqwest import PyqwestTransportSync

        return PyqwestTransportSync(client=http_client)
    from .httpx import HttpxTransportSync, library_of

    if library_of(http_client, "Client") is not None:
        return HttpxTransportSync(http_client)
    raise _wrong("a pyqwest.SyncClient, an httpx.Client, an httpx2.Client or a sync", http_client)


def _of_pyqwest(http_client: Any, kind: str) -> bool:
    """Imports nothing: where there is a client, its library has been imported."""
    library = sys.modules.get("pyqwest")
    return library is not None and isinstance(http_client, getattr(library, kind))


def _wrong(wanted: str, http_client: object) -> TypeError:
    hint = ""
    if isinstance(http_client, Transport):
        hint = ", which is for an async client"
    elif isinstance(http_client, TransportSync):
        hint = ", which is for a sync client"
    elif callable(http_client) and hasattr(http_client, "path"):  # a generated application
        hint = ": an application is called through ASGITransport(app) or WSGITransport(app)"
    name = type(http_client).__name__
    return TypeError(f"http_client must be {wanted} transport of connectcore.transport, not {name}{hint}")
