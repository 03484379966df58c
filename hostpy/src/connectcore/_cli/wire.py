"""What went over the wire, as lines for people: heads, envelopes, bytes with the letters beside them."""

from __future__ import annotations

import threading
import zlib
from typing import TYPE_CHECKING, Final

from .output import RECEIVED, SENT, note, paint
from .recorder import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Envelopes", "Wire", "dump"]

_ROW: Final = 16
_SIZE: Final = 4
"""The last bytes of a prefix: the payload's size, big-endian (wasm/ABI.md, section 9)."""
_GZIP: Final = b"\x1f\x8b"
_MOST: Final = 1 << 20
"""So much is unpacked to be shown."""


class Envelopes:
    """Content as payloads behind prefixes of `prefix` bytes, as the guest lays it out; 0: all of it is one payload."""

    def __init__(self, prefix: int) -> None:
        self._prefix = prefix
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The envelopes that this completes: what stands before the size, and the payload. What is left is `rest`."""
        self.rest += data
        while self._prefix and len(self.rest) >= self._prefix:
            end = self._prefix + int.from_bytes(self.rest[self._prefix - _SIZE : self._prefix], "big")
            if len(self.rest) < end:
                return
            flags, payload = self.rest[: self._prefix - _SIZE], self.rest[self._prefix : end]
            self.rest = self.rest[end:]
            yield flags, payload


class Wire(Listener):
    """Writes an exchange down while it goes on, `>` for what is sent, `<` for what comes.

    Args:
        prefix: see `Envelopes`.
        most: bytes that are shown of each payload; None for all.

    """

    def __init__(self, prefix: int, most: int | None) -> None:
        self._lock = threading.Lock()
        self._sides = {">": Envelopes(prefix), "<": Envelopes(prefix)}
        self._prefix = prefix
        self._most = most

    def request(self, method: str, origin: str, target: str, fields: list[tuple[str, str]]) -> None:
        self._write(">", f"{method} {origin}{target}", *_fields(fields))

    def sent(self, data: bytes) -> None:
        self._content(">", data)

    def sent_all(self) -> None:
        self._left(">")

    def head(self, status: int, fields: list[tuple[str, str]]) -> None:
        self._write("<", str(status), *_fields(fields))

    def received(self, data: bytes) -> None:
        self._content("<", data)

    def ended(self, trailers: list[tuple[str, str]]) -> None:
        self._left("<")
        if trailers:
            self._write("<", "trailers", *_fields(trailers))

    def broke(self, error: Exception) -> None:
        self._left("<")
        self._write("<", f"broke off: {error or type(error).__name__}")

    def _content(self, side: str, data: bytes) -> None:
        if not self._prefix:
            self._write(side, f"{len(data)} bytes", *dump(data, self._most))
            return
        for flags, payload in self._sides[side].feed(data):
            self._write(side, f"[flags {flags.hex()}, {len(payload)} bytes]", *dump(payload, self._most))

    def _left(self, side: str) -> None:
        """What is no whole envelope."""
        rest, self._sides[side].rest = self._sides[side].rest, b""
        if rest:
            self._write(side, f"{len(rest)} bytes more", *dump(rest, self._most))

    def _write(self, side: str, *lines: str) -> None:
        style = SENT if side == ">" else RECEIVED
        with self._lock:
            for line in lines:
                note(paint(f"{side} {line}", style))


def dump(data: bytes, most: int | None = None) -> Iterator[str]:
    """Text as it is, other bytes in hexadecimal with the letters beside them; gzip unpacked."""
    if data.startswith(_GZIP):
        try:
            unpacked = zlib.decompressobj(wbits=31).decompress(data, _MOST)
        except zlib.error:
            pass
        else:
            yield f"  ({len(data)} bytes of gzip; inside:)"
            data = unpacked
    shown = data if most is None else data[:most]
    try:
        text = shown.decode("ascii")
    except UnicodeDecodeError:
        text = ""
    if text[:1].strip() and all(letter.isprintable() or letter in "\r\n" for letter in text):
        yield from (f"  {line}" for line in text.splitlines())
    else:
        for start in range(0, len(shown), _ROW):
            row = shown[start : start + _ROW]
            letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
            yield f"  {row.hex(' '):{3 * _ROW}} {letters}"
    if len(shown) < len(data):
        yield f"  ... and {len(data) - len(shown)} bytes more (-vv shows all)"


def _fields(fields: list[tuple[str, str]]) -> Iterator[str]:
    return (f"{name}: {value}" for name, value in fields)
