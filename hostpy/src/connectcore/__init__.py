"""Connect, gRPC and gRPC-Web for Python, on one protocol core.

Start with `connectcore.server` (applications for ASGI and WSGI) or `connectcore.client` (async and sync clients). Both are
usually reached through code that `protoc-gen-connectcore` generates from a `.proto` file.
"""

from __future__ import annotations

from ._version import __version__

__all__ = ["__version__"]
