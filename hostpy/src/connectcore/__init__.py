"""Connect, gRPC and gRPC-Web for Python, on one protocol core.

Start with `connectcore.server` (applications for ASGI and WSGI) or `connectcore.client` (async and sync clients). Both are
usually reached through code that `protoc-gen-connectcore` generates from a `.proto` file.

Inside: `_wasm` is the engine, `_server` and `_client` drive it, `_transport` sends a client's requests, `_codec` makes messages
bytes and back, `_plugin` is `protoc-gen-connectcore`. The modules without an underscore are the public names.
"""

from __future__ import annotations

from ._version import __version__

__all__ = ["__version__"]
