"""The container of HTTP fields and metadata.

Plan: a dict from lower-case name to the first value, and a second dict with further values for the few names that have more.
A value is `str`, or `bytes` under a name that ends in `-bin`, unless a peer sent something there that is not base64: that stays
text. Headers that came from a peer are kept as they came until
somebody asks: `_store` is then unset, and the first access to it lands in `__getattr__`, which fills it. So a call whose
handler looks at no field pays nothing, and access afterwards costs no check.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import ItemsView, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from ._wasm.abi import BINARY_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Headers", "headers_from_fields", "metadata_columns"]

D = TypeVar("D")

_REQUIRED = object()


class Headers(MutableMapping[str, str]):
    """HTTP fields or metadata: a mapping from case-insensitive names to text, which can hold several values for a name.

    The mapping itself shows the first value of each name; `getall` and `allitems` show all, and `add` appends one.

    A name that ends in `-bin` holds bytes (gRPC, PROTOCOL-HTTP2.md, "Custom-Metadata"; Connect has the same rule): `add_bin`,
    `set_bin`, `getbin` and `getallbin` take and give them as they are. Seen as text such a value is its base64 form without
    padding, and assigning text to such a name takes base64, with or without padding. What a peer sent under such a name that
    is not base64 stays text, and reading it as bytes is an error.

    Other values are text in the sense of Python: they go out as UTF-8. Bytes from a peer that are no UTF-8 show up as lone
    surrogates (`surrogateescape`) and go out again as they came.

    Args:
        items: names and values to start with: a mapping, or pairs, in which a name may occur several times.

    Raises:
        TypeError: a value is not `str`.
        ValueError: text for a `-bin` name is not base64.

    """

    __slots__ = ("_extra", "_source", "_store")

    _store: dict[str, str | bytes]
    _extra: dict[str, list[str | bytes]] | None
    _source: tuple[Iterable[tuple[Any, Any]], bytes, Iterable[tuple[Any, bytes]]]

    def __init__(self, items: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._extra = None
        self._store = {}
        if isinstance(items, Mapping):
            if isinstance(items, Headers):
                self._store = dict(items._store)
                if items._extra is not None:
                    self._extra = {name: list(values) for name, values in items._extra.items()}
                return
            mapping = cast("Mapping[str, str]", items)  # a checker sees a mapping from pairs in it as well
            for name, value in mapping.items():
                self[name] = value
            return
        for name, value in items:
            self.add(name, value)

    if not TYPE_CHECKING:

        def __getattr__(self, attribute: str) -> Any:
            # Only an unset slot gets here: `_store` and `_extra` of headers that nobody has looked at yet.
            if attribute not in ("_store", "_extra"):
                raise AttributeError(f"'Headers' object has no attribute '{attribute}'")
            _load(self)
            return getattr(self, attribute)

    # Mapping

    def __getitem__(self, name: str, /) -> str:
        value = self._store[name.lower()]
        return value if isinstance(value, str) else _text(value)

    def __setitem__(self, name: str, value: str, /) -> None:
        name = name.lower()
        self._store[name] = _checked(name, value)
        if self._extra is not None:
            self._extra.pop(name, None)

    def __delitem__(self, name: str, /) -> None:
        name = name.lower()
        del self._store[name]
        if self._extra is not None:
            self._extra.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._store)

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._store

    def __repr__(self) -> str:
        return repr(list(self.allitems()))

    def clear(self) -> None:
        """Remove all."""
        self._store = {}
        self._extra = None

    # Several values

    def add(self, key: str, value: str) -> None:
        """Append a value; those that are there already stay."""
        key = key.lower()
        self._append(key, _checked(key, value))

    def getall(self, key: str) -> list[str]:
        """All values of a name, in order, in a list of its own; none if it is not there."""
        return [v if isinstance(v, str) else _text(v) for v in self._all(key.lower())]

    def allitems(self) -> ItemsView[str, str]:
        """All pairs of name and value: a name with several values occurs that many times."""
        return _AllItemsView(self)

    # Bytes

    def add_bin(self, name: str, value: bytes) -> None:
        """Append a value of bytes.

        Raises:
            ValueError: the name does not end in `-bin`.

        """
        self._append(_binary_name(name), bytes(value))

    def set_bin(self, name: str, value: bytes) -> None:
        """Put a value of bytes in place of all values of this name.

        Raises:
            ValueError: the name does not end in `-bin`.

        """
        name = _binary_name(name)
        self._store[name] = bytes(value)
        if self._extra is not None:
            self._extra.pop(name, None)

    @overload
    def getbin(self, name: str) -> bytes: ...

    @overload
    def getbin(self, name: str, default: D) -> bytes | D: ...

    def getbin(self, name: str, default: object = _REQUIRED) -> object:
        """The first value of a `-bin` name, as bytes.

        Raises:
            KeyError: the name is not there and there is no default.
            ValueError: the name does not end in `-bin`, or a peer sent a value that is not base64.

        """
        value = self._store.get(_binary_name(name))
        if value is None:
            if default is _REQUIRED:
                raise KeyError(name)
            return default
        return _decoded(name, value)

    def getallbin(self, name: str) -> list[bytes]:
        """All values of a `-bin` name, as bytes, in order, in a list of its own; none if it is not there.

        Raises:
            ValueError: the name does not end in `-bin`, or a peer sent a value that is not base64.

        """
        return [_decoded(name, value) for value in self._all(_binary_name(name))]

    def _append(self, name: str, value: str | bytes) -> None:
        store = self._store
        if name not in store:
            store[name] = value
            return
        if self._extra is None:
            self._extra = {}
        self._extra.setdefault(name, []).append(value)

    def _all(self, name: str) -> Iterator[str | bytes]:
        if (first := self._store.get(name)) is not None:
            yield first
            if self._extra is not None:
                yield from self._extra.get(name, ())


class _AllItemsView(ItemsView[str, str]):
    """Pairs of name and value, repeated names included."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers) -> None:
        super().__init__(headers)
        self._headers = headers

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for name in self._headers:
            for value in self._headers.getall(name):
                yield name, value

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, item: object) -> bool:
        return any(item == pair for pair in self)


