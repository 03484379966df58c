"""The sixteen codes with which an RPC can fail."""

from __future__ import annotations

from enum import Enum

__all__ = ["Code"]


class Code(Enum):
    """Why an RPC failed. A code's value is its name in the Connect protocol.

    The protocols agree on the codes and on what they mean (Connect protocol, "Error Codes"; gRPC, statuscodes.md).
    """

    CANCELED = "canceled"
    """The caller gave the RPC up."""

    UNKNOWN = "unknown"
    """An error of unclear origin; also what a peer sees when a handler raises something that is not a `ConnectError`."""

    INVALID_ARGUMENT = "invalid_argument"
    """The request makes no sense, whatever the state of the system."""

    DEADLINE_EXCEEDED = "deadline_exceeded"
    """The deadline passed before the RPC ended. The work may have been done all the same."""

    NOT_FOUND = "not_found"
    """What the request names is not there."""

    ALREADY_EXISTS = "already_exists"
    """What the request would create is there already."""

    PERMISSION_DENIED = "permission_denied"
    """The caller is known and may not do this."""

    RESOURCE_EXHAUSTED = "resource_exhausted"
    """A quota, a size limit or some other resource is used up."""

    FAILED_PRECONDITION = "failed_precondition"
    """The system is not in the state that this needs; do not retry before it is."""

    ABORTED = "aborted"
    """A conflict with other work, a lost transaction for example; retry from the start of the sequence."""

    OUT_OF_RANGE = "out_of_range"
    """Past the end of what is there, as in reading beyond a file's end."""

    UNIMPLEMENTED = "unimplemented"
    """The procedure does not exist here, or is not supported."""

    INTERNAL = "internal"
    """Something that must hold does not: a bug, or a peer that breaks the protocol."""

    UNAVAILABLE = "unavailable"
    """The service cannot be reached at the moment; retrying with a pause may help."""

    DATA_LOSS = "data_loss"
    """Data is lost or damaged for good."""

    UNAUTHENTICATED = "unauthenticated"
    """The caller did not say who it is in a way that was accepted."""
