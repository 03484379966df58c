"""What the clients' tests share: calls in both modes, and servers that say exactly what they are told to say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

from google.protobuf.wrappers_pb2 import StringValue

from connectcore._client.config import ClientConfig
from connectcore._wasm import abi, records
from connectcore._wasm.pool import POOL
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.method import IdempotencyLevel, MethodInfo, StreamType
from connectcore.protocol import ProtocolType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectcore._wasm.instance import Instance

MODES = ("async", "sync")


def method(name: str = "Get", stream_type: StreamType = StreamType.UNARY, *, safe: bool = True) -> MethodInfo[Any, Any]:
    """A method of acme.v1.Service."""
    level = IdempotencyLevel.NO_SIDE_EFFECTS if safe else IdempotencyLevel.UNKNOWN
    return MethodInfo(
        name=name,
        service_name="acme.v1.Service",
        input=StringValue,
        output=StringValue,
        idempotency_level=level,
        stream_type=stream_type,
    )


METHOD = method()
MESSAGE = StringValue(value="hello")
DATA = MESSAGE.SerializeToString()

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\n"
GOOD = HEAD + b"content-length: %d\r\n\r\n" % len(DATA) + DATA


def response(content: bytes = DATA, *fields: str, status: str = "200 OK") -> bytes:
    """A whole HTTP/1.1 response; fields are lines. Without a content type among them, it is that of proto."""
    lines = [f"HTTP/1.1 {status}", *fields, f"content-length: {len(content)}"]
    if not any(line.lower().startswith("content-type") for line in fields):
        lines.append("content-type: application/proto")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


def call(mode: str, address: str, message: Any = MESSAGE, what: MethodInfo[Any, Any] = METHOD, **options: Any) -> Any:
    """One unary call by a new client of this mode. Options of the call and of the client may be mixed."""
    of_call = {name: options.pop(name) for name in ("headers", "timeout", "timeout_ms", "use_get") if name in options}
    if mode == "sync":
        with ConnectClientSync(address, **options) as sync_client:
            return sync_client.execute_unary(request=message, method=what, **of_call)

    async def run() -> Any:
        async with ConnectClient(address, **options) as client:
            return await client.execute_unary(request=message, method=what, **of_call)

    return asyncio.run(run())


@contextlib.contextmanager
def pressing_ctrl_c(after: Callable[[], object]) -> Iterator[None]:
    """Have Ctrl-C pressed, some time after that has returned, until the main thread hears it, which it does once.

    One that comes just before a thread begins to wait in the system is not heard before that wait ends.
    """
    heard = threading.Event()

    def hear(*_: object) -> None:
        if not heard.is_set():
            heard.set()
            raise KeyboardInterrupt

    def press() -> None:
        after()
        time.sleep(0.05)
        while not heard.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            heard.wait(0.2)

    before = signal.signal(signal.SIGINT, hear)
    pressing = threading.Thread(target=press)
    pressing.start()
    try:
        yield
    finally:
        heard.set()
        pressing.join()
        signal.signal(signal.SIGINT, before)


def shut(sock: socket.socket) -> None:
    """End a socket, and the wait of the thread that reads from it or accepts. That thread closes it.

    If it were closed here, the next socket would get its number, and that thread, just about to read or to accept, might do so
    from the other one.
    """
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that are made to a listener, until `shut` ends it. Then it is closed."""
    with listener, contextlib.suppress(OSError):
        while True:
            yield listener.accept()[0]


class Exchange:
    """A connection of a raw server, after one request has come."""

    def __init__(self, connection: socket.socket, head: bytes, content: bytes) -> None:
        self.connection = connection
        self.head = head
        self.content = content

    @property
    def target(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def fields(self) -> list[tuple[str, str]]:
        lines = self.head.decode("utf-8").split("\r\n")[1:]
        return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def wait_for_close(self, seconds: float = 5) -> bool:
        """Whether the client closes its side in time."""
        self.connection.settimeout(seconds)
        try:
            return self.connection.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False


class RawServer:
    """Answers every request by a function of the exchange; False from it closes the connection."""

    def __init__(
        self,
        answer: Callable[[Exchange], Any],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        wrap: Callable[[socket.socket], socket.socket] = lambda s: s,
        unix: str | None = None,
    ) -> None:
        self.answer = answer
        self.wrap = wrap
        self.exchanges: list[Exchange] = []
        self.connections = 0
        if unix is not None:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(unix)
            self._listener.listen()
        else:
            self._listener = socket.create_server((host, port), backlog=64)
        self._open: list[socket.socket] = []
        self.address = "http://localhost" if unix else f"http://{host}:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        for connection in accepted(self._listener):
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, self.wrap(connection) as connection:
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                fields = Exchange(connection, head, b"").fields
                length = next((int(v) for k, v in fields if k == "content-length"), 0)
                if ("transfer-encoding", "chunked") in fields:
                    length = len(data)  # what has come so far; the rest is for the test to read
                while len(data) < length:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                exchange = Exchange(connection, head, data[:length])
                data = data[length:]
                self.exchanges.append(exchange)
                if self.answer(exchange) is False:
                    return

    def close(self) -> None:
        for each in (self._listener, *self._open):
            shut(each)


@contextlib.contextmanager
def serving(answer: Callable[[Exchange], Any] | bytes, **more: Any) -> Iterator[RawServer]:
    """A raw server that answers by a function, or always by the same bytes."""
    said = answer
    server = RawServer(said if callable(said) else lambda exchange: exchange.send(said), **more)
    try:
        yield server
    finally:
        server.close()


class CountedSteps:
    """Counts an instance's steps. Number `trap` fails as a trap does, number `panic` as a guest does that caught its own,
    number `misuse` as a command does that the guest refuses, and for number `busy` the guest has no room.
    """

    def __init__(self, instance: Instance, trap: int = -1, panic: int = -1, misuse: int = -1, busy: int = -1) -> None:
        faults = {panic: abi.FAULT_PANIC, misuse: abi.FAULT_STATE, busy: abi.FAULT_BUSY}
        self.number = 0
        step = instance.step

        def counted(batch: bytes) -> bytes:
            self.number += 1
            if self.number - 1 == trap:
                raise instance._fail("trap")
            fault = faults.get(self.number - 1)
            if fault is not None:
                return struct.pack("<HHIIII", abi.EV_FAULT, 0, 20, 0, fault, 0)
            return step(batch)

        instance.step = counted


def open_calls() -> int:
    """How many calls the process's instances hold.

    Free slots are used before new ones are made: after more probes than there ever were calls at a time, the highest slot tells
    how many were taken. An earlier count's probes were calls, too, beside those that were open then: so the last count has
    more of them than there are slots.
    """
    for probes in (256, 1024, 4096):
        held = _held(probes)
        if not held:
            return 0
    return _held(probes + held + 64)


def _held(probes: int) -> int:
    config = ClientConfig(
        address="http://probe",
        codec=None,
        protocol=ProtocolType.CONNECT,
        accept_compression=None,
        send_compression=None,
        timeout=None,
        read_max_bytes=None,
        send_max_bytes=None,
        compress_min_bytes=0,
    )
    held = 0
    for instance in POOL.instances():
        opening = records.open_client(config.handle_in(instance), 0, abi.UNARY, 0, abi.NO_TIMEOUT, b"/a/b")
        batch = opening + records.send(0, 0, (1,)) + records.end(0)
        handles = [instance.tell(batch)[0].handle for _ in range(probes)]
        held += max(handle & 0xFFFF for handle in handles) - probes
        instance.step(b"".join(map(records.close, handles)))
    return held
