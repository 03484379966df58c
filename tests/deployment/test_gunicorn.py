"""gRPC under gunicorn's threads, which send trailers over HTTP/2 by a key of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from greet.v1.greet_connectcore import GreetServiceClientSync
from greet.v1.greet_pb2 import ChatRequest, GreetGroupRequest, GreetManyRequest, GreetRequest, GreetResponse

from proxies import HOST, backend


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with backend("gunicorn-gthread-http2", "told:wsgi") as (port, _):
        yield f"{HOST}:{port}"


def test_our_client(address: str) -> None:
    with GreetServiceClientSync(f"http://{address}", protocol=ProtocolType.GRPC, timeout_ms=20_000) as client:
        assert client.greet(GreetRequest(name="hello")).greeting == "hello"
        with pytest.raises(ConnectError, match="not now") as caught:
            client.greet(GreetRequest(name="fail"))
        assert caught.value.code is Code.FAILED_PRECONDITION
        assert caught.value.metadata["x-error"] == "1"
        assert [each.greeting for each in client.greet_many(GreetManyRequest(count=3))][1:] == ["1", "2"]
        assert client.greet_group(iter([GreetGroupRequest(name="a"), GreetGroupRequest(name="b")])).greeting == "a+b"
        assert [each.line for each in client.chat(iter([ChatRequest(line="a"), ChatRequest(line="b")]))] == ["A", "B"]


def test_grpcio(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(
            "/greet.v1.GreetService/Greet",
            request_serializer=GreetRequest.SerializeToString,
            response_deserializer=GreetResponse.FromString,
        )
        assert call(GreetRequest(name="hello"), timeout=20).greeting == "hello"
        with pytest.raises(grpc.RpcError) as caught:
            call(GreetRequest(name="fail"), timeout=20)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not now")
