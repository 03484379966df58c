"""The other side of a transport: peers that a script steers, over HTTP/1.1 and HTTP/2 on raw sockets, and as applications.

A script is a function of one exchange. It runs in a thread of its own and says step by step what the peer does.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.errors
import h2.events

from client_support import accepted, shut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Fields = Iterable[tuple[bytes, bytes]]
    Script = Callable[["Exchange"], Any]

PATIENCE = 10.0
"""Seconds after which nothing is waited for any more."""


class Aborted(Exception):
    """The script ends the exchange without a whole response."""


class Exchange:
    """One request, and what is said to it. `target` and `fields` are as they came."""

    method: str
    target: str
    fields: list[tuple[bytes, bytes]]

    def chunk(self) -> bytes:
        """The next bytes of the request's content, empty at its end."""
        raise NotImplementedError

    def content(self) -> bytes:
        """All content."""
        return b"".join(iter(self.chunk, b""))

    def respond(self, status: int = 200, fields: Fields = (), *, end: bool = False) -> None:
        raise NotImplementedError

    def data(self, data: bytes) -> None:
        raise NotImplementedError

    def end(self, trailers: Fields = ()) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        """Let the connection break, or the application."""
        raise NotImplementedError

    def gone(self) -> bool:
        """Whether the client gives the exchange up, in time."""
        raise NotImplementedError

    def answer(self, data: bytes, fields: Fields = (), status: int = 200, trailers: Fields = ()) -> None:
        self.respond(status, fields)
        self.data(data)
        self.end(trailers)


# HTTP/1.1


class Exchange1(Exchange):
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffer = b""
        self.over = False
        self.chunked = False

    def begin(self) -> bool:
        try:
            while b"\r\n\r\n" not in self.buffer:
                self._more()
        except EOFError:
            return False
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        self.method, self.target, _ = first.decode().split(" ")
        pairs = [line.partition(b":") for line in lines]
        self.fields = [(name.lower(), value.strip()) for name, _, value in pairs]
        known = dict(self.fields)
        self.request_chunked = known.get(b"transfer-encoding") == b"chunked"
        self.left = int(known.get(b"content-length", 0))
        self.request_over = False
        return True

    def _more(self) -> None:
        data = self.connection.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def _line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self._more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def chunk(self) -> bytes:
        if self.request_over:
            return b""
        if not self.request_chunked:
            if not self.left:
                self.request_over = True
                return b""
            if not self.buffer:
                self._more()
            data, self.buffer = self.buffer[: self.left], self.buffer[self.left :]
            self.left -= len(data)
            return data
        size = int(self._line(), 16)
        while len(self.buffer) < size + 2:
            self._more()
        data, self.buffer = self.buffer[:size], self.buffer[size + 2 :]
        self.request_over = not size
        return data

    def raw(self, data: bytes) -> None:
        self.connection.sendall(data)

    def respond(self, status: int = 200, fields: Fields = (), *, end: bool = False) -> None:
        fields = list(fields)
        if status >= 200 and end:
            fields.append((b"content-length", b"0"))
        self.chunked = status >= 200 and b"content-length" not in dict(fields)
        if self.chunked:
            fields.append((b"transfer-encoding", b"chunked"))
        lines = [b"HTTP/1.1 %d Said" % status, *[name + b": " + value for name, value in fields]]
        self.raw(b"\r\n".join(lines) + b"\r\n\r\n")

    def data(self, data: bytes) -> None:
        self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def end(self, trailers: Fields = ()) -> None:
        if self.chunked:
            self.raw(b"0\r\n" + b"".join(name + b": " + value + b"\r\n" for name, value in trailers) + b"\r\n")

    def abort(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Aborted

    def gone(self) -> bool:
        self.connection.settimeout(PATIENCE)
        try:
            while self.connection.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def reusable(self) -> bool:
        """Whether another request may follow."""
        with contextlib.suppress(EOFError):
            self.content()
            return True
        return False


# HTTP/2


class Connection2:
    """Reads one connection and runs the script of each stream."""

    def __init__(self, connection: socket.socket, script: Script) -> None:
        self.connection = connection
        self.script = script
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, validate_inbound_headers=False))
        self.changed = threading.Condition()
        self.streams: dict[int, Exchange2] = {}

    def serve(self, said: Callable[[Exchange], None]) -> None:
        with self.changed:
            self.state.initiate_connection()
            self.flush()
        while data := self.connection.recv(65536):
            with self.changed:
                for event in self.state.receive_data(data):
                    self.happened(event, said)
                self.flush()
                self.changed.notify_all()
        self.lost()

    def lost(self) -> None:
        with self.changed:
            for stream in self.streams.values():
                stream.is_gone.set()
                stream.chunks.put(EOFError())
            self.changed.notify_all()

    def happened(self, event: Any, said: Callable[[Exchange], None]) -> None:
        stream = self.streams.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, h2.events.RequestReceived):
            stream = self.streams[event.stream_id] = Exchange2(self, event)
            said(stream)
            threading.Thread(target=stream.run, daemon=True).start()
        elif stream is None:
            return
        elif isinstance(event, h2.events.DataReceived):
            stream.chunks.put(event.data)
            self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.chunks.put(b"")
        elif isinstance(event, h2.events.StreamReset):
            stream.reset_code = int(event.error_code)
            stream.is_gone.set()
            stream.chunks.put(EOFError())

    def flush(self) -> None:
        data = self.state.data_to_send()
        if data:
            self.connection.sendall(data)


