"""A WSGI environment as a request: its head, addresses and content."""

from __future__ import annotations

from io import BytesIO
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from .._wasm import abi
from .._wasm.content import length_said
from ..request import Reader, expired
from .memory import Memory
from .mount import below_mount, found
from .wsgi_chunks import unframed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..request import RequestContext
    from .memory import Head
    from .procedure import Procedure
    from .service import Service

__all__ = [
    "CHUNK",
    "DUPLEX",
    "Layout",
    "RequestContent",
    "addresses",
    "head_of",
    "layout_of",
    "send_trailers",
    "trailers_of",
]

DUPLEX: Final = "connectcore.duplex"
"""A key of our own: a bidi call is answered while it asks, as reading its content waits for no more than the next bytes."""

_SEND_TRAILERS: Final = "wsgi.ext.http.send_trailers"
_GUNICORN: Final = "gunicorn.http2.send_trailers"
"""The keys of servers that send trailers, pyvoy and gunicorn over HTTP/2: a function of their fields."""


def trailers_of(environ: dict[str, Any]) -> Callable[[list[tuple[str, str]]], object] | None:
    """What sends trailers once the content is written, if the server can."""
    return environ.get(_SEND_TRAILERS) or environ.get(_GUNICORN)


def send_trailers(environ: dict[str, Any], trailers: list[tuple[str, str]]) -> None:
    """Send them, where the server can."""
    send = trailers_of(environ)
    assert send is not None
    send(trailers)


class Layout:
    """What one set of keys says of every environment that has them: which of them are fields, what these are called, and
    whether there may be trailers; and the flags of heads without these."""

    __slots__ = ("flags", "names", "trailers", "values")

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.flags = abi.OPEN_DUPLEX if DUPLEX in keys else 0
        self.trailers = _SEND_TRAILERS in keys or _GUNICORN in keys
        fields = [(key, name) for key in keys if (name := _field_name(key))]
        self.names = tuple(name for _, name in fields)
        wanted = [key for key, _ in fields]
        self.values: Callable[[Any], tuple[str, ...]]
        if len(wanted) > 1:
            self.values = itemgetter(*wanted)
        else:
            self.values = lambda environ: tuple(environ[key] for key in wanted)


CHUNK: Final = 64 << 10
"""Bytes of content that are read at a time."""

_AT_ONCE: Final = 1_000_000
"""Content of up to so many bytes is read in one go, longer content with a look at the deadline now and then."""

_layouts: Final[Memory[Layout]] = Memory()


def head_of(service: Service, environ: dict[str, Any], *, unbounded: bool) -> tuple[Procedure | None, Head]:
    """The procedure that a request names, if it does, and the request's head."""
    procedure = service.routes.get(environ.get("PATH_INFO", ""))
    raw_path = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    if procedure is None or "%" in raw_path:
        procedure, path = _mounted(service, environ, raw_path)
    else:
        path = procedure.path
    keys = tuple(environ)
    layout = _layouts.get(keys) or layout_of(keys)
    flags = layout.flags
    if layout.trailers and trailers_of(environ) is not None:
        flags |= abi.OPEN_TRAILERS
    if unbounded:
        flags |= abi.OPEN_UNBOUNDED
    method = environ["REQUEST_METHOD"]
    query = environ.get("QUERY_STRING")
    method = b"POST" if method == "POST" else method.encode("latin-1")
    shape = flags, method, path, query.encode("latin-1") if query else b"", layout.names
    return procedure, (shape, layout.values(environ))


def _mounted(service: Service, environ: dict[str, Any], raw_path: str) -> tuple[Procedure | None, bytes]:
    """The same where the path alone names none, or has escapes, which WSGI decodes."""
    path: str = environ.get("PATH_INFO") or "/"
    script: str = environ.get("SCRIPT_NAME", "")
    raw_path = raw_path.partition("?")[0] if "%" in raw_path else ""
    return found(
        service.routes,
        (path, script + path, below_mount(script, script + path)),
        raw_path.encode("latin-1", "replace"),
        path.encode("latin-1", "replace"),
    )


def layout_of(keys: tuple[str, ...]) -> Layout:
    """The layout of an environment with these keys, which is not known yet."""
    layout = Layout(keys)
    _layouts.offer(keys, layout, sum(map(len, layout.names)))
    return layout


