"""Calls of all stream types by both clients, in every protocol, against a real server."""

from __future__ import annotations

import asyncio
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.wrappers_pb2 import BytesValue, StringValue

from connectcore.client import ConnectClient, ConnectClientSync, ResponseMetadata
from connectcore.code import Code
from connectcore.codec import proto_json_codec
from connectcore.compression import GzipCompression
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.transport import ASGITransport, WSGITransport
from server_support import ASGI, BIDI, CLIENT, SERVER, UNARY, WSGI, method
from stream_support import KINDS, PROTOCOLS, Service, call_any, counted_steps, new_client, said, serving_streams, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytest.importorskip("zttp")

pytestmark = pytest.mark.usefixtures("nothing_is_left")

ALL = [(protocol, version) for protocol in PROTOCOLS for version in "12" if (protocol, version) != (ProtocolType.GRPC, "1")]
STREAMS = (CLIENT, SERVER, BIDI)


@pytest.mark.parametrize(("protocol", "version"), ALL)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sender", ["default", "pyqwest"])
def test_every_kind(mode: str, address: str, protocol: ProtocolType, version: str, kind: str, sender: str) -> None:
    client = new_client(mode, address, version, pyqwest=sender == "pyqwest", protocol=protocol, timeout=20)
    texts = ["a"] if kind == UNARY else ["a.", "b", "c"]
    outcome = call_any(client, kind, texts, headers={"x-many": "q"})
    assert outcome.error is None
    assert ",".join(outcome.messages) == ",".join(texts).upper()
    for headers in (outcome.metadata.headers, outcome.headers):
        if headers is not None:
            assert (headers["x-lead"], headers.getbin("x-lead-bin")) == ("q", b"\0\1")
    for trailers in (outcome.metadata.trailers, outcome.trailers):
        if trailers is not None:
            assert (list(trailers), trailers.getbin("x-trail-bin")) == (["x-trail-bin"], b"\2\3")
    assert outcome.metadata.http_status == 200


@pytest.mark.parametrize(("protocol", "version"), ALL)
@pytest.mark.parametrize("kind", STREAMS)
def test_what_came_before_a_failure_is_given_first(
    mode: str, address: str, protocol: ProtocolType, version: str, kind: str
) -> None:
    outcome = call_any(new_client(mode, address, version, protocol=protocol), kind, ["a.", "b", "fail", "c"])
    assert outcome.messages == ([] if kind == CLIENT else ["A.", "B"])
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.message) == (Code.FAILED_PRECONDITION, "n\u00f6")
    assert outcome.error.details[0].value(StringValue) == said("detail")
    assert outcome.error.metadata["x-error"] == "1"
    assert outcome.error.metadata.getbin("x-trail-bin") == outcome.metadata.trailers.getbin("x-trail-bin") == b"\2\3"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_codec_and_compression(mode: str, address: str, protocol: ProtocolType, kind: str) -> None:
    client = new_client(mode, address, protocol=protocol, codec=proto_json_codec(), send_compression=GzipCompression())
    outcome = call_any(client, kind, ["word" * 1000, "b"])
    assert ",".join(outcome.messages) == ("WORD" * 1000 if kind == UNARY else "WORD" * 1000 + ",B")


@pytest.mark.parametrize("kind", [SERVER, BIDI])
def test_a_message_that_is_too_large_comes_behind_others(mode: str, address: str, kind: str) -> None:
    outcome = call_any(new_client(mode, address, read_max_bytes=100), kind, ["a.", "b" * 200, "c"])
    assert outcome.messages == ["A."]
    assert outcome.error is not None
    assert outcome.error.code is Code.RESOURCE_EXHAUSTED


def test_empty_streams(mode: str, address: str) -> None:
    for protocol in PROTOCOLS:
        client = new_client(mode, address, protocol=protocol)
        assert call_any(client, CLIENT, []).messages == [""]
        for kind in (SERVER, BIDI):
            outcome = call_any(client, kind, [])
            assert (outcome.messages, outcome.error) == ([], None)
            assert outcome.trailers is not None
            assert outcome.trailers.getbin("x-trail-bin") == b"\2\3"


