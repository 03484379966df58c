"""What the guest says of a prepared call when it reads the head (ABI.md, section 9)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from .._codec.payload import RejectedError, compressed, decompressed
from .._wasm import abi
from ..request import says_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._wasm import records
    from ..compression import Compression
    from ..request import RequestContext
    from .procedure import Procedure

    Fields = list[tuple[Any, Any]]

__all__ = ["OK", "Plain", "Verdict"]

OK: Final = abi.CODES.index("ok")


class Plain:
    """How a plain success is answered: where the one message lies in the content, of at most `limit` bytes, and what the whole
    response is, if the call ends well, in time, without metadata and with a reply that is not too large.
    """

    __slots__ = (
        "_after",
        "_as_is",
        "_compress_min",
        "_fields",
        "_length_name",
        "_mark",
        "_number",
        "_packed_fields",
        "_prefix",
        "_reply_coding",
        "_reply_max",
        "_request_coding",
        "_trailers",
        "bare",
        "limit",
        "status",
    )

    def __init__(
        self,
        request: records.Request,
        prepared: records.Prepared,
        fields_of: Callable[[bytes], Fields],
        codings: Sequence[Compression],
    ) -> None:
        self._prefix, self._after = prepared.prefix, prepared.data
        self._mark = prepared.mark << 8 * (self._prefix - 1) if self._prefix else 0
        self._request_coding = codings[prepared.coding - 1] if prepared.coding else None
        self.bare = not self._prefix and self._request_coding is None  # the content is the message
        self.limit = prepared.limit + self._prefix
        self._reply_coding: Any = codings[request.coding - 1] if request.coding else None
        self._compress_min = request.compress_min if request.coding else sys.maxsize
        self._reply_max = prepared.reply_max
        self._as_is = min(self._reply_max, self._compress_min - 1)  # bytes of a reply that is sent as it is
        self.status = prepared.status
        self._fields = fields_of(prepared.fields)
        self._packed_fields = self._fields + fields_of(prepared.packed)
        self._length_name: Any = fields_of(prepared.length + b"\0")[0][0] if prepared.length else None
        self._number: Callable[[int], Any] = str if self._length_name.__class__ is str else b"%d".__mod__
        self._trailers = fields_of(prepared.trailers) if prepared.flags & abi.PREPARED_TRAILERS else None

    def holds(self, content: bytes) -> bool:
        """Whether a request's content is one message as the guest prepared for."""
        prefix = self._prefix
        if not prefix:
            return True
        size = len(content) - prefix
        lead = int.from_bytes(content[:prefix], "big")
        return size >= 0 and (lead == size or (self._request_coding is not None and lead == size + self._mark))

    def payload(self, content: bytes) -> bytes:
        """The message in content that is one. Raises RejectedError where it does not decompress."""
        prefix = self._prefix
        payload = content[prefix:] if prefix else content
        if self._request_coding is not None and payload and (not prefix or content[0]):
            return decompressed(self._request_coding, payload, self.limit - prefix)
        return payload

    def answer(self, reply: bytes, ctx: RequestContext[Any, Any]) -> tuple[Fields, bytes, Fields | None] | None:
        """Fields, content and trailers of the response with this reply, or None where the guest is to be asked.

        The lists are the call's own: a server may change them (PEP 3333, "The start_response() Callable"), and middleware does.
        """
        if not says_nothing(ctx):
            return None
        size = len(reply)
        fields, mark = self._fields, 0
        if size > self._as_is:
            if size >= self._compress_min:
                try:
                    reply = compressed(self._reply_coding, reply)
                except RejectedError:
                    return None
                size = len(reply)
                fields, mark = self._packed_fields, self._mark
            if size > self._reply_max:
                return None
        if self._prefix:
            reply = (size + mark).to_bytes(self._prefix, "big") + reply + self._after
        name, trailers = self._length_name, self._trailers
        if trailers is not None:
            trailers = trailers.copy()
        return fields.copy() if name is None else [*fields, (name, self._number(size))], reply, trailers


class Verdict:
    """What the guest says of the head of a prepared call; it holds for all requests that are alike in what it depends on."""

    __slots__ = ("outcome", "plain", "procedure", "request")

    def __init__(self, procedure: Procedure, request: records.Request, plain: Plain) -> None:
        self.outcome = request.protocol, OK
        self.procedure = procedure
        self.request = request
        self.plain = plain
