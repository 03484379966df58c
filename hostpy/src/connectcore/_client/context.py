"""What a client's call carries beside its messages, through its interceptors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..request import RequestContext, set_response_metadata
from .response_metadata import current_response, fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._headers import Headers
    from ..method import MethodInfo
    from .cancellation import Cancellation
    from .module_call import ModuleCall
    from .response_metadata import ResponseMetadata

__all__ = ["ClientContext", "Told", "cancellation_of", "seconds_left", "told_of"]


class Told:
    """Who wants to know what comes beside a call's messages: the call's caller, the code around it, interceptors."""

    __slots__ = ("_ctx", "_metadata")

    def __init__(self, ctx: RequestContext[Any, Any] | None, metadata: ResponseMetadata | None) -> None:
        self._ctx = ctx
        around = current_response()
        self._metadata = [each for each in (metadata, around) if each is not None]

    def tell(self, call: ModuleCall, http_status: int | None) -> None:
        """Hand on what has come so far."""
        if self._metadata or self._ctx is not None:
            leading, trailing = call.leading(), call.trailing()
            if self._ctx is not None:
                set_response_metadata(self._ctx, leading, trailing)
            for metadata in self._metadata:
                fill(metadata, http_status, call.http_headers(), leading, trailing)


class ClientContext(RequestContext[Any, Any]):
    """The context that interceptors of a client get.

    `told` is who wants to know what comes beside the messages. `cancellation` is what may cancel a sync call. `answered` says
    that the head of a stream has come, which a call tells once to `on_head`, if somebody waits there.
    """

    __slots__ = ("answered", "cancellation", "on_head", "told")

    def __init__(
        self,
        method: MethodInfo[Any, Any],
        http_method: str,
        headers: Headers,
        limit: float | None,
        server_address: str,
        metadata: ResponseMetadata | None,
        cancellation: Cancellation | None,
    ) -> None:
        super().__init__(
            method=method,
            http_method=http_method,
            request_headers=headers,
            timeout_ms=None if limit is None else limit * 1000,
            server_address=server_address,
        )
        self.answered = False
        self.on_head: Callable[[], object] | None = None
        self.cancellation = cancellation
        self.told = Told(self, metadata)


def told_of(ctx: RequestContext[Any, Any]) -> Told:
    """Who wants to know of the call of this context, which an interceptor may have made."""
    return ctx.told if isinstance(ctx, ClientContext) else Told(ctx, None)


def cancellation_of(ctx: RequestContext[Any, Any]) -> Cancellation | None:
    """What may cancel the sync call of this context; None for nothing, or where an interceptor has made it."""
    return ctx.cancellation if isinstance(ctx, ClientContext) else None


def seconds_left(ctx: RequestContext[Any, Any]) -> float | None:
    """How long the call of this context may still take."""
    left = ctx.timeout_ms
    return None if left is None else left / 1000
