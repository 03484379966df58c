"""The one file that touches `zttp`: a parser of HTTP/1.1 and HTTP/2 that does no I/O.

Bytes go in, events come out: a response's head, pieces of content, the end of a message with its trailers, and HTTP/2's own
events. `zttp` bounds what a peer can make it hold: 64 KiB or 100 fields of a head, 16 KiB a line, 16 CONTINUATION frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import zttp
from zttp import (
    CONNECTION_CLOSED,
    NEED_DATA,
    Data,
    EndOfMessage,
    GoAway,
    H1Connection,
    H2Connection,
    Ping,
    ProtocolError,
    Request,
    Response,
    RstStream,
    Settings,
    Stream,
)

from ..transport import Gone

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CONNECTION_CLOSED",
    "NEED_DATA",
    "Data",
    "EndOfMessage",
    "GoAway",
    "H1Connection",
    "H2Connection",
    "Ping",
    "ProtocolError",
    "Request",
    "Response",
    "RstStream",
    "Settings",
    "Stream",
    "failure_of",
    "http1",
    "http1_requests",
    "http2",
    "kind_of",
]

kind_of: Callable[[object], type[object]] = type
"""An event's class."""


def http1() -> H1Connection:
    """A parser of HTTP/1.1 responses."""
    return zttp.Connection(zttp.CLIENT)


def http1_requests() -> H1Connection:
    """A parser of HTTP/1.1 requests."""
    return zttp.Connection(zttp.SERVER)


def http2() -> H2Connection:
    """The state of an HTTP/2 connection as its client sees it."""
    return zttp.Connection(zttp.CLIENT, zttp.HTTP2)


def failure_of(error: ProtocolError, version: str) -> tuple[Gone, str]:
    """What an error of the parser means."""
    text = str(error)
    if "exceeded" in text:
        return Gone.TOO_LARGE, "a section of fields is larger than this transport takes"
    return Gone.MALFORMED, f"the response is no {version}: {text}"
