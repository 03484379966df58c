"""Commands and events as bytes: what `wasm/ABI.md` calls records.

A function per command returns the record's bytes; `decode` turns a batch of events into objects (`events.py`). Names and
values of fields are bytes here, joined by NUL: one native call joins or splits any number of them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeAlias

from . import abi
from .events import (
    Body,
    Configured,
    Done,
    EndOfCall,
    Event,
    Fault,
    Messages,
    More,
    Prepared,
    Received,
    Request,
    RequestHead,
    Response,
    ResponseHead,
    Stop,
    Trailers,
    decode,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "Body",
    "Configured",
    "Done",
    "EndOfCall",
    "Event",
    "Fault",
    "Messages",
    "More",
    "Pairs",
    "Prepared",
    "Received",
    "Request",
    "RequestHead",
    "Response",
    "ResponseHead",
    "Stop",
    "Trailers",
    "cancel",
    "close",
    "close_config",
    "configure_client",
    "configure_server",
    "content",
    "content_end",
    "deadline",
    "decode",
    "end",
    "fields_column",
    "headers",
    "open_client",
    "open_server",
    "pairs_column",
    "peer_gone",
    "reject",
    "response_head",
    "send",
    "send_inline",
    "split_fields",
    "split_text_fields",
]

Pairs: TypeAlias = "Sequence[tuple[bytes, bytes]]"

_HEAD: Final = struct.Struct("<HHII")
_U32: Final = struct.Struct("<I")


def _packer(kind: int) -> Callable[..., bytes]:
    """The header and fixed block of one command as one call: flags, size, handle, then the columns' fixed parts."""
    columns = {"u32": "I", "u64": "Q", "bytes": "I", "words": "I", "fields": "II", "pairs": "II"}
    layout = struct.Struct("<HHII" + "".join(columns[kind_] for _, kind_ in abi.SCHEMAS[kind][2]))
    pack = layout.pack
    fixed = layout.size

    def packed(flags: int, handle: int, tail: int, *values: int) -> bytes:
        return pack(kind, flags, fixed + tail, handle, *values)

    return packed


_configure_server: Final = _packer(abi.CMD_CONFIGURE_SERVER)
_configure_client: Final = _packer(abi.CMD_CONFIGURE_CLIENT)
_open_server: Final = _packer(abi.CMD_OPEN_SERVER)
_open_client: Final = _packer(abi.CMD_OPEN_CLIENT)
_response_head: Final = _packer(abi.CMD_RESPONSE_HEAD)
_content: Final = _packer(abi.CMD_CONTENT)
_content_end: Final = _packer(abi.CMD_CONTENT_END)
_peer_gone: Final = _packer(abi.CMD_PEER_GONE)
_headers: Final = _packer(abi.CMD_HEADERS)
_send: Final = _packer(abi.CMD_SEND)
_end: Final = _packer(abi.CMD_END)
_reject: Final = _packer(abi.CMD_REJECT)


# Columns