# Both directions at once


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_full_duplex_async(address: str, protocol: ProtocolType) -> None:
    """Each request is made of the response before it."""

    async def run() -> list[str]:
        asked: asyncio.Queue[str | None] = asyncio.Queue()

        async def requests() -> AsyncIterator[StringValue]:
            while (text := await asked.get()) is not None:
                yield said(text)

        async with new_client("async", address, protocol=protocol) as client:
            got = []
            asked.put_nowait("x")
            async for response in client.execute_bidi_stream(request=requests(), method=method(BIDI)):
                got.append(response.value)
                asked.put_nowait(f"{len(got)}" if len(got) < 20 else None)
            return got

    assert asyncio.run(run()) == ["X", *map(str, range(1, 20))]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_full_duplex_sync(address: str, protocol: ProtocolType) -> None:
    asked: SimpleQueue[str | None] = SimpleQueue()

    def requests() -> Iterator[StringValue]:
        while (text := asked.get(timeout=20)) is not None:
            yield said(text)

    got = []
    asked.put("x")
    with new_client("sync", address, protocol=protocol) as client:
        for response in client.execute_bidi_stream(request=requests(), method=method(BIDI)):
            got.append(response.value)
            asked.put(f"{len(got)}" if len(got) < 20 else None)
    assert got == ["X", *map(str, range(1, 20))]


def test_headers_come_before_any_message() -> None:
    """An application that sends its head at once and its message when it is told to."""

    async def run() -> None:
        go_on = asyncio.Event()

        async def application(_scope: Any, _receive: Any, send: Any) -> None:
            fields = [(b"content-type", b"application/connect+proto"), (b"x-a", b"1")]
            await send({"type": "http.response.start", "status": 200, "headers": fields})
            await go_on.wait()
            await send({"type": "http.response.body", "body": b"\0\0\0\0\0\2\0\0\0\2{}"})

        client = ConnectClient("http://test", http_client=ASGITransport(application))
        metadata = ResponseMetadata()
        stream = client.execute_server_stream(request=said(""), method=method(SERVER), response_metadata=metadata)
        assert (await stream.headers())["x-a"] == "1"
        assert metadata.headers["x-a"] == "1"
        go_on.set()
        assert [message.value async for message in stream] == [""]
        assert (await stream.headers())["x-a"] == "1"

    asyncio.run(run())


def test_metadata_of_the_code_around(mode: str, address: str) -> None:
    with ResponseMetadata() as metadata:
        if mode == "sync":
            client = new_client(mode, address)
            assert len(list(client.execute_server_stream(request=said("a b"), method=method(SERVER)))) == 2
        else:

            async def run() -> None:
                stream = new_client(mode, address).execute_server_stream(request=said("a b"), method=method(SERVER))
                assert len([message async for message in stream]) == 2

            asyncio.run(run())
    assert metadata.trailers.getbin("x-trail-bin") == b"\2\3"


# What the application does wrong


def outcome_of(mode: str, address: str, kind: str, requests: Any, **options: Any) -> Any:
    """Call by a stream of requests that is made by a function. Raises what the call raises."""
    name = f"execute_{'client' if kind == CLIENT else 'bidi'}_stream"
    client = new_client(mode, address, **options)
    if mode == "sync":
        made = getattr(client, name)(request=requests(), method=method(kind))
        return made if kind == CLIENT else list(made)

    async def run() -> Any:
        async def each() -> AsyncIterator[Any]:
            try:
                for request in requests():
                    yield request
                    await asyncio.sleep(0)
            finally:
                closed.append(True)

        closed: list[bool] = []
        try:
            made = getattr(client, name)(request=each(), method=method(kind))
            return await made if kind == CLIENT else [message async for message in made]
        finally:
            for _ in range(100):
                if closed:
                    break
                await asyncio.sleep(0.01)
            assert closed

    return asyncio.run(run())


@pytest.mark.parametrize("kind", [CLIENT, BIDI])
def test_requests_that_raise(mode: str, address: str, service: Service, kind: str) -> None:
    """The caller sees what was raised, and the server that the call was given up."""

    def requests() -> Iterator[Any]:
        yield said("a")
        raise ZeroDivisionError("mine")

    for protocol in PROTOCOLS:
        with pytest.raises(ZeroDivisionError, match="mine"):
            outcome_of(mode, address, kind, requests, protocol=protocol)
        until(lambda: service.running == 0)


@pytest.mark.parametrize("kind", [CLIENT, BIDI])
def test_a_request_of_the_wrong_class(mode: str, address: str, kind: str) -> None:
    def requests() -> Iterator[Any]:
        yield said("a")
        yield BytesValue()

    with pytest.raises(TypeError, match=f"acme.v1.Service.{kind} takes .*StringValue, not .*BytesValue$"):
        outcome_of(mode, address, kind, requests)


