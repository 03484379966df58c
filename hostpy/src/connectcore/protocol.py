"""The protocols that a client can be told to speak."""

from __future__ import annotations

from enum import Enum

__all__ = ["ProtocolType"]


class ProtocolType(Enum):
    """A protocol."""

    CONNECT = 1
    """The Connect protocol: plain HTTP, of any version, for unary calls; JSON where wanted."""

    GRPC = 2
    """gRPC over HTTP/2."""

    GRPC_WEB = 3
    """gRPC-Web: gRPC where the HTTP side has no trailers."""

    GRPC_WEB_TEXT = 4
    """The same as base64, for what is between and does not carry bytes."""
