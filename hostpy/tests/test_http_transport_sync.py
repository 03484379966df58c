"""Our own transport in threads: content that comes in pieces, deadlines, cancellation, the line for a connection."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import h2.events
import pytest

from client_support import Exchange, pressing_ctrl_c, response, serving
from connectcore._transport.http import sync_exchange
from connectcore._transport.http.http1 import Http1
from connectcore._transport.http.sync_connection import SyncConnection
from connectcore._transport.http.sync_wire import Wire
from connectcore.client import Cancellation
from connectcore.transport import Gone, HTTPTransportSync, Request, TransportError
from http2_support import OK, Connection, answering, http2_server, refusing_two
from http_support import VERSIONS, request, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def fetch(transport: HTTPTransportSync, what: Request) -> tuple[int, bytes, Any]:
    """Status, content, trailers."""
    got = transport.open_sync(what)
    try:
        content = b""
        while data := got.read():
            content += data
        return got.status, content, got.trailers
    finally:
        got.close()


def timed(what: Request, seconds: float = 20) -> Request:
    what.deadline = time.monotonic() + seconds
    return what


def test_http2_trailers_and_reuse() -> None:
    with http2_server(answering(trailers=[("grpc-status", "0")])) as server, HTTPTransportSync() as transport:
        for _ in range(300):
            what = timed(request(server.address, http2=True))
            assert fetch(transport, what) == (200, b"ok", [(b"grpc-status", b"0")])
        assert len(server.connections) == 1


def test_http1_reuse() -> None:
    with serving(lambda exchange: exchange.send(response(b"ok"))) as server, HTTPTransportSync() as transport:
        for _ in range(300):
            assert fetch(transport, request(server.address))[1] == b"ok"
        assert server.connections == 1


def test_a_connection_that_its_server_closed_is_noticed() -> None:
    def answer(exchange: Exchange) -> bool:
        exchange.send(response(b"ok"))
        return False

    with serving(answer) as server, HTTPTransportSync() as transport:
        for number in range(5):
            assert fetch(transport, request(server.address))[1] == b"ok"
            assert server.connections == number + 1
            time.sleep(0.02)


def test_http2_full_duplex() -> None:
    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            connection.h2.send_headers(event.stream_id, OK)
        elif isinstance(event, h2.events.DataReceived):
            connection.h2.send_data(event.stream_id, event.data.upper())
        elif isinstance(event, h2.events.StreamEnded):
            connection.h2.end_stream(event.stream_id)

    pieces: queue.Queue[bytes | None] = queue.Queue()
    with http2_server(heard) as server, HTTPTransportSync() as transport:
        for _ in range(3):
            got = transport.open_sync(timed(request(server.address, iter(pieces.get, None), http2=True)))
            for piece in (b"a", b"b", b"c"):
                pieces.put(piece)
                assert got.read() == piece.upper()
            pieces.put(None)
            assert got.read() == b""
            got.close()
        assert len(server.connections) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_content_that_fails(version: str) -> None:
    def content() -> Iterator[bytes]:
        yield b"a"
        raise KeyError("mine")

    with (
        http2_server(lambda _c, _e: None) if version == "2" else serving(silent) as server,
        HTTPTransportSync() as transport,
        pytest.raises(KeyError, match="mine"),
    ):
        transport.open_sync(timed(request(server.address, content(), http2=version == "2")))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_response_before_the_content_is_whole(version: str) -> None:
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.DataReceived):
            connection.respond(event.stream_id, b"enough")

    def answer(exchange: Exchange) -> bool:
        assert begun.wait(20)
        exchange.send(response(b"enough"))
        return exchange.wait_for_close()

    def content() -> Iterator[bytes]:
        try:
            begun.set()
            yield b"a"
            go_on.wait(20)
            yield b"b"
            raise AssertionError("asked on")
        finally:
            closed.set()

    with http2_server(heard) if version == "2" else serving(answer) as server, HTTPTransportSync() as transport:
        assert fetch(transport, timed(request(server.address, content(), http2=version == "2")))[1] == b"enough"
        go_on.set()
        assert closed.wait(20)


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("reading", [False, True])
def test_upload_through_small_windows(pieces: bool, reading: bool) -> None:
    """10 MiB through HTTP/2's default windows, whether or not the caller reads meanwhile."""
    size = 10 << 20
    whole = threading.Event()

    def heard(connection: Connection, event: Any) -> None:
        if not reading and isinstance(event, h2.events.RequestReceived):
            connection.h2.send_headers(event.stream_id, OK)
        elif isinstance(event, h2.events.DataReceived):
            connection.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            whole.set()
            if reading:
                connection.h2.send_headers(event.stream_id, OK)
            connection.h2.send_data(event.stream_id, b"ok", end_stream=True)

    content: Any = (bytes(1 << 20) for _ in range(10)) if pieces else bytes(size)
    with http2_server(heard) as server, HTTPTransportSync() as transport:
        got = transport.open_sync(timed(request(server.address, content, http2=True), 60))
        if pieces and not reading:
            assert whole.wait(60)  # the sender reads the windows itself
        assert got.read() == b"ok"
        assert got.read() == b""
        got.close()
        assert len(server.connections[0].received[1]) == size


