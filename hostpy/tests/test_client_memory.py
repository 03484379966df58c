"""What a client remembers of earlier calls, so that it need not ask the module again: never with another outcome."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from client_support import DATA, GOOD, HEAD, MESSAGE, METHOD, Exchange, method, open_calls, response, serving
from connectcore._client import config
from connectcore._wasm.instance import GuestError, Instance
from connectcore._wasm.pool import POOL, Pool
from connectcore.client import ConnectClient, ConnectClientSync, ResponseMetadata
from connectcore.code import Code
from connectcore.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Counting:
    """An instance that counts its steps, and fails in them when told to."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.steps = 0
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._instance, name)

    def step(self, batch: bytes) -> bytes:
        self.steps += 1
        if self.fails:
            self._instance.failed = True
            raise GuestError("trap")
        return self._instance.step(batch)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    instance = Counting(POOL.pick())
    monkeypatch.setattr(Pool, "pick", lambda _: instance)
    yield instance
    monkeypatch.undo()
    if instance.fails:
        POOL.discard(instance._instance, "test")
    assert open_calls() == 0


def steps_of(counting: Counting, client: ConnectClientSync, **arguments: Any) -> int:
    before = counting.steps
    client.execute_unary(**{"request": MESSAGE, "method": METHOD, **arguments})
    return counting.steps - before


def test_repeated_call_takes_no_step(counting: Counting) -> None:
    with serving(response(DATA, "x-a: 1")) as server, ConnectClientSync(server.address) as client:
        # The request, the response, and the configuration if no client before had the same.
        assert steps_of(counting, client) in (2, 3)
        assert steps_of(counting, client) == 0
        with ResponseMetadata() as metadata:
            assert steps_of(counting, client) == 0
        assert (metadata.http_status, metadata.headers["x-a"], "content-type" in metadata.headers) == (200, "1", False)
        heads = {exchange.head for exchange in server.exchanges}
        assert (len(server.exchanges), len(heads)) == (3, 1)


def test_what_is_not_the_same_is_asked_for(counting: Counting) -> None:
    with serving(GOOD) as server, ConnectClientSync(server.address) as client:
        for _ in range(2):
            steps_of(counting, client)
        assert steps_of(counting, client) == 0
        assert steps_of(counting, client, request=StringValue(value="longer than before")) == 2
        assert steps_of(counting, client, timeout=5) == 2
        assert steps_of(counting, client, method=method("Other")) == 2
        for _ in range(2):
            assert steps_of(counting, client, headers={"x-a": "1"}) == 2
            assert steps_of(counting, client, use_get=True) == 2
        assert steps_of(counting, client) == 0
        told = [dict(exchange.fields).get("connect-timeout-ms") for exchange in server.exchanges]
        assert [text for text in told if text] == ["5000"]


def test_timeouts_are_remembered_by_their_value(counting: Counting) -> None:
    with serving(GOOD) as server, ConnectClientSync(server.address, timeout=7) as client:
        for _ in range(3):
            client.execute_unary(request=MESSAGE, method=METHOD)
        assert steps_of(counting, client) == 0
        told = {dict(exchange.fields)["connect-timeout-ms"] for exchange in server.exchanges}
        assert told == {"7000"}


def test_same_head_with_another_message(counting: Counting) -> None:
    texts = iter(["one", "two", "six", "ten", "end"])

    def answer(exchange: Exchange) -> None:
        exchange.send(response(StringValue(value=next(texts)).SerializeToString()))

    with serving(answer) as server, ConnectClientSync(server.address) as client:
        got = [client.execute_unary(request=MESSAGE, method=METHOD).value for _ in range(4)]
        assert got == ["one", "two", "six", "ten"]
        assert steps_of(counting, client) == 0


def test_same_head_with_another_status(counting: Counting) -> None:
    statuses = iter(["200 OK", "200 OK", "200 OK", "503 No"])
    with (
        serving(lambda exchange: exchange.send(response(DATA, status=next(statuses)))) as server,
        ConnectClientSync(server.address) as client,
    ):
        for _ in range(3):
            client.execute_unary(request=MESSAGE, method=METHOD)
        with pytest.raises(ConnectError) as caught:
            client.execute_unary(request=MESSAGE, method=METHOD)
        assert caught.value.code is Code.UNAVAILABLE


@pytest.mark.parametrize("compressed", [False, True])
def test_same_head_with_a_message_that_is_broken(counting: Counting, compressed: bool) -> None:
    fields = ["content-encoding: gzip"] if compressed else []
    good = gzip.compress(DATA) if compressed else DATA
    contents = iter([good, good, good, b"\xff" * len(good), good])
    with (
        serving(lambda exchange: exchange.send(response(next(contents), *fields))) as server,
        ConnectClientSync(server.address) as client,
    ):
        for _ in range(3):
            assert client.execute_unary(request=MESSAGE, method=METHOD) == MESSAGE
        with pytest.raises(ConnectError) as caught:
            client.execute_unary(request=MESSAGE, method=METHOD)
        assert caught.value.code is Code.INTERNAL
        assert ("decompress" if compressed else "decode") in caught.value.message
        assert client.execute_unary(request=MESSAGE, method=METHOD) == MESSAGE


def test_errors_are_not_remembered(counting: Counting) -> None:
    content = b'{"code": "aborted"}'
    said = response(content, "content-type: application/json", status="409 Conflict")
    with serving(said) as server, ConnectClientSync(server.address) as client:
        for _ in range(3):
            with pytest.raises(ConnectError) as caught:
                client.execute_unary(request=MESSAGE, method=METHOD)
            assert caught.value.code is Code.ABORTED
        assert not client._config.plan(METHOD).replies


