"""Captured bytes as an exchange: HTTP/1.1 as it went over a connection, or content alone."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Any, Final

import click

from .recorder import Captured

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["exchanges", "looks_like_http", "unwrapped"]

_REQUEST: Final = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r?\n")
_RESPONSE: Final = re.compile(rb"HTTP/1\.[01] \d\d\d")
_HTTP2: Final = b"PRI * HTTP/2"


def unwrapped(data: bytes, form: str | None) -> bytes:
    """The bytes that stand in hexadecimal or base64, of which spaces and line ends are no part. Raises UsageError."""
    if form is None:
        return data
    text = b"".join(data.split())
    try:
        return bytes.fromhex(text.decode("ascii").replace(":", "")) if form == "hex" else b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise click.UsageError(f"the input is not {form}: {error}") from None


def looks_like_http(data: bytes) -> bool:
    """Whether these are the bytes of a connection, and not content alone. Raises UsageError for those of HTTP/2."""
    if data.startswith(_HTTP2):
        raise click.UsageError("these are the bytes of an HTTP/2 connection: give the content of one stream, and -H its fields")
    return bool(_REQUEST.match(data) or _RESPONSE.match(data))


def exchanges(data: bytes) -> Iterator[Captured]:
    """Requests with their responses, each of which may be missing; raises UsageError where the bytes are no HTTP/1.1."""
    while data:
        found = Captured()
        if _REQUEST.match(data):
            data = _request(data, found)
        if _RESPONSE.match(data):
            data = _response(data, found)
        elif data and not _REQUEST.match(data):
            raise click.UsageError(f"these bytes are no HTTP/1.1: {data[:40]!r}")
        if not (found.method or found.status):
            raise click.UsageError("the input ends within a head")
        yield found


def _request(data: bytes, found: Captured) -> bytes:
    """Read a request; gives what follows it."""
    from .._transport.http.parser import Request, http1_requests

    parser = http1_requests()
    for at in range(len(data)):  # byte by byte: a response may follow, which is not to be swallowed
        event: Any = _next(parser, data[at : at + 1])
        while event is not None:
            if isinstance(event, Request):
                found.method, found.target = event.method.decode("latin-1"), event.target.decode("latin-1")
                found.request_fields = _fields(event.headers)
                if event.end_stream:
                    return data[at + 1 :]
            elif _ends(event):
                return data[at + 1 :]
            else:
                found.content += event.data
            event = _next(parser)
    found.complete = False
    return b""


def _response(data: bytes, found: Captured) -> bytes:
    """Read a response; gives what follows it."""
    from .._transport.http.parser import Response, http1

    parser = http1()
    for at in range(len(data) + 1):
        try:
            event: Any = _next(parser, data[at : at + 1])  # at last nothing, the end of the connection
        except click.UsageError:
            if at == len(data) and found.status is not None:
                break  # in the middle of a response
            raise
        while event is not None:
            if isinstance(event, Response):
                if event.status_code >= 200:
                    found.status, found.fields = event.status_code, _fields(event.headers)
            elif _ends(event):
                found.trailers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in event.trailers]
                return data[at + 1 :]
            else:
                found.answer += event.data
            event = _next(parser)
    return b""


def _next(parser: Any, data: bytes | None = None) -> Any:
    """What the parser has found; None for nothing. Raises UsageError."""
    from .._transport.http.parser import CONNECTION_CLOSED, NEED_DATA, ProtocolError

    try:
        event = parser.next_event() if data is None else parser.receive_event(data)
    except ProtocolError as error:
        raise click.UsageError(f"these bytes are no HTTP/1.1: {error}") from None
    return None if event is NEED_DATA or event is CONNECTION_CLOSED else event


def _ends(event: Any) -> bool:
    from .._transport.http.parser import EndOfMessage

    return isinstance(event, EndOfMessage)


def _fields(headers: Any) -> list[tuple[str, str]]:
    found: list[tuple[bytes, bytes]] = headers.to_list(lowercase_names=True)
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in found]
