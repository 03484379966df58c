"""The demo shows bytes as they are: a mistake here would show a wire that never was."""

from __future__ import annotations

import gzip
import socket
import threading

import hpack
import pytest

from tap import Connection, Tap
from wire import PREFACE, lines

HEAD = b"POST /p HTTP/1.1\r\nhost: h\r\n"


def shown(*runs: tuple[str, bytes]) -> list[str]:
    return [line.rstrip() for line in lines(Connection(list(runs)))]


def envelope(data: bytes, flags: int = 0) -> bytes:
    return bytes([flags]) + len(data).to_bytes(4, "big") + data


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def test_two_exchanges_of_one_connection_are_paired() -> None:
    request = HEAD + b"content-length: 2\r\n\r\n{}"
    got = shown(
        (">", request),
        ("<", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nA" + b"HTTP/1.1 404 Not Found\r\n\r\n"),
        (">", request),
    )
    assert [line for line in got if "HTTP/1.1" in line or line[2:] in ("{}", "41" + " " * 47 + "A")] == [
        "> POST /p HTTP/1.1",
        "> {}",
        "< HTTP/1.1 200 OK",
        "< 41" + " " * 47 + "A",
        "> POST /p HTTP/1.1",
        "> {}",
        "< HTTP/1.1 404 Not Found",
    ]


def test_chunks_are_joined_and_envelopes_told_apart() -> None:
    content = envelope(b"\x08\x01") + envelope(gzip.compress(b'{"a":1}'), 3)
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (content[:4], content[4:])) + b"0\r\n\r\n"
    head = HEAD + b"content-type: application/connect+proto\r\ntransfer-encoding: chunked\r\n\r\n"
    got = shown((">", head + chunked))
    assert got[5] == "> [flags 00, 2 bytes]"
    assert got[6].startswith("> 08 01")
    assert got[7].startswith("> [flags 03, ")
    assert got[8].endswith("of gzip; inside:)")
    assert got[9:] == ['> {"a":1}']


@pytest.mark.parametrize("cut", [1, 9, 30, 57])
def test_http2_frames_in_the_order_in_which_they_came(cut: int) -> None:
    fields = hpack.Encoder().encode([(":method", "POST")])
    sent = PREFACE + frame(4, 0, 0, b"") + frame(1, 4, 1, fields) + frame(0, 0, 1, envelope(b"\x08\x01")[:4])
    sent += frame(0, 1, 1, envelope(b"\x08\x01")[4:])
    back = frame(1, 4, 1, hpack.Encoder().encode([(":status", "200")])) + frame(3, 0, 1, b"\0\0\0\x08")
    got = shown((">", sent[:cut]), (">", sent[cut:]), ("<", back))
    assert got == [
        "> HEADERS, stream 1",
        ">   :method: POST",
        "> DATA, stream 1, 4 bytes",
        "> DATA, stream 1, 3 bytes, end",
        ">   [flags 00, 2 bytes]",
        ">   08 01" + " " * 44 + "..",
        "< HEADERS, stream 1",
        "<   :status: 200",
        "< RST_STREAM, stream 1",
    ]


def test_the_tap_passes_on_and_records() -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def echo() -> None:
        sock, _ = server.accept()
        with sock:
            while data := sock.recv(100):
                sock.sendall(data.upper())

    threading.Thread(target=echo, daemon=True).start()
    tap = Tap(server.getsockname()[1])
    with socket.create_connection(("127.0.0.1", tap.port), 5) as client:
        client.sendall(b"abc")
        assert client.recv(100) == b"ABC"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b""
    (connection,) = tap.take()
    assert connection.runs == [(">", b"abc"), ("<", b"ABC")]
    assert tap.take() == []
    tap.close()
    server.close()