def test_a_request_that_cannot_be_encoded(mode: str, address: str) -> None:
    class Broken:
        def name(self) -> str:
            return "proto"

        def encode(self, message: Any) -> bytes:
            if message.value == "bad":
                raise ZeroDivisionError("no")
            return bytes(message.SerializeToString())

        def decode(self, data: bytes | bytearray, message_class: Any) -> Any:
            return message_class.FromString(bytes(data))

    with pytest.raises(ConnectError, match="cannot be encoded: no") as caught:
        outcome_of(mode, address, BIDI, lambda: map(said, ["a", "bad"]), codec=Broken())
    assert caught.value.code is Code.INTERNAL
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_requests_that_are_not_wanted_any_more_are_closed(mode: str, address: str) -> None:
    """The server fails the call at once; the application would go on for ever."""

    def requests() -> Iterator[Any]:
        try:
            yield said("fail")
            while True:
                yield said("more")
        finally:
            closed.set()

    closed = threading.Event()
    for kind in (CLIENT, BIDI):
        closed.clear()
        with pytest.raises(ConnectError) as caught:
            outcome_of(mode, address, kind, requests)
        assert caught.value.code is Code.FAILED_PRECONDITION
        assert closed.wait(10)


def test_what_is_no_stream_of_requests(address: str) -> None:
    client = new_client("sync", address)
    for call in (client.execute_client_stream, lambda **k: list(client.execute_bidi_stream(**k))):
        with pytest.raises(TypeError, match="a sync client takes an iterator of messages, not StringValue"):
            call(request=said("a"), method=method(BIDI))

    async def run() -> None:
        client = new_client("async", address)
        with pytest.raises(TypeError, match="an async client takes an async iterator of messages, not list"):
            await client.execute_client_stream(request=[said("a")], method=method(CLIENT))
        with pytest.raises(TypeError, match="an async client takes an async iterator of messages, not list"):
            await anext(client.execute_bidi_stream(request=[said("a")], method=method(BIDI)))

    asyncio.run(run())


def test_a_stream_has_one_reader(address: str) -> None:
    async def run() -> None:
        stream = new_client("async", address).execute_server_stream(request=said("hang"), method=method(SERVER))
        reader = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.05)
        for other in (stream.headers, stream.aclose, stream.__anext__):
            with pytest.raises(RuntimeError, match="is being read already"):
                await other()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

    asyncio.run(run())


def test_reading_on_behind_the_end(mode: str, address: str) -> None:
    """The end stays the end, a failure stays one, and what was closed is empty."""
    client = new_client(mode, address)

    def stream(text: str) -> Any:
        return client.execute_server_stream(request=said(text), method=method(SERVER))

    if mode == "sync":
        good, bad, left = stream("a"), stream("a fail"), stream("a b")
        assert [next(good, None) for _ in range(3)] == [said("A"), None, None]
        assert next(bad) == said("A")
        for _ in range(2):
            with pytest.raises(ConnectError):
                next(bad)
        assert next(left) == said("A")
        left.close()
        left.close()
        assert list(left) == []
        return

    async def run() -> None:
        good, bad, left = stream("a"), stream("a fail"), stream("a b")
        assert [await anext(good, None) for _ in range(3)] == [said("A"), None, None]
        assert await anext(bad) == said("A")
        for _ in range(2):
            with pytest.raises(ConnectError):
                await anext(bad)
        assert await anext(left) == said("A")
        await left.aclose()
        await left.aclose()
        assert [message async for message in left] == []

    asyncio.run(run())


# How much is done at a time


def test_messages_that_are_ready_go_together() -> None:
    """A thousand that need not be waited for, in a few steps; each that is waited for at once."""

    async def client_stream(requests: AsyncIterator[StringValue], _ctx: Any) -> StringValue:
        return said(str(len([request async for request in requests])))

    chunks: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        async def counted() -> Any:
            event = await receive()
            chunks.append(len(event.get("body", b"")))
            return event

        await ASGI({CLIENT: client_stream})(scope, counted, send)

    async def run(waits: bool) -> None:
        async def requests() -> AsyncIterator[StringValue]:
            for _ in range(1000):
                yield said("x")
                if waits:
                    await asyncio.sleep(0)

        client = ConnectClient("http://test", http_client=ASGITransport(application))
        assert await client.execute_client_stream(request=requests(), method=method(CLIENT)) == said("1000")

    # A busy machine may stop it in the middle of a batch, whose time is then up.
    for waits, most in ((False, 100), (True, 1010)):
        chunks.clear()
        asyncio.run(run(waits))
        assert len(chunks) <= most
        if waits:
            assert len(chunks) > 1000
    with counted_steps() as batches:
        asyncio.run(run(False))
    assert len(batches) < 200


