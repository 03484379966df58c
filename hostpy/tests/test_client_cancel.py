"""Calls that their caller gives up: the HTTP request is aborted, and nothing stays behind."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyqwest
import pytest

from client_support import DATA, GOOD, HEAD, MESSAGE, METHOD, Exchange, call, open_calls, serving
from connectcore._client.cancellation import current_cancellation
from connectcore._client.response_metadata import current_response
from connectcore.client import Cancellation, ConnectClient, ConnectClientSync, ResponseMetadata
from connectcore.code import Code
from connectcore.errors import ConnectError

HALF = HEAD + b"content-length: 100\r\n\r\n" + DATA


class Waiting:
    """Says something, then waits for the client to go away."""

    def __init__(self, said: bytes) -> None:
        self.said = said
        self.reached = threading.Event()
        self.closed: threading.Event = threading.Event()

    def __call__(self, exchange: Exchange) -> bool:
        if self.reached.is_set():
            exchange.send(GOOD)
            return True
        if self.said:
            exchange.send(self.said)
        self.reached.set()
        if exchange.wait_for_close(20):
            self.closed.set()
        return False


@pytest.mark.parametrize("said", [b"", HALF], ids=["before the head", "within the content"])
def test_canceled_task(said: bytes) -> None:
    waiting = Waiting(said)

    async def run() -> None:
        async with ConnectClient(server.address) as client:
            task = asyncio.create_task(client.execute_unary(request=MESSAGE, method=METHOD, timeout=30))
            await asyncio.to_thread(waiting.reached.wait, 20)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(waiting.closed.wait, 20)
            assert await client.execute_unary(request=MESSAGE, method=METHOD) == MESSAGE

    with serving(waiting) as server:
        asyncio.run(run())
    assert open_calls() == 0


def test_timeout_around_a_call() -> None:
    """`asyncio.timeout` of the caller is a TimeoutError, not the call's deadline."""
    waiting = Waiting(b"")

    async def run() -> None:
        async with ConnectClient(server.address) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await client.execute_unary(request=MESSAGE, method=METHOD, timeout=30)

    with serving(waiting) as server:
        asyncio.run(run())
        assert waiting.closed.wait(20)
    assert open_calls() == 0


def test_deadline_aborts_the_request() -> None:
    for mode in ("async", "sync"):
        waiting = Waiting(HALF)
        with serving(waiting) as server:
            with pytest.raises(ConnectError) as caught:
                call(mode, server.address, timeout=1)
            assert caught.value.code is Code.DEADLINE_EXCEEDED
            assert waiting.closed.wait(20)
    assert open_calls() == 0


def test_metadata_of_a_call_that_its_deadline_ended() -> None:
    for mode in ("async", "sync"):
        with serving(Waiting(HEAD + b"x-a: 1\r\ncontent-length: 100\r\n\r\n")) as server, ResponseMetadata() as metadata:
            with pytest.raises(ConnectError) as caught:
                call(mode, server.address, timeout=1)
            assert (metadata.http_status, metadata.headers["x-a"], caught.value.metadata["x-a"]) == (200, "1", "1")


def test_many_canceled_tasks_leave_nothing() -> None:
    async def run() -> None:
        async with ConnectClient(server.address) as client:
            tasks = [asyncio.create_task(client.execute_unary(request=MESSAGE, method=METHOD)) for _ in range(50)]
            for delay, task in enumerate(tasks):
                asyncio.get_running_loop().call_later(delay / 1000, task.cancel)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(outcome, asyncio.CancelledError) or outcome == MESSAGE for outcome in outcomes)

    def answer(exchange: Exchange) -> None:
        time.sleep(0.02)
        exchange.send(GOOD)

    with serving(answer) as server:
        asyncio.run(run())
    assert open_calls() == 0


