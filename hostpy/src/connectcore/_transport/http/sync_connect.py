"""Making a connection, in a thread: names, addresses, proxies, TLS."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
from contextlib import closing
from time import monotonic, sleep
from typing import TYPE_CHECKING

from ..transport import Gone, TransportError
from .address import ATTEMPT_DELAY, QUEUE_DELAY, in_turn, numeric, tune, why
from .http1 import Http1
from .http2 import Http2
from .proxy import Tunnel
from .pump import in_thread
from .sync_connection import SyncConnection
from .sync_wire import LONGEST, TlsWire, Wire
from .tls import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..._client.cancellation import Cancellation
    from ..transport import Request
    from .address import Address
    from .sync_pool import PlaceSync

__all__ = ["connect", "resolve"]


def connect(place: PlaceSync, request: Request) -> SyncConnection:
    """Make a connection for a request. Raises TransportError, and TimeoutError after its deadline."""
    limit = monotonic() + place.options.connect_timeout
    deadline = request.deadline
    try:
        return _connect(place, limit if deadline is None else min(limit, deadline), request.cancellation)
    except TimeoutError:
        if deadline is not None and monotonic() >= deadline:
            raise
        text = f"no connection within {place.options.connect_timeout:g} seconds"
        raise TransportError(Gone.REFUSED, text) from None
    except OSError as error:
        raise TransportError(Gone.REFUSED, why(error)) from error


def _connect(place: PlaceSync, deadline: float, cancellation: Cancellation | None) -> SyncConnection:
    target, options = place.target, place.options
    secure = target.scheme == "https"
    proxy = None if options.unix_socket else options.proxies.of(target)
    # A proxy reads requests of HTTP/1.1 itself; what it cannot read goes through it in a tunnel.
    tunnel = proxy if secure or target.version == "2" else None
    if options.unix_socket is not None:
        sock = _reach_unix(options.unix_socket, deadline, cancellation)
    elif proxy is None:
        sock = _reach(place.addresses or resolve(target.host, target.port, deadline, cancellation), deadline, cancellation)
    else:
        sock = _reach(resolve(proxy.host, proxy.port, deadline, cancellation), deadline, cancellation)
    wire = Wire(sock)
    try:
        if cancellation is not None:
            cancellation.watch(wire.interrupt)
        early = b"" if tunnel is None else _dig(wire, Tunnel(tunnel, target), deadline)
        if secure:
            wire = TlsWire(sock, place.tls.of(target.version), target.host, deadline)
        agreed = checked(wire.alpn, target.version) if secure else target.version
        machine = Http2(1) if agreed == "2" else Http1(None if tunnel else proxy)
        connection = SyncConnection(place, wire, machine)
        if early and isinstance(machine, Http2):
            wire.write(machine.receive(early))
    except BaseException:
        wire.close()
        if cancellation is not None and cancellation.canceled:
            raise TransportError(Gone.CANCELED) from None
        raise
    finally:
        if cancellation is not None:
            cancellation.unwatch(wire.interrupt)
    return connection


def resolve(host: str, port: int, deadline: float | None, cancellation: Cancellation | None) -> list[Address]:
    """The addresses of a name, in the order to try them. Raises OSError, TimeoutError, TransportError."""
    addresses = numeric(host, port)
    if addresses:
        return addresses
    if deadline is None and cancellation is None:
        return in_turn(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    # Nothing can interrupt a resolver. So another thread waits for it.
    found: list[list[Address] | Exception] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            found.append(resolve(host, port, None, None))
        except Exception as error:  # noqa: BLE001 - whoever waits raises it
            found.append(error)
        done.set()

    if cancellation is not None:
        cancellation.watch(done.set)
    try:
        try:
            in_thread(look_up)
        except RuntimeError:  # a program at its end, or one with too many threads, gets no more of them
            look_up()
        done.wait(None if deadline is None else deadline - monotonic())
    finally:
        if cancellation is not None:
            cancellation.unwatch(done.set)
    if not found:
        if cancellation is not None and cancellation.canceled:
            raise TransportError(Gone.CANCELED)
        raise TimeoutError("the resolver does not answer")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _reach(addresses: Sequence[Address], deadline: float, cancellation: Cancellation | None) -> socket.socket:
    """A socket that is connected to the first address that answers. Raises OSError, TimeoutError, TransportError."""
    left = list(addresses)
    failure: OSError = OSError("the name has no addresses")
    attempts: list[socket.socket] = []
    reached: socket.socket | None = None
    waker, wakes = socket.socketpair() if cancellation is not None else (None, None)
    with closing(selectors.DefaultSelector()) as selector:
        try:
            if cancellation is not None and waker is not None and wakes is not None:
                selector.register(waker, selectors.EVENT_READ)
                cancellation.watch(wakes.close)
            following = 0.0  # when the next address is tried
            while reached is None and (left or attempts):
                now = monotonic()
                if now >= deadline:
                    raise TimeoutError
                if left and (now >= following or not attempts):
                    family, where = left.pop(0)
                    following = now + ATTEMPT_DELAY
                    sock = socket.socket(family, socket.SOCK_STREAM)
                    attempts.append(sock)
                    sock.setblocking(False)
                    tune(sock)
                    selector.register(sock, selectors.EVENT_WRITE)
                    code = sock.connect_ex(where)
                    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
                        failure = _drop(selector, attempts, sock, code)
                        continue
                until = min(deadline, following) if left else deadline
                ready = {key.fd for key, _ in selector.select(min(until - monotonic(), LONGEST))}
                if waker is not None and waker.fileno() in ready:
                    raise TransportError(Gone.CANCELED)
                for sock in [sock for sock in attempts if sock.fileno() in ready]:
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if code:
                        failure = _drop(selector, attempts, sock, code)
                    elif reached is None:
                        reached = sock
        finally:
            for sock in attempts:
                if sock is not reached:
                    sock.close()
            if cancellation is not None and waker is not None and wakes is not None:
                cancellation.unwatch(wakes.close)
                waker.close()
                wakes.close()
    if reached is None:
        raise failure
    reached.setblocking(True)
    return reached


def _reach_unix(path: str, deadline: float, cancellation: Cancellation | None) -> socket.socket:
    """A socket that is connected to a Unix socket. Raises OSError, TimeoutError, TransportError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while (code := sock.connect_ex(path)) == errno.EAGAIN:  # its queue is full
            if cancellation is not None and cancellation.canceled:
                raise TransportError(Gone.CANCELED)
            if monotonic() >= deadline:
                raise TimeoutError
            sleep(QUEUE_DELAY)
        if code:
            raise OSError(code, os.strerror(code))
        sock.setblocking(True)
    except BaseException:
        sock.close()
        raise
    return sock


def _drop(selector: selectors.BaseSelector, attempts: list[socket.socket], sock: socket.socket, code: int) -> OSError:
    selector.unregister(sock)
    attempts.remove(sock)
    sock.close()
    return OSError(code, os.strerror(code))


def _dig(wire: Wire, tunnel: Tunnel, deadline: float) -> bytes:
    """Have a proxy connect a socket with the target. Returns what came behind its answer. Raises TransportError and OSError."""
    wire.write(tunnel.request)
    while True:
        data = wire.read(deadline)
        early = None if data is None else tunnel.receive(data)
        if early is not None:
            return early
