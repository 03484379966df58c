"""Content in chunks (RFC 9112, 7.1) under servers that leave these to the application: uWSGI and wsgiref.

Both pass on the field that says how content is framed, so that it is known, too, where a request has none (RFC 9112, 6.3).
"""

from __future__ import annotations

import sys
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Stream", "unframed"]

_UWSGI_ROUTER = {"http", "https"}
_UWSGI_ROUTER_PASSES = {"http-chunked-input", "http-raw-body"}
"""uWSGI's options: for its HTTP router, and for that router to pass on content without a length."""


class Stream(Protocol):
    """Content that ends by itself, as `io.BufferedIOBase` has it."""

    def read(self, size: int, /) -> bytes: ...
    def read1(self, size: int, /) -> bytes: ...


def unframed(environ: dict[str, Any]) -> Stream | None:
    """The content of a request without a length, where the server is known to leave its chunks to us; else None."""
    stream = environ["wsgi.input"]
    if type(stream).__module__ == "uwsgi":
        uwsgi = sys.modules["uwsgi"]  # it is no package that could be installed
        if _UWSGI_ROUTER.intersection(uwsgi.opt) and not _UWSGI_ROUTER_PASSES.intersection(uwsgi.opt):
            return None  # to read would be to wait for what never comes
    elif type(stream) is BufferedReader and environ.get("SERVER_SOFTWARE", "").startswith("WSGIServer/"):
        uwsgi = None
    else:
        return None
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    if coding is None:
        return BytesIO()
    if coding.lower() != "chunked":
        return None
    # uWSGI's own interface: https://uwsgi-docs.readthedocs.io/en/latest/Chunked.html
    chunks = _of_connection(stream) if uwsgi is None else uwsgi.chunked_read
    return None if chunks is None else _Chunks(chunks)


class _Chunks:
    """What a function gives piece by piece, nothing at its end, behind which it is asked no more."""

    __slots__ = ("_next", "_rest")

    def __init__(self, following: Callable[[], bytes]) -> None:
        self._next: Callable[[], bytes] | None = following
        self._rest = b""

    def read1(self, size: int, /) -> bytes:
        data = self._rest
        if not data and self._next is not None:
            data = self._next()
            if not data:
                self._next = None
        self._rest = data[size:]
        return data[:size]

    read = read1  # whoever wants more asks again, until there is nothing


def _of_connection(stream: BufferedReader) -> Callable[[], bytes] | None:
    """wsgiref gives the connection itself, which serves no other request."""
    try:
        from .._transport.http import parser
    except ImportError:
        return None
    request = parser.http1_requests()
    request.receive_data(b"POST / HTTP/1.1\r\nhost: unused\r\ntransfer-encoding: chunked\r\n\r\n")
    request.next_event()

    def following() -> bytes:
        while True:
            event = request.next_event()
            if isinstance(event, parser.Data):
                return event.data
            if event is not parser.NEED_DATA:
                return b""  # its end
            request.receive_data(stream.read1(64 << 10))

    return following
