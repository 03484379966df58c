"""What a handler or an interceptor knows about a call beside its messages."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Generic

from ._headers import Headers, headers_from_fields
from ._typing import REQ, RES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping

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


class ServerContext(RequestContext[REQ, RES]):
    """A context whose parts are made when asked for: most handlers ask for none, and each call makes one."""

    __slots__ = ("_addresses", "_binary", "_fields", "_headers", "_hidden", "_source")

    _headers: Headers | None

    def __init__(
        self,
        method: MethodInfo[REQ, RES],
        http_method: str,
        fields: Iterable[tuple[Any, Any]],
        hidden: bytes,
        binary: Iterable[tuple[Any, bytes]],
        end_time: float | None,
        addresses: Callable[[Any], tuple[str | None, str | None]],
        source: MutableMapping[str, Any],
    ) -> None:
        """Make the context of a call that was received.

        Args:
            method: what is called.
            http_method: the request's.
            fields: the request's fields, as for `headers_from_fields`.
            hidden: the module's mask over them.
            binary: the decoded `-bin` metadata.
            end_time: the deadline on the clock of `time.monotonic`, or None.
            addresses: gives the server's and the client's address for `source`.
            source: the ASGI scope or the WSGI environment.

        """
        self._method = method
        self._http_method = http_method
        self._fields = fields
        self._hidden = hidden
        self._binary = binary
        self._headers = None
        self._response_headers = None
        self._response_trailers = None
        self._end_time = end_time
        self._addresses = addresses
        self._source = source

    @property
    def request_headers(self) -> Headers:
        """The caller's metadata. The protocol's own fields are not in it."""
        if self._headers is None:
            self._headers = headers_from_fields(self._fields, self._hidden, self._binary)
        return self._headers

    @property
    def server_address(self) -> str | None:
        """The server's `host:port`, from the request's Host field."""
        return self._addresses(self._source)[0]

    @property
    def client_address(self) -> str | None:
        """The client's `host:port`, if the server's HTTP side tells it."""
        return self._addresses(self._source)[1]

    @property
    def scope(self) -> MutableMapping[str, Any]:
        """The ASGI scope or the WSGI environment of the request."""
        return self._source


def expired(ctx: RequestContext[Any, Any]) -> bool:
    """Whether the deadline has passed."""
    return ctx._end_time is not None and monotonic() >= ctx._end_time


def response_metadata(ctx: RequestContext[Any, Any]) -> tuple[Headers | None, Headers | None]:
    """Leading and trailing metadata that a handler set, None where it touched none."""
    return ctx._response_headers, ctx._response_trailers


def set_response_metadata(ctx: RequestContext[Any, Any], headers: Headers | None, trailers: Headers | None) -> None:
    """Put what a client received where interceptors look for it; None leaves a part as it is."""
    if headers is not None:
        ctx._response_headers = headers
    if trailers is not None:
        ctx._response_trailers = trailers
