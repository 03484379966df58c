"""Making a connection, in an event loop: names, addresses, proxies, TLS."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from ..transport import Gone, TransportError
from .address import ATTEMPT_DELAY, QUEUE_DELAY, in_turn, numeric, tune, why
from .async_connection import AsyncConnection
from .http1 import Http1
from .http2 import Http2
from .proxy import Tunnel
from .tls import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .address import Address
    from .async_pool import Place

__all__ = ["connect", "resolve"]


async def connect(place: Place) -> AsyncConnection:
    """Make a connection for a place. Raises TransportError."""
    limit = place.options.connect_timeout
    try:
        async with asyncio.timeout(limit):
            return await _connect(place)
    except TimeoutError:
        raise TransportError(Gone.REFUSED, f"no connection within {limit:g} seconds") from None
    except OSError as error:
        raise TransportError(Gone.REFUSED, why(error)) from error


async def _connect(place: Place) -> AsyncConnection:
    target, options, loop = place.target, place.options, place.loop
    secure = target.scheme == "https"
    proxy = None if options.unix_socket else options.proxies.of(target)
    # A proxy reads requests of HTTP/1.1 itself; what it cannot read goes through it in a tunnel.
    tunnel = proxy if secure or target.version == "2" else None
    relay = proxy if tunnel is None else None

    def choose(alpn: str | None) -> Http1 | Http2:
        if alpn == "h2" if secure else target.version == "2":
            return Http2(options.max_streams, place.streams)
        return Http1(proxy=relay)

    def make() -> AsyncConnection:
        return AsyncConnection(place, choose)

    tls: dict[str, Any] = {"ssl": place.tls.of(target.version), "server_hostname": target.host} if secure else {}
    if options.unix_socket is not None:
        sock = await _reach_unix(options.unix_socket)
        _, connection = await loop.create_unix_connection(make, sock=sock, **tls)
    else:
        if proxy is None:
            sock = await _reach(loop, place.addresses or await resolve(loop, target.host, target.port))
        else:
            sock = await _reach(loop, await resolve(loop, proxy.host, proxy.port))
        try:
            early = b"" if tunnel is None else await _dig(loop, sock, Tunnel(tunnel, target))
        except BaseException:
            sock.close()
            raise
        _, connection = await loop.create_connection(make, sock=sock, **tls)
        if early and not secure:  # before TLS, there is nothing that a server could say
            connection.data_received(early)
    if secure:
        try:
            checked("h2" if connection.machine.multiplexed else None, target.version)
        except TransportError:
            connection.close()
            raise
    return connection


async def resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[Address]:
    """The addresses of a name, in the order to try them. Raises OSError."""
    # An address needs no resolver, and no thread for it.
    return numeric(host, port) or in_turn(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


async def _reach(loop: asyncio.AbstractEventLoop, addresses: Sequence[Address]) -> socket.socket:
    """A socket that is connected to the first address that answers. Raises OSError."""
    if len(addresses) == 1:
        return await _attempt(loop, addresses[0])
    attempts: set[asyncio.Task[socket.socket]] = set()
    left = list(addresses)
    failure: BaseException = OSError("the name has no addresses")
    try:
        while left or attempts:
            if left:
                attempts.add(loop.create_task(_attempt(loop, left.pop(0))))
            done, attempts = await asyncio.wait(
                attempts, timeout=ATTEMPT_DELAY if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            reached: socket.socket | None = None
            for attempt in done:
                error = attempt.exception()
                if error is not None:
                    failure = error
                elif reached is None:
                    reached = attempt.result()
                else:
                    attempt.result().close()
            if reached is not None:
                return reached
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_discard)
    raise failure


def _discard(attempt: asyncio.Task[socket.socket]) -> None:
    """An attempt that came too late."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _attempt(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        tune(sock)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


async def _reach_unix(path: str) -> socket.socket:
    """A socket that is connected to a Unix socket. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
            except BlockingIOError:  # its queue is full, of which event loops make a connection that is none
                await asyncio.sleep(QUEUE_DELAY)
            else:
                return sock
    except BaseException:
        sock.close()
        raise


async def _dig(loop: asyncio.AbstractEventLoop, sock: socket.socket, tunnel: Tunnel) -> bytes:
    """Have a proxy connect a socket with the target. Returns what came behind its answer. Raises TransportError and OSError."""
    await loop.sock_sendall(sock, tunnel.request)
    while True:
        early = tunnel.receive(await loop.sock_recv(sock, 4096))
        if early is not None:
            return early