def headers_from_fields(
    fields: Iterable[tuple[Any, Any]], hidden: bytes = b"", binary: Iterable[tuple[Any, bytes]] = ()
) -> Headers:
    """Headers from a peer, read when first looked at.

    Args:
        fields: names and values, `bytes` or `str`, as the HTTP side gave them; kept by reference, not to be changed.
        hidden: the module's bit mask over `fields`: bit i%8 of byte i/8 set leaves field i out (ABI.md, `request`).
        binary: the `-bin` metadata, decoded by the module, which hides it in `fields`.

    """
    headers = Headers.__new__(Headers)
    headers._source = (fields, hidden, binary)
    return headers


def metadata_columns(*sections: Headers | None) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """An application's metadata as commands take it: the number of text fields, these as a column, and the `-bin` pairs."""
    text: list[str] = []
    binary: list[tuple[bytes, bytes]] = []
    for headers in sections:
        if headers is None:
            continue
        extra = headers._extra
        for name, first in headers._store.items():
            for value in (first,) if extra is None else (first, *extra.get(name, ())):
                if isinstance(value, str):
                    text += (name, value)
                else:
                    binary.append((_encoded(name), value))
    return len(text) // 2, _encoded("\0".join(text)), binary


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # A lone surrogate has no bytes. A control character stands for it, which the module refuses: its verdict is wanted.
        return "".join("\1" if "\ud800" <= character <= "\udfff" else character for character in text).encode()


def _load(headers: Headers) -> None:
    fields, hidden, binary = headers._source
    headers._extra = None
    store = headers._store = {}
    masked = 8 * len(hidden)
    for index, (raw_name, raw_value) in enumerate(fields):
        if index < masked and hidden[index >> 3] >> (index & 7) & 1:
            continue
        name = raw_name.lower() if isinstance(raw_name, str) else raw_name.decode("latin-1").lower()
        value = raw_value if isinstance(raw_value, str) else raw_value.decode("utf-8", "surrogateescape")
        if name in store:
            headers._append(name, value)
        else:
            store[name] = value
    for raw_name, data in binary:
        name = raw_name if isinstance(raw_name, str) else raw_name.decode("latin-1")
        headers._append(name, data)


def _binary_name(name: str) -> str:
    name = name.lower()
    if not name.endswith(BINARY_SUFFIX):
        raise ValueError(f"only names that end in {BINARY_SUFFIX!r} hold bytes, {name!r} does not")
    return name


def _checked(name: str, value: str) -> str | bytes:
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = ", use add_bin() for bytes" if isinstance(value, bytes) else ""
        raise TypeError(f"the value of {name!r} must be str, not {type(value).__name__}{hint}")
    return _from_text(name, value) if name.endswith(BINARY_SUFFIX) else value


def _decoded(name: str, value: str | bytes) -> bytes:
    if isinstance(value, str):
        raise ValueError(f"the value of {name!r} that came is not base64: {value!r}")
    return value


def _text(value: bytes) -> str:
    return b2a_base64(value, newline=False).rstrip(b"=").decode("ascii")


def _from_text(name: str, text: str) -> bytes:
    stripped = text.rstrip("=")
    try:
        return a2b_base64(stripped + "=" * (-len(stripped) % 4), strict_mode=True)
    except (Base64Error, ValueError):
        raise ValueError(f"the value of {name!r} must be base64, or use add_bin() to pass bytes") from None
