"""The in-process cases: what is sent, how often, and the ratio to the peer that is wanted.

A case is data; worker.py plays it and inprocess.py compares the contenders.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field

SMALL = 52
LARGE = 64 * 1024
STREAM = 10_000
PREFIX = 5
PROSE = "the first of many small ships came back over the grey sea with letters from friends and salt for all"


@dataclass(frozen=True)
class Case:
    """One exchange with a server, repeated."""

    title: str
    interface: str  # "asgi" or "wsgi"
    procedure: str
    content_type: str
    fields: tuple[tuple[str, str], ...] = ()
    content: bytes = b""
    messages: int = 1  # figures are per message
    target: float | None = None  # wanted ratio of our time to the peer's
    http_version: str = "1.1"
    noted: bool = False  # a metadata interceptor looks at each call
    unlike: tuple[str, str] | None = None  # a field whose value, made with a number, is each call's own
    reply: bytes = field(default=b"", repr=False)  # the content that a right answer has, decompressed


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text_of(size: int) -> str:
    """Prose, as far as a compressor can tell, so that the encoded message has exactly `size` bytes."""
    words = PROSE.split()
    phrases = [" ".join(words[i : i + 3]) for i in range(len(words) - 3)]
    text, number = "", 12345
    parts = []
    while len(text) < size:
        for _ in range(64):
            number = number * 1103515245 + 12345 & 0x7FFFFFFF
            parts.append(phrases[(number >> 8) % len(phrases)])
        text = " ".join(parts)
    head = 1 + len(_varint(size))
    while 1 + len(_varint(size - head)) + size - head > size:
        head += 1
    return text[: size - head]


def payload(size: int) -> bytes:
    """A `Payload` of `size` bytes in the proto codec."""
    data = text_of(size).encode()
    return b"\n" + _varint(len(data)) + data


def envelope(message: bytes, flags: int = 0) -> bytes:
    return bytes([flags]) + len(message).to_bytes(4, "big") + message


_small, _large = payload(SMALL), payload(LARGE)
assert (len(_small), len(_large)) == (SMALL, LARGE)
_json = json.dumps({"text": text_of(SMALL)}, separators=(",", ":")).encode()
_trace = ("traceparent", "00-{:032x}-00f067aa0ba902b7-01")
_gzip = (("content-encoding", "gzip"), ("accept-encoding", "gzip"))
_grpc = (("te", "trailers"),)

CASES: dict[str, Case] = {
    "unary52": Case("ASGI unary, 52 B", "asgi", "Unary", "application/proto", content=_small, target=0.3, reply=_small),
    "unary64k": Case("ASGI unary, 64 KiB", "asgi", "Unary", "application/proto", content=_large, target=0.9, reply=_large),
    "unlike52": Case(
        "ASGI unary, 52 B, unlike heads",
        "asgi",
        "Unary",
        "application/proto",
        content=_small,
        target=0.42,
        unlike=_trace,
        reply=_small,
    ),
    "unlike64k": Case(
        "ASGI unary, 64 KiB, unlike heads",
        "asgi",
        "Unary",
        "application/proto",
        content=_large,
        target=0.9,
        unlike=_trace,
        reply=_large,
    ),
    "timeout52": Case(
        "ASGI unary, 52 B, timeout",
        "asgi",
        "Unary",
        "application/proto",
        (("connect-timeout-ms", "5000"),),
        _small,
        reply=_small,
    ),
    "deadlines52": Case(
        "ASGI unary, each its own timeout",
        "asgi",
        "Unary",
        "application/proto",
        content=_small,
        unlike=("connect-timeout-ms", "1{:07d}"),
        reply=_small,
    ),
    "noted52": Case(
        "ASGI unary, 52 B, an interceptor",
        "asgi",
        "Unary",
        "application/proto",
        (("authorization", "Bearer abc"),),
        _small,
        noted=True,
        reply=_small,
    ),
    "json52": Case("ASGI unary, json", "asgi", "Unary", "application/json", content=_json, reply=_json),
    "gzip52": Case("ASGI unary, 52 B, gzip", "asgi", "Unary", "application/proto", _gzip, gzip.compress(_small), reply=_small),
    "gzip64k": Case(
        "ASGI unary, 64 KiB, gzip", "asgi", "Unary", "application/proto", _gzip, gzip.compress(_large), reply=_large
    ),
    "grpc52": Case(
        "ASGI gRPC unary, 52 B",
        "asgi",
        "Unary",
        "application/grpc+proto",
        _grpc,
        envelope(_small),
        target=0.45,
        http_version="2",
        reply=envelope(_small),
    ),
    "grpcunlike52": Case(
        "ASGI gRPC unary, unlike heads",
        "asgi",
        "Unary",
        "application/grpc+proto",
        _grpc,
        envelope(_small),
        target=0.42,
        http_version="2",
        unlike=_trace,
        reply=envelope(_small),
    ),
    "web52": Case(
        "ASGI gRPC-Web unary, 52 B",
        "asgi",
        "Unary",
        "application/grpc-web+proto",
        content=envelope(_small),
        target=0.3,
        reply=envelope(_small),
    ),
    "webunlike52": Case(
        "ASGI gRPC-Web unary, unlike heads",
        "asgi",
        "Unary",
        "application/grpc-web+proto",
        content=envelope(_small),
        target=0.42,
        unlike=_trace,
        reply=envelope(_small),
    ),
    "grpcgzip52": Case(
        "ASGI gRPC unary, 52 B, gzip",
        "asgi",
        "Unary",
        "application/grpc+proto",
        (*_grpc, ("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip")),
        envelope(gzip.compress(_small), 1),
        http_version="2",
        reply=envelope(_small),
    ),
    **{
        f"{protocol}{kind}": Case(
            f"ASGI {protocol or 'connect'} {kind}, a message",
            "asgi",
            "ServerStream" if kind == "serverstream" else "ClientStream",
            content_type,
            fields,
            envelope(_small) * (1 if kind == "serverstream" else STREAM),
            messages=STREAM,
            target=target,
            http_version=http_version,
            reply=envelope(_small) * (STREAM if kind == "serverstream" else 1) + end,
        )
        for protocol, content_type, fields, http_version, end in (
            ("", "application/connect+proto", (), "1.1", envelope(b"{}", 2)),
            ("grpc", "application/grpc+proto", _grpc, "2", b""),
            ("web", "application/grpc-web+proto", (), "1.1", b""),
        )
        for kind, target in (("serverstream", 0.55), ("clientstream", 0.25))
    },
    "wsgi52": Case("WSGI unary, 52 B", "wsgi", "Unary", "application/proto", content=_small, target=0.35, reply=_small),
    "wsgiunlike52": Case(
        "WSGI unary, 52 B, unlike heads",
        "wsgi",
        "Unary",
        "application/proto",
        content=_small,
        target=0.42,
        unlike=_trace,
        reply=_small,
    ),
    "wsginoted52": Case(
        "WSGI unary, 52 B, an interceptor",
        "wsgi",
        "Unary",
        "application/proto",
        (("authorization", "Bearer abc"),),
        _small,
        noted=True,
        reply=_small,
    ),
    "wsgigzip52": Case(
        "WSGI unary, 52 B, gzip", "wsgi", "Unary", "application/proto", _gzip, gzip.compress(_small), reply=_small
    ),
    "wsgi64k": Case("WSGI unary, 64 KiB", "wsgi", "Unary", "application/proto", content=_large, target=0.9, reply=_large),
}
