"""Content in chunks under WSGI servers that leave these to the application."""

from __future__ import annotations

import io
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from connectcore.code import Code
from connectcore.errors import ConnectError
from server_support import ALL, CLIENT, CONNECT, UNARY, WSGI, Chunks, Request, envelope, envelopes, environ, message, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Serve = Callable[..., tuple[int, bytes]]

HELLO = message("hello")
CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked"}


def chunk(data: bytes) -> bytes:
    return b"%x;a=b\r\n%b\r\n" % (len(data), data)


class Connection(io.RawIOBase):
    """What a peer has sent, piece by piece. To read on would be to wait for ever."""

    def __init__(self, *pieces: bytes, closed: bool = False) -> None:
        self._pieces = [*pieces, b""] if closed else [*pieces]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._pieces.pop(0)
        assert len(piece) <= len(buffer)
        buffer[: len(piece)] = piece
        return len(piece)


def under_wsgiref(*pieces: bytes, closed: bool = False) -> dict[str, Any]:
    """The environment of a request with this content."""
    stream = io.BufferedReader(Connection(*pieces, closed=closed))
    return {"wsgi.input": stream, "SERVER_SOFTWARE": "WSGIServer/0.2"}


def serve(procedure: str, server: dict[str, Any], functions: Any = ALL) -> tuple[int, bytes]:
    """Status and content of the answer to a request whose head says no length."""
    request = Request(CLIENT, **CONNECT) if procedure == CLIENT else Request(length=False)
    variables = environ(request)
    del variables["wsgi.input_terminated"]
    statuses: list[str] = []
    written = WSGI(functions)(variables | server, lambda status, _: statuses.append(status))
    return int(statuses[0][:3]), b"".join(written)


