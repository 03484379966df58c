"""The transports by a client of `httpx` or of `httpx2`, its maintained successor, that a user has already.

What is set on the client holds: its pool, TLS, proxies, mounts, event hooks, auth, cookies, time limits (five seconds each,
unless others were chosen) and the headers that its user gave it. The four headers that the libraries add by themselves do not
go out, so that no compression is announced that the core does not read; nor do its `params` and `base_url`. Redirects are not
followed, and content is read as it came over the wire.

What these libraries cannot do:

- They give no trailers. gRPC needs them, so its calls fail at once with an error that says so; Connect and gRPC-Web do not.
- They send all content before they read the response. A stream both ways is one way at a time; where its messages depend on
  replies to earlier ones it waits for its deadline. A response that comes early is seen late, or not at all if the server
  closes the connection.
- Over HTTP/2 calls that share a connection are not free of each other. A time limit that one of them reaches, the deadline of
  a sync call included, ends the connection for all, and the others are `unavailable`; a sync call is late for its deadline
  while another one reads. A response that is let go is not reset, so the server sends on until its window is used up, and
  where calls are canceled or many send at once others may wait for nothing. With these libraries HTTP/1.1 is the better choice.
- A thread that waits in them cannot be interrupted: a canceled sync call ends when the server next says something. Its deadline
  ends it in time while content is sent and until the response's head is there; a server that then falls silent can make an
  HTTP/1.1 response take once more what was left at its head.
"""

from __future__ import annotations

import sys
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Protocol

from .content import Sending, SendingSync
from .transport import Gone, TransportError, length_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .transport import Fields, Request

__all__ = ["HttpxClient", "HttpxClientSync", "HttpxTransport", "HttpxTransportSync"]

LIBRARIES: Final = ("httpx", "httpx2")


class HttpxClient(Protocol):
    """An `AsyncClient` of either library, as far as it is used."""

    @property
    def timeout(self) -> Any: ...
    def build_request(self, method: str, url: str, /, *, headers: Any, content: Any, extensions: Any) -> Any: ...
    def send(self, request: Any, /, *, stream: bool, follow_redirects: bool) -> Awaitable[Any]: ...


class HttpxClientSync(Protocol):
    """A `Client` of either library, as far as it is used."""

    @property
    def timeout(self) -> Any: ...
    def build_request(self, method: str, url: str, /, *, headers: Any, content: Any, extensions: Any) -> Any: ...
    def send(self, request: Any, /, *, stream: bool, follow_redirects: bool) -> Any: ...
    def close(self) -> None: ...


def library_of(client: object, kind: str) -> Any:
    """The library that an `AsyncClient` or a `Client` comes from; None where it is none. Imports nothing: where there is a
    client, its library has been imported."""
    for name in LIBRARIES:
        library = sys.modules.get(name)
        if library is not None and isinstance(client, getattr(library, kind)):
            return library
    return None


@cache
def _added(library: Any) -> frozenset[str]:
    """The names of the headers that a library's clients add by themselves."""
    nowhere = library.MockTransport(library.Response)  # spares the TLS settings, which take long; it is never called
    return frozenset(library.Client(transport=nowhere, trust_env=False).headers)


