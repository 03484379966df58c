"""Records (wasm/ABI.md, section 2): a function that packs each command, a class that reads each event.

Made by wasm/abigen; do not edit.

A command's function takes a handle, flags where the command has any, and the columns in the contract's order; what is left out
is zero or empty. Fields are their number and one column of bytes (`columns.py`). Columns are the attributes of an event.
"""

from __future__ import annotations

from struct import Struct, pack, unpack_from
from typing import TYPE_CHECKING, Final, TypeAlias

from . import abi
from .columns import join_pairs, split_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .columns import Buffer, Pairs

__all__ = [
    "Configured",
    "Decompress",
    "Done",
    "EndOfCall",
    "Event",
    "Fault",
    "HttpBody",
    "HttpRequestHead",
    "HttpResponseHead",
    "HttpTrailers",
    "Messages",
    "More",
    "Outcome",
    "Prepared",
    "Received",
    "Request",
    "Response",
    "Retry",
    "Stop",
    "cancel",
    "close",
    "close_config",
    "configure_client",
    "configure_server",
    "content",
    "content_end",
    "deadline",
    "decode",
    "decompressed",
    "end",
    "headers",
    "open_client",
    "open_server",
    "peer_gone",
    "reject",
    "response_head",
    "send",
]

_BARE: Final = Struct("<HHII")  # a record without columns
_CONFIGURE_SERVER: Final = Struct("<HHIIIIIQIIIII").pack
_CONFIGURE_CLIENT: Final = Struct("<HHIIIIIIIIIIIII").pack
_OPEN_SERVER: Final = Struct("<HHIIIIIII").pack
_OPEN_CLIENT: Final = Struct("<HHIIIIQIIIII").pack
_RESPONSE_HEAD: Final = Struct("<HHIIIII").pack
_CONTENT: Final = Struct("<HHIIII").pack
_CONTENT_END: Final = Struct("<HHIIII").pack
_PEER_GONE: Final = Struct("<HHIIIII").pack
_HEADERS: Final = Struct("<HHIIIIII").pack
_SEND: Final = Struct("<HHIIII").pack
_END: Final = Struct("<HHIIIIIIIIII").pack
_REJECT: Final = Struct("<HHIIII").pack
_DECOMPRESSED: Final = Struct("<HHIII").pack
_REQUEST: Final = Struct("<HHIIIIIIIQIII").unpack_from
_MESSAGES: Final = Struct("<HHIIQIIII").unpack_from
_RECEIVED: Final = Struct("<HHIIII").unpack_from
_HTTP_RESPONSE_HEAD: Final = Struct("<HHIIIII").unpack_from
_HTTP_REQUEST_HEAD: Final = Struct("<HHIIIIII").unpack_from
_HTTP_BODY: Final = Struct("<HHIIIII").unpack_from
_HTTP_TRAILERS: Final = Struct("<HHIIII").unpack_from
_RESPONSE: Final = Struct("<HHIIIII").unpack_from
_END_OF_CALL: Final = Struct("<HHIIIIIIIIII").unpack_from
_STOP: Final = Struct("<HHIIIII").unpack_from
_MORE: Final = Struct("<HHIIQI").unpack_from
_FAULT: Final = Struct("<HHIIII").unpack_from
_PREPARED: Final = Struct("<HHIIIIIIIIIIIIIIIIII").unpack_from
_DECOMPRESS: Final = Struct("<HHIIIII").unpack_from
_RETRY: Final = Struct("<HHIIQ").unpack_from
_OUTCOME: Final = Struct("<HHIIII").unpack_from
_START: Final = Struct("<H2xI").unpack_from  # a record's kind and size


def configure_server(
    *,
    flags: int = 0,
    read_max: int = 0,
    send_max: int = 0,
    compress_min: int = 0,
    timeout_max: int = 0,
    codecs: Buffer = b"",
    codings: Buffer = b"",
    native: Buffer = b"",
    procedures: Buffer = b"",
    attributes: Buffer = b"",
) -> bytes:
    """`configure-server`. Flags: 1 require-version, 2 outcomes, 4 no-connect, 8 no-grpc, 16 no-grpc-web."""
    head = _CONFIGURE_SERVER(
        abi.CMD_CONFIGURE_SERVER,
        flags,
        52 + len(codecs) + len(codings) + len(native) + len(procedures) + len(attributes),
        0,
        read_max,
        send_max,
        compress_min,
        timeout_max,
        len(codecs),
        len(codings),
        len(native),
        len(procedures),
        len(attributes),
    )
    return b"".join((head, codecs, codings, native, procedures, attributes))