def fields_of(head: Head) -> Iterator[tuple[str, bytes]]:
    """A head's fields as pairs of a name and the bytes of its value, which is text with a character per byte (PEP 3333,
    "Unicode Issues")."""
    (_, _, _, _, names), values = head
    for name, value in zip(names, values, strict=True):
        yield name, value.encode("latin-1", "replace")


def addresses(environ: Any) -> tuple[str | None, str | None]:
    """The server's and the client's address, as far as the HTTP side tells them."""
    host = environ.get("HTTP_HOST")
    if host:
        if ":" not in host.rpartition("]")[2]:
            host = f"{host}:{443 if environ.get('wsgi.url_scheme') == 'https' else 80}"
    elif environ.get("SERVER_NAME"):
        host = f"{environ['SERVER_NAME']}:{environ.get('SERVER_PORT', '')}".rstrip(":")
    client = environ.get("REMOTE_ADDR")
    return host or None, f"{client}:{environ.get('REMOTE_PORT') or 0}" if client else None


READER: Final = Reader(itemgetter("REQUEST_METHOD"), addresses, fields_of)


class RequestContent:
    """The request's content.

    `left` is how many bytes of it have not been read, None where the content ends by itself. `unbounded` is set where neither
    is known: then nothing is read, because that could wait for ever. `gone` is set where the peer went away before the end.
    """

    __slots__ = ("_stream", "gone", "left", "unbounded")

    def __init__(self, environ: dict[str, Any]) -> None:
        self._stream = environ["wsgi.input"]
        self.gone = self.unbounded = False
        self.left: int | None = 0
        announced = length_said(environ.get("CONTENT_LENGTH") or "")
        if announced is not None:
            self.left = announced
        elif _ends_by_itself(environ):
            self.left = None
        elif (stream := unframed(environ)) is not None:
            self._stream = stream
            self.left = None
        else:
            self.unbounded = True

    def read(self, size: int, *, some: bool = False) -> bytes:
        """At most `size` bytes, fewer only where the content ends; or `some`, which have come, waiting only if none have."""
        left = self.left
        if left is not None and left < size:
            size = left
        if not size:
            return b""
        read = getattr(self._stream, "read1", self._stream.read) if some else self._stream.read
        try:
            data: bytes = read(size)
            if len(data) < size and not some:
                data = b"".join((data, *self._pieces(size - len(data)))) if data else data
        except Exception:  # noqa: BLE001 - what servers raise where the peer went away: OSError, or under pyvoy RuntimeError
            self.gone = True
            self.left = 0  # there will be no more
            return b""
        if left is not None:
            self.left = left - len(data)
            self.gone = not data if some else len(data) < size
        return data

    def _pieces(self, size: int) -> Iterator[bytes]:
        while size and (part := self._stream.read(size)):
            size -= len(part)
            yield part

    def read_all(self, most: int, ctx: RequestContext[Any, Any]) -> tuple[bytes, bool]:
        """Content to its end, or until it is more than `most` bytes, or late; and whether that was its end."""
        left = self.left
        if left is not None and left <= _AT_ONCE:
            return self.read(left), not self.gone
        parts: list[bytes] = []
        size, data = 0, b"-"
        while data and size <= most and not expired(ctx):
            data = self.read(CHUNK, some=True)
            parts.append(data)
            size += len(data)
        return b"".join(parts), not data and not self.gone

    def drain(self, most: int) -> None:
        """Read and forget up to `most` bytes: a server that closes the connection over unread bytes may break it."""
        while most > 0 and (data := self.read(min(most, CHUNK))):
            most -= len(data)


def _field_name(key: str) -> str:
    if key.startswith("HTTP_"):
        return key[5:].replace("_", "-").lower()
    return key.replace("_", "-").lower() if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else ""


def _ends_by_itself(environ: dict[str, Any]) -> bool:
    """Whether reading content without a length stops where it ends.

    gunicorn, granian and waitress say that it does (`wsgi.input_terminated`). It does, too, where the request came by HTTP/2;
    under hypercorn, which reads all before it calls (an `io.BytesIO`); and under pyvoy, which is known by its trailers. Under
    wsgiref such a read waits for ever, and under uWSGI it gives nothing: wsgi_chunks.py is for these. Of a server that is not
    known, that a request is chunked shows nothing: some leave the field in and some do not.
    """
    return (
        bool(environ.get("wsgi.input_terminated"))
        or not environ.get("SERVER_PROTOCOL", "HTTP/1.1").startswith("HTTP/1")
        or isinstance(environ["wsgi.input"], BytesIO)
        or _SEND_TRAILERS in environ
    )
