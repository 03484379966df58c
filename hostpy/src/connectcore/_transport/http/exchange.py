"""One request, and what has come of its response: the part that does no I/O, and both forms share.

A connection calls `begin`, `add`, `end` and `fail` as things come, and then `progressed`, which the forms override to wake who
waits. Whoever reads takes the content by `take`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..transport import Gone, TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..transport import Fields, Request
    from .parser import Stream

__all__ = ["TRIES", "Exchange"]

TRIES: Final = 3
"""How often a request is sent at most, where it is surely not processed."""

_PIECES: Final = 64
"""So many pieces are kept apart. More are put together as they come: each costs far more than its bytes if they are few."""


class Exchange:
    """A request and its response.

    Attributes:
        request: what was asked.
        status: the response's status; 0 until its head is there.
        fields: its header section.
        length: see `Response`.
        trailers: its trailer section.
        ended: whether all of it has come.
        error: why not all of it comes. What came before is delivered first.
        unread: bytes of content that have come and were not taken.
        sent: whether the request is whole on its way.
        unprocessed: with `error`, whether the server surely did nothing for the request.
        started: whether the iterator of its content has been asked for anything.
        stream: its stream in the parser, over HTTP/2.
        id: that stream's number.

    """

    __slots__ = (
        "_pieces",
        "consumed",
        "credit",
        "ended",
        "error",
        "fields",
        "finishing",
        "id",
        "length",
        "pending",
        "received",
        "request",
        "sent",
        "started",
        "status",
        "stream",
        "trailers",
        "unprocessed",
        "unread",
    )

    def __init__(self, request: Request) -> None:
        self.request = request
        self.status = 0
        self.fields: Fields = ()
        self.length: int | None = None
        self.trailers: Fields = ()
        self.ended = False
        self.error: TransportError | None = None
        self.unread = 0
        self.sent = False
        self.started = False
        self.unprocessed = False
        self._pieces: list[bytes] | bytearray = []  # a list of pieces, or a bytearray where they were many
        # Over HTTP/2, what `Http2` keeps about the stream.
        self.stream: Stream | None = None
        self.id = 0
        self.pending: Any = b""  # content that waits for the peer's window
        self.finishing = False  # nothing comes behind it
        self.received = 0  # bytes of content that came
        self.credit = 0  # by how much the peer's window was raised again
        self.consumed = 0  # by how much it is to be raised, once there is room

    def begin(self, status: int, fields: Sequence[tuple[bytes, bytes]], length: int | None) -> None:
        """The response's head came."""
        self.status = status
        self.fields = fields
        self.length = length

    def add(self, data: bytes) -> None:
        """Content came."""
        pieces = self._pieces
        self.unread += len(data)
        if isinstance(pieces, list):
            pieces.append(data)
            if len(pieces) > _PIECES:
                self._pieces = bytearray().join(pieces)
        else:
            pieces += data

    def end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """The response is whole."""
        self.trailers = trailers
        self.ended = True

    def fail(self, reason: Gone, text: str = "", reset_code: int = 0, *, unprocessed: bool = False) -> None:
        """Nothing more comes of it. The first reason counts."""
        if not self.ended and self.error is None:
            self.error = TransportError(reason, text, reset_code)
            self.unprocessed = unprocessed

    def may_go_again(self, *, kept: bool) -> bool:
        """Whether a request that failed may be sent again: the server did nothing for it, and its content is still there.

        Args:
            kept: it went over a connection that had been used before.

        """
        error = self.error
        if error is None or self.started:
            return False
        if self.unprocessed:
            return True
        # The server may have closed a connection at rest just as this request came. What it did is not known then, so only a
        # request that may be made twice (RFC 9110, 9.2.2) is.
        return kept and error.reason is Gone.CLOSED and self.request.method == "GET" and self.status == 0

    def take(self) -> bytes:
        """The content that came since; empty if none did."""
        pieces = self._pieces
        if not self.unread:
            return b""
        self.unread = 0
        if isinstance(pieces, bytearray):
            self._pieces = []
            return bytes(pieces)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return data

    def progressed(self) -> None:
        """Something came, or nothing will: whoever reads looks again."""

    def drained(self) -> None:
        """All content that was handed over is on its way: more may come."""
