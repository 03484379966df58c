"""Our own transport: requests and responses over HTTP/1.1 and HTTP/2, content that comes in pieces, connections used again."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import h2.events
import h2.settings
import pytest

from client_support import Exchange, response, serving
from connectcore.transport import Gone, HTTPTransport, Request, TransportError
from http2_support import OK, Connection, answering, http2_server, refusing_two
from http_support import VERSIONS, request, silent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


def finish(work: Coroutine[Any, Any, None]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(30):
            await work

    asyncio.run(timed())


async def fetch(transport: HTTPTransport, what: Request) -> tuple[int, bytes, Any]:
    """Status, content, trailers."""
    got = await transport.open(what)
    try:
        content = b""
        while data := await got.read():
            content += data
        return got.status, content, got.trailers
    finally:
        await got.close()


def test_http2_trailers_and_reuse() -> None:
    async def run() -> None:
        async with HTTPTransport() as transport:
            for _ in range(3):
                what = request(server.address, http2=True)
                assert await fetch(transport, what) == (200, b"ok", [(b"grpc-status", b"0")])
            await asyncio.gather(*(fetch(transport, request(server.address, http2=True)) for _ in range(50)))

    with http2_server(answering(trailers=[("grpc-status", "0")])) as server:
        finish(run())
        assert len(server.connections) == 1


def test_fields_and_framing() -> None:
    heads: list[bytes] = []

    def answer(exchange: Exchange) -> None:
        heads.append(exchange.head)
        exchange.send(response(b"ok"))

    async def run() -> None:
        async with HTTPTransport() as transport:
            await fetch(transport, request(server.address, b"hello", ("x-a", "ä")))
            await fetch(transport, request(server.address, b"", method="GET", target="/a.B/C?x=%20"))

    with serving(answer) as server:
        finish(run())
        assert server.connections == 1
        host = server.address.removeprefix("http://")
    assert heads[0].decode().split("\r\n")[:5] == [
        "POST /a.B/C HTTP/1.1",
        f"host: {host}",
        "content-type: application/proto",
        "x-a: ä",
        "content-length: 5",
    ]
    assert heads[1].startswith(b"GET /a.B/C?x=%20 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("fields", "target"),
    [([("x", "a\r\nb: c")], "/"), ([("host", "b")], "/"), ([("transfer-encoding", "gzip")], "/"), ([], "/a b")],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_cannot_be_sent(version: str, fields: list[tuple[str, str]], target: str) -> None:
    async def run() -> None:
        async with HTTPTransport() as transport:
            with pytest.raises(ValueError, match=r"line break|HTTP client|escaped"):
                await transport.open(request(server.address, b"", *fields, http2=version == "2", target=target))
            assert (await fetch(transport, request(server.address, http2=version == "2")))[1] == b"ok"

    with http2_server(answering()) if version == "2" else serving(lambda e: e.send(response(b"ok"))) as server:
        finish(run())


# Content that comes in pieces


def test_http2_full_duplex() -> None:
    """Each piece is sent at once, and each answer comes while the next is not there yet."""

    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.RequestReceived):
            connection.h2.send_headers(event.stream_id, OK)
        elif isinstance(event, h2.events.DataReceived):
            connection.h2.send_data(event.stream_id, event.data.upper())
        elif isinstance(event, h2.events.StreamEnded):
            connection.h2.end_stream(event.stream_id)

    async def run() -> None:
        pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

        async def content() -> AsyncIterator[bytes]:
            while (piece := await pieces.get()) is not None:
                yield piece

        async with HTTPTransport() as transport:
            got = await transport.open(request(server.address, content(), http2=True))
            for piece in (b"a", b"b", b"c"):
                pieces.put_nowait(piece)
                assert await got.read() == piece.upper()
            pieces.put_nowait(None)
            assert await got.read() == b""
            await got.close()

    with http2_server(heard) as server:
        finish(run())


def test_http1_pieces_go_at_once() -> None:
    """The server answers in the middle, and the rest is still sent."""
    seen = threading.Event()

    def answer(exchange: Exchange) -> bool:
        sock = exchange.connection
        got = exchange.content
        while b"first" not in got:
            got += sock.recv(1000)
        exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
        while not got.endswith(b"0\r\n\r\n"):
            got += sock.recv(1000)
        assert got == b"5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n"
        seen.set()
        exchange.send(b"k")
        return True

    async def run() -> None:
        go = asyncio.Event()

        async def content() -> AsyncIterator[bytes]:
            yield b"first"
            await go.wait()
            yield b"second"

        async with HTTPTransport() as transport:
            got = await transport.open(request(server.address, content()))
            assert await got.read() == b"o"
            go.set()
            assert await got.read() == b"k"
            assert await got.read() == b""
            await got.close()
            assert seen.is_set()

    with serving(answer) as server:
        finish(run())


@pytest.mark.parametrize("version", VERSIONS)
def test_content_that_fails(version: str) -> None:
    async def run() -> None:
        async def content() -> AsyncIterator[bytes]:
            yield b"a"
            raise KeyError("mine")

        async with HTTPTransport() as transport:
            with pytest.raises(KeyError, match="mine"):
                await transport.open(request(server.address, content(), http2=version == "2"))
            assert len(asyncio.all_tasks()) == 1

    def heard(_connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.StreamReset):
            codes.append(event.error_code)
            reset.set()

    codes: list[int] = []
    reset = threading.Event()
    with http2_server(heard) if version == "2" else serving(silent) as server:
        finish(run())
        if version == "2":
            assert reset.wait(20)
            assert codes == [8]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_response_before_the_content_is_whole(version: str) -> None:
    closed = threading.Event()

    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.DataReceived):
            connection.respond(event.stream_id, b"enough")

    def answer(exchange: Exchange) -> bool:
        exchange.send(response(b"enough"))
        return exchange.wait_for_close()

    async def run() -> None:
        async def content() -> AsyncIterator[bytes]:
            try:
                yield b"a"
                await asyncio.Event().wait()
            finally:
                closed.set()

        async with HTTPTransport() as transport:
            assert (await fetch(transport, request(server.address, content(), http2=version == "2")))[1] == b"enough"
            assert closed.is_set()
            assert len(asyncio.all_tasks()) == 1

    with http2_server(heard) if version == "2" else serving(answer) as server:
        finish(run())


class Untouched:
    """Content that is asked for nothing."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def __aiter__(self) -> Untouched:
        return self

    async def __anext__(self) -> bytes:
        raise AssertionError("asked")

    async def aclose(self) -> None:
        self.closed.set()


