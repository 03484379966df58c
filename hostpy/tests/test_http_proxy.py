"""Our own transport's other ways to a server: proxies, Unix sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from client_support import Exchange, serving
from connectcore._transport.http.options import Target
from connectcore._transport.http.proxy import Proxies
from connectcore.transport import Gone
from http2_support import answering, http2_server
from http_support import OK, VERSIONS, Client, request, tls_server, trusting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
