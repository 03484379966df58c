"""grpcio's clients of the greeting service, in the shape of generated ones. The message classes are those of the others."""

from __future__ import annotations

import importlib
from typing import Any

import grpc
import grpc.aio

__all__ = ["GreetServiceClient", "GreetServiceClientSync"]

_KINDS = {"Greet": "unary_unary", "GreetMany": "unary_stream", "GreetGroup": "stream_unary"}


class _Client:
    _channel: Any

    def __init__(self, url: str) -> None:
        self._target = url.partition("//")[2]
        self._messages = importlib.import_module("greet.v1.greet_pb")
        self._stubs: dict[str, Any] = {}

    def _stub(self, name: str) -> Any:
        """Made at the first call, where a loop runs."""
        if not self._stubs:
            channel = self._channel(self._target)
            for each, kind in _KINDS.items():
                self._stubs[each] = getattr(channel, kind)(
                    f"/greet.v1.GreetService/{each}",
                    request_serializer=getattr(self._messages, f"{each}Request").to_binary,
                    response_deserializer=getattr(self._messages, f"{each}Response").from_binary,
                )
        return self._stubs[name]

    def greet(self, request: Any) -> Any:
        return self._stub("Greet")(request)

    def greet_many(self, request: Any) -> Any:
        return self._stub("GreetMany")(request)

    def greet_group(self, requests: Any) -> Any:
        return self._stub("GreetGroup")(requests)


class GreetServiceClientSync(_Client):
    _channel = staticmethod(grpc.insecure_channel)


class GreetServiceClient(_Client):
    _channel = staticmethod(grpc.aio.insecure_channel)

    async def greet(self, request: Any) -> Any:
        """A call made outside of the loop would be of another."""
        return await self._stub("Greet")(request)
