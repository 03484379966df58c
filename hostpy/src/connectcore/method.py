"""What is known about a procedure before any call of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Generic

from ._deprecated import deprecated
from ._typing import REQ, RES

__all__ = ["IdempotencyLevel", "MethodInfo", "StreamType", "deprecated"]


class IdempotencyLevel(enum.Enum):
    """What a repeated call does, from the method's `idempotency_level` option in the `.proto` file."""

    UNKNOWN = enum.auto()
    """Nothing is promised: the default."""

    NO_SIDE_EFFECTS = enum.auto()
    """A call changes nothing, as a "safe" HTTP method does (RFC 9110, 9.2.1). It may be made by HTTP GET, and retried."""

    IDEMPOTENT = enum.auto()
    """Several calls have the effect of one (RFC 9110, 9.2.2), as deleting a thing has. It may be retried."""


class StreamType(enum.Enum):
    """Which sides of an RPC send any number of messages instead of one."""

    UNARY = enum.auto()
    """One request, one response."""

    CLIENT_STREAM = enum.auto()
    """Any number of requests, one response."""

    SERVER_STREAM = enum.auto()
    """One request, any number of responses."""

    BIDI_STREAM = enum.auto()
    """Any number of both, in any order in time."""


@dataclass(kw_only=True, frozen=True, slots=True)
class MethodInfo(Generic[REQ, RES]):
    """A procedure's name, messages and kind. Generated code makes one for each method."""

    name: str
    """The method's name in its service, as in the `.proto` file."""

    service_name: str
    """The service's full name, package included."""

    input: type[REQ]
    """The class of its request messages."""

    output: type[RES]
    """The class of its response messages."""

    idempotency_level: IdempotencyLevel
    """What a repeated call does."""

    stream_type: StreamType
    """Which sides send streams."""