def test_content_is_closed_that_nothing_is_asked_of() -> None:
    async def refused() -> None:
        content = Untouched()
        async with HTTPTransport() as transport:
            with pytest.raises(TransportError) as caught:
                await transport.open(request("http://127.0.0.1:1", content))
        assert caught.value.reason is Gone.REFUSED
        assert content.closed.is_set()

    async def canceled(address: str) -> None:
        content = Untouched()
        async with HTTPTransport() as transport:
            await fetch(transport, request(address))  # the connection is there, and the next request goes at once
            opening = asyncio.create_task(transport.open(request(address, content)))
            asyncio.get_running_loop().call_soon(opening.cancel)  # before its content is begun
            with pytest.raises(asyncio.CancelledError):
                await opening
        assert content.closed.is_set()

    finish(refused())
    with serving(response(b"ok")) as server:
        finish(canceled(server.address))


@pytest.mark.parametrize("pieces", [False, True])
def test_upload_through_small_windows(pieces: bool) -> None:
    """10 MiB through HTTP/2's default windows."""
    size = 10 << 20

    async def content() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield bytes(1 << 20)

    async def run() -> None:
        async with HTTPTransport() as transport:
            what = request(server.address, content() if pieces else bytes(size), http2=True)
            assert (await fetch(transport, what))[1] == b"ok"

    with http2_server(answering()) as server:
        finish(run())
        assert len(server.connections[0].received[1]) == size


