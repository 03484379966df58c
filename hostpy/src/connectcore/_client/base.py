"""What the async and the sync client share: their arguments, and what they make of a call's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._headers import Headers
from ..method import IdempotencyLevel
from ..request import RequestContext, set_response_metadata
from .config import ClientConfig, timeout_seconds
from .response_metadata import fill

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._codec.codec import Codec
    from ..compression import Compression
    from ..method import MethodInfo
    from ..protocol import ProtocolType
    from .call import ClientCall
    from .response_metadata import ResponseMetadata

GET: Final = "GET"
POST: Final = "POST"


class ClientBase:
    """The part of a client that does no I/O."""

    def __init__(
        self,
        address: str,
        *,
        codec: Codec[Any, Any] | None,
        protocol: ProtocolType,
        accept_compression: Iterable[Compression] | None,
        send_compression: Compression | None,
        timeout_ms: float | None,
        timeout: float | None,
        read_max_bytes: int | None,
    ) -> None:
        self._config = ClientConfig(
            address=address,
            codec=codec,
            protocol=protocol,
            accept_compression=accept_compression,
            send_compression=send_compression,
            timeout=timeout_seconds(timeout, timeout_ms),
            read_max_bytes=read_max_bytes,
        )
        self._closed = False

    def _timeout_of(self, timeout: float | None, timeout_ms: float | None) -> float | None:
        """Seconds that this call may take."""
        if self._closed:
            raise RuntimeError("this client is closed")
        if timeout is None and timeout_ms is None:
            return self._config.timeout
        return timeout_seconds(timeout, timeout_ms)

    def _context(
        self,
        method: MethodInfo[Any, Any],
        headers: Headers | Mapping[str, str] | None,
        timeout: float | None,
        http_method: str,
    ) -> RequestContext[Any, Any]:
        """What interceptors see of a call. They may change the headers, so these are the call's own."""
        return RequestContext(
            method=method,
            http_method=http_method,
            request_headers=Headers(headers or ()),
            timeout_ms=None if timeout is None else timeout * 1000,
            server_address=self._config.server_address,
        )


def check_get(method: MethodInfo[Any, Any]) -> None:
    """A GET may be repeated and cached by anything on its way.

    Raises:
        ValueError: the method does not say that it has no side effects.

    """
    if method.idempotency_level is not IdempotencyLevel.NO_SIDE_EFFECTS:
        raise ValueError(
            f"{method.service_name}/{method.name} cannot be called by GET: its idempotency_level option is not NO_SIDE_EFFECTS"
        )


def seconds_left(ctx: RequestContext[Any, Any]) -> float | None:
    """A context's timeout, in seconds."""
    left = ctx.timeout_ms
    return None if left is None else left / 1000


def report(call: ClientCall, ctx: RequestContext[Any, Any] | None, metadata: ResponseMetadata | None) -> None:
    """Put what came beside the message where interceptors and the code around the call look for it."""
    leading, trailing = call.leading(), call.trailing()
    if ctx is not None:
        set_response_metadata(ctx, leading, trailing)
    if metadata is not None:
        fill(metadata, call.http_status, leading, trailing)