def configure_client(
    *,
    flags: int = 0,
    protocol: int = 0,
    read_max: int = 0,
    send_max: int = 0,
    compress_min: int = 0,
    send_coding: int = 0,
    get_max: int = 0,
    codec: Buffer = b"",
    codings: Buffer = b"",
    native: Buffer = b"",
    prefix: Buffer = b"",
    user_agent: Buffer = b"",
) -> bytes:
    """`configure-client`. Flags: 1 text."""
    head = _CONFIGURE_CLIENT(
        abi.CMD_CONFIGURE_CLIENT,
        flags,
        56 + len(codec) + len(codings) + len(native) + len(prefix) + len(user_agent),
        0,
        protocol,
        read_max,
        send_max,
        compress_min,
        send_coding,
        get_max,
        len(codec),
        len(codings),
        len(native),
        len(prefix),
        len(user_agent),
    )
    return b"".join((head, codec, codings, native, prefix, user_agent))


def close_config(handle: int) -> bytes:
    """`close-config`, the handle is a configuration's."""
    return _BARE.pack(abi.CMD_CLOSE_CONFIG, 0, 12, handle)


def open_server(
    handle: int,
    flags: int = 0,
    method: Buffer = b"",
    path: Buffer = b"",
    query: Buffer = b"",
    fields_count: int = 0,
    fields: bytes = b"",
) -> bytes:
    """`open-server`, the handle is a configuration's. Flags: 1 trailers, 2 duplex, 4 end, 8 prepare, 16 unbounded."""
    head = _OPEN_SERVER(
        abi.CMD_OPEN_SERVER,
        flags,
        32 + len(method) + len(path) + len(query) + len(fields),
        handle,
        len(method),
        len(path),
        len(query),
        fields_count,
        len(fields),
    )
    return b"".join((head, method, path, query, fields))


def open_client(
    handle: int,
    flags: int = 0,
    attributes: int = 0,
    tries: int = 0,
    timeout_us: int = 0,
    procedure: Buffer = b"",
    fields_count: int = 0,
    fields: bytes = b"",
    binary: Pairs = (),
) -> bytes:
    """`open-client`, the handle is a configuration's. Flags: 1 get, 2 retry."""
    binary_part = join_pairs(binary)
    head = _OPEN_CLIENT(
        abi.CMD_OPEN_CLIENT,
        flags,
        48 + len(procedure) + len(fields) + len(binary_part),
        handle,
        attributes,
        tries,
        timeout_us,
        len(procedure),
        fields_count,
        len(fields),
        len(binary),
        len(binary_part),
    )
    return b"".join((head, procedure, fields, binary_part))


def response_head(handle: int, flags: int = 0, status: int = 0, fields_count: int = 0, fields: bytes = b"") -> bytes:
    """`response-head`, the handle is a call's. Flags: 1 end."""
    head = _RESPONSE_HEAD(abi.CMD_RESPONSE_HEAD, flags, 24 + len(fields), handle, status, fields_count, len(fields))
    return b"".join((head, fields))


def content(handle: int, flags: int = 0, length: int = 0, data: Buffer = b"") -> bytes:
    """`content`, the handle is a call's. Flags: 1 end, 2 resume."""
    head = _CONTENT(abi.CMD_CONTENT, flags, 20 + len(data), handle, length, len(data))
    return b"".join((head, data))


def content_end(handle: int, fields_count: int = 0, fields: bytes = b"") -> bytes:
    """`content-end`, the handle is a call's."""
    head = _CONTENT_END(abi.CMD_CONTENT_END, 0, 20 + len(fields), handle, fields_count, len(fields))
    return b"".join((head, fields))


def peer_gone(handle: int, reason: int = 0, reset_code: int = 0, text: Buffer = b"") -> bytes:
    """`peer-gone`, the handle is a call's."""
    head = _PEER_GONE(abi.CMD_PEER_GONE, 0, 24 + len(text), handle, reason, reset_code, len(text))
    return b"".join((head, text))


def headers(handle: int, flags: int = 0, fields_count: int = 0, fields: bytes = b"", binary: Pairs = ()) -> bytes:
    """`headers`, the handle is a call's. Flags: 1 flush."""
    binary_part = join_pairs(binary)
    head = _HEADERS(
        abi.CMD_HEADERS,
        flags,
        28 + len(fields) + len(binary_part),
        handle,
        fields_count,
        len(fields),
        len(binary),
        len(binary_part),
    )
    return b"".join((head, fields, binary_part))


