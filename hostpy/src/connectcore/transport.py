"""What sends a client's requests, for the argument `http_client` of a client.

`HTTPTransport` and `HTTPTransportSync` are the default, here to be made with other options: HTTP/1.1 and HTTP/2 in the caller's
own event loop or thread. `PyqwestTransport` and `PyqwestTransportSync` send by `pyqwest`, HTTP/3 included; they are the default
where `zttp`, which the others need, has no wheel. `HttpxTransport` and `HttpxTransportSync` send by a client of httpx or
httpx2; such a client may also be given as it is. `ASGITransport` and `WSGITransport` call an application in this process,
without a network, which is good for tests. Any object with the methods of `Transport` or `TransportSync` serves: the protocol
is written down in `_transport/transport.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._transport.app import ASGITransport, WSGITransport
from ._transport.httpx import HttpxTransport, HttpxTransportSync
from ._transport.pyqwest import PyqwestTransport, PyqwestTransportSync
from ._transport.transport import Gone, Request, Response, ResponseSync, Transport, TransportError, TransportSync

if TYPE_CHECKING:
    from ._transport.http.async_transport import HTTPTransport
    from ._transport.http.sync_transport import HTTPTransportSync

__all__ = [
    "ASGITransport",
    "Gone",
    "HTTPTransport",
    "HTTPTransportSync",
    "HttpxTransport",
    "HttpxTransportSync",
    "PyqwestTransport",
    "PyqwestTransportSync",
    "Request",
    "Response",
    "ResponseSync",
    "Transport",
    "TransportError",
    "TransportSync",
    "WSGITransport",
]


def __getattr__(name: str) -> Any:
    # On first use, for they need `zttp`.
    if name == "HTTPTransport":
        from ._transport.http.async_transport import HTTPTransport

        return HTTPTransport
    if name == "HTTPTransportSync":
        from ._transport.http.sync_transport import HTTPTransportSync

        return HTTPTransportSync
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
