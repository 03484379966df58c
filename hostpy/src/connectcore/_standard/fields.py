"""The protocols' methods and fields that browsers ask about, from what core knows of them (core/cors.go).

Made by wasm/abigen; do not edit.
"""

from __future__ import annotations

from typing import Final

METHODS: Final = (
    "GET",
    "POST",
)
REQUEST: Final = (
    "content-type",
    "connect-protocol-version",
    "connect-timeout-ms",
    "content-encoding",
    "accept-encoding",
    "connect-content-encoding",
    "connect-accept-encoding",
    "grpc-timeout",
    "grpc-encoding",
    "grpc-accept-encoding",
    "x-grpc-web",
    "x-user-agent",
)
RESPONSE: Final = (
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "content-encoding",
    "accept-encoding",
    "connect-content-encoding",
    "connect-accept-encoding",
    "grpc-encoding",
    "grpc-accept-encoding",
)
TRAILER_PREFIX: Final = "trailer-"
