"""The records of a usual unary call (ABI.md, section 8), packed and read in one go each.

`records.py` knows every record. This knows what nearly every call with one message and one reply consists of, which takes a
third of the time. Where events are not the usual ones, the functions here return None, and the general way reads them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from .._wasm import abi, records
from .._wasm.columns import layout
from .response import whole

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["answer", "message", "reply"]

# The request is followed by one message, and nothing more comes.
_MESSAGE: Final = layout(
    (abi.LAYOUT_MESSAGES, "kind flags base coding limit spans_count data_size"),
    ("start:I length:I", "start length"),
    (abi.LAYOUT_RECEIVED, "kind code"),
)
# The reply is sent, and all ends well.
_REPLY: Final = layout(
    (abi.LAYOUT_SEND, "kind size handle lengths_count"), ("length:I", "length"), (abi.LAYOUT_END, "kind size handle")
).pack
_SEND_SIZE: Final = len(records.send(0, 0, (0,)))
_END_SIZE: Final = len(records.end(0))
# Then come a head, the message with its prefix, trailers perhaps, and done.
_HEAD: Final = layout((abi.LAYOUT_HTTP_RESPONSE_HEAD, "kind flags size status"))
_BODY: Final = layout((abi.LAYOUT_HTTP_BODY, "kind size count prefix data_size"))
_TRAILERS: Final = layout((abi.LAYOUT_HTTP_TRAILERS, "kind size"))


def message(events: bytes, at: int) -> tuple[int, int, int, int] | None:
    """Start, length, coding and limit of the one message that the events from `at` on are about."""
    if len(events) != at + _MESSAGE.size:
        return None
    kind, flags, base, coding, limit, words, data, start, length, received, code = _MESSAGE.unpack_from(events, at)
    if kind != abi.EV_MESSAGES or flags or words != 2 or data or received != abi.EV_RECEIVED or code:
        return None
    return base + start, length, coding, limit


def reply(handle: int, length: int) -> bytes:
    """The records that send one message and end the call well, without metadata."""
    return _REPLY(abi.CMD_SEND, _SEND_SIZE, handle, 1, length, abi.CMD_END, _END_SIZE, handle)


def answer(
    events: bytes, payload: bytes, fields_of: Callable[[bytes], list[tuple[Any, Any]]]
) -> tuple[dict[str, Any], ...] | None:
    """The whole response with this payload, as ASGI's messages."""
    try:
        kind, flags, size, status = _HEAD.unpack_from(events)
        body_kind, body_size, count, prefix, data_size = _BODY.unpack_from(events, size)
        if kind != abi.EV_HTTP_RESPONSE_HEAD or body_kind != abi.EV_HTTP_BODY or count != 1 or prefix != data_size:
            return None
        fields = fields_of(events[_HEAD.size : size])
        end = size + body_size
        content = events[end - data_size : end] + payload
        if end + abi.HEADER_SIZE == len(events):
            return None if flags else whole(status, fields, content, None)
        kind, size = _TRAILERS.unpack_from(events, end)
    except struct.error:
        return None
    if kind != abi.EV_HTTP_TRAILERS or end + size + abi.HEADER_SIZE != len(events):
        return None
    return whole(status, fields, content, fields_of(events[end + _TRAILERS.size : end + size]))
