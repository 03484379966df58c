"""A sync call that Ctrl-C interrupts in the midst of its work: what was read or is to be written may be lost then, and with it
the connection, which no other call gets.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from client_support import response, serving
from connectcore.transport import HTTPTransportSync
from http2_support import answering, http2_server
from http_support import VERSIONS, connections, request
from test_http_transport_sync import fetch, timed

if TYPE_CHECKING:
    from collections.abc import Callable

BOTH = ["sync_wire.Wire.write", "sync_wire.Wire.read", "sync_connection.SyncConnection.take"]
WITHIN = {
    "1.1": [*BOTH, "http1.Http1.start", "http1.Http1.receive"],
    "2": [*BOTH, "http2.Http2.start", "http2.Http2.receive", "http2.Http2.taken"],
}


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("version", "where"), [(version, where) for version in VERSIONS for where in WITHIN[version]])
def test_the_connection_serves_nobody_else(monkeypatch: pytest.MonkeyPatch, version: str, where: str, before: bool) -> None:
    module, owner, name = where.split(".")
    place = getattr(importlib.import_module(f"connectcore._transport.http.{module}"), owner)
    real: Callable[..., Any] = getattr(place, name)

    def interrupted(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        if not before:
            real(*args, **options)
        raise KeyboardInterrupt

    server: Any
    with http2_server(answering()) if version == "2" else serving(lambda each: each.send(response(b"ok"))) as server:
        with HTTPTransportSync() as transport:
            for _ in range(2):
                assert fetch(transport, timed(request(server.address, http2=version == "2")))[1] == b"ok"
            monkeypatch.setattr(place, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                fetch(transport, timed(request(server.address, http2=version == "2")))
            for _ in range(2):
                assert fetch(transport, timed(request(server.address, http2=version == "2")))[1] == b"ok"
        assert connections(server) == 2
