"""What came with a response beside its message."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from .._headers import Headers
from .surrounding import Surrounding

if TYPE_CHECKING:
    from .surrounding import Around

__all__ = ["ResponseMetadata", "current_response"]

_current: ContextVar[Around | None] = ContextVar("connectcore_response_metadata", default=None)


class ResponseMetadata(Surrounding):
    """Collects the metadata of the calls that are made inside its `with` block, in this task or thread; the last one stays.

        with ResponseMetadata() as response:
            reply = await client.greet(request)
        response.trailers["cost"]

    A failed call's metadata is here, too, and on its `ConnectError`.
    """

    __slots__ = ("_headers", "_http_headers", "_http_status", "_trailers")

    _current = _current

    def __init__(self) -> None:
        self._http_status: int | None = None
        self._http_headers: Headers | None = None
        self._headers: Headers | None = None
        self._trailers: Headers | None = None

    @property
    def http_status(self) -> int | None:
        """The response's HTTP status; None where no response came."""
        return self._http_status

    @property
    def http_headers(self) -> Headers:
        """All fields of the response's head as HTTP has them, the protocol's too, all of them text; empty where none came."""
        if self._http_headers is None:
            self._http_headers = Headers()
        return self._http_headers

    @property
    def headers(self) -> Headers:
        """The leading metadata; empty where no response came."""
        if self._headers is None:
            self._headers = Headers()
        return self._headers

    @property
    def trailers(self) -> Headers:
        """The trailing metadata; empty where there was none."""
        if self._trailers is None:
            self._trailers = Headers()
        return self._trailers


def current_response() -> ResponseMetadata | None:
    """What the code around this call wants filled, if anything."""
    block = _current.get()
    return None if block is None else block[1]


def fill(
    response: ResponseMetadata,
    http_status: int | None,
    http_headers: Headers | None,
    headers: Headers | None,
    trailers: Headers | None,
) -> None:
    """Put a call's metadata in the place of an earlier call's."""
    response._http_status = http_status
    response._http_headers = http_headers
    response._headers = headers
    response._trailers = trailers
