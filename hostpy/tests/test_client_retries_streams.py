"""Making calls again that take a stream: what was given goes out again, and the application's stream does not notice."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from client_support import open_calls
from connectcore.client import Cancellation, RetryPolicy
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.method import IdempotencyLevel
from connectcore.protocol import ProtocolType
from connectcore.transport import Gone, TransportError
from server_support import BIDI, CLIENT, method
from stream_support import new_client, said, serving_streams, transport, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from google.protobuf.wrappers_pb2 import StringValue

pytest.importorskip("zttp")

WAYS = [(ProtocolType.CONNECT, "1"), (ProtocolType.CONNECT, "2"), (ProtocolType.GRPC, "2"), (ProtocolType.GRPC_WEB, "1")]
POLICY: dict[str, Any] = {"initial_backoff": 0.001, "max_backoff": 0.01, "max_tokens": 1000}


class Flaky:
    """Joins the requests, or answers each of them; as often as it is told, it fails instead when it has so many of them."""

    def __init__(self) -> None:
        self.failures: list[int | None] = []  # requests that are read before each failure; None for all of them
        self.after = 0  # responses that are given before
        self.seen: list[list[str]] = []
        self.running = 0

    async def _read(self, requests: AsyncIterator[StringValue]) -> AsyncIterator[str]:
        failure = self.failures.pop(0) if self.failures else -1
        seen: list[str] = []
        self.seen.append(seen)
        self.running += 1
        try:
            if failure == 0:
                raise ConnectError(Code.UNAVAILABLE, "busy")
            async for request in requests:
                seen.append(request.value)
                if len(seen) == failure:
                    raise ConnectError(Code.UNAVAILABLE, "busy")
                yield request.value
            if failure is None:
                raise ConnectError(Code.UNAVAILABLE, "busy")
        finally:
            self.running -= 1

    async def client_stream(self, requests: AsyncIterator[StringValue], _ctx: Any) -> StringValue:
        return said("+".join([text[:10] async for text in self._read(requests)]))

    async def bidi_stream(self, requests: AsyncIterator[StringValue], _ctx: Any) -> AsyncIterator[StringValue]:
        texts = []
        async for text in self._read(requests):
            texts.append(text)
            if self.after:
                yield said(text)
        yield said("+".join(texts))

    @property
    def functions(self) -> dict[str, Any]:
        return {CLIENT: self.client_stream, BIDI: self.bidi_stream}


@pytest.fixture(scope="module")
def flaky() -> Flaky:
    return Flaky()


@pytest.fixture(scope="module")
def server(flaky: Flaky) -> Iterator[str]:
    with serving_streams(flaky) as address:  # type: ignore[arg-type]
        yield address


@pytest.fixture(autouse=True)
def afresh(flaky: Flaky) -> Iterator[None]:
    flaky.failures, flaky.seen, flaky.after = [], [], 0
    yield
    until(lambda: flaky.running == 0)
    until(lambda: open_calls() == 0)


class Source:
    """A stream of requests in both forms. At `...` it waits until the server has seen so many tries."""

    def __init__(self, flaky: Flaky, *texts: str | int) -> None:
        self.flaky, self.texts = flaky, texts
        self.closed = self.begun = 0

    async def messages(self) -> AsyncIterator[StringValue]:
        self.begun += 1
        try:
            for text in self.texts:
                if isinstance(text, int):
                    while len(self.flaky.seen) < text:  # noqa: ASYNC110 - by a server in another thread
                        await asyncio.sleep(0.002)
                else:
                    yield said(text)
        finally:
            self.closed += 1

    def messages_sync(self) -> Iterator[StringValue]:
        self.begun += 1
        try:
            for text in self.texts:
                if isinstance(text, int):
                    until(lambda wanted=text: len(self.flaky.seen) >= wanted)  # type: ignore[misc]
                else:
                    yield said(text)
        finally:
            self.closed += 1


def call(client: Any, mode: str, kind: str, source: Source, *, safe: bool = True) -> list[Any]:
    """The responses, and the code of the error."""
    level = IdempotencyLevel.IDEMPOTENT if safe else IdempotencyLevel.UNKNOWN
    what = replace(method(kind), idempotency_level=level)
    got: list[Any] = []

    async def run() -> None:
        if kind == CLIENT:
            got.append((await client.execute_client_stream(request=source.messages(), method=what)).value)
        else:
            async for response in client.execute_bidi_stream(request=source.messages(), method=what):
                got.append(response.value)  # noqa: PERF401 - an error leaves those before it

    try:
        if mode == "async":
            asyncio.run(run())
        elif kind == CLIENT:
            got.append(client.execute_client_stream(request=source.messages_sync(), method=what).value)
        else:
            for response in client.execute_bidi_stream(request=source.messages_sync(), method=what):
                got.append(response.value)  # noqa: PERF401
    except ConnectError as error:
        got.append(error.code)
    until(lambda: source.closed == source.begun)
    return got


@pytest.mark.parametrize(("protocol", "version"), WAYS)
@pytest.mark.parametrize("kind", [CLIENT, BIDI])
def test_all_of_it_goes_again(mode: str, flaky: Flaky, server: str, kind: str, protocol: ProtocolType, version: str) -> None:
    client = new_client(mode, server, version, protocol=protocol, retries=RetryPolicy(**POLICY))
    flaky.failures = [None, 2, 0]
    source = Source(flaky, "a", "b", "c")
    assert call(client, mode, kind, source) == ["a+b+c"]
    assert source.begun == 1
    assert len(flaky.seen) == 4
    assert flaky.seen[0] == flaky.seen[3] == ["a", "b", "c"]


@pytest.mark.parametrize(("protocol", "version"), WAYS)
@pytest.mark.parametrize("kind", [CLIENT, BIDI])
def test_a_stream_that_waits_is_not_disturbed(
    mode: str, flaky: Flaky, server: str, kind: str, protocol: ProtocolType, version: str
) -> None:
    """It waits in the middle until the third try has begun."""
    if kind == BIDI and version == "1":
        pytest.skip("the server answers when it has all requests")
    client = new_client(mode, server, version, protocol=protocol, retries=RetryPolicy(**POLICY))
    flaky.failures = [1, 1]
    source = Source(flaky, "a", 3, "b")
    assert call(client, mode, kind, source) == ["a+b"]
    assert (source.begun, source.closed) == (1, 1)
    assert flaky.seen == [["a"], ["a"], ["a", "b"]]


@pytest.mark.parametrize("kind", [CLIENT, BIDI])
def test_more_than_is_kept(mode: str, flaky: Flaky, server: str, kind: str) -> None:
    client = new_client(mode, server, retries=RetryPolicy(**POLICY))
    flaky.failures = [None]
    assert call(client, mode, kind, Source(flaky, *["x" * 50_000] * 6)) == [Code.UNAVAILABLE]
    assert len(flaky.seen) == 1
    flaky.failures, flaky.seen = [None], []
    assert call(client, mode, CLIENT, Source(flaky, *["x" * 50_000] * 5)) == ["+".join(["x" * 10] * 5)]
    assert len(flaky.seen) == 2


def test_tiny_messages_count_too(mode: str, flaky: Flaky, server: str) -> None:
    client = new_client(mode, server, retries=RetryPolicy(**POLICY))
    flaky.failures = [None]
    assert call(client, mode, CLIENT, Source(flaky, *["y"] * 5000)) == [Code.UNAVAILABLE]
    assert len(flaky.seen) == 1


def test_only_as_long_as_nothing_was_given(mode: str, flaky: Flaky, server: str) -> None:
    client = new_client(mode, server, retries=RetryPolicy(**POLICY))
    flaky.after, flaky.failures = 1, [2]
    assert call(client, mode, BIDI, Source(flaky, "a", "b", "c")) == ["a", Code.UNAVAILABLE]
    assert len(flaky.seen) == 1


@pytest.mark.parametrize("kind", [CLIENT, BIDI])
def test_with_side_effects(mode: str, flaky: Flaky, server: str, kind: str) -> None:
    """The server says that it has seen the call."""
    client = new_client(mode, server, retries=RetryPolicy(**POLICY))
    flaky.failures = [None]
    assert call(client, mode, kind, Source(flaky, "a"), safe=False) == [Code.UNAVAILABLE]
    assert len(flaky.seen) == 1


class Refusing:
    """A transport whose first requests reach nobody; of the second, some content was read."""

    def __init__(self, mode: str, refusals: int) -> None:
        self.next, self.left = transport(mode, "2"), refusals

    async def open(self, request: Any) -> Any:
        if self.left:
            self.left -= 1
            if not self.left:
                await anext(request.content)
            raise TransportError(Gone.REFUSED)
        return await self.next.open(request)

    def open_sync(self, request: Any) -> Any:
        if self.left:
            self.left -= 1
            if not self.left:
                next(request.content)
            raise TransportError(Gone.REFUSED)
        return self.next.open_sync(request)


@pytest.mark.parametrize("kind", [CLIENT, BIDI])
def test_never_seen_by_the_server(mode: str, flaky: Flaky, server: str, kind: str) -> None:
    """Then side effects are no hindrance."""
    client = new_client(mode, server, retries=RetryPolicy(**POLICY))
    client._calls._io._transport = Refusing(mode, 2)
    assert call(client, mode, kind, Source(flaky, "a", "b"), safe=False) == ["a+b"]
    assert flaky.seen == [["a", "b"]]


def test_what_the_stream_raises(mode: str, flaky: Flaky, server: str) -> None:
    """It ends the call, whichever try is under way."""

    class Broken(Source):
        async def messages(self) -> AsyncIterator[StringValue]:
            async for message in super().messages():
                yield message
            raise ZeroDivisionError

        def messages_sync(self) -> Iterator[StringValue]:
            yield from super().messages_sync()
            raise ZeroDivisionError

    client = new_client(mode, server, retries=RetryPolicy(**POLICY))
    flaky.failures = [1]
    with pytest.raises(ZeroDivisionError):
        call(client, mode, CLIENT, Broken(flaky, "a", 2, "b"))
    assert len(flaky.seen) == 2


@pytest.mark.parametrize("kind", [CLIENT, BIDI])
def test_canceled_between_two_tries(mode: str, flaky: Flaky, server: str, kind: str) -> None:
    """The application's stream is ended then."""
    policy = RetryPolicy(initial_backoff=60, max_backoff=60)
    client = new_client(mode, server, retries=policy)
    flaky.failures = [0]
    source = Source(flaky, "a", 2)
    if mode == "sync":
        source = Source(flaky, "a")
        with Cancellation() as cancellation:

            def cancel() -> None:
                until(lambda: bool(flaky.seen))
                cancellation.cancel()

            thread = threading.Thread(target=cancel)
            thread.start()
            assert call(client, mode, kind, source) == [Code.CANCELED]
            thread.join()
        return

    what = replace(method(kind), idempotency_level=IdempotencyLevel.IDEMPOTENT)

    async def read() -> None:
        if kind == CLIENT:
            await client.execute_client_stream(request=source.messages(), method=what)
        else:
            async with client.execute_bidi_stream(request=source.messages(), method=what) as responses:
                async for _ in responses:
                    pass

    async def run() -> None:
        task = asyncio.create_task(read())
        await asyncio.to_thread(until, lambda: bool(flaky.seen))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert source.closed == source.begun
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
