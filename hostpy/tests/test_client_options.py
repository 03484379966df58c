"""A client's limits: the largest message that it sends, the smallest that it compresses."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from client_support import call, open_calls, response, serving
from compression_support import WAYS
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from server_support import BIDI, CLIENT, SERVER, UNARY
from stream_support import call_any, new_client

if TYPE_CHECKING:
    from connectcore.compression import AnyCompression


@pytest.mark.parametrize("protocol", list(ProtocolType))
@pytest.mark.parametrize("kind", [UNARY, CLIENT, SERVER, BIDI])
def test_nothing_over_the_send_limit(mode: str, address: str, kind: str, protocol: ProtocolType) -> None:
    client = new_client(mode, address, protocol=protocol, send_max_bytes=20)
    fits, large = "x" * 18, "x" * 19
    assert call_any(client, kind, [fits]).error is None
    found = call_any(client, kind, [fits, large] if kind in (CLIENT, BIDI) else [large]).error
    assert isinstance(found, ConnectError)
    assert (found.code, found.message) == (Code.RESOURCE_EXHAUSTED, "the message is larger than this client sends")
    assert open_calls() == 0


@pytest.mark.parametrize("use_get", [False, True])
def test_the_send_limit_is_of_what_goes_out(mode: str, use_get: bool) -> None:
    options: dict[str, Any] = {"send_max_bytes": 100, "use_get": use_get, "send_compression": WAYS["gzip natively"]}
    with serving(response()) as server:
        call(mode, server.address, StringValue(value="x" * 5000), **options)
        assert len(server.exchanges) == 1
        with pytest.raises(ConnectError, match="larger than this client sends") as caught:
            call(mode, server.address, StringValue(value="x" * 5000), **options | {"send_compression": None})
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
        assert len(server.exchanges) == 1, "nothing was sent"


@pytest.mark.parametrize("way", [name for name in WAYS if name.startswith("gzip")])
@pytest.mark.parametrize("least", [0, 30])
def test_the_smallest_message_to_compress(mode: str, way: str, least: int) -> None:
    compression: AnyCompression = WAYS[way]
    with serving(response()) as server:
        for size in (1, 27, 28, 500):
            message = StringValue(value="x" * size)
            call(mode, server.address, message, send_compression=compression, compress_min_bytes=least)
            exchange = server.exchanges[-1]
            data = message.SerializeToString()
            assert ("content-encoding" in dict(exchange.fields)) == (len(data) >= least)
            content = bytes(exchange.content)
            assert (gzip.decompress(content) if len(data) >= least else content) == data


@pytest.mark.parametrize("kind", [ConnectClient, ConnectClientSync])
@pytest.mark.parametrize(("option", "value"), [("send_max_bytes", 0), ("send_max_bytes", 1 << 31), ("compress_min_bytes", -1)])
def test_what_makes_no_sense_is_refused(kind: Any, option: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{option} must be from"):
        kind("http://127.0.0.1", **{option: value})


@pytest.mark.parametrize("kind", [ConnectClient, ConnectClientSync])
@pytest.mark.parametrize("option", ["read_max_bytes", "send_max_bytes", "compress_min_bytes"])
@pytest.mark.parametrize("value", ["1", 1.5])
def test_a_limit_that_is_no_whole_number_is_refused(kind: Any, option: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"{option} must be a whole number from .*, not {value!r}"):
        kind("http://127.0.0.1", **{option: value})


@pytest.mark.parametrize("kind", [ConnectClient, ConnectClientSync])
def test_retries_that_are_no_policy_are_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"retries must be a connectcore\.client\.RetryPolicy, or None for none, not True"):
        kind("http://127.0.0.1", retries=True)
