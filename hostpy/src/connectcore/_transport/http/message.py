"""Requests' heads as bytes: HTTP/1.1's lines, and HTTP/2's field blocks.

A client's calls differ little, so what was written is remembered. HTTP/2's blocks use no table that grows (every field is a
"literal without indexing", RFC 7541, 6.2.2): so the same fields are the same bytes on any connection.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ..._wasm.columns import split_fields

__all__ = ["AUTHORIZATION", "field_lines", "request_block", "request_line"]

_OF_A_CONNECTION: Final = frozenset(
    {b"connection", b"host", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"http2-settings"}
)
"""Fields that say how a connection is used (RFC 9110, 7.6.1): the transport's own to set."""

# RFC 7541, appendix A.
_METHODS: Final = {"GET": b"\x82", "POST": b"\x83"}
_SCHEMES: Final = {"http": b"\x86", "https": b"\x87"}
_METHOD_NAME: Final = 2
_PATH_NAME: Final = 4
_AUTHORITY_NAME: Final = 1
AUTHORIZATION: Final = b"proxy-authorization"
_SECRET: Final = frozenset({b"authorization", b"cookie", AUTHORIZATION})


def _pairs(column: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values of a column of fields. Raises ValueError."""
    if b"\r" in column or b"\n" in column:
        raise ValueError("a field has a line break in it")
    pairs = split_fields(column)
    for name, _ in pairs:
        if name in _OF_A_CONNECTION:
            raise ValueError(f"{name.decode()} is for the HTTP client to say, not for a request's fields")
    return pairs


def _target(target: str) -> bytes:
    if not target.isascii() or not target.isprintable() or " " in target:
        raise ValueError("a request's target has characters in it that must be escaped")
    return target.encode()


@lru_cache(256)
def request_line(method: str, target: str, authority: str) -> bytes:
    """The first line of an HTTP/1.1 request and its `host` (RFC 9112, 3). Raises ValueError."""
    return b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method.encode(), _target(target), authority.encode())


@lru_cache(256)
def field_lines(column: bytes) -> tuple[bytes, bool]:
    """The other fields, and whether they tell the content's length. Raises ValueError."""
    pairs = _pairs(column)
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs]), any(name == b"content-length" for name, _ in pairs)


def _integer(value: int, bits: int, pattern: int) -> bytes:
    """RFC 7541, 5.1."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((pattern | value,))
    out = bytearray((pattern | limit,))
    value -= limit
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _string(value: bytes) -> bytes:
    return _integer(len(value), 7, 0) + value


@lru_cache(256)
def request_block(method: str, scheme: str, authority: str, target: str, column: bytes) -> bytes:
    """The pseudo-fields (RFC 9113, 8.3.1) and the others. Raises ValueError."""
    # A secret is marked "never indexed" (RFC 7541, 7.1.3), so that no proxy puts it into a table either.
    return _pseudo_fields(method, scheme, authority, target) + b"".join(
        [(b"\x10" if name in _SECRET else b"\x00") + _string(name) + _string(value) for name, value in _pairs(column)]
    )


@lru_cache(256)
def _pseudo_fields(method: str, scheme: str, authority: str, target: str) -> bytes:
    written = _METHODS.get(method) or _integer(_METHOD_NAME, 4, 0) + _string(method.encode())
    authority_ = _integer(_AUTHORITY_NAME, 4, 0) + _string(authority.encode())
    return written + _SCHEMES[scheme] + authority_ + _integer(_PATH_NAME, 4, 0) + _string(_target(target))
