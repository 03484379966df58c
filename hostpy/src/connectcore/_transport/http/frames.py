"""HTTP/2 frames that the parser does not write: our settings and windows, pings, requests' field blocks (RFC 9113, 4 and 6)."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CANCEL",
    "END_STREAM",
    "FLOW_CONTROL_ERROR",
    "FRAME_MAX",
    "INITIAL_WINDOW_SIZE",
    "MAX_CONCURRENT_STREAMS",
    "NO_ERROR",
    "OVERHEAD",
    "PROTOCOL_ERROR",
    "REFUSED_STREAM",
    "WINDOW_UPDATE",
    "frames",
    "headers",
    "ping",
    "rst_stream",
    "settings",
    "window_update",
]

OVERHEAD: Final = 9
"""A frame's header."""

FRAME_MAX: Final = 16384
"""The longest payload that every peer takes."""

_HEADERS: Final = 1
_RST_STREAM: Final = 3
_SETTINGS: Final = 4
_PING: Final = 6
WINDOW_UPDATE: Final = 8
_CONTINUATION: Final = 9

END_STREAM: Final = 1
_END_HEADERS: Final = 4

_ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4

NO_ERROR: Final = 0
PROTOCOL_ERROR: Final = 1
FLOW_CONTROL_ERROR: Final = 3
REFUSED_STREAM: Final = 7
CANCEL: Final = 8


_START: Final = Struct(">BHBBI").pack


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return _START(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def headers(stream: int, block: bytes, *, end: bool) -> bytes:
    """A request's field block. `end`: no content follows."""
    flags = END_STREAM if end else 0
    if len(block) <= FRAME_MAX:
        return _frame(_HEADERS, flags | _END_HEADERS, stream, block)
    out = [_frame(_HEADERS, flags, stream, block[:FRAME_MAX])]
    for start in range(FRAME_MAX, len(block), FRAME_MAX):
        last = start + FRAME_MAX >= len(block)
        out.append(_frame(_CONTINUATION, _END_HEADERS if last else 0, stream, block[start : start + FRAME_MAX]))
    return b"".join(out)


def settings(window: int) -> bytes:
    """What a peer is to know beside what the parser says: no pushed responses, and the window that each stream starts with."""
    pairs = ((_ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, window))
    return _frame(_SETTINGS, 0, 0, b"".join([name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in pairs]))


def window_update(stream: int, increment: int) -> bytes:
    """More may be sent on a stream, or on the connection (0)."""
    return _frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def rst_stream(stream: int, code: int) -> bytes:
    """A stream's end before its time."""
    return _frame(_RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def ping() -> bytes:
    """Eight bytes for the peer to send back."""
    return _frame(_PING, 0, 0, b"alive?  ")


def frames(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Frames that the parser wrote: type, stream, and where each begins and ends."""
    start, length = 0, len(data)
    while start < length:
        end = start + OVERHEAD + int.from_bytes(data[start : start + 3], "big")
        yield data[start + 3], int.from_bytes(data[start + 5 : start + 9], "big"), start, end
        start = end
