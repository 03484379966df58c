"""The records of a usual unary call, packed and unpacked in one go each (ABI.md, section 8).

`records.py` knows every record and takes ten microseconds for a batch; this knows the two batches and the two answers that
nearly every call of a client consists of, and takes one. Where an answer is not the usual one, the functions here give None
and the general way reads it again.
"""

from __future__ import annotations

import struct
from typing import Final

from . import abi

__all__ = ["answer", "ask", "read_request", "read_success"]

_OPEN: Final = struct.Struct("<HHIIIQIIIII")
_SEND: Final = struct.Struct("<HHIIIII")
_END: Final = struct.pack("<HHII", abi.CMD_END, 0, 44, 0) + bytes(32)
_HEAD: Final = struct.Struct("<HHIIIII")
_CONTENT: Final = struct.Struct("<HHIIII")

_REQUEST_HEAD: Final = struct.Struct("<HHIIIIII")
_WHOLE_BODY: Final = struct.pack("<III", 1, 0, 0)  # one payload, no prefix, no data
_BODY_SIZE: Final = 24
_RESPONSE: Final = struct.Struct("<HHIIIII")
# messages with one span that is not inline, an end of call with nothing in it, done
_REST: Final = struct.Struct("<HHIIQIIIIIIHHII8IHHII")
_REQUEST: Final = (abi.EV_HTTP_REQUEST_HEAD, abi.EV_HTTP_BODY)
_NOTHING: Final = (0,) * 8


def ask(config: int, timeout_us: int, procedure: bytes, length: int) -> bytes:
    """Open a unary call without metadata, send its message of `length` bytes, end."""
    size = len(procedure)
    opening = _OPEN.pack(abi.CMD_OPEN_CLIENT, 0, _OPEN.size + size, config, abi.UNARY, timeout_us, size, 0, 0, 0, 0)
    return b"".join((opening, procedure, _SEND.pack(abi.CMD_SEND, 0, _SEND.size, 0, 1, 0, length), _END))


def read_request(events: bytes) -> tuple[int, str, str, bytes] | None:
    """Handle, method, target and fields of a request whose content is the message as it is; None for any other events."""
    if len(events) < _REQUEST_HEAD.size + _BODY_SIZE:
        return None
    kind, flags, size, handle, method_size, target_size, _, fields_size = _REQUEST_HEAD.unpack_from(events)
    if kind != abi.EV_HTTP_REQUEST_HEAD or flags or len(events) != size + _BODY_SIZE or events[size + 12 :] != _WHOLE_BODY:
        return None
    target = _REQUEST_HEAD.size + method_size
    fields = target + target_size
    method = events[_REQUEST_HEAD.size : target].decode("ascii")
    return handle, method, events[target:fields].decode("ascii"), events[fields : fields + fields_size]


def answer(handle: int, status: int, count: int, fields: bytes, length: int, data: bytes) -> bytes:
    """The response's head and all of its content, of which `data` goes along."""
    return b"".join(
        (
            _HEAD.pack(abi.CMD_RESPONSE_HEAD, 0, _HEAD.size + len(fields), handle, status, count, len(fields)),
            fields,
            _CONTENT.pack(abi.CMD_CONTENT, abi.CONTENT_END_FLAG, _CONTENT.size + len(data), handle, length, len(data)),
            data,
        )
    )


def read_success(events: bytes) -> tuple[bytes, int, int, int, int] | None:
    """A call's good end: the response's mask; offset and length of the message in the content, the length's top bit for
    "compressed"; its coding; the limit for decompressing it. None for any other events, and for binary or trailing metadata.

    The request may stand before: the batch may have opened the call.
    """
    at = 0
    while len(events) >= at + _RESPONSE.size + _REST.size:
        kind, flags, size, _, hidden_size, binary, _ = _RESPONSE.unpack_from(events, at)
        if kind not in _REQUEST:
            break
        at += size
    else:
        return None
    if kind != abi.EV_RESPONSE or flags or binary or len(events) != at + size + _REST.size:
        return None
    rest = _REST.unpack_from(events, at + size)
    (kind, flags, _, _, base, coding, limit, words, data_size, start, length, end, _, _, _) = rest[:15]
    if kind != abi.EV_MESSAGES or flags or words != 2 or data_size or end != abi.EV_END_OF_CALL:
        return None
    if rest[15:23] != _NOTHING or rest[23] != abi.EV_DONE:
        return None
    at += _RESPONSE.size
    return events[at : at + hidden_size], base + start, length, coding, limit
