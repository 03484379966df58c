"""What a client asks of the HTTP side: one small protocol, in an async and a sync form.

A transport sends a request and hands the response over piece by piece:

    response = await transport.open(request)      status, fields; the response's head has come
    chunk = await response.read()                 the next bytes of content, b"" after the last
    response.trailers                             the trailer section, once read() gave b""
    await response.close()                        at any time: what is still under way is aborted

It decides nothing about RPC. It follows no redirects, decompresses nothing, repeats no request, and adds no field that says
otherwise. What goes wrong is an exception: `TransportError`, or an `OSError` as the standard library raises it (a
`TimeoutError` for a time limit of the transport's own). The client turns it into an RPC error.

Deadlines and cancellation: an async `open` or `read` is canceled by its task; it then aborts the exchange. Nothing cancels a
thread, so the sync form has `Request.deadline`, and `open_sync` and `read` raise `TimeoutError` once it has passed. Those that
can be interrupted also look at `Request.cancellation`; for the others, the client looks between their pieces.

A transport serves any number of calls at the same time, on any event loop or thread that its own documentation allows. It
belongs to whoever made it; a client never closes one.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from .._client.cancellation import Cancellation

__all__ = [
    "Fields",
    "Gone",
    "Request",
    "Response",
    "ResponseSync",
    "Transport",
    "TransportError",
    "TransportSync",
    "gone_of",
]

Fields: TypeAlias = "Sequence[tuple[str, str]] | Sequence[tuple[bytes, bytes]]"
"""Names in lower case and values, in order. Text stands for its UTF-8 bytes."""


class Gone(enum.Enum):
    """Why there is no whole response."""

    REFUSED = 1
    """No connection: nothing has reached the server."""

    CLOSED = 2
    """The connection broke, or ended before the response did."""

    RESET = 3
    """The peer or this side ended the stream with an HTTP/2 error code."""

    MALFORMED = 4
    """What came is not HTTP."""

    TIMEOUT = 5
    """A time limit of the transport passed, or `Request.deadline`."""

    CANCELED = 6
    """`Request.cancellation` was canceled."""


class TransportError(Exception):
    """There is no whole response.

    Args:
        reason: why.
        text: for the caller of the RPC to read. It must not hold what the caller sent.
        reset_code: the HTTP/2 error code (RFC 9113, 7) that came with `RESET`.

    """

    def __init__(self, reason: Gone, text: str = "", reset_code: int = 0) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        self.reset_code = reset_code


def gone_of(error: OSError | TransportError) -> TransportError:
    """The same failure as a TransportError."""
    if isinstance(error, TransportError):
        return error
    text = error.strerror or str(error)
    if isinstance(error, TimeoutError):
        return TransportError(Gone.TIMEOUT, text)
    return TransportError(Gone.REFUSED if isinstance(error, ConnectionRefusedError) else Gone.CLOSED, text)


class Request:
    """An HTTP request to send.

    Attributes:
        method: the HTTP method.
        origin: scheme and authority, such as `https://example.com:8443`.
        target: path and query, ready for the wire; it starts with a slash.
        content: the whole content, or an iterator of its chunks (an async one for an async transport); empty for none.
        deadline: when to give up, on the clock of `time.monotonic`; None for never. Async transports need not look at it.
        cancellation: what may cancel a sync call; None for nothing.

    """

    __slots__ = ("_fields", "cancellation", "content", "deadline", "method", "origin", "target")

    content: bytes | AsyncIterator[bytes] | Iterator[bytes]

    def __init__(
        self,
        method: str,
        origin: str,
        target: str,
        fields: bytes,
        content: bytes | AsyncIterator[bytes] | Iterator[bytes],
        deadline: float | None,
    ) -> None:
        """Make a request. `fields` is a column as the module writes it: `name NUL value NUL name NUL value`."""
        self.method = method
        self.origin = origin
        self.target = target
        self._fields = fields
        self.content = content
        self.deadline = deadline
        self.cancellation: Cancellation | None = None

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The header section: names in lower case, values as they go over the wire. Authority and framing are not in it,
        except for a content length where it is known."""
        parts = self._fields.split(b"\0")
        return list(zip(parts[0::2], parts[1::2], strict=True)) if self._fields else []

    @property
    def text_fields(self) -> list[tuple[str, str]]:
        """The same as text, for HTTP libraries that send text as UTF-8.

        Raises:
            UnicodeDecodeError: a value is not UTF-8.

        """
        if not self._fields:
            return []
        parts = self._fields.decode("utf-8").split("\0")
        return list(zip(parts[0::2], parts[1::2], strict=True))


class Response(Protocol):
    """An HTTP response whose head has come, in the async form."""

    @property
    def status(self) -> int:
        """The final status; informational responses are not shown."""
        ...

    @property
    def fields(self) -> Fields:
        """The header section."""
        ...

    @property
    def length(self) -> int | None:
        """How many bytes of content come, where the response is over with the last of them; otherwise None."""
        ...

    @property
    def trailers(self) -> Fields:
        """The trailer section, known when `read` has given its last."""
        ...

    async def read(self) -> bytes:
        """The next bytes of content, in pieces of any size; empty after the last. Raises TransportError or OSError."""
        ...

    async def close(self) -> None:
        """Let go of the response. If it has not been read to its end, the exchange is aborted. Raises nothing."""
        ...


class ResponseSync(Protocol):
    """An HTTP response whose head has come, in the sync form."""

    @property
    def status(self) -> int:
        """The final status; informational responses are not shown."""
        ...

    @property
    def fields(self) -> Fields:
        """The header section."""
        ...

    @property
    def length(self) -> int | None:
        """How many bytes of content come, where the response is over with the last of them; otherwise None."""
        ...

    @property
    def trailers(self) -> Fields:
        """The trailer section, known when `read` has given its last."""
        ...

    def read(self) -> bytes:
        """The next bytes of content, in pieces of any size; empty after the last.

        Raises:
            TransportError: there is no more, although the response is not over. An OSError may say so, too.

        """
        ...

    def close(self) -> None:
        """Let go of the response. If it has not been read to its end, the exchange is aborted. Raises nothing."""
        ...


@runtime_checkable
class Transport(Protocol):
    """Sends requests from an event loop."""

    async def open(self, request: Request, /) -> Response:
        """Send a request and wait for the head of its response. Raises TransportError or OSError."""
        ...


@runtime_checkable
class TransportSync(Protocol):
    """Sends requests from threads."""

    def open_sync(self, request: Request, /) -> ResponseSync:
        """Send a request and wait for the head of its response. Raises TransportError or OSError."""
        ...
