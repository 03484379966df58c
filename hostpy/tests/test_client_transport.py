"""The transports: what each does with a request, a response and a failure."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pyqwest
import pytest

from certificates import certificates
from client_support import DATA, GOOD, MESSAGE, METHOD, Exchange, accepted, call, open_calls, response, serving, shut
from connectcore._transport.default import default_transport, default_transport_sync
from connectcore.client import Cancellation, ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.request import Headers
from connectcore.transport import (
    ASGITransport,
    Gone,
    PyqwestTransport,
    PyqwestTransportSync,
    Request,
    TransportError,
    WSGITransport,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TYPE = [("content-type", "application/proto")]


def error_of(mode: str, address: str, **options: Any) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        call(mode, address, **options)
    return caught.value


# A transport of the user's own


class Canned:
    """A transport, and its response, whose pieces are given; an exception among them is raised."""

    def __init__(self, *pieces: Any, status: int = 200, fields: Any = TYPE, length: int | None = None) -> None:
        self.pieces = list(pieces)
        self.status = status
        self.fields = fields
        self.length = length
        self.trailers: Any = []
        self.requests: list[Request] = []
        self.closed = 0

    def open_sync(self, request: Request) -> Any:
        self.requests.append(request)
        if self.pieces and self.pieces[0] == "open":
            raise self.pieces[1]
        return CannedSync(self)

    async def open(self, request: Request) -> Any:
        self.requests.append(request)
        if self.pieces and self.pieces[0] == "open":
            raise self.pieces[1]
        return self

    def next(self) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, BaseException):
            raise piece
        return bytes(piece)

    async def read(self) -> bytes:
        return self.next()

    async def close(self) -> None:
        self.closed += 1


class CannedSync:
    def __init__(self, canned: Canned) -> None:
        self.canned = canned

    def __getattr__(self, name: str) -> Any:
        return getattr(self.canned, name)

    def read(self) -> bytes:
        return self.canned.next()

    def close(self) -> None:
        self.canned.closed += 1


@pytest.mark.parametrize("fields", [TYPE, [(b"content-type", b"application/proto")]], ids=["text", "bytes"])
@pytest.mark.parametrize("length", [None, len(DATA)])
@pytest.mark.parametrize("size", [1, 3, len(DATA)])
def test_pieces(mode: str, fields: Any, length: int | None, size: int) -> None:
    canned = Canned(*[DATA[i : i + size] for i in range(0, len(DATA), size)], fields=fields, length=length)
    assert call(mode, "http://example.com/p", http_client=canned, headers={"x-a": "ü"}) == MESSAGE
    (request,) = canned.requests
    assert (request.method, request.origin, request.target) == ("POST", "http://example.com", "/p/acme.v1.Service/Get")
    assert request.content == DATA
    assert (b"x-a", "ü".encode()) in request.fields
    assert ("x-a", "ü") in request.text_fields
    assert canned.closed == 1
    assert open_calls() == 0


@pytest.mark.parametrize(
    ("failure", "code", "text"),
    [
        (TransportError(Gone.REFUSED, "why"), Code.UNAVAILABLE, "cannot be reached: why"),
        (TransportError(Gone.CLOSED, "why"), Code.UNAVAILABLE, "ended before the response did: why"),
        (TransportError(Gone.MALFORMED, "why"), Code.INTERNAL, "why"),
        (TransportError(Gone.TIMEOUT), Code.DEADLINE_EXCEEDED, "deadline"),
        (TransportError(Gone.CANCELED), Code.CANCELED, "cancel"),
        (TransportError(Gone.RESET, "why", 0x1), Code.INTERNAL, "why"),
        (TransportError(Gone.RESET, "why", 0x2), Code.INTERNAL, "why"),
        (TransportError(Gone.RESET, "why", 0x7), Code.UNAVAILABLE, "why"),
        (TransportError(Gone.RESET, "why", 0x8), Code.CANCELED, "why"),
        (TransportError(Gone.RESET, "why", 0xB), Code.RESOURCE_EXHAUSTED, "why"),
        (TransportError(Gone.RESET, "why", 0xC), Code.PERMISSION_DENIED, "why"),
        (ConnectionRefusedError(111, "no"), Code.UNAVAILABLE, "cannot be reached: no"),
        (ConnectionResetError(104, "no"), Code.UNAVAILABLE, "no"),
        (OSError("no"), Code.UNAVAILABLE, "no"),
        (TimeoutError(), Code.DEADLINE_EXCEEDED, "deadline"),
        (KeyError("bug"), Code.INTERNAL, "the HTTP client failed: 'bug'"),
    ],
    ids=str,
)
@pytest.mark.parametrize("where", ["open", "read", "read on"])
def test_failures(mode: str, failure: Exception, code: Code, text: str, where: str) -> None:
    canned = Canned(*{"open": ("open", failure), "read": (failure,), "read on": (b"x", failure)}[where])
    error = error_of(mode, "http://a", http_client=canned)
    assert error.code is code
    assert text in error.message
    assert error.__cause__ is not None
    assert canned.closed == (0 if where == "open" else 1)
    assert open_calls() == 0


def test_a_failure_after_the_deadline(mode: str) -> None:
    """A server that keeps the same deadline may be the first to act on it."""

    class Late(Canned):
        def open_sync(self, request: Request) -> Any:
            assert request.deadline is not None
            while monotonic() < request.deadline:
                threading.Event().wait(0.01)
            return super().open_sync(request)

        async def open(self, request: Request) -> Any:
            return self.open_sync(request)

    late = Late("open", TransportError(Gone.RESET, "why", 0x8))
    assert error_of(mode, "http://a", http_client=late, timeout=0.05).code is Code.DEADLINE_EXCEEDED


def test_content_shorter_than_its_length(mode: str) -> None:
    error = error_of(mode, "http://a", http_client=Canned(DATA[:-1], length=len(DATA)))
    assert (error.code, open_calls()) == (Code.UNAVAILABLE, 0)


def test_length_zero_needs_no_read(mode: str) -> None:
    canned = Canned(KeyError("read"), length=0)
    assert call(mode, "http://a", http_client=canned).value == ""


def test_bad_head_needs_no_read(mode: str) -> None:
    canned = Canned(KeyError("read"), fields=[("content-type", "text/html")])
    assert error_of(mode, "http://a", http_client=canned).code is Code.UNKNOWN
    assert canned.closed == 1


def test_nul_in_a_field_smuggles_nothing(mode: str) -> None:
    canned = Canned(DATA, fields=[*TYPE, ("x-a", "1\0x-b\0002")], length=len(DATA))
    assert error_of(mode, "http://a", http_client=canned).code is Code.INTERNAL
    assert open_calls() == 0


def test_keyboard_interrupt_leaves_nothing() -> None:
    canned = Canned(b"x", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        call("sync", "http://a", http_client=canned)
    assert (canned.closed, open_calls()) == (1, 0)


# pyqwest


def test_metadata_that_pyqwest_cannot_send(mode: str) -> None:
    with serving(GOOD) as server:
        error = error_of(mode, server.address, headers=Headers([("x-a", "\udcff")]), http_client=transport(mode))
        assert (error.code, "not UTF-8" in error.message) == (Code.INTERNAL, True)
        assert server.connections == 0
    assert open_calls() == 0


def test_an_http3_connection_that_was_never_made(mode: str) -> None:
    """Nothing was sent: such a call may be made again, whatever it does."""
    failure = pyqwest.WriteError(
        "Request failed: error sending request for url (https://a/b): failed to establish connection for HTTP/3 request"
    )

    class Client:
        def stream(self, *_: Any, **__: Any) -> Any:
            raise failure

    error = error_of(mode, "https://a", http_client=transport(mode, client=Client()))
    assert error.code is Code.UNAVAILABLE
    assert "cannot be reached" in error.message


def test_options_that_do_not_go_together(mode: str) -> None:
    client = pyqwest.Client() if mode == "async" else pyqwest.SyncClient()
    with pytest.raises(ValueError, match="go together"):
        transport(mode, tls_cert=b"x")
    with pytest.raises(ValueError, match="its own options"):
        transport(mode, tls_ca_cert=b"x", client=client)


def test_default_transports_are_shared() -> None:
    assert default_transport() is default_transport()
    assert default_transport_sync() is default_transport_sync()


def test_default_where_zttp_has_no_wheel() -> None:
    program = (
        "import sys; sys.modules['zttp'] = None\n"
        "from connectcore._transport.default import default_transport, default_transport_sync\n"
        "print(type(default_transport()).__name__, type(default_transport_sync()).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.stdout.split() == ["PyqwestTransport", "PyqwestTransportSync"]


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with its package"])
def test_zttp_is_imported_once(alone: bool) -> None:
    """Its parser without its package, if that works; and whoever imports the package finds the same parser."""
    program = (
        "import importlib.util, sys\n"
        f"if not {alone}: importlib.util.module_from_spec = lambda _: 1 / 0\n"
        "from connectcore._transport.http import parser\n"
        f"assert ('zttp' in sys.modules) is not {alone}\n"
        "import zttp, zttp.endpoint\n"
        "assert type(parser.http2()) is zttp.H2Connection\n"
        "assert parser.Data is zttp.Data and parser.ProtocolError is zttp.ProtocolError\n"
        "print('good')"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.stdout == "good\n"


def test_connect_timeout_of_a_client_of_the_users_own(mode: str) -> None:
    """Nobody accepts: the library's own limit on connecting is `unavailable`, since nothing has reached a server."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        filling = [socket.socket() for _ in range(4)]
        for each in filling:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        client: Any
        if mode == "sync":
            client = pyqwest.SyncClient(pyqwest.SyncHTTPTransport(connect_timeout=0.2))
        else:
            client = pyqwest.Client(pyqwest.HTTPTransport(connect_timeout=0.2))
        error = error_of(mode, address, http_client=client)
        for each in filling:
            each.close()
    assert error.code is Code.UNAVAILABLE


