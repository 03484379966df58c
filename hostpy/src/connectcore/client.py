"""Clients: asynchronous and synchronous. Generated code derives a class with a method per procedure from each.

An example, with code that `protoc-gen-connectcore` generated from `greet.proto`:

    async with GreetServiceClient("http://localhost:8080", timeout=5) as client:
        reply = await client.greet(GreetRequest(name="Ada"))

What sends the requests is in `connectcore.transport`.
"""

from __future__ import annotations

from ._client.cancellation import Cancellation
from ._client.client_async import ConnectClient
from ._client.client_sync import ConnectClientSync
from ._client.response_metadata import ResponseMetadata
from ._client.response_stream import ResponseStream, ResponseStreamSync
from ._client.retries import RetryPolicy

__all__ = [
    "Cancellation",
    "ConnectClient",
    "ConnectClientSync",
    "ResponseMetadata",
    "ResponseStream",
    "ResponseStreamSync",
    "RetryPolicy",
]
