"""Our own transport over TLS: ALPN, authorities, certificates of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from client_support import serving
from connectcore.transport import Gone, TransportError
from http_support import Client, request, silent, tls_server, trusting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
