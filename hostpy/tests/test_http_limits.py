"""Our own transport's options and limits: what makes no sense, how long and for how much a connection serves, signs of life."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import h2.events
import h2.settings
import pytest

from client_support import serving
from connectcore.transport import Gone, HTTPTransport, HTTPTransportSync, TransportError
from http2_support import Connection, answering, http2_server
from http_support import OK, VERSIONS, Client, connections, request

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = ("connect_timeout", "idle_timeout", "max_age", "keepalive_time", "keepalive_timeout")


@pytest.mark.parametrize("make", [HTTPTransport, HTTPTransportSync])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"http_version": "3"}, "http_version must be None or '1.1' or '2', not '3'"),
        ({"http_version": 2}, "http_version must be None or '1.1' or '2', not 2"),
        ({"balancing": "random"}, "balancing must be 'pick_first' or 'round_robin', not 'random'"),
        *[({name: 0}, f"{name} must be a positive number of seconds.*, not 0") for name in SECONDS],
        *[({name: -1.5}, f"{name} must be a positive number of seconds.*, not -1.5") for name in SECONDS],
        *[({name: math.nan}, f"{name} must be a positive number of seconds.*, not nan") for name in SECONDS],
        *[({name: "1"}, f"{name} must be a positive number of seconds.*, not '1'") for name in SECONDS],
        ({"connect_timeout": None}, "connect_timeout must be a positive number of seconds, not None"),
        ({"idle_timeout": None}, "idle_timeout must be a positive number of seconds, not None"),
        ({"max_connections": 0}, "max_connections must be a whole number from 1, not 0"),
        ({"max_connections": 1.5}, "max_connections must be a whole number from 1, not 1.5"),
        ({"max_streams": 0}, "max_streams must be a whole number from 1, not 0"),
        ({"unix_socket": ""}, "unix_socket must be the path of a socket"),
        ({"unix_socket": 1}, "PathLike"),
        ({"ssl_context": True}, r"must be an ssl\.SSLContext, not True: ssl\.create_default_context\(\) makes one"),
        ({"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "ssl_context is a server's"),
        ({"verify": False}, "a transport has no option 'verify', but http_version"),
        ({"max_conections": 1}, "a transport has no option 'max_conections': is max_connections meant?"),
    ],
)
def test_options_that_make_no_sense(make: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        make(**options)


@pytest.mark.parametrize("limit", ["idle_timeout", "max_age"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_connection_serves_whom_it_was_made_for(client: Callable[..., Client], version: str, limit: str) -> None:
    """Whatever the limit, and however slow the machine: else one connection would be made after the other, for nobody."""
    options = {limit: 1e-9}
    with http2_server(answering()) if version == "2" else serving(lambda e: e.send(OK)) as server:
        assert client(**options).fetch(request(server.address, http2=version == "2")) == b"ok"


@pytest.mark.parametrize("seconds", [3e6, 1e7, 1e300])
def test_times_longer_than_the_system_waits(client: Callable[..., Client], seconds: float) -> None:
    with serving(lambda e: e.send(OK)) as server:
        one = client(**dict.fromkeys(SECONDS, seconds))
        assert one.fetch(request(server.address)) == b"ok"


@pytest.mark.parametrize("limit", ["idle_timeout", "max_age"])
@pytest.mark.parametrize("version", VERSIONS)
def test_connections_are_not_kept_for_ever(client: Callable[..., Client], version: str, limit: str) -> None:
    options = {limit: 0.05}
    with http2_server(answering()) if version == "2" else serving(lambda e: e.send(OK)) as server:
        one = client(**options)
        for _ in range(2):
            assert one.fetch(request(server.address, http2=version == "2")) == b"ok"
            time.sleep(0.1)
        assert connections(server) == 2


def test_streams_and_connections_have_a_bound() -> None:
    """At most two connections of two streams: the others wait, in order, and a waiter that gives up costs nobody his turn."""
    waiting: list[tuple[Connection, int]] = []
    served: list[str] = []

    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.StreamEnded):
            waiting.append((connection, event.stream_id))

    async def run() -> None:
        async with HTTPTransport(max_connections=2, max_streams=2) as transport:

            async def one(name: str) -> None:
                got = await transport.open(request(server.address, http2=True))
                await got.read()
                await got.close()
                served.append(name)

            tasks = [asyncio.create_task(one(str(number))) for number in range(8)]
            async with asyncio.timeout(20):
                while len(waiting) < 4:  # noqa: ASYNC110 - another thread fills it
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert len(waiting) == 4
            tasks[4].cancel()
            while len(served) < 7:
                while waiting:
                    connection, stream = waiting.pop(0)
                    connection.respond(stream)
                await asyncio.sleep(0.01)
            assert sorted(served) == ["0", "1", "2", "3", "5", "6", "7"]
            assert len(server.connections) == 2

    with http2_server(heard) as server:
        asyncio.run(asyncio.wait_for(run(), 20))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("when", ["connecting", "under way"])
def test_closing_a_transport_ends_what_waits_in_line(version: Any, when: str) -> None:
    """And makes no connection that nobody closes."""
    connections: list[socket.socket] = []

    async def run() -> None:
        transport = HTTPTransport(http_version=version, max_connections=1, max_streams=1)
        calls = [asyncio.create_task(transport.open(request(f"http://127.0.0.1:{port}"))) for _ in range(3)]
        if when == "under way":
            connections.append((await loop.sock_accept(listener))[0])
            await loop.sock_recv(connections[0], 1)
        await asyncio.sleep(0)
        await transport.close()
        for outcome in await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20):
            assert isinstance(outcome, TransportError)
            assert outcome.reason is Gone.CLOSED

    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.closing(asyncio.new_event_loop()) as loop:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        loop.run_until_complete(run())
        with pytest.raises(BlockingIOError):
            listener.accept()
        for each in connections:
            each.close()


def test_a_connection_that_is_no_longer_wanted_and_then_is() -> None:
    """Who comes while it is being given up has one of its own made, at whatever moment that is."""

    async def run(address: str) -> None:
        for turns in range(12):
            transport = HTTPTransport()
            leaving = asyncio.create_task(transport.open(request(address)))
            for _ in range(turns):
                await asyncio.sleep(0)
            leaving.cancel()
            got = await asyncio.wait_for(asyncio.create_task(transport.open(request(address))), 20)
            await got.close()
            with contextlib.suppress(asyncio.CancelledError):
                await (await leaving).close()
            await transport.close()

    with serving(OK) as server:
        asyncio.run(run(server.address))


def test_the_peers_bound_of_streams() -> None:
    """SETTINGS_MAX_CONCURRENT_STREAMS is kept, and more connections are made."""
    most = 0

    def begin(connection: Connection) -> None:
        connection.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 3})

    def heard(connection: Connection, event: Any) -> None:
        nonlocal most
        most = max(most, connection.h2.open_inbound_streams)
        if isinstance(event, h2.events.StreamEnded):
            connection.respond(event.stream_id)

    async def run() -> None:
        async with HTTPTransport() as transport:

            async def one() -> None:
                got = await transport.open(request(server.address, http2=True))
                assert await got.read() == b"ok"
                await got.close()

            await one()
            await asyncio.gather(*(one() for _ in range(40)))

    with http2_server(heard, begin) as server:
        asyncio.run(asyncio.wait_for(run(), 20))
    assert most <= 3


def test_keepalive_notices_a_dead_peer(client: Callable[..., Client]) -> None:
    """The peer reads, and says nothing any more."""
    stop = threading.Event()

    def heard(_connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.StreamEnded):
            stop.wait(20)

    with http2_server(heard) as server:
        start = time.monotonic()
        error = client(keepalive_time=0.2, keepalive_timeout=0.2).fails(request(server.address, http2=True))
        assert error.reason is Gone.CLOSED
        assert "ping" in error.text
        assert 0.3 < time.monotonic() - start < 10
        stop.set()


def test_keepalive_leaves_a_live_peer_alone(client: Callable[..., Client]) -> None:
    pings: list[Any] = []

    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.PingReceived):
            pings.append(event)
            if len(pings) == 3:
                connection.respond(1)

    with http2_server(heard) as server:
        one = client(keepalive_time=0.05, keepalive_timeout=10)
        assert one.fetch(request(server.address, http2=True)) == b"ok"
        assert len(pings) >= 3


def test_a_loop_that_ends_closes_its_connections() -> None:
    transport = HTTPTransport()

    async def run() -> None:
        got = await transport.open(request(server.address, http2=True))
        await got.read()
        await got.close()

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    closed = threading.Event()

    with http2_server(answering(), ended=lambda _c: closed.set()) as server:
        asyncio.run(run())
        assert closed.wait(20)
        before = descriptors()
        for _ in range(5):
            closed.clear()
            asyncio.run(run())
            assert closed.wait(20)
        assert descriptors() <= before + 1
