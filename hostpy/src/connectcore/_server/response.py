"""What a call has to write: ASGI's messages for a response, which WSGI's side reads too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._wasm import abi
from .._wasm.content import laid_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._wasm import records

__all__ = ["Response", "whole"]


def whole(
    status: int, fields: list[tuple[Any, Any]], content: bytes, trailers: list[tuple[Any, Any]] | None
) -> tuple[dict[str, Any], ...]:
    """A whole response."""
    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": fields}
    body = {"type": "http.response.body", "body": content}
    if trailers is None:
        return start, body
    start["trailers"] = True
    return start, body, {"type": "http.response.trailers", "headers": trailers}


class Response:
    """A response in the making.

    `output` is what is to be written, in order, after `hold` seconds; None in it breaks the response off. `begun` says that
    some of it has been in `output`. `payloads` are the messages that were sent and are not in `output` yet.
    """

    __slots__ = ("_fields_of", "begun", "hold", "output", "payloads")

    def __init__(self, fields_of: Callable[[bytes], list[tuple[Any, Any]]]) -> None:
        self._fields_of = fields_of
        self.output: list[Any] = []  # a deque takes 760 bytes when it is empty, and idle streams are many
        self.payloads: list[bytes] = []
        self.begun = False
        self.hold = 0.0

    def whole(self, status: int, fields: list[tuple[Any, Any]], content: bytes, trailers: list[tuple[Any, Any]] | None) -> None:
        """All of it."""
        self.output.extend(whole(status, fields, content, trailers))

    def head(self, event: records.HttpResponseHead) -> None:
        """The head, after which there may be nothing."""
        self.begun = True
        self._write("http.response.start", status=event.status, headers=self._fields_of(event.fields))
        if event.flags & abi.HTTP_TRAILERS:
            self.output[-1]["trailers"] = True
        elif event.flags & abi.HTTP_END:
            self._write("http.response.body", body=b"")

    def body(self, event: records.HttpBody) -> None:
        """Content: payloads with their prefixes, then the rest."""
        data = laid_out(event, self.payloads)
        del self.payloads[: event.count]
        self._write("http.response.body", body=data, more_body=not event.flags & abi.HTTP_END)

    def trailers(self, event: records.HttpTrailers) -> None:
        """The end, with trailers."""
        # The content's end stands with its last bytes, or alone if they were written already.
        if self.output and "body" in self.output[-1]:
            self.output[-1]["more_body"] = False
        else:
            self._write("http.response.body", body=b"")
        self._write("http.response.trailers", headers=self._fields_of(event.fields))

    def held_end(self, *, apart: bool) -> list[dict[str, Any]]:
        """Keep what ends the response out of `output`, if nothing follows it there. Returns what is to be sent as the end.

        Where the head says a length, a server may take the response for complete once so much is written. So all content of a
        response that is not begun is kept, and its head too where there is none; if `apart`, nothing but the mere end.
        """
        last = self.output[-1] if self.output else None
        if last is None or last.get("more_body", False) or "status" in last:
            return []
        if "body" not in last:
            return [self.output.pop()]
        if not apart and "status" in self.output[0]:
            first = len(self.output) - (1 if last["body"] else 2)
            held, self.output[first:] = self.output[first:], []
            return held
        last["more_body"] = True
        return [{"type": "http.response.body", "body": b""}]

    def abort(self) -> None:
        """It is broken off."""
        self.output.append(None)

    def _write(self, kind: str, **parts: Any) -> None:
        self.output.append({"type": kind, **parts})
