"""Turns recorded bytes into lines that a person likes to read: HTTP/1.1 as text, HTTP/2 by its frames."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import hpack

from tap import Connection

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAMES = {0: "DATA", 1: "HEADERS", 2: "PRIORITY", 3: "RST_STREAM", 4: "SETTINGS", 6: "PING", 7: "GOAWAY"}
FRAMES |= {8: "WINDOW_UPDATE", 9: "CONTINUATION"}
END_STREAM, END_HEADERS, PADDED, PRIORITY = 1, 4, 8, 32
HTTP2_HEADER = 9
ENVELOPE_PREFIX = 5
ROW = 16
GZIP = b"\x1f\x8b"


def lines(connection: Connection) -> Iterator[str]:
    """`> ...` for what went to the server, `< ...` for what came back."""
    sent = connection.side(">")
    if sent.startswith(PREFACE):
        yield from _http2(connection)
        return
    requests = list(_http1(sent))
    responses = list(_http1(connection.side("<")))
    for index, request in enumerate(requests):
        yield from (f"> {line}" for line in request)
        if index < len(responses):
            yield from (f"< {line}" for line in responses[index])


def _http1(data: bytes) -> Iterator[list[str]]:
    """Each message of one direction as lines."""
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *fields = head.decode("latin-1").split("\r\n")
        values = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        if values.get("transfer-encoding") == "chunked":
            content, data = _dechunk(data)
        else:
            length = int(values.get("content-length", "0"))
            content, data = data[:length], data[length:]
        yield [first, *fields, "", *_content(content, values)]


def _dechunk(data: bytes) -> tuple[bytes, bytes]:
    content = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size or b"0", 16)
        content += data[:length]
        data = data[length + 2 :]
        if length == 0:
            return content, data


def _content(content: bytes, fields: dict[str, str]) -> Iterator[str]:
    kind = fields.get("content-type", "")
    if kind.startswith(("application/connect+", "application/grpc")):
        yield from _envelopes(content)
    else:
        yield from _bytes(content, "content-encoding" in fields)


def _envelopes(content: bytes) -> Iterator[str]:
    whole, rest = _split(content)
    for flags, data in whole:
        yield f"[flags {flags:02x}, {len(data)} bytes]"
        yield from _bytes(data, bool(flags & 1))
    yield from _bytes(rest)


def _split(content: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole envelopes at the start, as flags and data, and what is left."""
    whole = []
    while len(content) >= ENVELOPE_PREFIX:
        end = ENVELOPE_PREFIX + int.from_bytes(content[1:ENVELOPE_PREFIX], "big")
        if end > len(content):
            break
        whole.append((content[0], content[ENVELOPE_PREFIX:end]))
        content = content[end:]
    return whole, content


def _bytes(data: bytes, compressed: bool = False) -> Iterator[str]:
    """JSON as it is, anything else in hexadecimal with the letters beside it; gzip unpacked."""
    if compressed and data.startswith(GZIP):
        yield f"({len(data)} bytes of gzip; inside:)"
        data = zlib.decompress(data, wbits=31)
    if data[:1] == b"{" and data.isascii():
        yield data.decode()
        return
    for start in range(0, len(data), ROW):
        row = data[start : start + ROW]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{row.hex(' '):{3 * ROW}} {text}"


class _Frames:
    """One direction of an HTTP/2 connection, fed in pieces."""

    def __init__(self, start: bytes) -> None:
        self._start = start
        self._data = b""
        self._fields = hpack.Decoder()
        self._content: dict[int, bytes] = {}

    def feed(self, data: bytes) -> Iterator[str]:
        self._data += data
        if self._start:
            if len(self._data) < len(self._start):
                return
            self._data, self._start = self._data[len(self._start) :], b""
        while len(self._data) >= HTTP2_HEADER:
            end = HTTP2_HEADER + int.from_bytes(self._data[:3], "big")
            if len(self._data) < end:
                return
            kind, flags = self._data[3], self._data[4]
            stream = int.from_bytes(self._data[5:9], "big") & 0x7FFFFFFF
            payload, self._data = self._data[HTTP2_HEADER:end], self._data[end:]
            yield from self._frame(kind, flags, stream, payload)

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> Iterator[str]:
        if stream == 0:  # the connection's own business
            return
        ending = ", end" if kind < 2 and flags & END_STREAM else ""
        if kind == 1:
            if flags & PADDED:
                payload = payload[1 : len(payload) - payload[0]]
            if flags & PRIORITY:
                payload = payload[5:]
            yield f"HEADERS, stream {stream}{ending}"
            for name, value in self._fields.decode(payload):
                yield f"  {_text(name)}: {_text(value)}"
        elif kind == 0:
            yield f"DATA, stream {stream}, {len(payload)} bytes{ending}"
            # An envelope may come in several frames: it is shown with the one that completes it.
            whole, rest = _split(self._content.pop(stream, b"") + payload)
            self._content[stream] = rest
            for flags, data in whole:
                yield f"  [flags {flags:02x}, {len(data)} bytes]"
                yield from (f"  {line}" for line in _bytes(data, bool(flags & 1)))
        elif kind != 8:
            yield f"{FRAMES.get(kind, kind)}, stream {stream}"


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _http2(connection: Connection) -> Iterator[str]:
    sides = {">": _Frames(PREFACE), "<": _Frames(b"")}
    for way, data in connection.runs:
        yield from (f"{way} {line}" for line in sides[way].feed(data))
