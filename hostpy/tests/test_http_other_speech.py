"""Our own transport and servers that speak something else, or end connections at once."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from connectcore._transport.http.exchange import TRIES
from connectcore.transport import TransportError
from http_support import VERSIONS, Client, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.mark.parametrize(
    ("said", "version", "text"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "1.1", "the server speaks TLS here: the address must begin with https://"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "2", "the server speaks TLS here: the address must begin with https://"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "2", "the server speaks HTTP/1.1 here, and this call needs HTTP/2"),
        (b"\0\0\0\4\0\0\0\0\0", "1.1", 'the server speaks HTTP/2 here: give the transport http_version="2"'),
        (b"\0\0\6\4\0\0\0\0\0\0\4\0\1\0\0", "1.1", 'the server speaks HTTP/2 here: give the transport http_version="2"'),
        (b"220 mail.example ESMTP\r\n", "1.1", "the response is no HTTP/1.1"),
        (b"", "1.1", "the server closed it without a word"),
        (b"HTTP/1.1 200 OK\r\n", "1.1", "the server closed it"),
    ],
)
def test_what_a_server_speaks_instead(client: Callable[..., Client], said: bytes, version: str, text: str) -> None:
    with speaking(said) as address:
        assert client(http_version=version).fails(request(address)).text.startswith(text)


def test_no_tls_where_it_is_expected(client: Callable[..., Client]) -> None:
    with speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        error = client().fails(request(address.replace("http:", "https:")))
    assert error.text == "the server does not answer in TLS: if it serves without, its address begins with http://"


@contextlib.contextmanager
def speaking(said: bytes) -> Iterator[str]:
    """A server that says this to its first caller, whatever that says."""

    def serve() -> None:
        sock, _ = listener.accept()
        with sock, contextlib.suppress(OSError):
            asked = sock.recv(24, socket.MSG_WAITALL)
            while asked.startswith(b"PRI"):  # up to the head of a request (RFC 9113, 3.4 and 6.2)
                frame = sock.recv(9, socket.MSG_WAITALL)
                sock.recv(int.from_bytes(frame[:3], "big"), socket.MSG_WAITALL)
                if frame[3:4] in (b"\x01", b""):
                    break
            sock.sendall(said)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 16):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(20)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 503 No\r\n\r\n", b"\0\0\0\4\0\0\0\0\0\0\0\x08\7" + b"\0" * 13, b"no HTTP at all"]
)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_ends_connections_at_once(client: Callable[..., Client], said: bytes, version: str) -> None:
    """It is not asked again and again: there may be no request before it has ended the next one, too."""
    connections = 0

    def serve() -> None:
        nonlocal connections
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                connections += 1
                with sock:
                    sock.sendall(said)

    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            one = client(http_version=version)
            for _ in range(5):
                with contextlib.suppress(TransportError, OSError):
                    one.fetch(request(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(20)
    assert connections <= 5 * TRIES