class Exchange2(Exchange):
    def __init__(self, connection: Connection2, event: Any) -> None:
        self.on = connection
        self.stream_id = event.stream_id
        head = dict(event.headers[:4])
        self.method, self.target = head[b":method"].decode(), head[b":path"].decode()
        self.fields = [(name, value) for name, value in event.headers if not name.startswith(b":")]
        self.chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.is_gone = threading.Event()
        self.reset_code: int | None = None

    def run(self) -> None:
        with contextlib.suppress(OSError, EOFError, Aborted):
            self.on.script(self)

    def chunk(self) -> bytes:
        chunk = self.chunks.get(timeout=PATIENCE)
        if isinstance(chunk, Exception):
            raise chunk
        return bytes(chunk)

    @contextlib.contextmanager
    def saying(self) -> Iterator[None]:
        with self.on.changed:
            if self.is_gone.is_set():
                raise EOFError
            yield

    def respond(self, status: int = 200, fields: Fields = (), *, end: bool = False) -> None:
        with self.saying():
            self.on.state.send_headers(self.stream_id, [(b":status", b"%d" % status), *fields], end_stream=end)
            self.on.flush()

    def data(self, data: bytes) -> None:
        state = self.on.state
        with self.saying():
            while data:
                while not (room := min(state.local_flow_control_window(self.stream_id), state.max_outbound_frame_size)):
                    assert self.on.changed.wait(PATIENCE)
                state.send_data(self.stream_id, data[:room])
                data = data[room:]
                self.on.flush()

    def end(self, trailers: Fields = ()) -> None:
        with self.saying():
            if trailers:
                self.on.state.send_headers(self.stream_id, trailers, end_stream=True)
            else:
                self.on.state.end_stream(self.stream_id)
            self.on.flush()

    def reset(self, code: int) -> None:
        with self.saying():
            self.on.state.reset_stream(self.stream_id, code)
            self.on.flush()

    def raw(self, data: bytes) -> None:
        with self.saying():
            self.on.connection.sendall(data)

    def abort(self) -> None:
        self.on.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.on.connection.shutdown(socket.SHUT_RD)  # the thread that reads closes it
        raise Aborted

    def gone(self) -> bool:
        return self.is_gone.wait(PATIENCE)


# The server for both


class Server:
    """Runs the script for each request, of either HTTP version."""

    def __init__(self, script: Script, version: str) -> None:
        self.script = script
        self.version = version
        self.exchanges: list[Exchange] = []
        self.connections = 0
        self.failure: BaseException | None = None
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        for connection in accepted(self._listener):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.append(connection)
            serve = self._serve1 if self.version == "1.1" else self._serve2
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def run(self, exchange: Exchange) -> None:
        """The script; what goes wrong in it is the test's failure."""
        try:
            self.script(exchange)
        except (Aborted, OSError, EOFError):
            raise
        except BaseException as error:
            self.failure = error
            raise

    def _serve1(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError, Aborted), connection:
            exchange = Exchange1(connection)
            while exchange.begin():
                self.exchanges.append(exchange)
                self.run(exchange)
                if not exchange.reusable():
                    return
                following = Exchange1(connection)
                following.buffer, exchange = exchange.buffer, following

    def _serve2(self, connection: socket.socket) -> None:
        peer = Connection2(connection, self.run)
        with contextlib.suppress(OSError), connection:
            peer.serve(self.exchanges.append)
        peer.lost()

    def close(self) -> None:
        for each in (self._listener, *self._open):
            shut(each)


# Applications


