"""The options of an application beyond those that nearly every one gives: one list for ASGI, WSGI and generated code."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, TypedDict

from .._wasm import abi
from .._wasm.configuration import compress_min_of, read_max_of, send_max_of, unknown_option
from ..protocol import ProtocolType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..errors import ConnectError
    from ..request import RequestContext

    ErrorHook = Callable[[BaseException, RequestContext[Any, Any]], ConnectError | None]

__all__ = ["Options", "ServerOptions"]

_REFUSALS: Final = {
    ProtocolType.CONNECT: abi.SERVER_NO_CONNECT,
    ProtocolType.GRPC: abi.SERVER_NO_GRPC,
    ProtocolType.GRPC_WEB: abi.SERVER_NO_GRPC_WEB,
    ProtocolType.GRPC_WEB_TEXT: abi.SERVER_NO_GRPC_WEB,
}
_FIRST: Final = ("interceptors", "read_max_bytes", "compressions", "codecs")
"""The options that applications name themselves."""

_COROUTINE: Final = 0x80 | 0x200  # flags of code: a coroutine's, an asynchronous generator's


class ServerOptions(TypedDict, total=False):
    """More options of an application, by keyword. What makes no sense raises TypeError or ValueError."""

    send_max_bytes: int | None
    """Bytes in one message sent, after compression; a longer one ends its call. None, the default, for no limit."""

    compress_min_bytes: int
    """Bytes in the smallest message that is compressed, where the client accepts that; 1024 if not given."""

    protocols: Iterable[ProtocolType] | None
    """The protocols to serve; None, the default, for all. Others are answered by HTTP status 415. `GRPC_WEB` and
    `GRPC_WEB_TEXT` are served together."""

    require_protocol_version: bool
    """Refuse requests of the Connect protocol that do not name its version. Off by default: `curl` needs no field more."""

    max_timeout: float | None
    """Seconds that a call may take at most, whatever timeout it asks for; None, the default, for no limit."""

    on_error: ErrorHook | None
    """A plain function that is called with an unexpected error and the call's context: with what a handler or an interceptor
    raised that is no `ConnectError`, or what prevented its answer from being encoded. The peer gets the `ConnectError` that it
    returns, and nothing is logged. Where it returns None, or fails itself, all is as without it: the error is logged, and the
    peer learns no more than that there was one."""

    access_log: bool
    """Log each request at its end, to the logger `connectcore.access` at level INFO. A record has the attributes `procedure`,
    `protocol`, `code`, `http_status`, `milliseconds`, `received_bytes`, `sent_bytes` and `peer`. Off by default."""


class Options:
    """The options of an application, checked. `flags` and `columns` are what the guest is told.

    Raises:
        TypeError: one is of the wrong kind.
        ValueError: one has a value that makes no sense.

    """

    __slots__ = ("access_log", "columns", "flags", "on_error")

    def __init__(
        self,
        *,
        read_max_bytes: int | None,
        send_max_bytes: int | None = None,
        compress_min_bytes: int = abi.DEFAULT_COMPRESS_MIN,
        protocols: Iterable[ProtocolType] | None = None,
        require_protocol_version: bool = False,
        max_timeout: float | None = None,
        on_error: ErrorHook | None = None,
        access_log: bool = False,
        **others: Any,
    ) -> None:
        for name in others:
            raise unknown_option("an application", name, [*_FIRST, *ServerOptions.__annotations__])
        flags = _refusals(protocols)
        if require_protocol_version:
            flags |= abi.SERVER_REQUIRE_VERSION
        if access_log:
            flags |= abi.SERVER_OUTCOMES
        if on_error is not None:
            if not callable(on_error):
                raise TypeError(f"on_error must be a function of an error and a context, not {type(on_error).__name__}")
            if getattr(getattr(on_error, "__code__", None), "co_flags", 0) & _COROUTINE:
                raise TypeError("on_error must be a plain function, not an asynchronous one")
        self.on_error = on_error
        self.access_log = access_log
        self.flags = flags
        self.columns: dict[str, int] = {
            "read_max": read_max_of(read_max_bytes),
            "send_max": send_max_of(send_max_bytes),
            "compress_min": compress_min_of(compress_min_bytes),
            "timeout_max": _microseconds(max_timeout),
        }


def _refusals(protocols: Iterable[ProtocolType] | None) -> int:
    """The flags that refuse all but these."""
    if protocols is None:
        return 0
    flags = abi.SERVER_NO_CONNECT | abi.SERVER_NO_GRPC | abi.SERVER_NO_GRPC_WEB
    served = list(protocols)
    for protocol in served:
        if not isinstance(protocol, ProtocolType):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"protocols must be of connectcore.protocol.ProtocolType, not {protocol!r}")
        flags &= ~_REFUSALS[protocol]
    if not served:
        raise ValueError("protocols names none: a server must serve at least one, or leave the option out")
    return flags


def _microseconds(max_timeout: float | None) -> int:
    if max_timeout is None or max_timeout == math.inf:
        return 0
    if not isinstance(max_timeout, int | float):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"max_timeout must be a positive number of seconds, or None for no limit, not {max_timeout!r}")
    if not max_timeout >= 1e-6:  # NaN, too
        raise ValueError(f"max_timeout must be a positive number of seconds, or None for no limit, not {max_timeout}")
    return int(min(min(max_timeout, 1e18) * 1e6, abi.NO_TIMEOUT))