def send(handle: int, flags: int = 0, lengths: Sequence[int] = (), data: Buffer = b"") -> bytes:
    """`send`, the handle is a call's. Flags: 1 inline."""
    lengths_part = pack(f"<{len(lengths)}I", *lengths)
    head = _SEND(abi.CMD_SEND, flags, 20 + len(lengths_part) + len(data), handle, len(lengths), len(data))
    return b"".join((head, lengths_part, data))


def end(
    handle: int,
    flags: int = 0,
    code: int = 0,
    message: Buffer = b"",
    details: Pairs = (),
    fields_count: int = 0,
    fields: bytes = b"",
    binary: Pairs = (),
) -> bytes:
    """`end`, the handle is a call's. Flags: 1 unexpected."""
    details_part = join_pairs(details)
    binary_part = join_pairs(binary)
    head = _END(
        abi.CMD_END,
        flags,
        44 + len(message) + len(details_part) + len(fields) + len(binary_part),
        handle,
        code,
        len(message),
        len(details),
        len(details_part),
        fields_count,
        len(fields),
        len(binary),
        len(binary_part),
    )
    return b"".join((head, message, details_part, fields, binary_part))


def reject(handle: int, reason: int = 0, text: Buffer = b"") -> bytes:
    """`reject`, the handle is a call's."""
    head = _REJECT(abi.CMD_REJECT, 0, 20 + len(text), handle, reason, len(text))
    return b"".join((head, text))


def deadline(handle: int) -> bytes:
    """`deadline`, the handle is a call's."""
    return _BARE.pack(abi.CMD_DEADLINE, 0, 12, handle)


def cancel(handle: int) -> bytes:
    """`cancel`, the handle is a call's."""
    return _BARE.pack(abi.CMD_CANCEL, 0, 12, handle)


def close(handle: int) -> bytes:
    """`close`, the handle is a call's."""
    return _BARE.pack(abi.CMD_CLOSE, 0, 12, handle)


def decompressed(handle: int, data: Buffer = b"") -> bytes:
    """`decompressed`, the handle is a call's."""
    head = _DECOMPRESSED(abi.CMD_DECOMPRESSED, 0, 16 + len(data), handle, len(data))
    return b"".join((head, data))


class Configured:
    """`configured`. Flags: 1 send-inline, 2 get-inline."""

    __slots__ = ("flags", "handle")
    handle: int
    flags: int

    def __init__(self, batch: bytes, at: int) -> None:
        _, self.flags, _, self.handle = _BARE.unpack_from(batch, at)


class Request:
    """`request`. Flags: 1 content-inline, 2 get, 4 send-inline."""

    __slots__ = (
        "binary",
        "codec",
        "coding",
        "compress_min",
        "flags",
        "handle",
        "hidden",
        "procedure",
        "protocol",
        "timeout_us",
    )
    handle: int
    flags: int
    procedure: int
    protocol: int
    codec: int
    coding: int
    compress_min: int
    timeout_us: int
    hidden: bytes
    binary: list[tuple[bytes, bytes]]

    def __init__(self, batch: bytes, at: int) -> None:
        (
            _,
            self.flags,
            _,
            self.handle,
            self.procedure,
            self.protocol,
            self.codec,
            self.coding,
            self.compress_min,
            self.timeout_us,
            hidden_size,
            binary_count,
            _,
        ) = _REQUEST(batch, at)
        at += 52
        self.hidden = batch[at : at + hidden_size]
        at += hidden_size
        self.binary = split_pairs(binary_count, batch, at)


class Messages:
    """`messages`. Flags: 1 inline."""

    __slots__ = ("base", "coding", "data", "flags", "handle", "limit", "spans")
    handle: int
    flags: int
    base: int
    coding: int
    limit: int
    spans: tuple[int, ...]
    data: bytes

    def __init__(self, batch: bytes, at: int) -> None:
        _, self.flags, _, self.handle, self.base, self.coding, self.limit, spans_count, data_size = _MESSAGES(batch, at)
        at += 36
        self.spans = unpack_from(f"<{spans_count}I", batch, at)
        at += 4 * spans_count
        self.data = batch[at : at + data_size]


