"""How a call ends, as the guest is told it and tells it: errors and metadata as records."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from .._codec.payload import RejectedError
from .._headers import metadata_columns
from .._wasm import abi, records
from ..code import Code
from ..errors import ConnectError

if TYPE_CHECKING:
    from .._headers import Headers

__all__ = ["AbortedError", "ending", "error_of", "log"]

log: Final = logging.getLogger("connectcore.server")

_NUMBERS: Final = {code: abi.CODES.index(code.value) for code in Code}


class AbortedError(RuntimeError):
    """The response was broken off: the server is to close the connection, so that the peer does not take it for whole."""

    def __init__(self) -> None:
        super().__init__("the response was broken off")


def error_of(code: int, message: bytes) -> ConnectError:
    """The error that an event tells."""
    return ConnectError(Code(abi.CODES[code]), message.decode("utf-8", "replace"))


def ending(handle: int, procedure: str, error: BaseException | None, trailers: Headers | None) -> bytes:
    """The record that ends the application's part, with trailing metadata: well, or with what was raised."""
    if isinstance(error, RejectedError):
        if error.reason == abi.REJECT_ENCODE:
            log.error("A reply of %s cannot be encoded", procedure, exc_info=error.why)
        return records.reject(handle, error.reason)
    try:
        if error is None:
            return records.end(handle, 0, 0, b"", (), *metadata_columns(trailers))
        if isinstance(error, ConnectError):
            details = [(detail.type_name.encode(), detail.message_bytes) for detail in error.details]
            message = error.message.encode("utf-8", "surrogatepass")
            return records.end(handle, 0, _NUMBERS[error.code], message, details, *metadata_columns(trailers, error.metadata))
        log.error("The handler of %s failed", procedure, exc_info=error)
        return records.end(handle, abi.END_UNEXPECTED, 0, b"", (), *metadata_columns(trailers))
    except Exception as bad:  # values of other types than they should be
        log.error("What %s answers beside messages cannot be encoded", procedure, exc_info=bad)
        return records.end(handle, abi.END_UNEXPECTED)