def test_content_is_closed_that_nothing_is_asked_of(monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[Callable[[], None]] = []

    class Untouched:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            raise AssertionError("asked")

        def close(self) -> None:
            self.closed = True

    with HTTPTransportSync() as transport:
        content = Untouched()
        with pytest.raises(TransportError) as caught:
            transport.open_sync(timed(request("http://127.0.0.1:1", content)))
        assert caught.value.reason is Gone.REFUSED
        assert content.closed
        # The answer is there before the thread that sends has begun.
        monkeypatch.setattr(sync_exchange, "in_thread", late.append)
        content = Untouched()
        with serving(response(b"enough")) as server:
            assert fetch(transport, timed(request(server.address, content)))[1] == b"enough"
        assert content.closed
        for work in late:
            work()


def test_refused_and_gone_streams_are_sent_again() -> None:
    seen: list[str] = []

    with http2_server(refusing_two(seen)) as server, HTTPTransportSync() as transport:
        assert fetch(transport, timed(request(server.address, http2=True)))[1] == b"ok"
        assert (len(seen), len(server.connections)) == (3, 2)


# Ends


@pytest.mark.parametrize("version", VERSIONS)
def test_deadline(version: str) -> None:
    with (
        http2_server(lambda _c, _e: None) if version == "2" else serving(silent) as server,
        HTTPTransportSync() as transport,
        pytest.raises(TransportError) as caught,
    ):
        transport.open_sync(timed(request(server.address, http2=version == "2"), 0.1))
    assert caught.value.reason is Gone.TIMEOUT


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
def test_cancel(version: str, pieces: bool) -> None:
    release = threading.Event()

    def content() -> Iterator[bytes]:
        yield b"a"
        release.wait(10)

    with (
        http2_server(lambda _c, _e: None) if version == "2" else serving(silent) as server,
        HTTPTransportSync() as transport,
    ):
        cancellation = Cancellation()
        what = request(server.address, content() if pieces else b"hello", http2=version == "2")
        what.cancellation = cancellation
        threading.Timer(0.1, cancellation.cancel).start()
        start = time.monotonic()
        with pytest.raises(TransportError) as caught:
            transport.open_sync(what)
        assert caught.value.reason is Gone.CANCELED
        assert time.monotonic() - start < 5
        release.set()


@pytest.mark.parametrize("version", VERSIONS)
def test_ctrl_c(version: str) -> None:
    asked = threading.Event()

    def heard(_connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.StreamEnded):
            asked.set()

    def answer(exchange: Exchange) -> None:
        asked.set()
        silent(exchange)

    with http2_server(heard) if version == "2" else serving(answer) as server, HTTPTransportSync() as transport:
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt), pressing_ctrl_c(lambda: asked.wait(20)):
            transport.open_sync(request(server.address, http2=version == "2"))
        assert time.monotonic() - start < 20


