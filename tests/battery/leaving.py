"""Peers that leave: HTTP/2 streams that are reset as soon as they are opened, and connections that close under their calls."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from collections.abc import Iterator

import h2.connection
import h2.events
import h2.exceptions
from server_support import SERVICE

import bursts
from bursts import KINDS, SEED, head, opened
from figures import Figure
from peers import Server, beside, compared, serving
from proxies import HOST

AT_ONCE = 100  # streams in one write


class Resetting:
    """One connection over HTTP/2 at a time: a server that has had enough of it closes it, and the next is opened."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = self.resets = 0
        self._connect()

    def _connect(self) -> None:
        self.connections += 1
        self.sock = socket.create_connection((HOST, self.port), timeout=20)
        self.h2 = h2.connection.H2Connection()
        self.h2.initiate_connection()
        self.sock.sendall(self.h2.data_to_send())

    def burst(self, kinds: list[str], *, with_content: bool) -> None:
        for kind in kinds:
            stream = self.h2.get_next_available_stream_id()
            fields, content = opened(kind)
            self.h2.send_headers(stream, head(kind, fields))
            if with_content and self.h2.local_flow_control_window(stream) >= len(content):
                self.h2.send_data(stream, content)
            self.h2.reset_stream(stream, 8)
        try:
            self.sock.sendall(self.h2.data_to_send())
            self.resets += len(kinds)
            self._hear()
        except (OSError, h2.exceptions.ProtocolError):
            self._again()

    def _hear(self) -> None:
        """What the server says meanwhile."""
        self.h2.ping(b"resetall")
        self.sock.sendall(self.h2.data_to_send())
        while data := self.sock.recv(65536):
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.ConnectionTerminated):
                    return self._again()
                if isinstance(event, h2.events.PingAckReceived):
                    self.sock.sendall(self.h2.data_to_send())
                    return None
        return self._again()

    def _again(self) -> None:
        self.sock.close()
        self._connect()


def reset(server: Server, count: int) -> Resetting:
    """Open streams and reset them."""
    random_ = random.Random(SEED)
    peer = Resetting(server.port)
    while peer.resets < count:
        peer.burst(random_.choices(KINDS, k=AT_ONCE), with_content=random_.random() < 0.5)
    peer.sock.close()
    return peer


def resets(server: Server, count: int, what: str) -> Iterator[Figure]:
    before, peers = server.status(), []
    yield from beside(what, server, lambda: peers.append(reset(server, count)), count)
    yield Figure(f"{what}: connections that the server closed over them", f"{peers[0].connections - 1}", "", None)
    yield from server.left(before, what)


def disconnect(port: int, kind: str, random_: random.Random) -> None:
    """A call over HTTP/1.1 that its peer leaves: at once, in the middle of its content, or when the handler runs."""
    fields, content = opened(kind)
    chunk = b"%x\r\n%b\r\n" % (len(content), content)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    request = f"POST /{SERVICE}/{kind} HTTP/1.1\r\nhost: {HOST}\r\n{lines}transfer-encoding: chunked\r\n\r\n".encode()
    request += chunk + b"0\r\n\r\n"
    with socket.create_connection((HOST, port), timeout=20) as sock:
        if random_.random() < 0.5:  # with a reset
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(request[: random_.randrange(len(request))] if random_.random() < 0.5 else request)


def leave(server: Server, count: int) -> None:
    """Open connections and close them."""
    random_ = random.Random(SEED)
    for _ in range(count):
        with contextlib.suppress(OSError):
            disconnect(server.port, random_.choice(KINDS), random_)


def disconnects(server: Server, count: int, what: str) -> Iterator[Figure]:
    before = server.status()
    yield from beside(what, server, lambda: leave(server, count), count)
    yield from server.left(before, what)


def figures(whole: bool) -> Iterator[Figure]:
    count = 10_000 if whole else 500
    what = f"{count:,} HTTP/2 streams opened and reset"
    with serving("uvicorn-zttp") as server:
        yield from resets(server, count, what)
        for size in (100, 10, 1) if whole else (100,):
            yield from bursts.figures(server, size, *((5, 2_000) if whole else (3, 1_000)))
    if whole:
        yield from compared("uvicorn-zttp", what, lambda server: reset(server, count), count)
    for name in ("uvicorn-zttp", "uvicorn-httptools", "uvicorn-h11") if whole else ("uvicorn-httptools",):
        what = f"{name}: {count:,} connections closed"
        with serving(name) as server:
            yield from disconnects(server, count, what)
        if whole:
            yield from compared(name, what, lambda server: leave(server, count), count)