def test_time_limit_of_a_client_of_the_users_own(mode: str) -> None:
    client: Any
    if mode == "sync":
        client = pyqwest.SyncClient(pyqwest.SyncHTTPTransport(timeout=0.2))
    else:
        client = pyqwest.Client(pyqwest.HTTPTransport(timeout=0.2))
    with serving(lambda exchange: exchange.wait_for_close()) as server:
        assert error_of(mode, server.address, http_client=client).code is Code.DEADLINE_EXCEEDED


FORK = """
import asyncio, os, signal, sys
sys.path.insert(0, {tests!r})
from client_support import METHOD, MESSAGE, GOOD, serving, call
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.errors import ConnectError
from connectcore.transport import PyqwestTransport, PyqwestTransportSync

before, pyqwest, mode = sys.argv[1], sys.argv[2] == "pyqwest", sys.argv[3]

def made():
    if mode == "async":
        return ConnectClient(server.address, http_client=PyqwestTransport() if pyqwest else None)
    return ConnectClientSync(server.address, http_client=PyqwestTransportSync() if pyqwest else None)

def works(client):
    reply = client.execute_unary(request=MESSAGE, method=METHOD)
    if mode == "async":
        async def wait():
            return await reply
        reply = asyncio.run(wait())
    return reply == MESSAGE

with serving(GOOD) as server:
    client = made()
    if before == "called":
        assert works(client)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            os._exit(0 if works(client) and works(made()) and works(client) else 1)
        except ConnectError as error:
            print(error.message, flush=True)
            os._exit(2)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    assert works(client)  # in the parent
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize(
    ("transport", "before", "expected"),
    [("default", "made", "0"), ("default", "called", "0"), ("pyqwest", "called", "2")],
)
def test_fork(mode: str, transport: str, before: str, expected: str) -> None:
    """A client made before a fork works in the child, and so does a new one. By pyqwest, one that was used says what to do."""
    program = textwrap.dedent(FORK).format(tests=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", program, before, transport, mode], check=True, stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert done.stdout.split("\n")[-2] == expected
    assert ("after the fork" in done.stdout) is (expected == "2")


# TLS


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[Callable[[bool], str]]:
    """Starts a server that answers one good response per connection, and may want a client certificate."""
    for name, (certificate, key) in certificates().items():
        (tmp_path / f"{name}.pem").write_bytes(certificate + key)
    listeners: list[socket.socket] = []

    def start(wants_client: bool) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.pem")
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(tmp_path / "authority.pem")
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            for connection in accepted(listener):
                try:
                    with context.wrap_socket(connection, server_side=True) as secure:
                        data = b""
                        while not data.endswith(DATA):
                            data += secure.recv(65536) or DATA
                        secure.sendall(GOOD)
                except OSError:
                    pass

        threading.Thread(target=serve, daemon=True).start()
        return f"https://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        shut(listener)


def transport(mode: str, **options: Any) -> Any:
    return PyqwestTransport(**options) if mode == "async" else PyqwestTransportSync(**options)


def test_tls(mode: str, tls_server: Callable[[bool], str]) -> None:
    address = tls_server(False)
    trusting = transport(mode, tls_ca_cert=certificates()["authority"][0])
    assert call(mode, address, http_client=trusting) == MESSAGE
    error = error_of(mode, address)  # the system does not know that authority
    assert error.code is Code.UNAVAILABLE
    assert "certificate" in error.message


def test_client_certificate(mode: str, tls_server: Callable[[bool], str]) -> None:
    address = tls_server(True)
    authority, (certificate, key) = certificates()["authority"][0], certificates()["client"]
    known = transport(mode, tls_ca_cert=authority, tls_cert=certificate, tls_key=key)
    assert call(mode, address, http_client=known) == MESSAGE
    with Cancellation():
        assert call(mode, address, http_client=known) == MESSAGE
    assert error_of(mode, address, http_client=transport(mode, tls_ca_cert=authority)).code is Code.UNAVAILABLE


# Applications in this process


class ASGIApp:
    """Echoes the message; the path says how."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []
        self.ended: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        kind = scope["path"].split("/")[1]
        try:
            body, more = b"", True
            while more:
                event = await receive()
                body, more = body + event["body"], event["more_body"]
            if kind == "raises":
                raise KeyError("bug")
            if kind == "nothing":
                return
            if kind == "waits":
                await asyncio.sleep(30)
            headers = [(b"Content-Type", b"application/proto"), (b"x-a", b"1")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if kind == "half":
                await send({"type": "http.response.body", "body": body[:2], "more_body": True})
                return
            if kind == "endless":
                while True:
                    await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            for byte in body:
                await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
            await send({"type": "http.response.body"})
            assert await receive() == {"type": "http.disconnect"}
        finally:
            self.ended.append(kind)


def asgi_call(app: Any, kind: str, **options: Any) -> Any:
    async def run() -> Any:
        async with ConnectClient(f"http://example.com:81/{kind}", http_client=ASGITransport(app)) as client:
            try:
                return await client.execute_unary(request=MESSAGE, method=METHOD, **options)
            finally:
                await asyncio.sleep(0.01)

    return asyncio.run(run())


def test_asgi() -> None:
    app = ASGIApp()
    assert asgi_call(app, "good", headers={"x-b": "2"}) == MESSAGE
    (scope,) = app.scopes
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/good/acme.v1.Service/Get", b"")
    assert (scope["scheme"], scope["server"], scope["http_version"]) == ("http", ("example.com", 81), "2")
    assert (b"host", b"example.com:81") in scope["headers"]
    assert (b"x-b", b"2") in scope["headers"]
    assert app.ended == ["good"]


def test_asgi_get() -> None:
    app = ASGIApp()
    with pytest.raises(ConnectError):  # it echoes no content, which is no error of the call
        asgi_call(app, "raises", use_get=True)
    assert app.scopes[0]["method"] == "GET"
    assert b"message=" in app.scopes[0]["query_string"]


@pytest.mark.parametrize(
    ("kind", "options", "code"),
    [
        ("raises", {}, Code.UNAVAILABLE),
        ("nothing", {}, Code.UNAVAILABLE),
        ("half", {}, Code.UNAVAILABLE),
        ("waits", {"timeout": 0.1}, Code.DEADLINE_EXCEEDED),
        ("endless", {}, Code.RESOURCE_EXHAUSTED),
    ],
)
def test_asgi_failures(kind: str, options: dict[str, Any], code: Code) -> None:
    app = ASGIApp()
    with pytest.raises(ConnectError) as caught:
        asgi_call(app, kind, **options)
    assert caught.value.code is code
    assert app.ended == [kind]  # no task stays behind
    assert open_calls() == 0


def test_asgi_cancellation() -> None:
    app = ASGIApp()

    async def run() -> None:
        client = ConnectClient("http://a/waits", http_client=ASGITransport(app))
        task = asyncio.create_task(client.execute_unary(request=MESSAGE, method=METHOD))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert app.ended == ["waits"]
    assert open_calls() == 0


class WSGIApp:
    """Echoes the message; the path says how."""

    def __init__(self) -> None:
        self.environs: list[dict[str, Any]] = []
        self.closed = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.environs.append(environ)
        self.kind = environ["PATH_INFO"].split("/")[1]
        self.body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        self.start = start_response
        if self.kind == "raises":
            raise KeyError("bug")
        return self

    def __iter__(self) -> Iterator[bytes]:
        if self.kind == "nothing":
            return
        write = self.start("200 OK", [("Content-Type", "application/proto"), ("X-A", "1")])
        if self.kind == "writes":
            write(self.body[:3])
            yield self.body[3:]
            return
        yield b""
        for byte in self.body:
            yield bytes([byte])
        if self.kind == "breaks":
            raise KeyError("bug")
        while self.kind == "endless":
            yield bytes(65536)

    def close(self) -> None:
        self.closed += 1


def wsgi_call(app: Any, kind: str, **options: Any) -> Any:
    with ConnectClientSync(f"https://example.com/{kind}", http_client=WSGITransport(app)) as client:
        return client.execute_unary(request=MESSAGE, method=METHOD, **options)


@pytest.mark.parametrize("kind", ["good", "writes"])
def test_wsgi(kind: str) -> None:
    app = WSGIApp()
    assert wsgi_call(app, kind, headers={"x-b": "2"}) == MESSAGE
    (environ,) = app.environs
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("POST", f"/{kind}/acme.v1.Service/Get")
    assert (environ["wsgi.url_scheme"], environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("https", "example.com", "443")
    assert (environ["CONTENT_TYPE"], environ["HTTP_X_B"], environ["HTTP_HOST"]) == ("application/proto", "2", "example.com")
    assert app.closed == 1


@pytest.mark.parametrize(
    ("kind", "options", "code"),
    [
        ("raises", {}, Code.UNAVAILABLE),
        ("nothing", {}, Code.UNAVAILABLE),
        ("breaks", {}, Code.UNAVAILABLE),
        ("endless", {}, Code.RESOURCE_EXHAUSTED),
    ],
)
def test_wsgi_failures(kind: str, options: dict[str, Any], code: Code) -> None:
    app = WSGIApp()
    with pytest.raises(ConnectError) as caught:
        wsgi_call(app, kind, **options)
    assert caught.value.code is code
    assert app.closed == (0 if kind == "raises" else 1)
    assert open_calls() == 0


def test_user_error_is_not_a_response(mode: str) -> None:
    """A raw server's good answer to a second request over the same transport: nothing of the first is left."""

    def answer(exchange: Exchange) -> None:
        exchange.send(response(b"\xff") if exchange.content == b"" else GOOD)

    shared = transport(mode)
    with serving(answer) as server:
        with pytest.raises(ConnectError):
            call(mode, server.address, type(MESSAGE)(), http_client=shared)
        assert call(mode, server.address, http_client=shared) == MESSAGE
