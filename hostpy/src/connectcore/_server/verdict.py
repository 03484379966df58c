"""What the guest says of a prepared call when it reads the head (ABI.md, section 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._codec.payload import decompressed
from .._wasm import abi
from ..request import expired, response_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._wasm import records
    from ..compression import Compression
    from ..request import RequestContext
    from .procedure import Procedure

__all__ = ["Plain", "Verdict"]


class Plain:
    """How a plain success is answered: where the one message lies in the content, of at most `limit` bytes, and what the whole
    response is, if the call ends well, in time, without metadata and with a reply that is not too large.
    """

    __slots__ = (
        "_after",
        "_coding",
        "_fields",
        "_length_name",
        "_mark",
        "_prefix",
        "_reply_max",
        "limit",
        "status",
        "trailers",
    )

    def __init__(
        self,
        prepared: records.Prepared,
        fields_of: Callable[[bytes], list[tuple[Any, Any]]],
        codings: Sequence[Compression],
    ) -> None:
        self._prefix, self._after = prepared.prefix, prepared.data
        self._coding = codings[prepared.coding - 1] if prepared.coding else None
        self._mark = prepared.mark << 8 * (self._prefix - 1) if self._coding and self._prefix else 0
        self.limit = prepared.limit + self._prefix
        self._reply_max = prepared.reply_max
        self.status = prepared.status
        self._fields = fields_of(prepared.fields)
        self._length_name: Any = fields_of(prepared.length + b"\0")[0][0] if prepared.length else None
        self.trailers = fields_of(prepared.trailers) if prepared.flags & abi.PREPARED_TRAILERS else None

    def holds(self, content: bytes) -> bool:
        """Whether a request's content is one message as the guest prepared for."""
        prefix = self._prefix
        if not prefix:
            return True
        size = len(content) - prefix
        return size >= 0 and int.from_bytes(content[:prefix], "big") in (size, size + self._mark)

    def payload(self, content: bytes) -> bytes:
        """The message in content that is one. Raises RejectedError where it does not decompress."""
        prefix = self._prefix
        payload = content[prefix:] if prefix else content
        if self._coding is not None and payload and (not prefix or content[0]):
            return decompressed(self._coding, payload, self.limit - prefix)
        return payload

    def answer(self, reply: bytes, ctx: RequestContext[Any, Any]) -> tuple[list[tuple[Any, Any]], bytes] | None:
        """The fields and the content of the response with this reply, or None where the guest is to be asked."""
        size = len(reply)
        leading, trailing = response_metadata(ctx)
        if size > self._reply_max or leading or trailing or expired(ctx):
            return None
        name, prefix = self._length_name, self._prefix
        if prefix:
            reply = size.to_bytes(prefix, "big") + reply + self._after
        if name is None:
            return self._fields, reply
        return [*self._fields, (name, str(size) if name.__class__ is str else b"%d" % size)], reply


class Verdict:
    """What the guest says of the head of a prepared call; it holds for all requests that are alike in what it depends on."""

    __slots__ = ("plain", "procedure", "request")

    def __init__(self, procedure: Procedure, request: records.Request, plain: Plain) -> None:
        self.procedure = procedure
        self.request = request
        self.plain = plain
