"""Events as the guest writes them, decoded: `wasm/ABI.md`, sections 2 and 7.

The columns stand in the contract's order, after the handle and, where the record has any, the flags. Plain classes with
slots: as many named tuples would take longer to make than all else that is done at import.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from . import abi

if TYPE_CHECKING:
    from collections.abc import Callable

_HEAD: Final = struct.Struct("<HHII")


class Configured:
    __slots__ = ("handle",)

    def __init__(self, handle: int) -> None:
        self.handle = handle


class Request:
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

    def __init__(
        self,
        handle: int,
        flags: int,
        procedure: int,
        protocol: int,
        codec: int,
        coding: int,
        compress_min: int,
        timeout_us: int,
        hidden: bytes,
        binary: list[tuple[bytes, bytes]],
    ) -> None:
        self.handle = handle
        self.flags = flags
        self.procedure = procedure
        self.protocol = protocol
        self.codec = codec
        self.coding = coding
        self.compress_min = compress_min
        self.timeout_us = timeout_us
        self.hidden = hidden
        self.binary = binary


class Messages:
    __slots__ = ("base", "coding", "data", "flags", "handle", "limit", "spans")

    def __init__(
        self, handle: int, flags: int, base: int, coding: int, limit: int, spans: tuple[int, ...], data: bytes
    ) -> None:
        self.handle = handle
        self.flags = flags
        self.base = base
        self.coding = coding
        self.limit = limit
        self.spans = spans
        self.data = data


class Received:
    __slots__ = ("code", "handle", "message")

    def __init__(self, handle: int, code: int, message: bytes) -> None:
        self.handle = handle
        self.code = code
        self.message = message


class ResponseHead:
    __slots__ = ("fields", "flags", "handle", "status")

    def __init__(self, handle: int, flags: int, status: int, fields: bytes) -> None:
        self.handle = handle
        self.flags = flags
        self.status = status
        self.fields = fields


class RequestHead:
    __slots__ = ("fields", "flags", "handle", "method", "target")

    def __init__(self, handle: int, flags: int, method: bytes, target: bytes, fields: bytes) -> None:
        self.handle = handle
        self.flags = flags
        self.method = method
        self.target = target
        self.fields = fields


class Body:
    __slots__ = ("data", "flags", "handle", "payloads", "prefix")

    def __init__(self, handle: int, flags: int, payloads: int, prefix: int, data: bytes) -> None:
        self.handle = handle
        self.flags = flags
        self.payloads = payloads
        self.prefix = prefix
        self.data = data


class Trailers:
    __slots__ = ("fields", "handle")

    def __init__(self, handle: int, fields: bytes) -> None:
        self.handle = handle
        self.fields = fields


class Response:
    __slots__ = ("binary", "flags", "handle", "hidden")

    def __init__(self, handle: int, flags: int, hidden: bytes, binary: list[tuple[bytes, bytes]]) -> None:
        self.handle = handle
        self.flags = flags
        self.hidden = hidden
        self.binary = binary


class EndOfCall:
    __slots__ = ("binary", "code", "details", "fields", "handle", "message")

    def __init__(
        self,
        handle: int,
        code: int,
        message: bytes,
        details: list[tuple[bytes, bytes]],
        fields: bytes,
        binary: list[tuple[bytes, bytes]],
    ) -> None:
        self.handle = handle
        self.code = code
        self.message = message
        self.details = details
        self.fields = fields
        self.binary = binary


class Stop:
    __slots__ = ("code", "handle")

    def __init__(self, handle: int, code: int) -> None:
        self.handle = handle
        self.code = code


class More:
    __slots__ = ("handle", "offset", "want")

    def __init__(self, handle: int, offset: int, want: int) -> None:
        self.handle = handle
        self.offset = offset
        self.want = want


class Done:
    __slots__ = ("handle",)

    def __init__(self, handle: int) -> None:
        self.handle = handle


class Prepared:
    __slots__ = ("fields", "handle", "length", "limit", "status")

    def __init__(self, handle: int, limit: int, status: int, fields: bytes, length: bytes) -> None:
        self.handle = handle
        self.limit = limit
        self.status = status
        self.fields = fields
        self.length = length


class Fault:
    __slots__ = ("fault", "handle", "text")

    def __init__(self, handle: int, fault: int, text: bytes) -> None:
        self.handle = handle
        self.fault = fault
        self.text = text


Event: TypeAlias = (
    Configured
    | Request
    | Messages
    | Received
    | ResponseHead
    | RequestHead
    | Body
    | Trailers
    | Response
    | EndOfCall
    | Stop
    | More
    | Done
    | Fault
    | Prepared
)

_TYPES: Final[dict[int, tuple[Any, bool]]] = {
    abi.EV_CONFIGURED: (Configured, False),
    abi.EV_REQUEST: (Request, True),
    abi.EV_MESSAGES: (Messages, True),
    abi.EV_RECEIVED: (Received, False),
    abi.EV_HTTP_RESPONSE_HEAD: (ResponseHead, True),
    abi.EV_HTTP_REQUEST_HEAD: (RequestHead, True),
    abi.EV_HTTP_BODY: (Body, True),
    abi.EV_HTTP_TRAILERS: (Trailers, False),
    abi.EV_RESPONSE: (Response, True),
    abi.EV_END_OF_CALL: (EndOfCall, False),
    abi.EV_STOP: (Stop, False),
    abi.EV_MORE: (More, False),
    abi.EV_DONE: (Done, False),
    abi.EV_FAULT: (Fault, False),
    abi.EV_PREPARED: (Prepared, False),
}


def _reader(kind: int) -> Callable[[bytes, int, int, int], Event]:
    """Makes the decoder of one kind of event from its schema."""
    made, flagged = _TYPES[kind]
    types = [column_type for _, column_type in abi.SCHEMAS[kind][2]]
    letters = {"u32": "I", "u64": "Q", "bytes": "I", "words": "I", "fields": "II", "pairs": "II"}
    layout = struct.Struct("<" + "".join(letters[column_type] for column_type in types))
    unpack = layout.unpack_from
    tail = abi.HEADER_SIZE + layout.size
    numbers_only = all(column_type in ("u32", "u64") for column_type in types)

    def read(data: bytes, at: int, flags: int, handle: int) -> Event:
        numbers = unpack(data, at + 12)
        start = (handle, flags) if flagged else (handle,)
        if numbers_only:
            return made(*start, *numbers)  # type: ignore[no-any-return]
        values: list[Any] = list(start)
        position = at + tail
        number = iter(numbers)
        for column_type in types:
            value = next(number)
            if column_type == "bytes":
                values.append(data[position : position + value])
                position += value
            elif column_type == "fields":
                size = next(number)
                values.append(data[position : position + size])
                position += size
            elif column_type == "pairs":
                size = next(number)
                values.append(_split_pairs(value, data[position : position + size]) if value else [])
                position += size
            elif column_type == "words":
                values.append(struct.unpack_from(f"<{value}I", data, position))
                position += 4 * value
            else:
                values.append(value)
        return made(*values)  # type: ignore[no-any-return]

    return read


_READERS: Final = {kind: _reader(kind) for kind in _TYPES}


def decode(events: bytes) -> list[Event]:
    """The events of one step, in order. Events of kinds that this version does not know are skipped."""
    result: list[Event] = []
    at = 0
    end_of_batch = len(events)
    while at < end_of_batch:
        kind, flags, size, handle = _HEAD.unpack_from(events, at)
        reader = _READERS.get(kind)
        if reader is not None:
            result.append(reader(events, at, flags, handle))
        at += size
    return result


def _split_pairs(count: int, column: bytes) -> list[tuple[bytes, bytes]]:
    pairs: list[tuple[bytes, bytes]] = []
    at = 0
    for _ in range(count):
        size_a, size_b = struct.unpack_from("<II", column, at)
        middle = at + 8 + size_a
        at = middle + size_b
        pairs.append((column[middle - size_a : middle], column[middle:at]))
    return pairs
