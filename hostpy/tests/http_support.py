"""What tests of our own transport share: requests, a transport of each form, servers inside TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from certificates import certificates
from client_support import Exchange, response, serving
from connectcore.transport import HTTPTransport, HTTPTransportSync, Request, TransportError
from http2_support import answering, http2_server

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

VERSIONS = ("1.1", "2")
OK = response(b"ok")


def request(origin: str, content: Any = b"hello", *fields: tuple[str, str], http2: bool = False, **changes: Any) -> Request:
    """A request; bytes of content with their length."""
    fields = (("content-type", "application/proto"), *fields)
    if isinstance(content, bytes):
        fields = (*fields, ("content-length", str(len(content))))
    column = "\0".join(part for field in fields for part in field).encode()
    made = Request(changes.get("method", "POST"), origin, changes.get("target", "/a.B/C"), column, content, None)
    made.http2 = http2 or None
    return made


def silent(exchange: Exchange) -> None:
    """Reads on until the client closes."""
    while exchange.connection.recv(65536):
        pass


def connections(server: Any) -> int:
    """How many connections a server of HTTP/1.1 or HTTP/2 has got."""
    return server.connections if isinstance(server.connections, int) else len(server.connections)


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
