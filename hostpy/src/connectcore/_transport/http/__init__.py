"""Our own transport: HTTP/1.1 and HTTP/2 in the caller's event loop or thread.

From the wire upwards:

`parser` is the one file that touches `zttp`, which parses what comes. `exchange` is one request with what has come of its
response. `http1` and `http2` are what one connection does, without I/O: bytes in, bytes out, exchanges told. `options`, `proxy`
and `address` say how a connection is made. `pool` decides which connection carries a request.

The async form is `async_connection` (an `asyncio.Protocol`), `async_connect`, `async_pool` and `async_transport`; the sync form
is `sync_connection` (a blocking socket), `sync_connect`, `sync_pool` and `sync_transport`.
"""

from __future__ import annotations
