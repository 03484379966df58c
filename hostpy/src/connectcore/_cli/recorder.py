"""A transport that sends by another one, and tells listeners what goes by: before HTTP's own framing, and without TLS."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from .._transport.content import close_content
from .._wasm.columns import join_fields, split_text_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._transport.transport import Fields, Request, ResponseSync, TransportSync

__all__ = ["Captured", "Listener", "Recorder", "Times", "text_of"]


class Listener:
    """Hears of one exchange at a time. The two directions may come from two threads."""

    def request(self, method: str, origin: str, target: str, fields: list[tuple[str, str]]) -> None:
        """A request's head goes out."""

    def sent(self, data: bytes) -> None:
        """A piece of its content goes out."""

    def sent_all(self) -> None:
        """All of its content is out."""

    def head(self, status: int, fields: list[tuple[str, str]]) -> None:
        """The response's head came."""

    def received(self, data: bytes) -> None:
        """A piece of its content came."""

    def ended(self, trailers: list[tuple[str, str]]) -> None:
        """Its content ended, with this trailer section."""

    def broke(self, error: Exception) -> None:
        """The exchange broke."""


class Recorder:
    """A transport for a sync client."""

    def __init__(self, transport: TransportSync, listeners: Sequence[Listener]) -> None:
        self._transport = transport
        self._listeners = listeners

    def open_sync(self, request: Request) -> _Response:
        """Send a request; raises what the transport raises."""
        fields = split_text_fields(request.column)
        for each in self._listeners:
            each.request(request.method, request.origin, request.target, fields)
        if isinstance(request.content, bytes):
            for each in self._listeners:
                if request.content:
                    each.sent(request.content)
                each.sent_all()
        else:
            chunks: Any = request.content
            request.content = _Chunks(chunks, self._listeners)
        try:
            response = self._transport.open_sync(request)
        except Exception as error:
            for each in self._listeners:
                each.broke(error)
            raise
        for each in self._listeners:
            each.head(response.status, text_of(response.fields))
        return _Response(response, self._listeners)


class _Chunks:
    """A request's content that is a stream."""

    def __init__(self, chunks: Iterator[bytes], listeners: Sequence[Listener]) -> None:
        self._chunks = chunks
        self._listeners = listeners

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            data = next(self._chunks)
        except StopIteration:
            for each in self._listeners:
                each.sent_all()
            raise
        for each in self._listeners:
            each.sent(data)
        return data

    def close(self) -> None:
        close_content(self._chunks)


class _Response:
    """A response, as the transport's."""

    def __init__(self, response: ResponseSync, listeners: Sequence[Listener]) -> None:
        self._response = response
        self._listeners = listeners
        self.status = response.status
        self.fields = response.fields
        self.length = response.length

    @property
    def trailers(self) -> Fields:
        return self._response.trailers

    def read(self) -> bytes:
        try:
            data = self._response.read()
        except Exception as error:
            for each in self._listeners:
                each.broke(error)
            raise
        for each in self._listeners:
            if data:
                each.received(data)
            else:
                each.ended(text_of(self._response.trailers))
        return data

    def close(self) -> None:
        self._response.close()


class Times(Listener):
    """When things happened, in seconds since it was made."""

    def __init__(self) -> None:
        self._start = perf_counter()
        self.headed: float | None = None
        self.first: float | None = None

    @property
    def now(self) -> float:
        """Seconds since it was made."""
        return perf_counter() - self._start

    def head(self, status: int, fields: list[tuple[str, str]]) -> None:  # noqa: ARG002
        self.headed = self.now

    def received(self, data: bytes) -> None:  # noqa: ARG002
        self.first = self.first or self.now


class Captured(Listener):
    """The exchange as a whole. What is missing has not happened; `complete`: the request has ended."""

    def __init__(self) -> None:
        self.method = self.target = ""
        self.request_fields: list[tuple[str, str]] = []
        self.content = b""
        self.complete = True
        self.status: int | None = None
        self.fields: list[tuple[str, str]] = []
        self.answer = b""
        self.trailers: list[tuple[str, str]] | None = None

    def request(self, method: str, origin: str, target: str, fields: list[tuple[str, str]]) -> None:  # noqa: ARG002
        self.method, self.target, self.request_fields = method, target, fields

    def sent(self, data: bytes) -> None:
        self.content += data

    def head(self, status: int, fields: list[tuple[str, str]]) -> None:
        self.status, self.fields = status, fields

    def received(self, data: bytes) -> None:
        self.answer += data

    def ended(self, trailers: list[tuple[str, str]]) -> None:
        self.trailers = trailers


def text_of(fields: Fields) -> list[tuple[str, str]]:
    """Fields as text, a character for each byte."""
    if fields and isinstance(fields[0][0], str):
        text: Any = fields
        return list(text)
    data: Any = fields
    return split_text_fields(join_fields(data))