@pytest.mark.parametrize("said", [b"", HALF], ids=["before the head", "within the content"])
@pytest.mark.parametrize("timeout", [None, 30])
def test_canceled_by_another_thread(said: bytes, timeout: float | None) -> None:
    waiting = Waiting(said)
    with serving(waiting) as server, ConnectClientSync(server.address) as client:
        with Cancellation() as cancellation:

            def cancel() -> None:
                waiting.reached.wait(20)
                time.sleep(0.05)
                cancellation.cancel()

            threading.Thread(target=cancel).start()
            start = time.monotonic()
            with pytest.raises(ConnectError) as caught:
                client.execute_unary(request=MESSAGE, method=METHOD, timeout=timeout)
            assert caught.value.code is Code.CANCELED
            assert time.monotonic() - start < 10
            assert waiting.closed.wait(20)
            with pytest.raises(ConnectError) as caught:  # what follows fails at once
                client.execute_unary(request=MESSAGE, method=METHOD)
            assert caught.value.code is Code.CANCELED
        assert len(server.exchanges) == 1
        assert client.execute_unary(request=MESSAGE, method=METHOD) == MESSAGE
    assert open_calls() == 0


def test_cancellation_that_is_not_used() -> None:
    with serving(GOOD) as server, Cancellation() as cancellation:
        for _ in range(3):
            assert call("sync", server.address) == MESSAGE
        assert cancellation._watchers == []
        assert not cancellation.canceled


def test_deadline_under_a_cancellation() -> None:
    waiting = Waiting(b"")
    with serving(waiting) as server, Cancellation():
        with pytest.raises(ConnectError) as caught:
            call("sync", server.address, timeout=1)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        assert waiting.closed.wait(20)


def test_errors_under_a_cancellation() -> None:
    with Cancellation():
        with pytest.raises(ConnectError) as caught:
            call("sync", "http://127.0.0.1:1")
        assert caught.value.code is Code.UNAVAILABLE


def test_cancellation_with_a_client_that_cannot_be_interrupted() -> None:
    """It is seen as soon as the server says something."""

    def answer(exchange: Exchange) -> None:
        exchange.send(HALF)
        cancellation.cancel()
        time.sleep(0.1)
        exchange.send(b"x" * 10)
        exchange.wait_for_close()

    with serving(answer) as server, Cancellation() as cancellation:
        with pytest.raises(ConnectError) as caught:
            call("sync", server.address, http_client=pyqwest.SyncClient())
        assert caught.value.code is Code.CANCELED
    assert open_calls() == 0


def test_cancellations_nest_and_belong_to_their_thread() -> None:
    with Cancellation() as outer:
        with Cancellation() as inner:
            canceled = current_cancellation()
            assert canceled is not None
            assert not canceled.canceled
        assert inner._watchers == outer._watchers == []
        assert current_cancellation() is outer
        seen: list[Any] = []
        thread = threading.Thread(target=lambda: seen.append(current_cancellation()))
        thread.start()
        thread.join()
        assert seen == [None]
    assert current_cancellation() is None


@pytest.mark.parametrize("surrounding", [Cancellation, ResponseMetadata])
def test_block_that_is_left_in_another_context(surrounding: type[Cancellation | ResponseMetadata]) -> None:
    """As where an async generator is closed by another task than began it."""
    block = surrounding()
    contextvars.copy_context().run(block.__enter__)
    block.__exit__(None, None, None)
    assert current_cancellation() is None
    assert current_response() is None


@pytest.mark.parametrize("which", ["the outer", "the inner"])
def test_either_of_two_cancellations_cancels(which: str) -> None:
    waiting = Waiting(b"")
    with serving(waiting) as server, Cancellation() as outer, Cancellation() as inner:

        def cancel() -> None:
            waiting.reached.wait(20)
            (outer if which == "the outer" else inner).cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(ConnectError) as caught:
            call("sync", server.address, timeout=20)
        thread.join()
        assert caught.value.code is Code.CANCELED


def test_a_block_within_a_block_of_the_same_object() -> None:
    with Cancellation() as cancellation:
        with cancellation:
            assert current_cancellation() is cancellation
        assert current_cancellation() is cancellation
    assert current_cancellation() is None


@pytest.mark.parametrize("surrounding", [Cancellation, ResponseMetadata])
def test_threads_that_share_an_object_leave_it_behind(surrounding: type[Cancellation | ResponseMetadata]) -> None:
    """Threads live on, in a pool, when what was canceled is long over."""
    shared, inside, left = surrounding(), threading.Barrier(4), threading.Barrier(4)

    def work() -> tuple[object, object]:
        with shared:
            inside.wait(20)
        left.wait(20)
        return current_cancellation(), current_response()

    with ThreadPoolExecutor(4) as pool:
        assert [each.result() for each in [pool.submit(work) for _ in range(4)]] == [(None, None)] * 4
