"""Statuses from 600 to 999, which HTTP reserves and the parser takes for malformed (RFC 9110, 15: a client takes them for 5xx).

What a server says by one is still an answer, so it is looked for where the parser has given up. Only the status is known then:
the response is taken for one without fields or content.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["http1_status", "http2_status"]

_LINE: Final = re.compile(rb"HTTP/1\.[01] ([6-9][0-9]{2})[ \r]")

_HEADERS: Final = 1
_PADDED_OR_PRIORITY: Final = 0x28
# A change of the table's size (RFC 7541, 6.3) that may come first; a literal with the name ":status", which has seven numbers,
# in its three forms (6.2); its length.
_LITERAL: Final = re.compile(
    rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f])*[\x48-\x4e\x08-\x0e\x18-\x1e]([\x02\x03\x82\x83])", re.DOTALL
)
_HUFFMAN: Final = {"00000": "0", "00001": "1", "00010": "2", **{f"{0x16 + digit:06b}": str(digit) for digit in range(3, 10)}}
"""Digits (RFC 7541, appendix B)."""


def http1_status(head: bytes) -> int:
    """The status in a response's first line if it is such a one; else 0."""
    found = _LINE.match(head)
    return int(found[1]) if found else 0


def http2_status(received: bytes, stream: int, before: int) -> int:
    """The status in a stream's field block, among bytes that were just received, if it is such a one; else 0.

    Args:
        received: the bytes.
        stream: the stream's number.
        before: the last such status on the connection: a field block may refer to it by a number of the peer's table.

    """
    found = re.search(rb"...\x01(.)" + re.escape(stream.to_bytes(4, "big")) + rb"(.{1,20})", received, re.DOTALL)
    if found is None or found[1][0] & _PADDED_OR_PRIORITY:
        return 0
    block = found[2]
    if block[0] >= 0xBE:  # of the peer's table (RFC 7541, 2.3.3 and 6.1)
        return before
    literal = _LITERAL.match(block)
    if literal is None:
        return 0
    value = block[literal.end() : literal.end() + (literal[1][0] & 0x7F)]
    text = _digits(value) if literal[1][0] & 0x80 else value.decode("latin-1")
    return int(text) if re.fullmatch("[6-9][0-9]{2}", text) else 0


def _digits(coded: bytes) -> str:
    """Huffman's code for digits; it ends in ones."""
    bits = "".join(f"{byte:08b}" for byte in coded)
    text = ""
    while len(text) < 3:
        for size in (5, 6):
            digit = _HUFFMAN.get(bits[:size])
            if digit is not None:
                text, bits = text + digit, bits[size:]
                break
        else:
            break
    return text