def test_windows_are_raised_seldom_and_in_time() -> None:
    """A response of 16 KiB needs no window of its own, and so many of them, more than the connection's window, need a few."""
    raised: list[int] = []
    small = answering(bytes(16384))

    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.WindowUpdated) and connection.received:
            raised.append(event.stream_id)
        small(connection, event)

    async def run() -> None:
        async with HTTPTransport() as transport:
            for _ in range(600):
                assert len((await fetch(transport, request(server.address, b"a", http2=True)))[1]) == 16384

    with http2_server(heard) as server:
        finish(run())
    assert set(raised) == {0}
    assert 5 < len(raised) < 20


def test_a_window_that_becomes_negative_in_mid_upload() -> None:
    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.DataReceived):
            if event.stream_id not in shrunk:
                shrunk.add(event.stream_id)
                connection.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 100})
            connection.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            connection.respond(event.stream_id)

    async def run() -> None:
        async with HTTPTransport() as transport:
            for _ in range(2):
                assert (await fetch(transport, request(server.address, bytes(300_000), http2=True)))[1] == b"ok"

    shrunk: set[int] = set()
    with http2_server(heard) as server:
        finish(run())


# Connections


def test_refused_and_gone_streams_are_sent_again() -> None:
    seen: list[str] = []

    async def run() -> None:
        async with HTTPTransport() as transport:
            assert (await fetch(transport, request(server.address, http2=True)))[1] == b"ok"

    with http2_server(refusing_two(seen)) as server:
        finish(run())
        assert (len(seen), len(server.connections)) == (3, 2)


def test_content_that_was_begun_is_not_sent_again() -> None:
    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.DataReceived):
            connection.h2.reset_stream(event.stream_id, 7)

    async def content() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    async def run() -> None:
        async with HTTPTransport() as transport:
            with pytest.raises(TransportError) as caught:
                await transport.open(request(server.address, content(), http2=True))
            assert (caught.value.reason, caught.value.reset_code) == (Gone.RESET, 7)

    with http2_server(heard) as server:
        finish(run())


@pytest.mark.parametrize("version", VERSIONS)
def test_cancel(version: str) -> None:
    """Over HTTP/2 the stream is reset and the connection serves on, over HTTP/1.1 it is closed; no task is left."""
    came = threading.Event()
    reset = threading.Event()

    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.StreamEnded):
            came.set()
            if event.stream_id > 1:
                connection.respond(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            reset.set()

    def answer(exchange: Exchange) -> bool:
        came.set()
        if exchange.wait_for_close():
            reset.set()
        return False

    async def run() -> None:
        async with HTTPTransport() as transport:
            task = asyncio.create_task(transport.open(request(server.address, http2=version == "2")))
            await asyncio.to_thread(came.wait, 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()
            assert await asyncio.to_thread(reset.wait, 5)
            assert len(asyncio.all_tasks()) == 1
            if version == "2":
                assert (await fetch(transport, request(server.address, http2=True)))[1] == b"ok"

    with http2_server(heard) if version == "2" else serving(answer) as server:
        finish(run())


def test_a_slow_reader_stops_the_server() -> None:
    """What comes unread is bounded over both versions."""
    sent = 0

    def answer(exchange: Exchange) -> bool:
        nonlocal sent
        exchange.connection.settimeout(0.5)
        exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n")
        try:
            while sent < 100 << 20:
                sent += exchange.connection.send(bytes(65536))
        except OSError:
            pass
        return False

    async def run() -> None:
        async with HTTPTransport() as transport:
            got = await transport.open(request(server.address))
            await asyncio.sleep(1)
            assert got.unread < 1 << 20
            await got.close()

    with serving(answer) as server:
        finish(run())
    assert sent < 20 << 20


def test_many_loops_and_threads() -> None:
    transport = HTTPTransport()
    failures: list[BaseException] = []

    def work() -> None:
        async def run() -> None:
            for _ in range(20):
                assert (await fetch(transport, request(server.address, http2=True)))[1] == b"ok"

        try:
            for _ in range(3):
                finish(run())
        except BaseException as error:
            failures.append(error)

    with http2_server(answering()) as server:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(server.connections) == 12