class _Httpx:
    """What both forms share."""

    _kind: ClassVar[str]

    def __init__(self, client: Any) -> None:
        """Make a transport.

        Args:
            client: an `AsyncClient` of httpx or httpx2 for the async transport, a `Client` for the sync one. It is not closed.

        Raises:
            TypeError: it is something else.

        """
        library = library_of(client, self._kind)
        if library is None:
            raise TypeError(
                f"{type(self).__name__} takes an httpx.{self._kind} or httpx2.{self._kind}, not {type(client).__name__}"
            )
        self._client = client
        self._library = library

    def _built(self, request: Request, content: Any, extensions: dict[str, Any]) -> Any:
        """The request as the library sends it."""
        if request.http2:
            raise ValueError(
                f"{self._library.__name__} gives no HTTP trailers, without which this protocol does not work: "
                "choose another protocol, or another http_client"
            )
        fields = request.fields
        url = request.origin + request.target
        built = self._client.build_request(request.method, url, headers=fields, content=content, extensions=extensions)
        for name in _added(self._library) - {name.decode("latin-1") for name, _ in fields}:
            if name in built.headers:
                del built.headers[name]
        target = request.target.encode("ascii")
        if built.url.raw_path != target:  # the library has escaped it anew, or added its `params`
            built.extensions["target"] = target
        return built

    def _raise(self, error: Exception, deadline: float | None = None) -> NoReturn:
        failure = self._failure(error, deadline)
        if failure is error:
            raise error
        raise failure from error

    def _limited(self, what: str) -> bool:
        """Whether the client has a time limit of this kind."""
        timeout = self._client.timeout
        return (timeout.write if what.startswith("Write") else timeout.read) is not None

    def _failure(self, error: Exception, deadline: float | None = None) -> Exception:
        """What the library raised, as one of ours; anything that is not about the exchange stays as it is."""
        library = self._library
        if isinstance(error, library.TimeoutException):
            if deadline is not None and monotonic() >= deadline:
                return TransportError(Gone.TIMEOUT)
            what = type(error).__name__
            if isinstance(error, library.ConnectTimeout | library.PoolTimeout):
                reason = Gone.REFUSED
            elif self._limited(what):
                reason = Gone.TIMEOUT
            else:  # another call's, on the same HTTP/2 connection
                return TransportError(Gone.CLOSED, f"the HTTP client gave the connection up at a time limit ({what})")
            return TransportError(reason, f"the HTTP client's own time limit ({what})")
        text = str(error) or type(error).__name__
        if isinstance(error, library.ConnectError | library.ProxyError):
            return TransportError(Gone.REFUSED, text)
        if isinstance(error, library.NetworkError):
            return TransportError(Gone.CLOSED, text)
        if isinstance(error, library.ProtocolError):
            return _breach(error, text, remote=isinstance(error, library.RemoteProtocolError))
        return error


def _breach(error: Exception, text: str, *, remote: bool) -> Exception:
    """A breach of HTTP. For HTTP/2 the library's own error holds what h2 said."""
    inner = error.__cause__
    said: Any = inner.args[0] if inner is not None and inner.args else None
    kind = type(said).__name__
    if kind == "StreamReset":
        return TransportError(Gone.RESET, "the server reset the stream", int(said.error_code))
    if kind in ("ConnectionTerminated", "StreamClosedError"):
        return TransportError(Gone.CLOSED, "the server wants no more on this connection or stream")
    if remote:
        ended = "disconnected" in text or "peer closed connection" in text
        return TransportError(Gone.CLOSED if ended else Gone.MALFORMED, text)
    # What the peer sent and h2 refuses is called an error of our own.
    return TransportError(Gone.MALFORMED, text) if type(said).__module__.startswith("h2.") else error


class _AnyResponse:
    """A response whose head has come."""

    __slots__ = ("_pieces", "_response", "_transport", "fields", "length", "status", "trailers")

    def __init__(self, transport: _Httpx, response: Any) -> None:
        self._transport = transport
        self._response = response
        self._pieces: Any = None  # the iterator of the content
        self.status: int = response.status_code
        fields = [(name.lower(), value) for name, value in response.headers.raw]
        self.fields: Fields = fields
        self.trailers: Fields = ()
        self.length = length_of(fields) if response.http_version.startswith("HTTP/1") else None

    def _read_by_others(self) -> bytes | None:
        """All content, where an auth or an event hook of the client has read it already."""
        response = self._response
        if not response.is_stream_consumed:
            return None
        content = bytes(response.content)
        if len(content) != response.num_bytes_downloaded:
            raise RuntimeError(
                "an auth or event hook of the httpx client has read and decompressed the response; "
                "make the RPC client with accept_compression=()"
            )
        return content


