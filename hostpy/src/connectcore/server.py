"""Applications that serve RPCs, for ASGI and WSGI servers."""

from __future__ import annotations

from ._server.asgi import ConnectASGIApplication
from ._server.endpoint import Endpoint, EndpointSync
from ._server.options import ServerOptions
from ._server.router import ConnectASGIRouter, ConnectWSGIRouter
from ._server.wsgi import ConnectWSGIApplication
from ._wasm.configuration import DEFAULT_READ_MAX_BYTES

__all__ = [
    "DEFAULT_READ_MAX_BYTES",
    "ConnectASGIApplication",
    "ConnectASGIRouter",
    "ConnectWSGIApplication",
    "ConnectWSGIRouter",
    "Endpoint",
    "EndpointSync",
    "ServerOptions",
]
