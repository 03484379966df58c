"""The leading metadata of streams behind interceptors, which know nothing of it: it is there before any message."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from client_support import MESSAGE, Exchange, RawServer, method, open_calls, serving
from connectcore.client import Cancellation, ConnectClient, ConnectClientSync, RetryPolicy
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.method import StreamType
from stream_support import until
from test_client_retries import BUSY, END, ERROR, ONE, STREAM, resets
from test_client_streams_interceptors import AroundAsync, AroundSync, Metadata, MetadataSync

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = method("Many", StreamType.SERVER_STREAM)
HEAD = STREAM.replace(b"\r\n\r\n", b"\r\nx-lead: 1\r\n\r\n")


@pytest.fixture(autouse=True)
def nothing_is_open() -> Iterator[None]:
    yield
    until(lambda: open_calls() == 0)


class Steps:
    """A server that sends the head at once, and a message and the end when it is told to."""

    def __init__(self, *, silent: bool = False) -> None:
        self.go = threading.Event()
        self.came = threading.Event()
        self.gone = threading.Event()
        self.silent = silent

    def __call__(self, exchange: Exchange) -> bool:
        if not self.silent:
            exchange.send(HEAD)
        self.came.set()
        if self.go.wait(0.02) or not exchange.wait_for_close(10):
            exchange.send(ONE + END)
        else:
            self.gone.set()
        return False


def stream_of(mode: str, address: str, **options: Any) -> Any:
    make: Any = ConnectClient if mode == "async" else ConnectClientSync
    around: Any = (AroundAsync("!"), Metadata()) if mode == "async" else (AroundSync("!"), MetadataSync())
    return make(address, interceptors=around, **options).execute_server_stream(request=MESSAGE, method=MANY)


def run(work: Any) -> Any:
    async def alone() -> Any:
        try:
            return await work()
        finally:
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(alone())


def test_before_any_message(mode: str) -> None:
    go_on = threading.Event()

    def answer(exchange: Exchange) -> None:
        exchange.send(HEAD)
        assert go_on.wait(20)
        exchange.send(ONE + ONE + END)

    with serving(answer) as server:
        if mode == "sync":
            stream = stream_of(mode, server.address)
            assert stream.headers()["x-lead"] == "1"
            go_on.set()
            assert [message.value for message in stream] == ["hello!", "hello!"]
            assert stream.headers()["x-lead"] == "1"
            return

        async def read() -> None:
            stream = stream_of(mode, server.address)
            assert (await stream.headers())["x-lead"] == "1"
            go_on.set()
            assert [message.value async for message in stream] == ["hello!", "hello!"]
            assert (await stream.headers())["x-lead"] == "1"

        run(read)


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_left_before_any_message(mode: str, how: str) -> None:
    steps = Steps()
    with serving(steps) as server:
        if mode == "sync":
            stream = stream_of(mode, server.address)
            assert stream.headers()["x-lead"] == "1"
            if how == "closed":
                stream.close()
            del stream
            gc.collect()
        else:

            async def read() -> None:
                stream = stream_of(mode, server.address)
                assert (await stream.headers())["x-lead"] == "1"
                if how == "closed":
                    await stream.aclose()
                del stream
                gc.collect()
                await asyncio.to_thread(steps.gone.wait, 20)

            run(read)
        assert steps.gone.wait(20)


@pytest.mark.parametrize("where", ["headers", "message"])
def test_canceled(mode: str, where: str) -> None:
    """While it waits for the head, or for the first message after it."""
    steps = Steps(silent=where == "headers")
    with serving(steps) as server:
        if mode == "sync":
            with Cancellation() as cancellation:

                def cancel_soon() -> None:
                    steps.came.wait(20)
                    cancellation.cancel()

                thread = threading.Thread(target=cancel_soon)
                stream = stream_of(mode, server.address)
                if where == "message":
                    stream.headers()
                thread.start()
                with pytest.raises(ConnectError) as caught:
                    stream.headers() if where == "headers" else next(stream)
                assert caught.value.code is Code.CANCELED
                thread.join()
            stream.close()
        else:

            async def read() -> None:
                async with stream_of(mode, server.address) as stream:
                    await stream.headers()
                    await anext(stream)

            async def cancel() -> None:
                task = asyncio.create_task(read())
                await asyncio.to_thread(steps.came.wait, 20)
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

            run(cancel)
        assert steps.gone.wait(20)


def headers_and_all(mode: str, server: RawServer, **options: Any) -> list[Any]:
    got: list[Any] = []

    async def read() -> None:
        stream = stream_of(mode, server.address, **options)
        got.append((await stream.headers()).get("x-lead"))
        async for message in stream:
            got.append(message.value)  # noqa: PERF401 - an error leaves those before it

    try:
        if mode == "async":
            run(read)
        else:
            stream = stream_of(mode, server.address, **options)
            got.append(stream.headers().get("x-lead"))
            got.extend(message.value for message in stream)
    except ConnectError as error:
        got.append(error.code)
    return got


def test_an_error_in_place_of_a_head(mode: str) -> None:
    with serving(resets) as server:
        assert headers_and_all(mode, server) == [Code.UNAVAILABLE]


def test_an_error_behind_the_head(mode: str) -> None:
    with serving(HEAD + ERROR) as server:
        assert headers_and_all(mode, server) == ["1", Code.UNAVAILABLE]


def test_tries(mode: str) -> None:
    """A head that was shown is that of the last try."""
    policy = RetryPolicy(initial_backoff=0.001, max_tokens=1000)
    left = [BUSY, HEAD + ONE + END]
    with serving(lambda exchange: exchange.send(left.pop(0))) as server:
        assert headers_and_all(mode, server, retries=policy) == ["1", "hello!"]
    goes = threading.Event()

    def breaks(exchange: Exchange) -> bool:
        exchange.send(HEAD)
        goes.wait(20)
        exchange.reset()
        return False

    async def read() -> None:
        stream = stream_of(mode, server.address, retries=policy)
        await stream.headers()
        goes.set()
        await anext(stream)

    def read_sync() -> None:
        stream = stream_of(mode, server.address, retries=policy)
        stream.headers()
        goes.set()
        next(stream)

    with serving(breaks) as server:
        with pytest.raises(ConnectError) as caught:
            run(read) if mode == "async" else read_sync()
        assert caught.value.code is Code.UNAVAILABLE
        assert len(server.exchanges) == 1