class Received:
    """`received`."""

    __slots__ = ("code", "handle", "message")
    handle: int
    code: int
    message: bytes

    def __init__(self, batch: bytes, at: int) -> None:
        _, _, _, self.handle, self.code, message_size = _RECEIVED(batch, at)
        at += 20
        self.message = batch[at : at + message_size]


class HttpResponseHead:
    """`http-response-head`. Flags: 1 end, 2 trailers, 4 lacks-trailers."""

    __slots__ = ("fields", "flags", "handle", "status")
    handle: int
    flags: int
    status: int
    fields: bytes

    def __init__(self, batch: bytes, at: int) -> None:
        _, self.flags, _, self.handle, self.status, _, fields_size = _HTTP_RESPONSE_HEAD(batch, at)
        at += 24
        self.fields = batch[at : at + fields_size]


class HttpRequestHead:
    """`http-request-head`. Flags: 1 end."""

    __slots__ = ("fields", "flags", "handle", "method", "target")
    handle: int
    flags: int
    method: bytes
    target: bytes
    fields: bytes

    def __init__(self, batch: bytes, at: int) -> None:
        _, self.flags, _, self.handle, method_size, target_size, _, fields_size = _HTTP_REQUEST_HEAD(batch, at)
        at += 28
        self.method = batch[at : at + method_size]
        at += method_size
        self.target = batch[at : at + target_size]
        at += target_size
        self.fields = batch[at : at + fields_size]


class HttpBody:
    """`http-body`. Flags: 1 end."""

    __slots__ = ("count", "data", "flags", "handle", "prefix")
    handle: int
    flags: int
    count: int
    prefix: int
    data: bytes

    def __init__(self, batch: bytes, at: int) -> None:
        _, self.flags, _, self.handle, self.count, self.prefix, data_size = _HTTP_BODY(batch, at)
        at += 24
        self.data = batch[at : at + data_size]


class HttpTrailers:
    """`http-trailers`."""

    __slots__ = ("fields", "handle")
    handle: int
    fields: bytes

    def __init__(self, batch: bytes, at: int) -> None:
        _, _, _, self.handle, _, fields_size = _HTTP_TRAILERS(batch, at)
        at += 20
        self.fields = batch[at : at + fields_size]


class Response:
    """`response`. Flags: 1 content-inline."""

    __slots__ = ("binary", "flags", "handle", "hidden")
    handle: int
    flags: int
    hidden: bytes
    binary: list[tuple[bytes, bytes]]

    def __init__(self, batch: bytes, at: int) -> None:
        _, self.flags, _, self.handle, hidden_size, binary_count, _ = _RESPONSE(batch, at)
        at += 24
        self.hidden = batch[at : at + hidden_size]
        at += hidden_size
        self.binary = split_pairs(binary_count, batch, at)


class EndOfCall:
    """`end-of-call`."""

    __slots__ = ("binary", "code", "details", "fields", "handle", "message")
    handle: int
    code: int
    message: bytes
    details: list[tuple[bytes, bytes]]
    fields: bytes
    binary: list[tuple[bytes, bytes]]

    def __init__(self, batch: bytes, at: int) -> None:
        (
            _,
            _,
            _,
            self.handle,
            self.code,
            message_size,
            details_count,
            details_size,
            _,
            fields_size,
            binary_count,
            _,
        ) = _END_OF_CALL(batch, at)
        at += 44
        self.message = batch[at : at + message_size]
        at += message_size
        self.details = split_pairs(details_count, batch, at)
        at += details_size
        self.fields = batch[at : at + fields_size]
        at += fields_size
        self.binary = split_pairs(binary_count, batch, at)


class Stop:
    """`stop`."""

    __slots__ = ("code", "grace_us", "handle", "message")
    handle: int
    code: int
    grace_us: int
    message: bytes

    def __init__(self, batch: bytes, at: int) -> None:
        _, _, _, self.handle, self.code, self.grace_us, message_size = _STOP(batch, at)
        at += 24
        self.message = batch[at : at + message_size]


class More:
    """`more`."""

    __slots__ = ("handle", "offset", "want")
    handle: int
    offset: int
    want: int

    def __init__(self, batch: bytes, at: int) -> None:
        _, _, _, self.handle, self.offset, self.want = _MORE(batch, at)


class Done:
    """`done`."""

    __slots__ = ("handle",)
    handle: int

    def __init__(self, batch: bytes, at: int) -> None:
        _, _, _, self.handle = _BARE.unpack_from(batch, at)


