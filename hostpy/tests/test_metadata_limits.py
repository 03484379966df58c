"""How much metadata goes with a call: what is too much is refused on both sides, and costs what it has of bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from client_support import call as call_unary
from connectcore._wasm.pool import POOL
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from server_support import ALL, CONNECT, GRPC, SERVER, UNARY, Request, Server, envelope, message
from stream_support import call_any
from test_client_transport import Canned
from test_compression_server import GRPC_WEB, code

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "x" * 30_000
VALUES = 10_000
LIST = "AA," * VALUES
"""Binary values, each of which would be shown with the field's name: 300 MB."""


@pytest.fixture
def instances() -> Iterator[None]:
    """No instance may fail in the test, nor have 8 MiB more than before."""
    POOL._choose()
    before = {instance: instance.memory_size for instance in POOL.instances()}
    failures = POOL.failures
    yield
    assert POOL.failures == failures
    after = {instance: instance.memory_size for instance in POOL.instances()}
    assert not {size for instance, size in after.items() if size > before.get(instance, 4 << 20) + (8 << 20)}


@pytest.mark.usefixtures("instances")
@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
@pytest.mark.parametrize(
    "kind", [{}, {**CONNECT, "procedure": SERVER}, GRPC, GRPC_WEB], ids=["unary", "stream", "gRPC", "gRPC-Web"]
)
def test_a_long_name_of_many_values_costs_a_server_its_bytes(interface: str, kind: dict[str, Any]) -> None:
    server = Server(interface, ALL)
    for _ in range(3):  # a head that comes again, too
        answer = server.call(Request(fields=[(f"{NAME}-bin", LIST)], **kind))
        assert code(answer) == "resource_exhausted"
    assert server.call(Request()).status == 200


def responses() -> dict[str, dict[str, Any]]:
    """Each section of a response that may have such metadata: options of the client that gets it."""
    proto, text = ("content-type", "application/proto"), message("a")
    marker = {"metadata": {NAME: ["1"] * VALUES}}
    lists = {"metadata": {f"{NAME}-bin": [LIST]}}
    stream = [("content-type", "application/connect+proto")]
    trailers = Canned(envelope(text), fields=[("content-type", "application/grpc+proto")])
    trailers.trailers = [("grpc-status", "0"), (f"{NAME}-bin", LIST)]
    web = envelope(text) + envelope(f"grpc-status: 0\r\n{NAME}-bin: {LIST}\r\n".encode(), 0x80)
    return {
        "leading": {"http_client": Canned(text, fields=[proto, (f"{NAME}-bin", LIST)])},
        "trailing in the head": {"http_client": Canned(text, fields=[proto, (f"trailer-{NAME}-bin", LIST)])},
        "an end marker": {"http_client": Canned(envelope(json.dumps(marker).encode(), 2), fields=stream)},
        "binary in an end marker": {"http_client": Canned(envelope(json.dumps(lists).encode(), 2), fields=stream)},
        "trailers": {"http_client": trailers, "protocol": ProtocolType.GRPC},
        "trailers in content": {
            "http_client": Canned(web, fields=[("content-type", "application/grpc-web+proto")]),
            "protocol": ProtocolType.GRPC_WEB,
        },
    }


def outcome(mode: str, where: str) -> str:
    """What a client makes of such a response."""
    options = responses()[where]
    try:
        if "end marker" in where:
            client = (ConnectClientSync if mode == "sync" else ConnectClient)("http://a", **options)
            error = call_any(client, SERVER, ["a"]).error
            return "success" if error is None else error.code.value
        call_unary(mode, "http://a", **options)
    except ConnectError as raised:
        return raised.code.value
    return "success"


@pytest.mark.usefixtures("instances")
@pytest.mark.parametrize("where", responses())
def test_a_long_name_of_many_values_costs_a_client_its_bytes(mode: str, where: str) -> None:
    assert outcome(mode, where) == "resource_exhausted"


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
@pytest.mark.parametrize("kind", [{}, GRPC, GRPC_WEB], ids=["Connect", "gRPC", "gRPC-Web"])
@pytest.mark.parametrize("section", ["response_headers", "response_trailers"])
def test_a_server_sends_no_more_than_its_peers_take(interface: str, kind: dict[str, Any], section: str) -> None:
    count = 256

    def handler(request: Any, ctx: Any) -> Any:
        for number in range(count):
            getattr(ctx, section).add("x-some", str(number))
        return request

    server = Server(interface, {UNARY: handler})
    request = Request(chunks=[envelope(message("a")) if kind else message("a")], **kind)
    answer = server.call(request)
    assert answer.status == 200
    names = [name for name, _ in [*answer.fields, *answer.trailers]]
    assert names.count("x-some") + names.count("trailer-x-some") + answer.content.count(b"x-some") == 256
    count = 257
    assert code(server.call(request)) == "resource_exhausted"


@pytest.mark.parametrize("protocol", ProtocolType)
def test_a_client_sends_no_more_than_its_peers_take(mode: str, protocol: ProtocolType) -> None:
    canned = Canned()
    with pytest.raises(ConnectError, match="there is more metadata than 64 KiB or 256 values: send it as a message") as raised:
        call_unary(mode, "http://a", http_client=canned, protocol=protocol, headers={"x-long": "a" * (64 << 10)})
    assert raised.value.code == Code.RESOURCE_EXHAUSTED
    assert canned.requests == []


@pytest.mark.parametrize("interface", ["asgi", "wsgi"])
@pytest.mark.parametrize("kind", [CONNECT, GRPC_WEB, GRPC], ids=str)
def test_a_stream_whose_metadata_cannot_be_sent_ends_at_once(interface: str, kind: dict[str, Any]) -> None:
    """Its peer would wait for messages that never come."""
    ended = []

    def endless(request: Any, ctx: Any) -> Iterator[Any]:
        ctx.response_headers["x-evil"] = "a\r\nb"
        try:
            while True:
                yield request
        finally:
            ended.append(True)

    answer = Server(interface, {SERVER: endless}).call(Request(SERVER, [envelope(message("a"))], **kind))
    assert b"a\r\nb" not in answer.content
    if kind is GRPC:
        assert dict(answer.trailers)["grpc-status"] == "13"
    else:
        assert b'"code":"internal"' in answer.content or b"grpc-status: 13" in answer.content
    assert ended == [True]
