"""Payloads made and read by code that a user may have written: codecs and compressions.

Whatever such code raises says that what it was given is bad, except for what ends the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._wasm import abi
from ..compression import says_too_large

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..compression import Compression

__all__ = ["FATAL", "RejectedError", "compressed", "decoded", "decompressed", "encoded"]

FATAL: Final = (KeyboardInterrupt, SystemExit)
"""What ends the process."""


class RejectedError(Exception):
    """A payload is bad, or a message cannot be encoded: for a reason that the guest knows by number, and because of `why`."""

    def __init__(self, reason: int, why: BaseException) -> None:
        super().__init__(reason)
        self.reason = reason
        self.why = why

    @property
    def words(self) -> bytes:
        """What the codec says of a payload. A ValueError tells what is wrong with it, another error something of the codec."""
        return str(self.why).encode("utf-8", "replace") if isinstance(self.why, ValueError) else b""


def encoded(encode: Callable[[Any], bytes], message: Any) -> bytes:
    """A message as a payload. Raises RejectedError."""
    try:
        return encode(message)
    except FATAL:
        raise
    except BaseException as error:
        raise RejectedError(abi.REJECT_ENCODE, error) from error


def decoded(decode: Callable[[bytes], Any], payload: bytes) -> Any:
    """A payload as a message. Raises RejectedError."""
    try:
        return decode(payload)
    except FATAL:
        raise
    except BaseException as error:
        raise RejectedError(abi.REJECT_DECODE, error) from error


def compressed(compression: Compression, payload: bytes) -> bytes:
    """A payload compressed. Raises RejectedError."""
    return encoded(lambda data: b"".join((compression.compress(data),)), payload)  # it may give other bytes, or none


def decompressed(compression: Compression, data: bytes, limit: int) -> bytes:
    """A payload decompressed to at most `limit` bytes. Raises RejectedError."""
    try:
        payload = compression.decompress(data, limit)
    except FATAL:
        raise
    except BaseException as error:
        raise RejectedError(abi.REJECT_TOO_LARGE if says_too_large(error) else abi.REJECT_DECOMPRESS, error) from error
    if len(payload) > limit:
        raise RejectedError(abi.REJECT_TOO_LARGE, ValueError(f"{len(payload)} bytes came out"))
    return payload