class Fault:
    """`fault`."""

    __slots__ = ("fault", "handle", "text")
    handle: int
    fault: int
    text: bytes

    def __init__(self, batch: bytes, at: int) -> None:
        _, _, _, self.handle, self.fault, text_size = _FAULT(batch, at)
        at += 20
        self.text = batch[at : at + text_size]


class Prepared:
    """`prepared`. Flags: 1 trailers."""

    __slots__ = (
        "coding",
        "data",
        "fields",
        "flags",
        "handle",
        "head_max",
        "length",
        "limit",
        "mark",
        "matters",
        "packed",
        "prefix",
        "reply_max",
        "status",
        "trailers",
    )
    handle: int
    flags: int
    limit: int
    reply_max: int
    head_max: int
    coding: int
    mark: int
    prefix: int
    status: int
    fields: bytes
    packed: bytes
    length: bytes
    data: bytes
    trailers: bytes
    matters: bytes

    def __init__(self, batch: bytes, at: int) -> None:
        (
            _,
            self.flags,
            _,
            self.handle,
            self.limit,
            self.reply_max,
            self.head_max,
            self.coding,
            self.mark,
            self.prefix,
            self.status,
            _,
            fields_size,
            _,
            packed_size,
            length_size,
            data_size,
            _,
            trailers_size,
            matters_size,
        ) = _PREPARED(batch, at)
        at += 76
        self.fields = batch[at : at + fields_size]
        at += fields_size
        self.packed = batch[at : at + packed_size]
        at += packed_size
        self.length = batch[at : at + length_size]
        at += length_size
        self.data = batch[at : at + data_size]
        at += data_size
        self.trailers = batch[at : at + trailers_size]
        at += trailers_size
        self.matters = batch[at : at + matters_size]


class Decompress:
    """`decompress`."""

    __slots__ = ("coding", "data", "handle", "limit")
    handle: int
    coding: int
    limit: int
    data: bytes

    def __init__(self, batch: bytes, at: int) -> None:
        _, _, _, self.handle, self.coding, self.limit, data_size = _DECOMPRESS(batch, at)
        at += 24
        self.data = batch[at : at + data_size]


class Retry:
    """`retry`. Flags: 1 unprocessed, 2 transient, 4 never, 8 told."""

    __slots__ = ("flags", "handle", "wait_us")
    handle: int
    flags: int
    wait_us: int

    def __init__(self, batch: bytes, at: int) -> None:
        _, self.flags, _, self.handle, self.wait_us = _RETRY(batch, at)


class Outcome:
    """`outcome`."""

    __slots__ = ("code", "handle", "protocol")
    handle: int
    code: int
    protocol: int

    def __init__(self, batch: bytes, at: int) -> None:
        _, _, _, self.handle, self.code, self.protocol = _OUTCOME(batch, at)


Event: TypeAlias = (
    Configured
    | Request
    | Messages
    | Received
    | HttpResponseHead
    | HttpRequestHead
    | HttpBody
    | HttpTrailers
    | Response
    | EndOfCall
    | Stop
    | More
    | Done
    | Fault
    | Prepared
    | Decompress
    | Retry
    | Outcome
)

_EVENTS: Final[dict[int, Callable[[bytes, int], Event]]] = {
    abi.EV_CONFIGURED: Configured,
    abi.EV_REQUEST: Request,
    abi.EV_MESSAGES: Messages,
    abi.EV_RECEIVED: Received,
    abi.EV_HTTP_RESPONSE_HEAD: HttpResponseHead,
    abi.EV_HTTP_REQUEST_HEAD: HttpRequestHead,
    abi.EV_HTTP_BODY: HttpBody,
    abi.EV_HTTP_TRAILERS: HttpTrailers,
    abi.EV_RESPONSE: Response,
    abi.EV_END_OF_CALL: EndOfCall,
    abi.EV_STOP: Stop,
    abi.EV_MORE: More,
    abi.EV_DONE: Done,
    abi.EV_FAULT: Fault,
    abi.EV_PREPARED: Prepared,
    abi.EV_DECOMPRESS: Decompress,
    abi.EV_RETRY: Retry,
    abi.EV_OUTCOME: Outcome,
}


def decode(events: bytes) -> list[Event]:
    """The events of one step, in order. Events of kinds that this version does not know are skipped."""
    result: list[Event] = []
    at = 0
    while at < len(events):
        kind, size = _START(events, at)
        read = _EVENTS.get(kind)
        if read is not None:
            result.append(read(events, at))
        at += size
    return result
