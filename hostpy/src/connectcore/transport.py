"""What sends a client's requests, for the argument `http_client` of a client.

`PyqwestTransport` and `PyqwestTransportSync` are the default, here to be made with other options; `ASGITransport` and
`WSGITransport` call an application in this process, without a network, which is good for tests. Any object with the methods of
`Transport` or `TransportSync` serves: the protocol is written down in `_transport/transport.py`.
"""

from __future__ import annotations

from ._transport.app import ASGITransport, WSGITransport
from ._transport.pyqwest import PyqwestTransport, PyqwestTransportSync
from ._transport.transport import Gone, Request, Response, ResponseSync, Transport, TransportError, TransportSync

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
