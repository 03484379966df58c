"""Applications that serve RPCs, for ASGI and WSGI servers."""

from __future__ import annotations

from ._asgi import ConnectASGIApplication
from ._endpoint import Endpoint, EndpointSync
from ._router import ConnectASGIRouter, ConnectWSGIRouter
from ._service import DEFAULT_READ_MAX_BYTES
from ._wsgi import ConnectWSGIApplication

__all__ = [
    "DEFAULT_READ_MAX_BYTES",
    "ConnectASGIApplication",
    "ConnectASGIRouter",
    "ConnectWSGIApplication",
    "ConnectWSGIRouter",
    "Endpoint",
    "EndpointSync",
]
