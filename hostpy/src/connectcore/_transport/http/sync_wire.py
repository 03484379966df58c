"""The bytes of one connection of the sync form: a socket, with TLS over it or not.

The socket blocks, which makes the usual call one `send` and one `recv`. What must not block says so call by call. Reading is
for one thread at a time; all else is called under the connection's lock.
"""

from __future__ import annotations

import ctypes
import select
import socket
import ssl
import sys
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LONGEST", "TlsWire", "Wire", "wait"]

LONGEST: Final = 86400.0
"""Seconds to wait in one go: the system takes no more than 24 days."""

_CHUNK: Final = 120 << 10
"""Most bytes to read at a time. For 128 KiB and more, memory is asked of the system each time, however little comes."""

_DONTWAIT: Final[int] = getattr(socket, "MSG_DONTWAIT", 0)

_BRIEF: Final = 4 << 10
"""Up to so many bytes are sent without letting other threads in, where the system has a function for it: it takes microseconds,
and getting the interpreter's lock back from many threads that call takes longer."""


def _sender() -> Callable[[int, bytes, int, int], int] | None:
    """The C library's `send` (POSIX): gives how much was sent, or a negative number. None where it is not to be had."""
    if sys.platform != "linux":
        return None
    try:
        function: Any = ctypes.PyDLL(None).send
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
    function.restype = ctypes.c_ssize_t
    return function  # type: ignore[no-any-return]


_send: Final = _sender()
_QUIETLY: Final[int] = _DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)


def wait(sock: socket.socket, timeout: float | None, *, read: bool, write: bool) -> bool:
    """Wait until something can be read, or written. Gives False if the time is up."""
    if timeout is not None and timeout < 0:
        timeout = 0
    while timeout is not None and timeout > LONGEST:
        if wait(sock, LONGEST, read=read, write=write):
            return True
        timeout -= LONGEST
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, (select.POLLIN if read else 0) | (select.POLLOUT if write else 0))
        return bool(poll.poll(None if timeout is None else timeout * 1000))
    ready = select.select([sock] if read else [], [sock] if write else [], [], timeout)
    return any(ready)


class Wire:
    """A connected socket.

    Attributes:
        sock: the socket.
        alpn: what ALPN found.
        secure: whether TLS is over it.
        outgoing: what the socket did not take yet.

    """

    alpn: str | None = None
    secure = False

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.outgoing: deque[Any] = deque()

    @property
    def clogged(self) -> bool:
        """Whether something waits for the peer to read."""
        return bool(self.outgoing)

    @property
    def waiting(self) -> int:
        """How many bytes wait for it."""
        return sum(map(len, self.outgoing))

    def write(self, data: Any) -> None:
        """Send bytes: what the socket takes at once; the rest waits for `drain`. Raises OSError."""
        if not self.outgoing:
            size = len(data)
            sent = -1
            if size <= _BRIEF and _send is not None and type(data) is bytes:
                # Asked each time: once the socket is closed, by the garbage collector even, another may have its number.
                sent = _send(self.sock.fileno(), data, size, _QUIETLY)
            if sent < 0:
                try:
                    sent = self.sock.send(data, _DONTWAIT)
                except BlockingIOError:
                    sent = 0
            if sent == size:
                return
            data = memoryview(data)[sent:]
        self.outgoing.append(data)

    def drain(self) -> bool:
        """Send what waits, as far as the socket takes it. Gives whether nothing waits any more. Raises OSError."""
        outgoing = self.outgoing
        while outgoing:
            data = outgoing.popleft()
            try:
                sent = self.sock.send(data, _DONTWAIT)
            except BlockingIOError:
                sent = 0
            if sent < len(data):
                outgoing.appendleft(memoryview(data)[sent:])
                return False
        return True

    def read(self, deadline: float | None, *, peek: bool = False) -> bytes | None:
        """Wait for bytes; none at the end of input. With something to write, wait for room too: then gives None.

        Args:
            deadline: when to give up, as `time.monotonic` counts.
            peek: whether not to wait at all: gives None if there is nothing.

        Raises:
            TimeoutError: the deadline has passed.
            OSError: the connection broke.

        """
        sock = self.sock
        if deadline is None and not peek and not self.outgoing:
            return sock.recv(_CHUNK)  # as most often
        if peek:
            return sock.recv(_CHUNK) if wait(sock, 0, read=True, write=False) else None
        clogged = bool(self.outgoing)
        if (clogged or deadline is not None) and not wait(
            sock, None if deadline is None else deadline - monotonic(), read=True, write=clogged
        ):
            raise TimeoutError("the deadline has passed")
        if not clogged:
            return sock.recv(_CHUNK)
        try:
            return sock.recv(_CHUNK, _DONTWAIT)
        except BlockingIOError:
            return None

    def received(self, data: bytes) -> bytes | None:
        """What the peer meant by what was read; None if it is not whole yet. Raises OSError."""
        return data

    def interrupt(self) -> None:
        """End what any thread waits for. Never raises."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Close the socket. Never raises."""
        self.outgoing.clear()
        self.sock.close()


class TlsWire(Wire):
    """A connected socket with TLS over it."""

    secure = True

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str, deadline: float | None) -> None:
        """Shake hands. Raises OSError, and TimeoutError after the deadline."""
        super().__init__(sock)
        self._incoming = ssl.MemoryBIO()
        self._written = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._written, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
            else:
                break
            data = None
            while data is None:
                data = self.read(deadline)
                self.drain()
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
        self._flush()
        self.alpn = self._tls.selected_alpn_protocol()

    def _flush(self) -> None:
        if self._written.pending:
            super().write(self._written.read())

    def write(self, data: Any) -> None:
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
            self._flush()

    def received(self, data: bytes) -> bytes | None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        parts: list[bytes] = []
        try:
            while part := self._tls.read(_CHUNK):
                parts.append(part)
        except ssl.SSLWantReadError:
            self._flush()
            return b"".join(parts) or None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        return b"".join(parts)