def test_a_list_of_messages_goes_together_sync() -> None:
    def client_stream(requests: Iterator[StringValue], _ctx: Any) -> StringValue:
        return said(str(len(list(requests))))

    client = ConnectClientSync("http://test", http_client=WSGITransport(WSGI({CLIENT: client_stream})))
    many = [said("x")] * 1000
    with counted_steps() as batches:
        assert client.execute_client_stream(request=iter(many), method=method(CLIENT)) == said("1000")
    assert len(batches) < 20


def test_a_slow_reader_slows_the_server(mode: str) -> None:
    """The server may not be far ahead of a reader that reads a message and then no more for a while. (Over HTTP/1.1: uvicorn
    takes any amount of content for HTTP/2.)"""
    large = "x" * (64 << 10)
    sent = 0

    class Large(Service):
        async def server_stream(self, request: StringValue, ctx: Any) -> AsyncIterator[StringValue]:
            nonlocal sent
            with self._handler(ctx):
                for _ in range(2000):
                    sent += 1
                    yield said(large)
                    await asyncio.sleep(0)

    service = Large()
    with serving_streams(service) as address:
        client = new_client(mode, address, "1", accept_compression=[])
        made = client.execute_server_stream(request=said(""), method=method(SERVER))
        if mode == "sync":
            with made as stream:
                assert next(stream) == said(large)
                settled(lambda: sent)
        else:

            async def run() -> None:
                async with made as stream:
                    assert await anext(stream) == said(large)
                    await asyncio.to_thread(settled, lambda: sent)

            asyncio.run(run())
        until(lambda: service.running == 0)
    assert sent < 500  # 32 MiB


def settled(value: Callable[[], int]) -> None:
    """Wait until a number stays what it is."""
    seen = [-1]

    def same() -> bool:
        seen.append(value())
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    until(same)


# In process


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", KINDS)
def test_in_process(mode: str, protocol: ProtocolType, kind: str) -> None:
    """No network, and all of it: streams both ways, and trailers."""
    service = Service()
    client: Any
    if mode == "async":
        client = ConnectClient("http://test", http_client=ASGITransport(ASGI(service.functions)), protocol=protocol)
    else:
        client = ConnectClientSync("http://test", http_client=WSGITransport(wsgi()), protocol=protocol)
    texts = ["a"] if kind == UNARY else ["a.", "b", "fail"]
    outcome = call_any(client, kind, texts)
    if kind == UNARY:
        assert (outcome.messages, outcome.error) == (["A"], None)
    else:
        assert outcome.messages == ([] if kind == CLIENT else ["A.", "B"])
        assert outcome.error is not None
        assert outcome.error.code is Code.FAILED_PRECONDITION
    assert outcome.metadata.trailers.getbin("x-trail-bin") == b"\2\3"
    assert service.running == 0


def wsgi() -> WSGI:
    """The service for WSGI."""

    def one(request: StringValue, ctx: Any) -> StringValue:
        ctx.response_trailers.add_bin("x-trail-bin", b"\2\3")
        if request.value == "fail":
            raise ConnectError(Code.FAILED_PRECONDITION, "no")
        return said(request.value.upper())

    def joined(requests: Iterator[StringValue], ctx: Any) -> StringValue:
        return said(",".join(one(request, ctx).value for request in requests))

    def split(request: StringValue, ctx: Any) -> Iterator[StringValue]:
        return (one(said(word), ctx) for word in request.value.split())

    def each(requests: Iterator[StringValue], ctx: Any) -> Iterator[StringValue]:
        return (one(request, ctx) for request in requests)

    return WSGI({UNARY: one, CLIENT: joined, SERVER: split, BIDI: each})


@pytest.mark.parametrize("kind", [CLIENT, BIDI])
def test_requests_that_raise_in_process(mode: str, kind: str) -> None:
    def requests() -> Iterator[Any]:
        yield said("a")
        raise ZeroDivisionError("mine")

    def name(client: Any) -> Any:
        return client.execute_client_stream if kind == CLIENT else client.execute_bidi_stream

    if mode == "sync":
        client = ConnectClientSync("http://test", http_client=WSGITransport(wsgi()))
        with pytest.raises(ZeroDivisionError, match="mine"):
            list(name(client)(request=requests(), method=method(kind)))
        return

    async def run() -> None:
        async def each() -> AsyncIterator[Any]:
            for request in requests():
                yield request

        service = Service()
        made = name(ConnectClient("http://test", http_client=ASGITransport(ASGI(service.functions))))(
            request=each(), method=method(kind)
        )
        with pytest.raises(ZeroDivisionError, match="mine"):
            await (made if kind == CLIENT else last(made))
        await asyncio.sleep(0.01)
        assert service.running == 0
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


async def last(stream: AsyncIterator[Any]) -> Any:
    """The last message."""
    message = None
    async for each in stream:
        message = each
    return message