class AppExchange(Exchange):
    """An application's side: the script's steps go through a queue to whatever the interface is."""

    def __init__(self) -> None:
        self.said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.is_gone = threading.Event()

    def respond(self, status: int = 200, fields: Fields = (), *, end: bool = False) -> None:
        self.said.put(("respond", status, list(fields)))
        if end:
            self.end()

    def data(self, data: bytes) -> None:
        if self.is_gone.is_set():
            raise BrokenPipeError
        self.said.put(("data", data))

    def end(self, trailers: Fields = ()) -> None:
        self.said.put(("end", list(trailers)))

    def abort(self) -> None:
        raise Aborted

    def gone(self) -> bool:
        return self.is_gone.wait(PATIENCE)

    def steps(self, script: Script) -> Iterator[Any]:
        """What the script says, which runs meanwhile; None while it says nothing."""
        over = object()

        def run() -> None:
            try:
                with contextlib.suppress(Aborted, OSError, EOFError):
                    script(self)
            finally:
                self.said.put(over)

        threading.Thread(target=run, daemon=True).start()
        while True:
            try:
                step = self.said.get(timeout=0.005)
            except queue.Empty:
                yield None
                continue
            if step is over:
                return
            yield step


class App:
    """An application that a script steers, both for ASGI and WSGI."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.exchanges: list[Exchange] = []
        self.failure: BaseException | None = None
        self.origin = "http://localhost:81"

    def run(self, exchange: Exchange) -> None:
        try:
            self.script(exchange)
        except (Aborted, OSError, EOFError):
            raise
        except BaseException as error:
            self.failure = error

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        exchange = ASGIExchange(scope, receive)
        self.exchanges.append(exchange)
        ended = False
        try:
            for step in exchange.steps(self.run):
                match step:
                    case None:
                        await asyncio.sleep(0)
                    case "respond", status, fields:
                        trailers = "http.response.trailers" in scope["extensions"]
                        await send({"type": "http.response.start", "status": status, "headers": fields, "trailers": trailers})
                    case "data", data:
                        await send({"type": "http.response.body", "body": data, "more_body": True})
                    case "end", trailers:
                        ended = True
                        await send({"type": "http.response.body"})
                        await send({"type": "http.response.trailers", "headers": trailers})
            if not ended:
                raise Aborted
        finally:
            exchange.is_gone.set()

    def wsgi(self, environ: Any, start_response: Any) -> Any:
        exchange = WSGIExchange(environ)
        self.exchanges.append(exchange)
        ended = False
        try:
            for step in exchange.steps(self.run):
                match step:
                    case None:
                        yield b""  # lets the transport look at its deadline
                    case "respond", status, fields:
                        headers = [(name.decode(), value.decode("latin-1")) for name, value in fields]
                        start_response(f"{status} Said", headers)
                    case "data", data:
                        yield data
                    case "end", trailers:
                        ended = True
                        if trailers:
                            environ["wsgi.ext.http.send_trailers"](
                                [(name.decode(), value.decode("latin-1")) for name, value in trailers]
                            )
            if not ended:
                raise Aborted
        finally:
            exchange.is_gone.set()


class ASGIExchange(AppExchange):
    def __init__(self, scope: Any, receive: Any) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.receive = receive
        self.method = scope["method"]
        query = scope["query_string"].decode()
        self.target = scope["raw_path"].decode() + ("?" + query if query else "")
        self.fields = scope["headers"]
        self.request_over = False

    def chunk(self) -> bytes:
        while not self.request_over:
            event = asyncio.run_coroutine_threadsafe(self.receive(), self.loop).result(PATIENCE)
            if event["type"] == "http.disconnect":
                raise EOFError
            self.request_over = not event["more_body"]
            if event["body"]:
                return bytes(event["body"])
        return b""


class WSGIExchange(AppExchange):
    def __init__(self, environ: Any) -> None:
        super().__init__()
        self.method = environ["REQUEST_METHOD"]
        self.target = environ["REQUEST_URI"]
        self.fields = [
            (name.removeprefix("HTTP_").replace("_", "-").lower().encode(), value.encode("latin-1"))
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        ]
        self.input = environ["wsgi.input"]

    def chunk(self) -> bytes:
        return bytes(self.input.read1(65536) if hasattr(self.input, "read1") else self.input.read(65536))


@contextlib.contextmanager
def peer(script: Script, version: str) -> Iterator[Any]:
    """What runs the script: a server for a version of HTTP, or an application for `asgi` and `wsgi`."""
    if version in ("asgi", "wsgi"):
        app = App(script)
        yield app
        failure = app.failure
    else:
        server = Server(script, version)
        try:
            yield server
        finally:
            server.close()
        failure = server.failure
    if failure is not None:
        raise failure
