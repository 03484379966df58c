"""An exchange that is left in a reference cycle: the collector closes its socket, and has the connection given back."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from connectcore.client import Cancellation
from connectcore.transport import HTTPTransportSync
from http2_support import answering, http2_server
from http_support import request
from test_http_transport_sync import fetch, timed

if TYPE_CHECKING:
    from collections.abc import Iterator


class Left:
    """What is left with an exchange, and closes it when it is collected."""

    def __init__(self, exchange: Any) -> None:
        self.exchange, self.cycle = exchange, self

    def __del__(self) -> None:
        self.exchange.close()


@pytest.fixture
def collected() -> Iterator[None]:
    """No collection but the test's own."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("collected")
def test_a_connection_whose_socket_was_collected_carries_nothing_more() -> None:
    with http2_server(answering()) as server, HTTPTransportSync() as transport:
        for _ in range(3):
            Left(transport.open_sync(timed(request(server.address, http2=True))))
            gc.collect()
            assert fetch(transport, timed(request(server.address, http2=True)))[:2] == (200, b"ok")


def test_the_collector_may_run_in_a_thread_that_holds_a_lock() -> None:
    """It runs where anything is allocated, and ends exchanges there."""

    def end() -> None:
        with place._lock, cancellation._lock:
            exchange.close()

    cancellation = Cancellation()
    with http2_server(answering()) as server, HTTPTransportSync() as transport:
        what = timed(request(server.address, http2=True))
        what.cancellation = cancellation
        exchange = transport.open_sync(what)
        place = next(iter(transport._rotations.values())).first
        thread = threading.Thread(target=end, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
        assert fetch(transport, timed(request(server.address, http2=True)))[:2] == (200, b"ok")
