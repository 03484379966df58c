"""How a call ends, as the guest is told it and tells it: errors and metadata as records."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from .._codec.payload import FATAL, RejectedError
from .._headers import metadata_columns
from .._wasm import abi, records
from ..code import Code
from ..errors import ConnectError
from ..request import response_metadata

if TYPE_CHECKING:
    from .._headers import Headers
    from ..request import RequestContext
    from .options import ErrorHook

    Context = RequestContext[Any, Any]

__all__ = ["AbortedError", "ending", "error_of", "log", "rejection"]

log: Final = logging.getLogger("connectcore.server")

_NUMBERS: Final = {code: abi.CODES.index(code.value) for code in Code}


class AbortedError(RuntimeError):
    """The response was broken off: the server is to close the connection, so that the peer does not take it for whole."""

    def __init__(self) -> None:
        super().__init__("the response was broken off")


def error_of(code: int, message: bytes) -> ConnectError:
    """The error that an event tells."""
    return ConnectError(Code(abi.CODES[code]), message.decode("utf-8", "replace"))


def rejection(handle: int, procedure: str, bad: RejectedError) -> bytes:
    """The record that says that a payload is bad. What is wrong with one of the peer's is logged for who debugs the service."""
    if bad.reason != abi.REJECT_ENCODE:
        log.debug("A request of %s is bad: %r", procedure, bad.why)
    return records.reject(handle, bad.reason, bad.words)


def ending(handle: int, procedure: str, error: BaseException | None, ctx: Context, on_error: ErrorHook | None) -> bytes:
    """The record that ends the application's part, with trailing metadata: well, or with what was raised."""
    trailers = response_metadata(ctx)[1]
    if isinstance(error, RejectedError):
        answer: BaseException | None = None
        if error.reason == abi.REJECT_ENCODE:
            answer = _unexpected("A reply of %s cannot be encoded", procedure, error.why, ctx, on_error)
        if answer is None:
            return rejection(handle, procedure, error)
        error = answer
    elif error is not None and not isinstance(error, ConnectError):
        error = _unexpected("The handler of %s failed", procedure, error, ctx, on_error) or error
    try:
        return _ended(handle, error, trailers)
    except Exception as bad:  # noqa: BLE001 - values of other types than they should be
        error = _unexpected("What %s answers beside messages cannot be encoded", procedure, bad, ctx, on_error) or bad
    try:
        return _ended(handle, error, None)
    except Exception as bad:  # the hook's answer, too
        log.error("What on_error answers for %s cannot be encoded", procedure, exc_info=bad)
        return records.end(handle, abi.END_UNEXPECTED)


def _ended(handle: int, error: BaseException | None, trailers: Headers | None) -> bytes:
    if error is None:
        return records.end(handle, 0, 0, b"", (), *metadata_columns(trailers))
    if isinstance(error, ConnectError):
        details = [(detail.type_name.encode(), detail.message_bytes) for detail in error.details]
        message = error.message.encode("utf-8", "surrogatepass")
        return records.end(handle, 0, _NUMBERS[error.code], message, details, *metadata_columns(trailers, error.metadata))
    return records.end(handle, abi.END_UNEXPECTED, 0, b"", (), *metadata_columns(trailers))


def _unexpected(
    text: str, procedure: str, error: BaseException, ctx: Context, on_error: ErrorHook | None
) -> ConnectError | None:
    """What the application's hook answers in the place of an unexpected error. None where there is no answer: it is logged."""
    if on_error is not None:
        try:
            answer: object = on_error(error, ctx)
            if isinstance(answer, ConnectError):
                return answer
            if answer is not None:
                raise TypeError(f"on_error must return a ConnectError or None, not {type(answer).__name__}")
        except FATAL:
            raise
        except BaseException as failed:  # the call is answered all the same
            log.error("The hook on_error failed in a call of %s", procedure, exc_info=failed)
    log.error(text, procedure, exc_info=error)
    return None
