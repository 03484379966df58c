"""Our own transport and the addresses of a name: looking them up, the first that answers, balancing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import h2.events
import pytest

from client_support import Exchange, serving
from connectcore._transport.http import balance
from connectcore.client import Cancellation
from connectcore.transport import Gone, HTTPTransport, HTTPTransportSync, TransportError
from http2_support import Connection, answering, http2_server
from http_support import OK, VERSIONS, Client, connections, request

if TYPE_CHECKING:
    from collections.abc import Callable


def named(port: int, *hosts: str) -> list[Any]:
    """What the resolver finds for a name."""
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]


@pytest.mark.parametrize("balancing", ["pick_first", "round_robin"])
@pytest.mark.parametrize("ends", ["its deadline", "connect_timeout", "another thread"])
def test_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, balancing: Any, ends: str) -> None:
    asked, answered = threading.Event(), threading.Event()
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if host != "slow.test":
            return real(host, *args, **options)
        asked.set()
        answered.wait(20)
        raise OSError("no answer")

    def cancel() -> None:
        asked.wait(20)
        cancellation.cancel()

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    what = request("http://slow.test")
    with Cancellation() as cancellation:
        if ends == "its deadline":
            what.deadline = time.monotonic() + 0.1
        elif ends == "another thread":
            what.cancellation = cancellation
            threading.Thread(target=cancel).start()
        try:
            limit = 0.1 if ends == "connect_timeout" else 20
            with HTTPTransportSync(balancing=balancing, connect_timeout=limit) as one, pytest.raises(TransportError) as caught:
                one.open_sync(what)
        finally:
            answered.set()
    reasons = {"its deadline": Gone.TIMEOUT, "connect_timeout": Gone.REFUSED, "another thread": Gone.CANCELED}
    assert caught.value.reason is reasons[ends]


@pytest.mark.parametrize("balancing", ["pick_first", "round_robin"])
def test_names_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch, balancing: Any) -> None:
    """As in a program that is at its end."""

    def refuses(_work: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    for name in ("sync_connect", "sync_transport"):
        monkeypatch.setattr(f"connectcore._transport.http.{name}.in_thread", refuses)
    with serving(lambda exchange: exchange.send(OK)) as server, HTTPTransportSync(balancing=balancing) as one:
        for _ in range(2):
            got = one.open_sync(request(server.address.replace("127.0.0.1", "localhost")))
            assert got.read() == b"ok"
            got.close()
            for rotation in one._rotations.values():
                rotation.until = 0  # the name is to be looked up again


def test_an_address_that_does_not_answer(client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """Happy eyeballs: the next one is tried beside it, long before connecting would be given up."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as silent,
        contextlib.ExitStack() as full,
        serving(lambda exchange: exchange.send(OK)) as server,
    ):
        for _ in range(4):  # the system answers no more than it has room for
            waiting = full.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        port = int(server.address.rsplit(":", 1)[1])
        found = named(silent.getsockname()[1], "127.0.0.1") + named(port, "127.0.0.1")
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)
        start = time.monotonic()
        assert client(connect_timeout=20).fetch(request("http://some.where:1")) == b"ok"
        assert 0.2 < time.monotonic() - start < 10


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="needs a second address of the loopback")
def test_round_robin(client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests go around all addresses, and on around those that answer."""
    count = {"127.0.0.1": 0, "127.0.0.2": 0, "127.0.0.3": 0}
    with contextlib.ExitStack() as stack:
        port = 0
        servers = {}
        for host in ("127.0.0.1", "127.0.0.2"):

            def answer(exchange: Exchange, host: str = host) -> None:
                count[host] += 1
                exchange.send(OK)

            servers[host] = stack.enter_context(serving(answer, host=host, port=port))
            port = int(servers[host].address.rsplit(":", 1)[1])
        found = named(port, *count)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)
        one = client(balancing="round_robin")
        for _ in range(9):
            assert one.fetch(request(f"http://some.where:{port}")) == b"ok"
        assert count["127.0.0.1"] >= 3
        assert count["127.0.0.2"] >= 3
        servers["127.0.0.1"].close()
        done = 0
        for _ in range(6):
            with contextlib.suppress(TransportError):  # the request was on its way as the server closed
                done += one.fetch(request(f"http://some.where:{port}")) == b"ok"
        assert done >= 4


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="needs a second address of the loopback")
def test_round_robin_follows_the_name(client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is named anew is called, who no longer is loses its connection, and without an answer those known go on."""
    monkeypatch.setattr(balance, "_FRESH", 0.0)
    with contextlib.ExitStack() as stack:
        calls: list[str] = []
        left = threading.Event()

        def answering(host: str) -> Callable[[Exchange], Any]:
            def answer(exchange: Exchange) -> None:
                calls.append(host)
                exchange.send(OK)
                if not exchange.connection.recv(1, socket.MSG_PEEK):
                    left.set()

            return answer

        first = stack.enter_context(serving(answering("127.0.0.1")))
        port = int(first.address.rsplit(":", 1)[1])
        stack.enter_context(serving(answering("127.0.0.2"), host="127.0.0.2", port=port))
        found = named(port, "127.0.0.1")

        def look_up(*_a: Any, **_k: Any) -> list[Any]:
            if not found:
                raise socket.gaierror(socket.EAI_AGAIN, "try again")
            return found

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        one = client(balancing="round_robin")
        where = f"http://some.where:{port}"
        assert one.fetch(request(where)) == b"ok"
        found = named(port, "127.0.0.2")
        end = time.monotonic() + 20
        while calls[-1] == "127.0.0.1" and time.monotonic() < end:  # a thread may look the name up, which takes its time
            assert one.fetch(request(where)) == b"ok"
        found = []
        calls.clear()
        for _ in range(3):
            assert one.fetch(request(where)) == b"ok"
        assert calls == ["127.0.0.2"] * 3
        assert left.wait(20)  # the second server's connection is still open


@pytest.mark.parametrize("version", VERSIONS)
def test_round_robin_lets_calls_end(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """A call under way goes on where its address is no longer named; then its connection is closed."""
    monkeypatch.setattr(balance, "_FRESH", 0.0)
    held: list[Callable[[], None]] = []
    ended: list[Any] = []
    served = threading.Event()

    def hold(exchange: Exchange) -> None:
        held.append(lambda: exchange.send(OK))
        ended.append(exchange.connection.recv(1))

    def hold2(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.StreamEnded):
            held.append(lambda: connection.respond(event.stream_id))

    async def fetch(transport: HTTPTransport) -> bytes:
        got = await transport.open(request("http://some.where:1", http2=version == "2"))
        content = await got.read()
        assert await got.read() == b""
        await got.close()
        return content

    async def until(happened: Callable[[], bool]) -> None:
        while not happened():  # noqa: ASYNC110 - another thread does it
            await asyncio.sleep(0.01)

    async def run() -> None:
        async with HTTPTransport(balancing="round_robin") as transport, asyncio.timeout(20):
            calls = [asyncio.create_task(fetch(transport))]
            await until(lambda: bool(held))
            found[:] = named(port_of(second), "127.0.0.1")
            while not served.is_set():  # the next call may still go to where the first one is
                calls.append(asyncio.create_task(fetch(transport)))
                await asyncio.sleep(0.05)
            assert not ended
            for answer in held:
                answer()
            assert set(await asyncio.gather(*calls)) == {b"ok"}
            await until(lambda: len(ended) == connections(first))

    def good(exchange: Exchange) -> None:
        served.set()
        exchange.send(OK)

    def good2(connection: Connection, event: Any) -> None:
        served.set()
        answering()(connection, event)

    def port_of(server: Any) -> int:
        return int(server.address.rsplit(":", 1)[1])

    servers: Any = (
        (http2_server(hold2, ended=ended.append), http2_server(good2)) if version == "2" else (serving(hold), serving(good))
    )
    with servers[0] as first, servers[1] as second:
        found = named(port_of(first), "127.0.0.1")
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: list(found))
        asyncio.run(run())