@pytest.fixture
def uwsgi(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """uWSGI's module, as it lies in its processes: `chunked_read` gives what a test puts into `chunks`."""
    module: Any = ModuleType("uwsgi")
    module.opt, module.chunks = {"http-socket": b":80"}, []

    def chunked_read() -> bytes:
        taken = module.chunks.pop(0)
        if isinstance(taken, Exception):
            raise taken
        return taken  # type: ignore[no-any-return]

    module.chunked_read = chunked_read
    module.input = type("_Input", (), {"__module__": "uwsgi", "read": lambda *_: b""})()
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    yield module
    assert not module.chunks, "content was not read to its end"


class TestWsgiref:
    @pytest.mark.parametrize("size", [1, 2, 7, 1000])
    def test_in_pieces(self, size: int) -> None:
        content = b"".join(map(chunk, (HELLO[:3], HELLO[3:]))) + b"0\r\nx: y\r\n\r\n"
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        assert serve(UNARY, under_wsgiref(*pieces) | CHUNKED) == (200, HELLO)
        assert serve(UNARY, under_wsgiref(*pieces) | {"HTTP_TRANSFER_ENCODING": "Chunked"}) == (200, HELLO)

    def test_stream(self) -> None:
        """Each message is there when its bytes are, and not when the next come."""
        seen: list[str] = []

        def handler(requests: Any, ctx: Any) -> Any:
            for each in requests:
                seen.append(each.value)
                assert len(seen) + len(server["wsgi.input"].raw._pieces) == 3
            return each

        server = under_wsgiref(chunk(envelope(message("a"))), chunk(envelope(message("b"))), b"0\r\n\r\n") | CHUNKED
        status, content = serve(CLIENT, server, {CLIENT: handler})
        assert (status, seen) == (200, ["a", "b"])
        assert text(envelopes(content)[0][1]) == "b"

    def test_none(self) -> None:
        """A request that says neither length nor coding has no content (RFC 9112, 6.3)."""
        assert serve(UNARY, under_wsgiref()) == (200, b"")

    @pytest.mark.parametrize("coding", ["gzip, chunked", "identity", ""])
    def test_other_codings(self, coding: str) -> None:
        assert serve(UNARY, under_wsgiref() | {"HTTP_TRANSFER_ENCODING": coding})[0] == 411

    def test_large(self) -> None:
        """A chunk may be larger than what is read at a time."""
        large = message("x" * 300_000)
        content = chunk(large) + b"0\r\n\r\n"
        pieces = [content[at : at + 8192] for at in range(0, len(content), 8192)]
        assert serve(UNARY, under_wsgiref(*pieces) | CHUNKED) == (200, large)

    @pytest.mark.parametrize(
        "content",
        [b"", b"5", b"5\r\n\0\0", b"5\r\n\0\0\0\0\5", b"0\r\n", b"-1\r\n", b"x\r\n", b"5\r\n\0\0\0\0\0050\r\n\r\n"],
    )
    def test_cut_short_or_damaged(self, content: bytes) -> None:
        """No handler has it, and nothing waits for the rest."""
        assert serve(UNARY, under_wsgiref(content, closed=True) | CHUNKED, {UNARY: None})[0] == 400
        assert serve(CLIENT, under_wsgiref(content, closed=True) | CHUNKED, {CLIENT: _gone})[0] == 400

    @pytest.mark.parametrize("software", ["", "other/1"])
    def test_another_server(self, software: str) -> None:
        """What it leaves of a connection is not known."""
        assert serve(UNARY, under_wsgiref() | CHUNKED | {"SERVER_SOFTWARE": software})[0] == 411
        assert serve(UNARY, under_wsgiref() | CHUNKED | {"wsgi.input": Chunks([])})[0] == 411

    def test_refused_content_is_read(self) -> None:
        """Else the server closes the connection over it, and the answer may be lost."""
        server = under_wsgiref(chunk(HELLO), b"0\r\n\r\n") | CHUNKED
        assert serve(UNARY, server | {"CONTENT_TYPE": "image/jpeg"})[0] == 415
        assert not server["wsgi.input"].raw._pieces


class TestUwsgi:
    def test_chunks(self, uwsgi: Any) -> None:
        uwsgi.chunks += [HELLO[:3], HELLO[3:], b""]
        assert serve(UNARY, {"wsgi.input": uwsgi.input} | CHUNKED) == (200, HELLO)

    def test_stream(self, uwsgi: Any) -> None:
        uwsgi.chunks += [envelope(message("a")), envelope(message("b"))[:4], envelope(message("b"))[4:], b""]
        status, content = serve(CLIENT, {"wsgi.input": uwsgi.input} | CHUNKED)
        assert (status, text(envelopes(content)[0][1])) == (200, "a+b")

    def test_none(self, uwsgi: Any) -> None:
        assert serve(UNARY, {"wsgi.input": uwsgi.input}) == (200, b"")

    def test_connection_that_breaks(self, uwsgi: Any) -> None:
        """It is asked no more: that would take seconds each time."""
        for procedure, handler in ((UNARY, None), (CLIENT, _gone)):
            uwsgi.chunks += [HELLO[:3] if procedure == UNARY else envelope(HELLO), OSError("unable to receive chunked part")]
            assert serve(procedure, {"wsgi.input": uwsgi.input} | CHUNKED, {procedure: handler})[0] == 400

    def test_refused_content_is_read(self, uwsgi: Any) -> None:
        uwsgi.chunks += [HELLO, b""]
        assert serve(UNARY, {"wsgi.input": uwsgi.input, "CONTENT_TYPE": "image/jpeg"} | CHUNKED)[0] == 415

    @pytest.mark.parametrize("options", [{"http": b":80"}, {"https": b":443", "master": True}])
    def test_router_that_passes_on_none(self, uwsgi: Any, options: dict[str, Any]) -> None:
        uwsgi.opt = options
        assert serve(UNARY, {"wsgi.input": uwsgi.input} | CHUNKED)[0] == 411
        uwsgi.opt = options | {"http-chunked-input": True}
        uwsgi.chunks += [HELLO, b""]
        assert serve(UNARY, {"wsgi.input": uwsgi.input} | CHUNKED) == (200, HELLO)


def _gone(requests: Any, ctx: Any) -> Any:
    with pytest.raises(ConnectError) as raised:
        list(requests)
    assert raised.value.code is Code.CANCELED
    raise raised.value