class HttpxTransport(_Httpx):
    """The async transport, usable on the event loop of its client."""

    _kind = "AsyncClient"
    _client: HttpxClient

    if TYPE_CHECKING:

        def __init__(self, client: HttpxClient) -> None: ...

    async def open(self, request: Request) -> _Response:
        """Send a request with all of its content, then wait for the head of its response. Raises TransportError."""
        content: Any = request.content
        sending = None if isinstance(content, bytes) else Sending(content)
        try:
            built = self._built(request, content if sending is None else sending, {})
            return _Response(self, await self._client.send(built, stream=True, follow_redirects=False))
        except Exception as error:  # noqa: BLE001 - whatever it raises
            if sending is not None and sending.error is not None:
                raise sending.error from None
            self._raise(error)
        finally:
            if sending is not None:
                await sending.aclose()


class _Response(_AnyResponse):
    __slots__ = ()

    async def read(self) -> bytes:
        try:
            if self._pieces is None:
                content = self._read_by_others()
                if content is not None:
                    self._pieces = _nothing()
                    return content
                self._pieces = self._response.aiter_raw()
            async for piece in self._pieces:
                if piece:
                    return bytes(piece)
        except Exception as error:  # noqa: BLE001 - whatever it raises
            self._transport._raise(error)
        return b""

    async def close(self) -> None:
        try:
            if self._pieces is not None:
                await self._pieces.aclose()
            await self._response.aclose()
        except Exception:  # noqa: BLE001, S110 - nobody waits for it any more
            pass


async def _nothing() -> Any:
    for _ in ():
        yield


class _Limits(dict[str, Any]):
    """A client's time limits, cut to what is left to the deadline whenever the library looks."""

    def __init__(self, limits: dict[str, Any], deadline: float) -> None:
        super().__init__(limits)
        self._deadline = deadline

    def get(self, key: str, default: Any = None) -> Any:
        limit = super().get(key, default)
        left = max(self._deadline - monotonic(), 0.001)  # zero would mean not to wait at all, which fails in another way
        return left if limit is None else min(limit, left)


class HttpxTransportSync(_Httpx):
    """The sync transport, usable from any number of threads."""

    _kind = "Client"
    _client: HttpxClientSync

    if TYPE_CHECKING:

        def __init__(self, client: HttpxClientSync) -> None: ...

    def open_sync(self, request: Request) -> _ResponseSync:
        """Send a request with all of its content, then wait for the head of its response. Raises TransportError."""
        extensions: dict[str, Any] = {}
        deadline = request.deadline
        if deadline is not None:
            if monotonic() >= deadline:
                raise TransportError(Gone.TIMEOUT)
            extensions["timeout"] = _Limits(self._client.timeout.as_dict(), deadline)
        content: Any = request.content
        sending = None if isinstance(content, bytes) else SendingSync(content, _checks(request))
        try:
            built = self._built(request, content if sending is None else sending, extensions)
            response = self._client.send(built, stream=True, follow_redirects=False)
            return _ResponseSync(self, response, deadline)
        except Exception as error:  # noqa: BLE001 - whatever it raises
            if sending is not None and sending.error is not None:
                raise sending.error from None
            self._raise(error, deadline)
        finally:
            if sending is not None:
                sending.close()


def _checks(request: Request) -> Callable[[], None] | None:
    """Looks between two pieces of content at what the library does not know of."""
    deadline, cancellation = request.deadline, request.cancellation
    if deadline is None and cancellation is None:
        return None

    def check() -> None:
        if deadline is not None and monotonic() >= deadline:
            raise TransportError(Gone.TIMEOUT)
        if cancellation is not None and cancellation.canceled:
            raise TransportError(Gone.CANCELED)

    return check


class _ResponseSync(_AnyResponse):
    __slots__ = ("_deadline",)

    def __init__(self, transport: _Httpx, response: Any, deadline: float | None) -> None:
        super().__init__(transport, response)
        self._deadline = deadline

    def read(self) -> bytes:
        try:
            if self._pieces is None:
                content = self._read_by_others()
                if content is not None:
                    self._pieces = iter(())
                    return content
                self._pieces = self._response.iter_raw()
            for piece in self._pieces:
                if piece:
                    return bytes(piece)
        except Exception as error:  # noqa: BLE001 - whatever it raises
            self._transport._raise(error, self._deadline)
        return b""

    def close(self) -> None:
        try:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()
            self._response.close()
        except Exception:  # noqa: BLE001, S110 - nobody waits for it any more
            pass