def test_trailing_metadata_is_not_remembered(counting: Counting) -> None:
    numbers = iter("123")
    with (
        serving(lambda exchange: exchange.send(response(DATA, f"trailer-x: {next(numbers)}"))) as server,
        ConnectClientSync(server.address) as client,
    ):
        for expected in "123":
            with ResponseMetadata() as metadata:
                client.execute_unary(request=MESSAGE, method=METHOD)
            assert metadata.trailers["x"] == expected


def test_trap_when_a_remembered_call_is_opened_late(counting: Counting) -> None:
    fields = iter("12")
    with (
        serving(lambda exchange: exchange.send(response(DATA, f"x: {next(fields)}"))) as server,
        ConnectClientSync(server.address) as client,
    ):
        client.execute_unary(request=MESSAGE, method=METHOD)
        counting.fails = True
        with pytest.raises(ConnectError) as caught:
            client.execute_unary(request=MESSAGE, method=METHOD)
        assert caught.value.code is Code.INTERNAL


def test_canceled_remembered_call() -> None:
    async def run() -> None:
        async with ConnectClient(server.address) as client:
            await client.execute_unary(request=MESSAGE, method=METHOD)
            task = asyncio.create_task(client.execute_unary(request=MESSAGE, method=METHOD))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    turns: Iterator[Any] = iter([lambda e: e.send(GOOD), lambda e: not e.wait_for_close()])
    with serving(lambda exchange: next(turns)(exchange)) as server:
        asyncio.run(run())
    assert open_calls() == 0


def test_deadline_of_a_remembered_call() -> None:
    def half(exchange: Exchange) -> bool:
        exchange.send(HEAD + b"content-length: 9\r\n\r\n")
        return not exchange.wait_for_close()

    turns: Iterator[Any] = iter([lambda e: e.send(GOOD), half])
    with (
        serving(lambda exchange: next(turns)(exchange)) as server,
        ConnectClientSync(server.address, timeout=0.3) as client,
    ):
        client.execute_unary(request=MESSAGE, method=METHOD)
        with pytest.raises(ConnectError) as caught:
            client.execute_unary(request=MESSAGE, method=METHOD)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert open_calls() == 0


def test_memory_is_small() -> None:
    with (
        serving(lambda exchange: exchange.send(response(exchange.content))) as server,
        ConnectClientSync(server.address) as client,
    ):
        for size in range(3 * config._MOST_REMEMBERED):
            client.execute_unary(request=StringValue(value="x" * size), method=METHOD)
        plan = client._config.plan(METHOD)
        assert len(plan.requests) <= config._MOST_REMEMBERED
        assert len(plan.replies) <= config._MOST_REMEMBERED


def test_long_heads_are_not_kept() -> None:
    with serving(response(DATA, "x: " + "a" * 5000)) as server, ConnectClientSync(server.address) as client:
        for _ in range(3):
            client.execute_unary(request=MESSAGE, method=METHOD)
        assert not client._config.plan(METHOD).replies


CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def chunks(content: bytes, size: int = 1000, end: bytes = b"0\r\n\r\n") -> bytes:
    pieces = [content[i : i + size] for i in range(0, len(content), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def test_head_of_a_response_of_unknown_length(counting: Counting) -> None:
    with serving(CHUNKED + chunks(DATA, 2)) as server, ConnectClientSync(server.address) as client:
        assert steps_of(counting, client) > 3  # a step for each piece
        assert steps_of(counting, client) == 1  # the head is known to become good
        assert steps_of(counting, client) == 0  # and so is the length


def test_known_head_with_other_content(counting: Counting) -> None:
    texts = ["a", "", "b" * 10_000, "c" * 100_000, "d" * 400_000, "e"]
    left = iter(texts)
    with (
        serving(lambda e: e.send(CHUNKED + chunks(StringValue(value=next(left)).SerializeToString()))) as server,
        ConnectClientSync(server.address) as client,
    ):
        assert [client.execute_unary(request=MESSAGE, method=METHOD).value for _ in texts] == texts


@pytest.mark.parametrize("limit", [1000, 300_000, 1 << 20])
def test_known_head_with_too_much_content(counting: Counting, limit: int) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(CHUNKED)
        if len(server.exchanges) == 1:
            exchange.send(chunks(DATA))
        while len(server.exchanges) > 1:  # until the client closes
            exchange.send(chunks(bytes(16384), 16384, b""))

    with serving(answer) as server, ConnectClientSync(server.address, read_max_bytes=limit) as client:
        client.execute_unary(request=MESSAGE, method=METHOD)
        with pytest.raises(ConnectError) as caught:
            client.execute_unary(request=MESSAGE, method=METHOD)
        assert caught.value.code is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("said", [b"", b"3\r\nabc\r\n", b"3\r\nab"])
def test_known_head_and_a_connection_that_breaks(counting: Counting, said: bytes) -> None:
    turns: Iterator[bytes] = iter([chunks(DATA), said])

    def answer(exchange: Exchange) -> bool:
        exchange.send(CHUNKED + next(turns))
        return len(server.exchanges) < 2

    with serving(answer) as server, ConnectClientSync(server.address) as client:
        client.execute_unary(request=MESSAGE, method=METHOD)
        with pytest.raises(ConnectError) as caught:
            client.execute_unary(request=MESSAGE, method=METHOD)
        assert caught.value.code is Code.UNAVAILABLE


def test_known_head_and_a_compressed_message(counting: Counting) -> None:
    head = HEAD + b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
    with serving(head + chunks(gzip.compress(DATA), 5)) as server, ConnectClientSync(server.address) as client:
        for _ in range(4):
            assert client.execute_unary(request=MESSAGE, method=METHOD) == MESSAGE
        assert steps_of(counting, client) == 0
