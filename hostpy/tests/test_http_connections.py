"""Our own transport's connections: TLS, proxies, Unix sockets, limits, balancing, signs of life."""

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
import uvloop

from certificates import certificates
from client_support import Exchange, response, serving
from connectcore._transport.http import balance
from connectcore._transport.http.exchange import TRIES
from connectcore._transport.http.options import Target
from connectcore._transport.http.proxy import Proxies
from connectcore.client import Cancellation
from connectcore.transport import Gone, HTTPTransport, HTTPTransportSync, Request, TransportError
from http2_support import Connection, answering, http2_server
from test_http_transport import VERSIONS, request, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OK = response(b"ok")
SECONDS = ("connect_timeout", "idle_timeout", "max_age", "keepalive_time", "keepalive_timeout")


class Client:
    """A transport of either form, for one request after the other."""

    def __init__(self, mode: str, **options: Any) -> None:
        loops = {"async": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
        self.loop = loops[mode]() if mode in loops else None
        self.transport: Any = HTTPTransportSync(**options) if mode == "sync" else HTTPTransport(**options)

    def fetch(self, what: Request) -> bytes:
        """The content of the response."""
        what.deadline = time.monotonic() + 20
        if self.loop is not None:
            return self.loop.run_until_complete(asyncio.wait_for(self._fetch(what), 20))
        got = self.transport.open_sync(what)
        try:
            content = b""
            while data := got.read():
                content += data
            return content
        finally:
            got.close()

    async def _fetch(self, what: Request) -> bytes:
        got = await self.transport.open(what)
        try:
            content = b""
            while data := await got.read():
                content += data
            return content
        finally:
            await got.close()

    def fails(self, what: Request) -> TransportError:
        with pytest.raises(TransportError) as caught:
            self.fetch(what)
        return caught.value

    def close(self) -> None:
        if self.loop is None:
            self.transport.close()
        else:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()


@pytest.fixture(params=("async", "uvloop", "sync"))
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(mode: str) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(**options: Any) -> Client:
        made.append(Client(mode, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


# TLS


@contextlib.contextmanager
def tls_server(folder: Path, alpn: list[str], *, wants_client: bool = False, version: str = "1.1") -> Iterator[str]:
    """A server that answers each request over HTTP/1.1 or HTTP/2, inside TLS."""
    for name, (certificate, key) in certificates().items():
        (folder / f"{name}.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    if alpn:
        context.set_alpn_protocols(alpn)
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "authority.pem")

    def wrap(sock: socket.socket) -> socket.socket:
        return context.wrap_socket(sock, server_side=True)

    if version == "2":
        with http2_server(answering(), wrap=wrap) as server:
            yield server.address.replace("http:", "https:")
    else:
        with serving(lambda exchange: exchange.send(OK), wrap=wrap) as plain:
            yield plain.address.replace("http:", "https:")


def trusting(folder: Path, *, shows: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "authority.pem")
    if shows:
        context.load_cert_chain(folder / "client.pem")
    return context


@pytest.mark.parametrize(("alpn", "version"), [(["h2"], "2"), (["http/1.1"], "1.1"), ([], "1.1")])
def test_alpn_says_the_version(client: Callable[..., Client], tmp_path: Path, alpn: list[str], version: str) -> None:
    with tls_server(tmp_path, alpn, version=version) as address:
        one = client(ssl_context=trusting(tmp_path))
        for _ in range(3):
            assert one.fetch(request(address)) == b"ok"


def test_a_server_without_http2(client: Callable[..., Client], tmp_path: Path) -> None:
    with tls_server(tmp_path, ["http/1.1"]) as address:
        error = client(ssl_context=trusting(tmp_path)).fails(request(address, http2=True))
        assert error.reason is Gone.REFUSED
        assert "ALPN" in error.text


def test_an_authority_that_is_not_known(client: Callable[..., Client], tmp_path: Path) -> None:
    with tls_server(tmp_path, []) as address:
        error = client().fails(request(address))
        assert error.reason is Gone.REFUSED
        assert "certificate" in error.text


def test_mutual_tls(client: Callable[..., Client], tmp_path: Path) -> None:
    with tls_server(tmp_path, ["h2"], wants_client=True, version="2") as address:
        assert client(ssl_context=trusting(tmp_path, shows=True)).fetch(request(address)) == b"ok"
        with pytest.raises((TransportError, OSError)):
            client(ssl_context=trusting(tmp_path)).fetch(request(address))


def test_large_content_over_tls(client: Callable[..., Client], tmp_path: Path) -> None:
    with tls_server(tmp_path, ["h2"], version="2") as address:
        assert client(ssl_context=trusting(tmp_path)).fetch(request(address, bytes(5 << 20))) == b"ok"


def test_connecting_has_a_limit(client: Callable[..., Client]) -> None:
    """The server accepts, and never says anything: TLS belongs to connecting."""
    with serving(silent) as server:
        error = client(connect_timeout=0.2).fails(request(server.address.replace("http:", "https:")))
        assert error.reason is Gone.REFUSED
        assert "within 0.2 seconds" in error.text


# Proxies and Unix sockets


class Proxy:
    """A proxy: tunnels, or answers itself what names a whole URL."""

    def __init__(self, status: str = "200 OK") -> None:
        self.status = status
        self.heads: list[bytes] = []

    def __call__(self, exchange: Exchange) -> bool:
        self.heads.append(exchange.head)
        if not exchange.head.startswith(b"CONNECT "):
            exchange.send(OK)
            return True
        exchange.send(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
        if not self.status.startswith("2"):
            return False
        host, _, port = exchange.target.rpartition(":")
        with socket.create_connection((host, int(port))) as far:
            threading.Thread(target=_copy, args=(far, exchange.connection), daemon=True).start()
            _copy(exchange.connection, far)
        return False


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)


def test_proxy_for_http(client: Callable[..., Client]) -> None:
    proxy = Proxy()
    with serving(proxy) as server:
        one = client(proxy=server.address.replace("//", "//me:s%40crt@"))
        assert one.fetch(request("http://far.away:81")) == b"ok"
    assert proxy.heads[0].startswith(b"POST http://far.away:81/a.B/C HTTP/1.1\r\nhost: far.away:81\r\n")
    assert b"proxy-authorization: Basic bWU6c0BjcnQ=\r\n" in proxy.heads[0]


def test_proxy_tunnels_http2(client: Callable[..., Client]) -> None:
    proxy = Proxy()
    with serving(proxy) as middle, http2_server(answering()) as server:
        one = client(proxy=middle.address)
        for _ in range(3):
            assert one.fetch(request(server.address, http2=True)) == b"ok"
        host = server.address.removeprefix("http://").encode()
    assert [head.split(b"\r\n")[:2] for head in proxy.heads] == [[b"CONNECT %b HTTP/1.1" % host, b"host: %b" % host]]


def test_proxy_tunnels_tls(client: Callable[..., Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy()
    with serving(proxy) as middle, tls_server(tmp_path, ["h2"], version="2") as address:
        monkeypatch.setenv("HTTPS_PROXY", middle.address)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert client(ssl_context=trusting(tmp_path)).fetch(request(address)) == b"ok"
        assert len(proxy.heads) == 1
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert client(ssl_context=trusting(tmp_path)).fetch(request(address)) == b"ok"
        assert client(ssl_context=trusting(tmp_path), trust_env=False).fetch(request(address)) == b"ok"
    assert len(proxy.heads) == 1


@pytest.mark.parametrize(
    ("listed", "near", "far"),
    [
        ("*", "a.example", None),
        ("a.example, b.example", "b.example", "c.example"),
        ("example.com", "www.example.com", "notexample.com"),
        (".example.com", "www.example.com", "example.org"),
        ("*.example.com", "WWW.example.com", "example.com"),
        ("example.com:80", "example.com", None),
        ("example.com:81", None, "example.com"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("10.0.0.0/8", "10.1.2.3", "11.1.2.3"),
        ("::1", "::1", "::2"),
        ("[::1]", "::1", "::2"),
        ("fd00::/8", "fd00::1", "fe00::1"),
    ],
)
def test_what_needs_no_proxy(monkeypatch: pytest.MonkeyPatch, listed: str, near: str | None, far: str | None) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", listed)
    proxies = Proxies(None, trust_env=True)
    for host in (near, far):
        if host is not None:
            found = proxies.of(Target("http", host, host, 80, None))
            assert (found is None) is (host == near)


def test_proxy_that_refuses(client: Callable[..., Client]) -> None:
    with serving(Proxy("407 Who are you")) as server:
        error = client(proxy=server.address).fails(request("https://far.away"))
        assert error.reason is Gone.REFUSED
        assert "407" in error.text


def test_proxy_of_another_kind(client: Callable[..., Client]) -> None:
    with pytest.raises(ValueError, match="a proxy is given as"):
        client(proxy="socks5://127.0.0.1:1")


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1", "http://127.0.0.1:port", "https://127.0.0.1"])
def test_proxy_of_another_kind_in_the_environment(
    client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", url)
    one = client()
    with pytest.raises(ValueError, match=r"ALL_PROXY is of no use \(trust_env=False ignores it\): a proxy is given as"):
        one.fetch(request("http://far.away"))


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets here")
def test_unix_socket_whose_queue_is_full(client: Callable[..., Client], tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as full:
        listener.bind(str(path))
        listener.listen(0)
        for _ in range(4):
            waiting = full.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            waiting.connect_ex(str(path))
        error = client(unix_socket=path, connect_timeout=0.1).fails(request("http://localhost"))
    assert (error.reason, error.text) == (Gone.REFUSED, "no connection within 0.1 seconds")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets here")
@pytest.mark.parametrize("version", VERSIONS)
def test_unix_socket(client: Callable[..., Client], tmp_path: Path, version: str) -> None:
    path = str(tmp_path / "socket")
    with http2_server(answering(), unix=path) if version == "2" else serving(lambda e: e.send(OK), unix=path):
        one = client(unix_socket=path if version == "1.1" else tmp_path / "socket")
        for _ in range(2):
            assert one.fetch(request("http://localhost", http2=version == "2")) == b"ok"
    assert client(unix_socket=str(tmp_path / "none")).fails(request("http://localhost")).reason is Gone.REFUSED


# Options


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


# Limits


@pytest.mark.parametrize("limit", ["idle_timeout", "max_age"])
@pytest.mark.parametrize("version", VERSIONS)
def test_connections_are_not_kept_for_ever(client: Callable[..., Client], version: str, limit: str) -> None:
    options = {limit: 0.05}
    with http2_server(answering()) if version == "2" else serving(lambda e: e.send(OK)) as server:
        one = client(**options)
        for _ in range(2):
            assert one.fetch(request(server.address, http2=version == "2")) == b"ok"
            time.sleep(0.1)
        count = server.connections if isinstance(server.connections, int) else len(server.connections)
        assert count == 2


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
            async with asyncio.timeout(10):
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


def test_a_connection_that_is_no_longer_wanted_and_then_is() -> None:
    """Who comes while it is being given up has one of its own made, at whatever moment that is."""

    async def run(address: str) -> None:
        for turns in range(12):
            transport = HTTPTransport()
            leaving = asyncio.create_task(transport.open(request(address)))
            for _ in range(turns):
                await asyncio.sleep(0)
            leaving.cancel()
            got = await asyncio.wait_for(asyncio.create_task(transport.open(request(address))), 10)
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


# A server that speaks something else


@pytest.mark.parametrize(
    ("said", "version", "text"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "1.1", "the server speaks TLS here: the address must begin with https://"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "2", "the server speaks TLS here: the address must begin with https://"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "2", "the server speaks HTTP/1.1 here, and this call needs HTTP/2"),
        (b"\0\0\0\4\0\0\0\0\0", "1.1", 'the server speaks HTTP/2 here: give the transport http_version="2"'),
        (b"\0\0\6\4\0\0\0\0\0\0\4\0\1\0\0", "1.1", 'the server speaks HTTP/2 here: give the transport http_version="2"'),
        (b"220 mail.example ESMTP\r\n", "1.1", "the response is no HTTP/1.1"),
        (b"", "1.1", "the server closed it without a word"),
        (b"HTTP/1.1 200 OK\r\n", "1.1", "the server closed it"),
    ],
)
def test_what_a_server_speaks_instead(client: Callable[..., Client], said: bytes, version: str, text: str) -> None:
    with speaking(said) as address:
        assert client(http_version=version).fails(request(address)).text.startswith(text)


def test_no_tls_where_it_is_expected(client: Callable[..., Client]) -> None:
    with speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        error = client().fails(request(address.replace("http:", "https:")))
    assert error.text == "the server does not answer in TLS: if it serves without, its address begins with http://"


@contextlib.contextmanager
def speaking(said: bytes) -> Iterator[str]:
    """A server that says this to its first caller, whatever that says."""

    def serve() -> None:
        sock, _ = listener.accept()
        with sock, contextlib.suppress(OSError):
            asked = sock.recv(24, socket.MSG_WAITALL)
            while asked.startswith(b"PRI"):  # up to the head of a request (RFC 9113, 3.4 and 6.2)
                frame = sock.recv(9, socket.MSG_WAITALL)
                sock.recv(int.from_bytes(frame[:3], "big"), socket.MSG_WAITALL)
                if frame[3:4] in (b"\x01", b""):
                    break
            sock.sendall(said)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 16):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(20)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 503 No\r\n\r\n", b"\0\0\0\4\0\0\0\0\0\0\0\x08\7" + b"\0" * 13, b"no HTTP at all"]
)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_ends_connections_at_once(client: Callable[..., Client], said: bytes, version: str) -> None:
    """It is not asked again and again: there may be no request before it has ended the next one, too."""
    connections = 0

    def serve() -> None:
        nonlocal connections
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                connections += 1
                with sock:
                    sock.sendall(said)

    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            one = client(http_version=version)
            for _ in range(5):
                with contextlib.suppress(TransportError, OSError):
                    one.fetch(request(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(20)
    assert connections <= 5 * TRIES


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


# Addresses of a name


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
        while calls[-1] == "127.0.0.1" and len(calls) < 10:
            assert one.fetch(request(where)) == b"ok"
        found = []
        calls.clear()
        for _ in range(3):
            assert one.fetch(request(where)) == b"ok"
        assert calls == ["127.0.0.2"] * 3
        assert left.wait(10)  # the second server's connection is still open


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
            count = first.connections if isinstance(first.connections, int) else len(first.connections)
            await until(lambda: len(ended) == count)

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


# Signs of life


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
        assert len(pings) == 3


# Ends


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
        assert closed.wait(5)
        before = descriptors()
        for _ in range(5):
            closed.clear()
            asyncio.run(run())
            assert closed.wait(5)
        assert descriptors() <= before + 1
