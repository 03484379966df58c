"""Streams of requests whose messages come one by one: the module is asked once what stands before a message of each length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connectcore._client.call import _UNSAID
from connectcore._wasm import abi
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.compression import GzipCompression
from connectcore.protocol import ProtocolType
from connectcore.transport import WSGITransport
from server_support import BIDI, CLIENT, WSGI, method
from stream_support import PROTOCOLS, call_any, counted_steps, new_client, said, transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytest.importorskip("zttp")

pytestmark = pytest.mark.usefixtures("nothing_is_left")

ALL = [(protocol, version) for protocol in PROTOCOLS for version in "12" if (protocol, version) != (ProtocolType.GRPC, "1")]


class Recording:
    """A transport that keeps the content of each request that goes through it."""

    def __init__(self, mode: str, version: str) -> None:
        self.contents: list[list[bytes]] = []
        self._inner = transport(mode, version)

    async def open(self, request: Any) -> Any:
        request.content = self._noted_async(request.content)
        return await self._inner.open(request)

    def open_sync(self, request: Any) -> Any:
        request.content = self._noted(request.content)
        return self._inner.open_sync(request)

    async def _noted_async(self, content: Any) -> AsyncIterator[bytes]:
        chunks: list[bytes] = []
        self.contents.append(chunks)
        try:
            async for chunk in content:
                chunks.append(chunk)
                yield chunk
        finally:
            await content.aclose()

    def _noted(self, content: Any) -> Iterator[bytes]:
        chunks: list[bytes] = []
        self.contents.append(chunks)
        try:
            for chunk in content:
                chunks.append(chunk)
                yield chunk
        finally:
            content.close()


@pytest.mark.parametrize(("protocol", "version"), ALL)
@pytest.mark.parametrize("compressed", [False, True])
def test_content_is_the_same_each_time(mode: str, address: str, protocol: ProtocolType, version: str, compressed: bool) -> None:
    texts = ["a.", "bb.", "a.", "c" * 200 + ".", "d" * 5000 + ".", "bb.", ".", ".", "a."]  # with a dot each goes alone
    recording = Recording(mode, version)
    coding = GzipCompression() if compressed else None
    make: Any = ConnectClient if mode == "async" else ConnectClientSync
    options: dict[str, Any] = {"send_compression": coding, "compress_min_bytes": 100}
    client = make(address, protocol=protocol, http_client=recording, **options)
    outcomes = [call_any(client, CLIENT, texts) for _ in range(3)]
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert {",".join(outcome.messages) for outcome in outcomes} == {",".join(texts).upper()}
    first, *others = [b"".join(chunks) for chunks in recording.contents]
    assert others == [first, first]


@pytest.mark.parametrize(("protocol", "version"), ALL)
@pytest.mark.parametrize("kind", [CLIENT, BIDI])
def test_a_failure_is_the_same_each_time(mode: str, address: str, protocol: ProtocolType, version: str, kind: str) -> None:
    if (kind, version) == (BIDI, "1"):
        pytest.skip("the server reads no requests while it answers")
    client = new_client(mode, address, version, protocol=protocol)
    outcomes = [call_any(client, kind, ["a.", "b", "a.", "b", "fail", "c"]) for _ in range(3)]
    assert [outcome.messages for outcome in outcomes] == [outcomes[0].messages] * 3
    errors = [outcome.error for outcome in outcomes]
    assert errors[0] is not None
    assert {(error.code, error.message) for error in errors if error} == {(errors[0].code, errors[0].message)}


def test_few_steps_for_many_messages() -> None:
    def client_stream(requests: Iterator[Any], _ctx: Any) -> Any:
        return said(str(len(list(requests))))

    number = 4 * _UNSAID + 5
    client = ConnectClientSync("http://test", http_client=WSGITransport(WSGI({CLIENT: client_stream})))
    with counted_steps() as batches:
        for _ in range(2):
            requests = (said("x") for _ in range(number))
            assert client.execute_client_stream(request=requests, method=method(CLIENT)) == said(str(number))
    sending = [batch for batch in batches if int.from_bytes(batch[:2], "little") == abi.CMD_SEND]
    assert len(sending) < 20
