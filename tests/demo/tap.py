"""A proxy that records: bytes pass through unchanged, and can be read back in the order in which they came."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field


@dataclass
class Connection:
    """What went over one TCP connection: runs of bytes, `>` to the server and `<` back."""

    runs: list[tuple[str, bytes]] = field(default_factory=list)

    def add(self, direction: str, data: bytes) -> None:
        if self.runs and self.runs[-1][0] == direction:
            data = self.runs.pop()[1] + data
        self.runs.append((direction, data))

    def side(self, direction: str) -> bytes:
        return b"".join(data for way, data in self.runs if way == direction)


class Tap:
    """Listens on a free loopback port and forwards to `port`. Close it when done."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._lock = threading.Lock()
        self._connections: list[Connection] = []
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def take(self) -> list[Connection]:
        """The connections since the last call."""
        with self._lock:
            taken, self._connections = self._connections, []
        return taken

    def close(self) -> None:
        with self._lock:
            open_ = [self._listener, *self._sockets]
        for sock in open_:
            _shut(sock)

    def _accept(self) -> None:
        with self._listener:
            while True:
                try:
                    near, _ = self._listener.accept()
                except OSError:
                    return
                try:
                    far = socket.create_connection(self._target, 10)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        connection = Connection()
        with self._lock:
            self._connections.append(connection)
            self._sockets.update((near, far))
        with near, far:
            back = threading.Thread(target=self._pump, args=(connection, "<", far, near), daemon=True)
            back.start()
            self._pump(connection, ">", near, far)
            back.join()
        with self._lock:
            self._sockets -= {near, far}

    def _pump(self, connection: Connection, way: str, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                with self._lock:
                    connection.add(way, data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            _shut(source)
            _shut(sink)


def _shut(sock: socket.socket) -> None:
    """End a socket, and the wait of the thread that reads from it or accepts. That thread closes it: closed here, it might read
    from the next socket, which gets its number.
    """
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
