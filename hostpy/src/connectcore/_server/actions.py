"""What a server's call has to write, in order."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["AbortAction", "Action", "BodyAction", "HeadAction", "PlainAction", "TrailersAction"]


class HeadAction:
    """Write the response's head: status, fields as a column, whether nothing follows, whether trailers end it."""

    __slots__ = ("end", "fields", "status", "trailers")

    def __init__(self, status: int, fields: bytes, end: bool, trailers: bool) -> None:
        self.status = status
        self.fields = fields
        self.end = end
        self.trailers = trailers


class BodyAction:
    """Write content, and whether it is the last."""

    __slots__ = ("data", "end")

    def __init__(self, data: bytes, end: bool) -> None:
        self.data = data
        self.end = end


class TrailersAction:
    """End the response with these fields."""

    __slots__ = ("fields",)

    def __init__(self, fields: bytes) -> None:
        self.fields = fields


class AbortAction:
    """Break the response off, so that the peer does not take it for whole."""

    __slots__ = ()


class PlainAction:
    """Write a whole response: status, fields as the server's interface takes them, content."""

    __slots__ = ("data", "fields", "status")

    def __init__(self, status: int, fields: list[tuple[Any, Any]], data: bytes) -> None:
        self.status = status
        self.fields = fields
        self.data = data


Action: TypeAlias = PlainAction | HeadAction | BodyAction | TrailersAction | AbortAction
