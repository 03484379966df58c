"""The protocol between a client and what sends its HTTP requests, in an async and a sync form.

A transport sends a request and hands the response over piece by piece:

    response = await transport.open(request)      sends it, and waits for the response's head: status and fields
    chunk = await response.read()                 the next bytes of content, b"" after the last
    response.trailers                             the trailer section, once read() has given b""
    await response.close()                        at any time; what is still under way is aborted

A transport knows nothing of RPC. It sends the fields that it is given, and adds only what HTTP's framing needs. It follows no
redirect and decompresses no content. It sends no request again, unless the first sending has surely come to nothing: it never
left, or the server said that it did not look at it.

Content may be an iterator. Each chunk is sent at once, and `open` returns when the response's head is there, even while content
is still being sent. If the iterator raises, the exchange is aborted, and `open` or `read` raises the same. If the response is
complete before the content is, the rest is not asked for, and that is no error. In each case the iterator is closed.

What goes wrong is an exception: a `TransportError`, or an `OSError` as the standard library raises it, where a `TimeoutError`
means that a time limit of the transport's own has passed. The client makes an RPC error of it.

An async `open` or `read` is canceled as any coroutine is, and then aborts the exchange. Nothing can cancel a thread, so the
sync form gets a deadline and a `Cancellation` with the request: once the deadline has passed, `open_sync` and `read` raise
`TimeoutError`; once the cancellation is canceled, they raise a `TransportError` with `CANCELED`. A transport that cannot be
interrupted while it waits may leave the second to the client, which looks at both between two pieces.

A transport serves any number of calls at a time, on the event loops or threads that its own documentation allows. It belongs to
whoever made it: a client never closes one.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from .._wasm.columns import join_fields, split_fields, split_text_fields
from .._wasm.content import length_said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

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
    "fields_column",
    "gone_of",
    "length_of",
    "media_type",
]

Fields: TypeAlias = "Sequence[tuple[str, str]] | Sequence[tuple[bytes, bytes]]"
"""HTTP fields: names in lower case and values, in order; all text, which stands for its UTF-8 bytes, or all bytes."""


def fields_column(fields: Fields) -> bytes:
    """Fields as the module reads them."""
    if fields and isinstance(fields[0][0], str):
        text: Any = fields
        return "\0".join([part for field in text for part in field]).encode("utf-8", "surrogateescape")
    data: Any = fields
    return join_fields(data)


def media_type(fields: Fields) -> str | bytes | None:
    """The value of a response's `content-type`, if it has one."""
    for name, value in fields:
        if name in (b"content-type", "content-type"):
            return value
    return None


def length_of(fields: Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]) -> int | None:
    """How long an HTTP/1.1 response's content is, if it says so: nothing follows that. The library has checked the fields."""
    length = None
    for name, value in fields:
        if name in ("content-length", b"content-length"):
            length = length_said(value)
        elif name in ("transfer-encoding", b"transfer-encoding"):
            return None
    return length


class Gone(enum.Enum):
    """Why there is no whole response."""

    REFUSED = 1
    """No connection: nothing has reached the server."""

    CLOSED = 2
    """The connection broke, or ended before the response did."""

    RESET = 3
    """An HTTP/2 or HTTP/3 stream was reset, with a code."""

    MALFORMED = 4
    """What came is not HTTP. No stream was reset for it, and nothing is said about whether the server did any work."""

    TIMEOUT = 5
    """A time limit of the transport passed, or `Request.deadline`."""

    CANCELED = 6
    """`Request.cancellation` was canceled."""

    TOO_LARGE = 7
    """The response's head or trailer section is larger than the transport takes."""


class TransportError(Exception):
    """There is no whole response.

    Args:
        reason: why.
        text: more about it, for the RPC error's message. It must not repeat what the caller sent.
        reset_code: with `RESET`, the HTTP/2 error code (RFC 9113, 7).

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
        target: path and query, escaped as they go over the wire; it begins with a slash.
        column: the header section as the module writes it: `name NUL value NUL name NUL value`.
        content: the whole content, or an iterator of its chunks (an async one for an async transport); empty for none.
        http2: whether only HTTP/2 can carry the request: then it is spoken at once over cleartext ("prior knowledge"), and has
            to be agreed to over TLS. None: HTTP/1.1 over cleartext, what ALPN finds over TLS.
        deadline: when to give up, on the clock of `time.monotonic`; None for never. An async transport need not look at it.
        cancellation: what may cancel a sync call from another thread; None for nothing.

    """

    __slots__ = ("cancellation", "column", "content", "deadline", "http2", "method", "origin", "target")

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
        """Make a request. `fields` is the attribute `column`."""
        self.method = method
        self.origin = origin
        self.target = target
        self.column = fields
        self.content = content
        self.deadline = deadline
        self.http2: bool | None = None
        self.cancellation: Cancellation | None = None

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """The header section, names in lower case. The authority is not in it, nor framing, except for the length of content
        that is known."""
        return split_fields(self.column)

    @property
    def text_fields(self) -> list[tuple[str, str]]:
        """The same as text, for an HTTP library that takes text and sends it as UTF-8.

        Raises:
            UnicodeDecodeError: a value is not UTF-8.

        """
        return split_text_fields(self.column, "utf-8")


class ResponseHead(Protocol):
    """What both forms of a response know.

    A response may have more: `at_once()`, a plain function, gives all of its content if the response has come to its end before
    anything was read of it, and None otherwise. Where it gives content, `trailers` is known, too.
    """

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
        """How many bytes of content come, if nothing comes after them: no trailer section, and no error. Otherwise None."""
        ...

    @property
    def trailers(self) -> Fields:
        """The trailer section, known when `read` has given its last."""
        ...


class Response(ResponseHead, Protocol):
    """An HTTP response whose head has come, in the async form."""

    async def read(self) -> bytes:
        """The next bytes of content, as many as there are; empty after the last. Raises TransportError or OSError."""
        ...

    async def close(self) -> None:
        """Let go of the response. If it has not been read to its end, the exchange is aborted. Never raises."""
        ...


class ResponseSync(ResponseHead, Protocol):
    """An HTTP response whose head has come, in the sync form."""

    def read(self) -> bytes:
        """The next bytes of content, as many as there are; empty after the last. Raises TransportError or OSError."""
        ...

    def close(self) -> None:
        """Let go of the response. If it has not been read to its end, the exchange is aborted. Never raises."""
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