def fields_column(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Fields as one column's bytes. A NUL inside of one is found by the guest, which counts."""
    return b"\0".join([part for field in fields for part in field])


def pairs_column(pairs: Pairs) -> bytes:
    """Pairs as one column's bytes."""
    return b"".join([part for a, b in pairs for part in (_U32.pack(len(a)), _U32.pack(len(b)), a, b)])


def split_fields(column: bytes) -> list[tuple[bytes, bytes]]:
    """The fields in a column of an event."""
    if not column:
        return []
    parts = column.split(b"\0")
    return list(zip(parts[0::2], parts[1::2], strict=True))


def split_text_fields(column: bytes) -> list[tuple[str, str]]:
    """The same as text, a character per byte (latin-1), which is how WSGI and HTTP libraries take them."""
    if not column:
        return []
    parts = column.decode("latin-1").split("\0")
    return list(zip(parts[0::2], parts[1::2], strict=True))


# Commands


def configure_server(
    *,
    flags: int = 0,
    read_max: int,
    send_max: int,
    compress_min: int,
    codecs: Sequence[str],
    codings: Sequence[str],
    native: Sequence[bool],
    procedures: Sequence[str],
    attributes: Sequence[int],
) -> bytes:
    """A server's configuration. The handle comes in `Configured`."""
    parts = (
        "\0".join(codecs).encode(),
        "\0".join(codings).encode(),
        bytes(native),
        "\0".join(procedures).encode(),
        bytes(attributes),
    )
    tail = b"".join(parts)
    return _configure_server(flags, 0, len(tail), read_max, send_max, compress_min, *map(len, parts)) + tail


def configure_client(
    *,
    protocol: int,
    read_max: int,
    send_max: int,
    compress_min: int,
    send_coding: int,
    get_max: int,
    codec: str,
    codings: Sequence[str],
    native: Sequence[bool],
    prefix: str,
    user_agent: str,
) -> bytes:
    """A client's configuration. The handle comes in `Configured`."""
    parts = (codec.encode(), "\0".join(codings).encode(), bytes(native), prefix.encode(), user_agent.encode())
    tail = b"".join(parts)
    numbers = (protocol, read_max, send_max, compress_min, send_coding, get_max)
    return _configure_client(0, 0, len(tail), *numbers, *map(len, parts)) + tail


def close_config(handle: int) -> bytes:
    """The configuration takes no new calls."""
    return _HEAD.pack(abi.CMD_CLOSE_CONFIG, 0, 12, handle)


def open_server(config: int, flags: int, method: bytes, path: bytes, query: bytes, count: int, fields: bytes) -> bytes:
    """A request's head came. `fields` is a column of `count` fields."""
    tail = len(method) + len(path) + len(query) + len(fields)
    head = _open_server(flags, config, tail, len(method), len(path), len(query), count, len(fields))
    return b"".join((head, method, path, query, fields))


def open_client(
    config: int,
    flags: int,
    stream_type: int,
    timeout_us: int,
    procedure: bytes,
    count: int = 0,
    fields: bytes = b"",
    binary: Pairs = (),
) -> bytes:
    """A client's call. `fields` is a column of `count` fields."""
    pairs = pairs_column(binary)
    tail = len(procedure) + len(fields) + len(pairs)
    sizes = (len(procedure), count, len(fields), len(binary), len(pairs))
    return b"".join((_open_client(flags, config, tail, stream_type, timeout_us, *sizes), procedure, fields, pairs))


def response_head(handle: int, flags: int, status: int, count: int, fields: bytes) -> bytes:
    """A response's status and header section came."""
    return _response_head(flags, handle, len(fields), status, count, len(fields)) + fields


def content(handle: int, flags: int, length: int, data: bytes | bytearray | memoryview) -> bytes:
    """Content came: `length` bytes, of which `data` are the first."""
    return b"".join((_content(flags, handle, len(data), length, len(data)), data))


def content_end(handle: int, count: int = 0, fields: bytes = b"") -> bytes:
    """The content ended, with a trailer section if there was one."""
    return _content_end(0, handle, len(fields), count, len(fields)) + fields


def peer_gone(handle: int, reason: int, reset_code: int = 0, text: bytes = b"") -> bytes:
    """The peer went away before its content ended."""
    return _peer_gone(0, handle, len(text), reason, reset_code, len(text)) + text


def headers(handle: int, flags: int, count: int, fields: bytes, binary: Pairs = ()) -> bytes:
    """The application's leading metadata."""
    pairs = pairs_column(binary)
    head = _headers(flags, handle, len(fields) + len(pairs), count, len(fields), len(binary), len(pairs))
    return b"".join((head, fields, pairs))


def send(handle: int, lengths: Sequence[int]) -> bytes:
    """The application's messages, by their lengths."""
    count = len(lengths)
    return _send(0, handle, 4 * count, count, 0) + struct.pack(f"<{count}I", *lengths)


def send_inline(handle: int, payloads: Sequence[bytes]) -> bytes:
    """The application's messages, with their bytes."""
    count = len(payloads)
    data = b"".join(payloads)
    head = _send(abi.SEND_INLINE, handle, 4 * count + len(data), count, len(data))
    return b"".join((head, struct.pack(f"<{count}I", *map(len, payloads)), data))


def end(
    handle: int,
    code: int = 0,
    message: bytes = b"",
    details: Pairs = (),
    count: int = 0,
    fields: bytes = b"",
    binary: Pairs = (),
    flags: int = 0,
) -> bytes:
    """The application is done. `fields` is a column of `count` fields."""
    detail_bytes = pairs_column(details)
    binary_bytes = pairs_column(binary)
    tail = len(message) + len(detail_bytes) + len(fields) + len(binary_bytes)
    sizes = (len(message), len(details), len(detail_bytes), count, len(fields), len(binary), len(binary_bytes))
    return b"".join((_end(flags, handle, tail, code, *sizes), message, detail_bytes, fields, binary_bytes))


def reject(handle: int, reason: int, text: bytes = b"") -> bytes:
    """A message could not be used."""
    return _reject(0, handle, len(text), reason, len(text)) + text


def deadline(handle: int) -> bytes:
    """The call's deadline passed."""
    return _HEAD.pack(abi.CMD_DEADLINE, 0, 12, handle)


def cancel(handle: int) -> bytes:
    """The local application gave up."""
    return _HEAD.pack(abi.CMD_CANCEL, 0, 12, handle)


def close(handle: int) -> bytes:
    """Forget the call."""
    return _HEAD.pack(abi.CMD_CLOSE, 0, 12, handle)
