"""What sends a client's requests, for the argument `http_client` of a client.

`PyqwestTransport` and `PyqwestTransportSync` are the default, here to be made with other options; `ASGITransport` and
`WSGITransport` call an application in this process, without a network, which is good for tests. Any object with the methods of
`Transport` or `TransportSync` serves: the protocol is written down in `_transport.py`.
"""

from __future__ import annotations

from ._transport import Gone, Request, Response, ResponseSync, Transport, TransportError, TransportSync
from ._transport_app import ASGITransport, WSGITransport
from ._transport_pyqwest import PyqwestTransport, PyqwestTransportSync

__all__ = [
    "ASGITransport",
    "Gone",
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
