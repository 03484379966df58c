"""A WSGI environment as a request: its fields and its content."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Fields", "RequestContent", "addresses", "fields_of"]

_CACHED: Final = 256


class _Layout:
    """Which keys of an environment are fields, and what their column looks like, for one set of keys."""

    __slots__ = ("count", "names", "template", "values")

    def __init__(self, keys: tuple[str, ...]) -> None:
        fields = [(key, name) for key in keys if (name := _field_name(key))]
        self.names = tuple(name for _, name in fields)
        self.count = len(fields)
        self.template = "\0".join(name.replace("%", "%%") + "\0%s" for name in self.names)
        wanted = [key for key, _ in fields]
        self.values: Callable[[Any], tuple[str, ...]]
        if len(wanted) > 1:
            self.values = itemgetter(*wanted)
        else:
            self.values = lambda environ: tuple(environ[key] for key in wanted)


_layouts: dict[tuple[str, ...], _Layout] = {}


class Fields:
    """A request's fields as pairs of a name and the bytes of its value, made when somebody looks."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: tuple[str, ...], values: tuple[str, ...]) -> None:
        self._names = names
        self._values = values

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for name, value in zip(self._names, self._values, strict=True):
            yield name, value.encode("latin-1", "replace")


def fields_of(environ: dict[str, Any]) -> tuple[int, bytes, Fields]:
    """The request's fields: their number, their column, and themselves."""
    keys = tuple(environ)
    layout = _layouts.get(keys)
    if layout is None:
        if len(_layouts) >= _CACHED:  # names are the peer's to choose
            _layouts.clear()
        layout = _layouts[keys] = _Layout(keys)
    values = layout.values(environ)
    # WSGI gives text with a character per byte (PEP 3333, "Unicode Issues").
    return layout.count, (layout.template % values).encode("latin-1", "replace"), Fields(layout.names, values)


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


class RequestContent:
    """The request's content, of which `taken` bytes were read elsewhere."""

    __slots__ = ("_left", "_stream")

    def __init__(self, environ: dict[str, Any], taken: int = 0) -> None:
        self._stream = environ["wsgi.input"]
        announced = environ.get("CONTENT_LENGTH") or ""
        self._left: int | None = None
        if announced.isdecimal():
            self._left = int(announced) - taken
        elif not _ends_by_itself(environ):
            self._left = 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes, fewer only where the content ends."""
        if self._left is None:
            return self._stream.read(size)  # type: ignore[no-any-return]
        size = min(size, self._left)
        data: bytes = self._stream.read(size) if size else b""
        if 0 < len(data) < size:
            parts = [data]
            got = len(data)
            while got < size and (part := self._stream.read(size - got)):
                parts.append(part)
                got += len(part)
            data = b"".join(parts)
        self._left -= len(data)
        return data

    def read_some(self, size: int) -> bytes:
        """What has come, at most `size` bytes; waits only if nothing has. None only where the content ends."""
        read1 = getattr(self._stream, "read1", None)
        if self._left is not None:
            size = min(size, self._left)
            if not size:
                return b""
        data: bytes = read1(size) if read1 is not None else self._stream.read(size)
        if self._left is not None:
            self._left -= len(data)
        return data

    @property
    def complete(self) -> bool:
        """Whether all of a known length was read."""
        return self._left == 0

    @property
    def missing(self) -> bool:
        """Whether some of a known length has not been read."""
        return bool(self._left)

    def drain(self, most: int) -> None:
        """Read and forget up to `most` bytes: a server that closes the connection over unread bytes may break it."""
        try:
            while most > 0 and (data := self.read(min(most, 64 << 10))):
                most -= len(data)
        except (OSError, ValueError):
            pass


def _field_name(key: str) -> str:
    if key.startswith("HTTP_"):
        return key[5:].replace("_", "-").lower()
    return key.replace("_", "-").lower() if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else ""


def _ends_by_itself(environ: dict[str, Any]) -> bool:
    """Whether reading content without a length stops where it ends."""
    if environ.get("wsgi.input_terminated") or "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return True
    return not environ.get("SERVER_PROTOCOL", "HTTP/1.1").startswith("HTTP/1")
