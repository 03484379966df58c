"""Peers that break HTTP/2, or wear a client down: an error, bounded memory, and a client that still works.

Those that break HTTP/1.1 are in test_client_hostile.py.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import h2.settings
import pytest

from client_support import accepted, shut
from connectcore.transport import Gone
from http2_support import answering, http2_server
from http_support import Client, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
MEGABYTE = 1 << 20
STEP = 128 << 10

OK = b"\x88"  # :status 200
NO_ROOM = 32 * MEGABYTE


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


SET = frame(SETTINGS)
HEAD = SET + frame(HEADERS, END_HEADERS, 1, OK)
GOOD = HEAD + frame(DATA, END_STREAM, 1, b"ok")


def literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


def setting(name: int, value: int) -> bytes:
    return struct.pack(">HI", name, value)


@contextlib.contextmanager
def saying(*pieces: bytes, close: bool = False, drain: bool = True) -> Iterator[tuple[str, threading.Event]]:
    """A server that says this to the first request on each connection. The event: it could not say all."""
    stopped = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def swallow(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while sock.recv(65536):
                pass

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            got = b""
            while b"hello" not in got:
                more = sock.recv(65536)
                if not more:
                    return
                got += more
            if drain:
                threading.Thread(target=swallow, args=(sock,), daemon=True).start()
            try:
                for piece in pieces:
                    sock.sendall(piece)
            except OSError:
                stopped.set()
                raise
            if not close:
                done.wait(30)
            sock.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        for sock in accepted(listener):
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    done = threading.Event()
    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", stopped
    finally:
        done.set()
        shut(listener)


@pytest.fixture
def client(mode: str) -> Iterator[Client]:
    one = Client(mode)
    yield one
    with http2_server(answering()) as server:  # it still works
        for _ in range(2):
            assert one.fetch(request(server.address, http2=True)) == b"ok"
    one.close()


M, R, C = Gone.MALFORMED, Gone.RESET, Gone.CLOSED

CASES: dict[str, tuple[list[bytes], set[Gone]]] = {
    # What is no HTTP/2.
    "HTTP/1.1": ([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"], {M}),
    "garbage": ([bytes(range(256)) * 4], {M}),
    "no settings first": ([frame(HEADERS, END_HEADERS, 1, OK)], {M}),
    "settings with an odd length": ([frame(SETTINGS, 0, 0, bytes(5))], {M}),
    "settings on a stream": ([frame(SETTINGS, 0, 1)], {M}),
    "settings acknowledged with content": ([SET + frame(SETTINGS, 1, 0, bytes(6))], {M}),
    "a window larger than windows are": ([SET + frame(SETTINGS, 0, 0, setting(4, 1 << 31))], {M}),
    "a frame size that is none": ([SET + frame(SETTINGS, 0, 0, setting(5, 100))], {M}),
    "push that is neither on nor off": ([SET + frame(SETTINGS, 0, 0, setting(2, 2))], {M}),
    # Frames out of order.
    "data before the head": ([SET + frame(DATA, 0, 1, b"x")], {M, R}),
    "data on a stream that was not opened": ([HEAD + frame(DATA, 0, 7, b"x")], {M}),
    "a head on a stream that was not opened": ([HEAD + frame(HEADERS, END_HEADERS, 9, OK)], {M}),
    "a head on a stream of the server's": ([SET + frame(HEADERS, END_HEADERS, 2, OK)], {M}),
    "a head on no stream": ([SET + frame(HEADERS, END_HEADERS, 0, OK)], {M}),
    "a second head that ends nothing": ([HEAD + frame(HEADERS, END_HEADERS, 1, OK)], {M, R}),
    "trailers with a status": ([HEAD + frame(HEADERS, END_HEADERS | END_STREAM, 1, OK)], {M, R}),
    "a continuation of nothing": ([SET + frame(CONTINUATION, END_HEADERS, 1, OK)], {M}),
    "data within a head": ([SET + frame(HEADERS, 0, 1, OK) + frame(DATA, 0, 1, b"x")], {M}),
    "a ping within a head": ([SET + frame(HEADERS, 0, 1, OK) + frame(PING, 0, 0, bytes(8))], {M}),
    "a continuation of another stream": ([SET + frame(HEADERS, 0, 1, OK) + frame(CONTINUATION, 4, 3, OK)], {M}),
    "a pushed response": ([HEAD + frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4) + OK)], {M}),
    "an end within a head": ([SET + frame(HEADERS, 0, 1, OK) + frame(GOAWAY, 0, 0, bytes(8))], {M}),
    # Wrong lengths.
    "a ping of seven bytes": ([HEAD + frame(PING, 0, 0, bytes(7))], {M}),
    "a window update of three bytes": ([HEAD + frame(WINDOW_UPDATE, 0, 0, bytes(3))], {M}),
    "a reset of five bytes": ([HEAD + frame(RST_STREAM, 0, 1, bytes(5))], {M}),
    "an end of two bytes": ([HEAD + frame(GOAWAY, 0, 0, bytes(2))], {M}),
    "a frame longer than allowed": ([HEAD + frame(DATA, 0, 1, bytes(20000))], {M}),
    "a frame that says 16 MiB": ([HEAD + frame(DATA, 0, 1, b"x", length=0xFFFFFF)], {M}),
    "padding longer than the frame": ([HEAD + frame(DATA, PADDED, 1, b"\xffx")], {M}),
    "less content than declared": (
        [SET + frame(HEADERS, END_HEADERS, 1, OK + literal(b"content-length", b"5")) + frame(DATA, END_STREAM, 1, b"ok")],
        {M, R},
    ),
    "more content than declared": (
        [SET + frame(HEADERS, END_HEADERS, 1, OK + literal(b"content-length", b"1")) + frame(DATA, END_STREAM, 1, b"ok")],
        {M, R},
    ),
    # Windows.
    "a window update of nothing": ([HEAD + frame(WINDOW_UPDATE, 0, 0, bytes(4))], {M}),
    "a stream's window update of nothing": ([HEAD + frame(WINDOW_UPDATE, 0, 1, bytes(4))], {M, R}),
    "a window that overflows": ([HEAD + frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2], {M}),
    "a stream's window that overflows": ([HEAD + frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff") * 2], {M, R}),
    # Fields.
    "no status": ([SET + frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(b"a", b"b"))], {M, R}),
    "two statuses": ([SET + frame(HEADERS, END_HEADERS | END_STREAM, 1, OK + OK)], {M, R}),
    "a status of two digits": ([SET + frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(b":status", b"20"))], {M, R}),
    "a request's field": ([SET + frame(HEADERS, END_HEADERS | END_STREAM, 1, OK + literal(b":path", b"/"))], {M, R}),
    "a status behind a field": ([SET + frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(b"a", b"b") + OK)], {M, R}),
    "an upper case name": ([SET + frame(HEADERS, END_HEADERS | END_STREAM, 1, OK + literal(b"A", b"b"))], {M, R}),
    "a line break in a value": ([SET + frame(HEADERS, END_HEADERS | END_STREAM, 1, OK + literal(b"a", b"b\r\nc: d"))], {M, R}),
    "a NUL in a value": ([SET + frame(HEADERS, END_HEADERS | END_STREAM, 1, OK + literal(b"a", b"\0"))], {M, R}),
    "a connection field": ([SET + frame(HEADERS, END_HEADERS | END_STREAM, 1, OK + literal(b"connection", b"close"))], {M, R}),
    "a field of no table": ([SET + frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\x0f")], {M}),
    "Huffman's code cut short": ([SET + frame(HEADERS, END_HEADERS, 1, OK + b"\x00\x81\x00\x81\xff")], {M}),
    # Ends.
    "closes at once": ([], {C}),
    "closes after its settings": ([SET], {C}),
    "closes within a frame": ([HEAD + frame(DATA, 0, 1, b"x")[:-1]], {C}),
    "closes within the content": ([HEAD + frame(DATA, 0, 1, b"x")], {C}),
    "resets the stream": ([HEAD + frame(RST_STREAM, 0, 1, struct.pack(">I", 2))], {R}),
    "goes away before the request, and closes": ([SET + frame(GOAWAY, 0, 0, bytes(8))], {R}),
    "goes away for a fault of ours": ([SET + frame(GOAWAY, 0, 0, struct.pack(">II", 1, 1))], {C}),
}


@pytest.mark.parametrize("name", CASES)
def test_hostile(client: Client, name: str) -> None:
    pieces, reasons = CASES[name]
    with saying(*pieces, close=True) as (address, _):
        error = client.fails(request(address, http2=True))
        assert error.reason in reasons, error


@pytest.mark.parametrize("name", [name for name, (_, reasons) in CASES.items() if C not in reasons])
def test_hostile_and_waits(client: Client, name: str) -> None:
    """The peer does not close: the client does not wait for it. In single bytes, the verdict is the same."""
    pieces, reasons = CASES[name]
    with saying(*[bytes((byte,)) for piece in pieces for byte in piece[:3000]]) as (address, _):
        if sum(map(len, pieces)) < 3000:
            error = client.fails(request(address, http2=True))
            assert error.reason in reasons, error


ODD_BUT_LEGAL: dict[str, list[bytes]] = {
    "unknown frames": [SET + frame(0x42, 0xFF, 1, b"abc") + GOOD[len(SET) :]],
    "informational heads": [SET + frame(HEADERS, END_HEADERS, 1, b"\x48\x03103") * 5 + GOOD[len(SET) :]],
    "priorities": [SET + frame(PRIORITY, 0, 1, bytes(5)) + GOOD[len(SET) :]],
    "padding": [SET + frame(HEADERS, END_HEADERS | PADDED, 1, b"\x02\x88\0\0") + frame(DATA, 9, 1, b"\x03ok\0\0\0")],
    "empty data": [HEAD + frame(DATA, 0, 1) * 1000 + frame(DATA, END_STREAM, 1, b"ok")],
    "a head in ten pieces": [
        SET + frame(HEADERS, 0, 1, OK) + frame(CONTINUATION, 0, 1) * 8 + frame(CONTINUATION, 4, 1) + frame(DATA, 1, 1, b"ok")
    ],
    "goes away after the response": [GOOD + frame(GOAWAY, 0, 0, struct.pack(">II", 1, 0))],
    "a thousand pings before": [SET + frame(PING, 0, 0, bytes(8)) * 1000 + GOOD[len(SET) :]],
    "a thousand settings before": [SET * 1000 + GOOD[len(SET) :]],
    "unknown settings": [frame(SETTINGS, 0, 0, setting(0x99, 7)) + GOOD[len(SET) :]],
    "resets what is over": [GOOD + frame(RST_STREAM, 0, 1, bytes(4))],
    "raises the window of what is over": [GOOD + frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1))],
}


@pytest.mark.parametrize("name", ODD_BUT_LEGAL)
def test_odd_but_legal(client: Client, name: str) -> None:
    with saying(*ODD_BUT_LEGAL[name]) as (address, _):
        assert client.fetch(request(address, http2=True)) == b"ok"


def resident() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def endless(piece: bytes, megabytes: int) -> list[bytes]:
    many = piece * max(1, MEGABYTE // len(piece))
    return [many] * megabytes


FLOODS: dict[str, tuple[Callable[[], list[bytes]], bool]] = {
    "fields without an end": (
        lambda: [SET, frame(HEADERS, 0, 1, OK), *endless(frame(CONTINUATION, 0, 1, literal(b"a", b"b" * 100)), 50)],
        True,
    ),
    "empty continuations without an end": (
        lambda: [SET, frame(HEADERS, 0, 1, OK), *endless(frame(CONTINUATION, 0, 1), 50)],
        True,
    ),
    "a bomb of fields": (
        # One entry of the table, named again and again.
        lambda: [SET, frame(HEADERS, END_HEADERS, 1, OK + b"\x40\x01a\x7f\x81\x1e" + b"b" * 4000 + b"\xbe" * 12000)],
        False,
    ),
    "more content than the windows": (lambda: [HEAD, *endless(frame(DATA, 0, 1, bytes(16384)), 100)], True),
    "content in single bytes": (lambda: [HEAD, *endless(frame(DATA, 0, 1, b"ab"), 20)], True),
    "informational heads without an end": (lambda: [SET, *endless(frame(HEADERS, END_HEADERS, 1, b"\x48\x03103"), 50)], True),
    "empty data without an end": (lambda: [HEAD, *endless(frame(DATA, 0, 1), 50)], False),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods(client: Client, mode: str, name: str) -> None:
    """What a peer sends takes memory within limits. It is stopped, or costs no more than reading it."""
    make, stops = FLOODS[name]
    pieces = make()
    before = resident()
    with saying(*pieces, close=True) as (address, stopped):
        what = request(address, http2=True)
        if mode == "sync":
            with contextlib.suppress(Exception):
                got = client.transport.open_sync(what)
                stopped.wait(0.5)  # the caller takes nothing, so nothing is read
                got.close()
            client.transport.close()
        else:
            assert client.loop is not None

            async def hold() -> None:
                import asyncio

                got = await client.transport.open(what)
                while not got.error and not got.ended:  # noqa: ASYNC110 - the caller takes nothing
                    await asyncio.sleep(0.01)

            with contextlib.suppress(Exception):
                client.loop.run_until_complete(hold())
        if stops:
            assert stopped.wait(20)
    assert resident() - before < NO_ROOM


@pytest.mark.parametrize("piece", [frame(PING, 0, 0, bytes(8)), SET], ids=["pings", "settings"])
def test_a_peer_that_does_not_read_the_answers_it_asks_for(client: Client, piece: bytes) -> None:
    before = resident()
    with saying(SET, *endless(piece, 64), drain=False) as (address, stopped):
        error = client.fails(request(address, http2=True))
        assert error.reason in (Gone.CLOSED, Gone.MALFORMED)
        assert stopped.wait(20)
    assert resident() - before < NO_ROOM


def test_windows_that_grow_while_nothing_is_read(client: Client) -> None:
    """A peer may be slow to read what it has room for. Content that waits for it is no answer that it has asked for."""

    def begin(connection: Any) -> None:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        connection.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 30})
        for _ in range(2 * len(content) // STEP):
            connection.h2.increment_flow_control_window(STEP)
            connection.send()
            time.sleep(0.002)

    content = bytes(12 * MEGABYTE)
    with http2_server(answering(), begin) as server:
        assert client.fetch(request(server.address, content, http2=True)) == b"ok"
        assert sum(map(len, server.connections[0].received.values())) == len(content)


def test_a_slow_reader_of_a_long_response(client: Client, mode: str) -> None:
    """100 MiB, read in small steps: all comes, and no more than the windows lies unread."""
    size = 100 * MEGABYTE
    most = 0

    def heard(connection: Any, event: Any) -> None:
        name = type(event).__name__
        if name == "StreamEnded":
            connection.h2.send_headers(event.stream_id, [(":status", "200")])
            left.append(size)
        if left:
            stream = 1
            while left[0] and (room := min(connection.h2.local_flow_control_window(stream), 16384, left[0])) > 0:
                connection.h2.send_data(stream, bytes(room))
                connection.send()
                left[0] -= room
            if not left[0]:
                connection.h2.end_stream(stream)
                left.clear()

    left: list[int] = []
    with http2_server(heard) as server:
        what = request(server.address, http2=True)
        total = 0
        if mode == "sync":
            got = client.transport.open_sync(what)
            while data := got.read():
                total += len(data)
                most = max(most, got.unread)
            got.close()
        else:

            async def run() -> None:
                import asyncio

                nonlocal total, most
                got = await client.transport.open(what)
                for turn in range(10**9):
                    if turn % 16 == 0:
                        await asyncio.sleep(0.001)
                    most = max(most, got.unread)
                    data = await got.read()
                    if not data:
                        break
                    total += len(data)
                await got.close()

            assert client.loop is not None
            client.loop.run_until_complete(run())
    assert total == size
    assert most <= 2 * MEGABYTE
