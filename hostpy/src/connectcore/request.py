"""What a handler or an interceptor knows about a call beside its messages."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

from ._headers import Headers, headers_from_fields
from ._typing import REQ, RES
from ._wasm import abi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping

    from ._wasm.records import Request
    from .method import MethodInfo

__all__ = ["Headers", "RequestContext"]


class RequestContext(Generic[REQ, RES]):
    """One call: its method, metadata, deadline and peers. Handlers and interceptors get it, on both sides."""

    __slots__ = (
        "_client_address",
        "_end_time",
        "_http_method",
        "_method",
        "_request_headers",
        "_response_headers",
        "_response_trailers",
        "_server_address",
    )

    _method: MethodInfo[REQ, RES]
    _http_method: str
    _request_headers: Headers
    _response_headers: Headers | None
    _response_trailers: Headers | None
    _end_time: float | None
    _server_address: str | None
    _client_address: str | None

    def __init__(
        self,
        *,
        method: MethodInfo[REQ, RES],
        http_method: str,
        request_headers: Headers,
        timeout_ms: float | None = None,
        server_address: str | None = None,
        client_address: str | None = None,
    ) -> None:
        """Make the context of a call that starts now.

        Args:
            method: what is called.
            http_method: `POST`, or `GET` for a call without side effects that is made so.
            request_headers: the caller's metadata.
            timeout_ms: milliseconds from now to the deadline; None for no deadline.
            server_address: the server's `host:port`.
            client_address: the client's `host:port`.

        """
        self._method = method
        self._http_method = http_method
        self._request_headers = request_headers
        self._response_headers = None
        self._response_trailers = None
        self._end_time = None if timeout_ms is None else monotonic() + timeout_ms / 1000
        self._server_address = server_address
        self._client_address = client_address

    @property
    def method(self) -> MethodInfo[REQ, RES]:
        """What is called."""
        return self._method

    @property
    def http_method(self) -> str:
        """`POST`, or `GET` for a call without side effects that is made so."""
        return self._http_method

    @property
    def request_headers(self) -> Headers:
        """The caller's metadata. The protocol's own fields are not in it."""
        return self._request_headers

    @property
    def response_headers(self) -> Headers:
        """The metadata that goes out before the first response message."""
        if self._response_headers is None:
            self._response_headers = Headers()
        return self._response_headers

    @property
    def response_trailers(self) -> Headers:
        """The metadata that goes out after the last response message."""
        if self._response_trailers is None:
            self._response_trailers = Headers()
        return self._response_trailers

    @property
    def timeout_ms(self) -> float | None:
        """Milliseconds from now to the deadline, negative when it has passed; None when there is none."""
        if self._end_time is None:
            return None
        return (self._end_time - monotonic()) * 1000

    @property
    def server_address(self) -> str | None:
        """The server's `host:port`, if known: from the client's base URL, or from the request's Host field."""
        return self._server_address

    @property
    def client_address(self) -> str | None:
        """The client's `host:port`, if the server's HTTP side tells it; None on the client."""
        return self._client_address

    @property
    def scope(self) -> MutableMapping[str, Any] | None:
        """The ASGI scope or the WSGI environment of the request, where a framework's middleware leaves what it found out:
        Starlette's `scope["user"]`, for one. None on the client.
        """
        return None


class Reader(NamedTuple):
    """How a request is read, an ASGI scope or a WSGI environment."""

    method: Callable[[Any], str]
    """Its HTTP method."""

    addresses: Callable[[Any], tuple[str | None, str | None]]
    """The server's and the client's address, as far as the HTTP side tells them."""

    fields: Callable[[Any], Iterable[tuple[Any, Any]]]
    """Its fields, as for `headers_from_fields`, out of what the context was given."""


class ServerContext(RequestContext[REQ, RES]):
    """A context whose parts are made when asked for: most handlers ask for none, and each call makes one."""

    __slots__ = ("_fields", "_headers", "_reader", "_request", "_source")

    _headers: Headers | None

    def __init__(
        self,
        method: MethodInfo[REQ, RES],
        request: Request,
        reader: Reader,
        source: MutableMapping[str, Any],
        fields: Any,
    ) -> None:
        """Make the context of a call that was received, and starts now.

        Args:
            method: what is called.
            request: what the module says of the request.
            reader: reads `source` and `fields`.
            source: the ASGI scope or the WSGI environment.
            fields: the request's fields, as the reader wants them.

        """
        self._method = method
        self._request = request
        self._headers = None
        self._response_headers = None
        self._response_trailers = None
        timeout = request.timeout_us
        self._end_time = None if timeout == abi.NO_TIMEOUT else monotonic() + timeout / 1e6
        self._reader = reader
        self._source = source
        self._fields = fields

    @property
    def http_method(self) -> str:
        """`POST`, or `GET` for a call without side effects that is made so."""
        return self._reader.method(self._source)

    @property
    def request_headers(self) -> Headers:
        """The caller's metadata. The protocol's own fields are not in it."""
        if self._headers is None:
            request = self._request
            self._headers = headers_from_fields(self._reader.fields(self._fields), request.hidden, request.binary)
        return self._headers

    @property
    def server_address(self) -> str | None:
        """The server's `host:port`, from the request's Host field."""
        return self._reader.addresses(self._source)[0]

    @property
    def client_address(self) -> str | None:
        """The client's `host:port`, if the server's HTTP side tells it."""
        return self._reader.addresses(self._source)[1]

    @property
    def scope(self) -> MutableMapping[str, Any]:
        """The ASGI scope or the WSGI environment of the request."""
        return self._source


def expired(ctx: RequestContext[Any, Any]) -> bool:
    """Whether the deadline has passed."""
    return ctx._end_time is not None and monotonic() >= ctx._end_time


def says_nothing(ctx: RequestContext[Any, Any]) -> bool:
    """Whether a handler set no metadata and is in time: then its reply is all that there is to tell."""
    return not (ctx._response_headers or ctx._response_trailers) and (ctx._end_time is None or not expired(ctx))


def response_metadata(ctx: RequestContext[Any, Any]) -> tuple[Headers | None, Headers | None]:
    """Leading and trailing metadata that a handler set, None where it touched none."""
    return ctx._response_headers, ctx._response_trailers


def set_response_metadata(ctx: RequestContext[Any, Any], headers: Headers | None, trailers: Headers | None) -> None:
    """Put what a client received where interceptors look for it; None leaves a part as it is."""
    if headers is not None:
        ctx._response_headers = headers
    if trailers is not None:
        ctx._response_trailers = trailers