def test_the_line_for_a_connection() -> None:
    """One connection, and many threads: each has its turn; who gives up waiting loses nobody's turn."""
    asked, gate = threading.Event(), threading.Event()

    def answer(exchange: Exchange) -> None:
        asked.set()
        gate.wait(20)
        exchange.send(response(b"ok"))

    results: list[Any] = []

    def work(seconds: float) -> None:
        try:
            results.append(fetch(transport, timed(request(server.address), seconds))[1])
        except TransportError as error:
            results.append(error.reason)

    with serving(answer) as server, HTTPTransportSync(max_connections=1) as transport:
        threads = [threading.Thread(target=work, args=(0.2 if number % 3 == 1 else 20,)) for number in range(9)]
        for thread in threads:
            thread.start()
            assert asked.wait(20)  # the first one has the connection
            time.sleep(0.01)
        time.sleep(0.5)
        gate.set()
        for thread in threads:
            thread.join()
        assert server.connections == 1
    assert sorted(map(str, results)) == ["Gone.TIMEOUT"] * 3 + ["b'ok'"] * 6


def test_canceled_calls_leave_nothing() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    with http2_server(lambda _c, _e: None) as server:
        with HTTPTransportSync() as transport:
            with pytest.raises(TransportError):
                transport.open_sync(timed(request(server.address, http2=True), 0.5))
            before = descriptors()
            for _ in range(50):
                with pytest.raises(TransportError):
                    transport.open_sync(timed(request(server.address, http2=True), 0.002))
            assert descriptors() <= before + 4  # the server's accepted sockets
        assert len(server.connections) < 5


def test_addresses_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address does not answer: the next is tried."""
    with serving(lambda exchange: exchange.send(response(b"ok"))) as server, HTTPTransportSync() as transport:
        port = int(server.address.rsplit(":", 1)[1])
        found = [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)
        assert fetch(transport, timed(request(f"http://some.where:{port}")))[1] == b"ok"


def test_a_closed_wire_writes_to_nobody() -> None:
    """The number of its socket is most likely another's by then."""
    near, far = socket.socketpair()
    wire = Wire(near)
    wire.write(b"before")
    assert far.recv(100) == b"before"
    wire.close()
    other, its_peer = socket.socketpair()
    with far, other, its_peer:
        its_peer.setblocking(False)
        with pytest.raises(OSError, match="Bad file descriptor"):
            wire.write(b"after")
        for each in (other, its_peer):
            each.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.recv(100)


def test_a_wire_keeps_what_nobody_reads() -> None:
    near, far = socket.socketpair()
    wire = Wire(near)
    with far:
        pieces = [b"%08d" % number for number in range(100_000)]
        for piece in pieces:
            wire.write(piece)
        assert wire.clogged
        read = b""
        while not wire.drain() or wire.clogged:
            read += far.recv(1 << 16)
        wire.sock.shutdown(socket.SHUT_WR)
        while piece := far.recv(1 << 16):
            read += piece
        assert read == b"".join(pieces)
        far.close()
        with pytest.raises(BrokenPipeError):
            wire.write(b"more")
    wire.close()


def test_a_socket_is_closed_when_nobody_reads_from_it() -> None:
    """Whoever still read would do so from the socket that has its number next. The sender of content reads, too."""
    told: list[str] = []

    class Told(Wire):
        def read(self, deadline: float | None, *, peek: bool = False) -> bytes | None:
            told.append("reads")
            reads.set()
            data = super().read(deadline, peek=peek)
            told.append("has read")
            return data

        def close(self) -> None:
            told.append("closed")
            super().close()

    class Place:
        def lost(self, connection: Any) -> None:
            pass

    reads = threading.Event()
    near, far = socket.socketpair()
    place: Any = Place()
    connection = SyncConnection(place, Told(near), Http1())
    exchange: Any = SimpleNamespace(request=SimpleNamespace(deadline=None), unread=0, over=False, status=None)
    thread = threading.Thread(target=connection.advance, args=(exchange,), kwargs={"head": True})
    with far:
        thread.start()
        assert reads.wait(20)
        connection.close()
        thread.join(20)
    assert told == ["reads", "has read", "closed"]
