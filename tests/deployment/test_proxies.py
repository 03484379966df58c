"""Behind nginx and Envoy, as hostpy/examples configures them: what servers hear of their callers, and how calls go through.

`make conformance` has the whole suite go through each, over HTTP/2 to the server; here is what the suite does not ask.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import certificates
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.transport import HTTPTransport, HTTPTransportSync
from greet.v1.greet_connectcore import GreetServiceClient, GreetServiceClientSync
from greet.v1.greet_pb2 import ChatRequest, GreetGroupRequest, GreetManyRequest, GreetRequest

from proxies import HOST, backend, missing, proxy
from servers import Serving

PROXIES = ("nginx", "envoy")
OTHER = "127.0.0.2"  # a caller that the server has no reason to believe


@pytest.fixture
def context() -> ssl.SSLContext:
    """A new one each time: a transport sets its ALPN protocols."""
    return ssl.create_default_context(cadata=certificates()["authority"][0].decode())


@pytest.fixture(scope="module", params=PROXIES)
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a proxy with TLS, in front of uvicorn, and of gunicorn below /http1."""
    name: str = request.param
    need(name)
    folder: Path = tmp_path_factory.mktemp("tls")
    for file, data in zip(("certificate.pem", "key.pem"), certificates()["server"], strict=True):
        (folder / file).write_bytes(data)
    serving = Serving("", lambda port: None, certificate=folder / "certificate.pem", key=folder / "key.pem")
    with (
        backend("uvicorn-zttp", "told:asgi") as (http2, _),
        backend("gunicorn-gthread", "told:wsgi") as (http1, _),
        proxy(name, serving, [http2], [http1]) as port,
    ):
        yield f"{HOST}:{port}"


def need(name: str) -> None:
    """Skip where a proxy is missing; in CI nothing may be."""
    reason = missing(name)
    if reason and "CI" not in os.environ:
        pytest.skip(reason)
    assert not reason, reason


def post(address: str, path: str, name: str, context: ssl.SSLContext) -> str:
    """What the service answers to this name; the caller comes from another address, and lies about it."""
    connection = http.client.HTTPSConnection(address, context=context, source_address=(OTHER, 0), timeout=20)
    fields = {"content-type": "application/json", "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "http"}
    connection.request("POST", f"{path}/greet.v1.GreetService/Greet", f'{{"name":"{name}"}}', fields)
    with connection.getresponse() as response:
        answer = response.read().decode()
    connection.close()
    assert response.status == 200, answer
    greeting: str = json.loads(answer)["greeting"]
    return greeting


def test_who_calls(address: str, context: ssl.SSLContext) -> None:
    assert post(address, "", "address", context) == OTHER
    for path in ("", "/http1"):
        assert post(address, path, "scheme", context) == "https"


WAYS = [
    (path, protocol, http)
    for path in ("", "/http1")
    for protocol in ProtocolType
    for http in ("1.1", "2")
    if protocol is not ProtocolType.GRPC or (path, http) == ("", "2")
]


@pytest.mark.parametrize(("path", "protocol", "http"), WAYS)
def test_every_stream_type_sync(address: str, context: ssl.SSLContext, path: str, protocol: ProtocolType, http: Any) -> None:
    with (
        HTTPTransportSync(ssl_context=context, http_version=http) as transport,
        GreetServiceClientSync(
            f"https://{address}{path}", http_client=transport, protocol=protocol, timeout_ms=20_000
        ) as client,
    ):
        assert client.greet(GreetRequest(name="hello")).greeting == "hello"
        with pytest.raises(ConnectError, match="not now") as caught:
            client.greet(GreetRequest(name="fail"))
        assert caught.value.code is Code.FAILED_PRECONDITION
        assert [each.value(GreetRequest) for each in caught.value.details] == [GreetRequest(name="why")]
        assert caught.value.metadata["x-error"] == "1"
        many = [each.greeting for each in client.greet_many(GreetManyRequest(name=__file__, count=3))]
        assert many[1:] == ["1", "2"]
        group = iter([GreetGroupRequest(name="a"), GreetGroupRequest(name="b")])
        assert client.greet_group(group).greeting == "a+b"
        lines = [each.line for each in client.chat(iter([ChatRequest(line="a"), ChatRequest(line="b")]))]
        assert lines == ["A", "B"]


@pytest.mark.parametrize("protocol", list(ProtocolType))
def test_conversation_and_leaving(address: str, context: ssl.SSLContext, protocol: ProtocolType) -> None:
    """Messages go both ways at once and are not held up; a handler hears that its caller has left."""

    async def run() -> None:
        async with (
            HTTPTransport(ssl_context=context, http_version="2") as transport,
            GreetServiceClient(f"https://{address}", http_client=transport, protocol=protocol, timeout_ms=20_000) as client,
        ):
            heard = asyncio.Event()

            async def lines() -> Any:
                for line in "abc":
                    heard.clear()
                    yield ChatRequest(line=line)
                    await heard.wait()

            said = []
            async for response in client.chat(lines()):
                said.append(response.line)
                heard.set()
            assert said == ["A", "B", "C"]
            async with client.greet_many(GreetManyRequest()) as responses:
                assert (await anext(aiter(responses))).greeting
            assert (await client.greet(GreetRequest(name="left"))).greeting == "GreetMany"

    asyncio.run(run())
