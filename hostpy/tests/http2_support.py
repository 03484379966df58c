"""An HTTP/2 server over raw sockets, for tests: `h2` does the protocol, each test says what to answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from client_support import accepted, shut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OK = [(":status", "200"), ("content-type", "application/proto")]


class Connection:
    """A connection of the server: `h2` has its state, `send` writes what it has to say."""

    def __init__(self, server: Http2Server, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number
        self.received: dict[int, bytes] = {}
        self.ended: set[int] = set()
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)

    def send(self, raw: bytes = b"") -> None:
        self.sock.sendall(self.h2.data_to_send() + raw)

    def respond(self, stream: int, content: bytes = b"ok", trailers: list[tuple[str, str]] | None = None) -> None:
        self.h2.send_headers(stream, OK)
        self.h2.send_data(stream, content, end_stream=trailers is None)
        if trailers is not None:
            self.h2.send_headers(stream, trailers, end_stream=True)
        self.send()

    def run(self) -> None:
        self.h2.initiate_connection()
        self.server.begin(self)
        self.send()
        while data := self.sock.recv(65536):
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    self.received[event.stream_id] = self.received.get(event.stream_id, b"") + event.data
                if isinstance(event, h2.events.StreamEnded):
                    self.ended.add(event.stream_id)
                self.server.heard(self, event)
            self.send()


class Http2Server:
    """Accepts connections, and hands what comes to `heard`, each connection in a thread."""

    def __init__(
        self,
        heard: Callable[[Connection, Any], Any],
        begin: Callable[[Connection], Any] = lambda _c: None,
        *,
        ended: Callable[[Connection], Any] = lambda _c: None,
        wrap: Callable[[socket.socket], socket.socket] = lambda s: s,
        unix: str | None = None,
    ) -> None:
        self.heard = heard
        self.begin = begin
        self.ended = ended
        self.wrap = wrap
        self.connections: list[Connection] = []
        if unix is not None:
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listener.bind(unix)
            self.listener.listen()
            self.address = "http://localhost"
        else:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        for sock in accepted(self.listener):
            if sock.family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, sock, len(self.connections))
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError), connection.sock:
            connection.sock = self.wrap(connection.sock)
            with connection.sock:
                connection.run()
        self.ended(connection)

    def close(self) -> None:
        for each in (self.listener, *(connection.sock for connection in self.connections)):
            shut(each)


@contextlib.contextmanager
def http2_server(
    heard: Callable[[Connection, Any], Any], begin: Callable[[Connection], Any] = lambda _c: None, **more: Any
) -> Iterator[Http2Server]:
    server = Http2Server(heard, begin, **more)
    try:
        yield server
    finally:
        server.close()


def answering(content: bytes = b"ok", trailers: list[tuple[str, str]] | None = None) -> Callable[[Connection, Any], None]:
    """Answers each request when it is whole."""

    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.DataReceived):
            connection.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            connection.respond(event.stream_id, content, trailers)

    return heard


def refusing_two(seen: list[str]) -> Callable[[Connection, Any], None]:
    """Refuses the first request by its stream, the second by the end of the connection, and answers the third."""

    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.StreamEnded):
            seen.append("request")
            if len(seen) == 1:
                connection.h2.reset_stream(event.stream_id, 7)
            elif len(seen) == 2:
                connection.h2.close_connection(last_stream_id=1)
            else:
                connection.respond(event.stream_id)

    return heard
