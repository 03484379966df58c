"""What every transport does when something goes wrong, is given up, or when there are many: the same tests for each."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from connectcore._client.exchange import complete
from connectcore.client import Cancellation
from connectcore.transport import Gone, TransportError
from transport_peers import PATIENCE, Exchange, Exchange1, Exchange2, peer
from transport_support import KINDS, Driver, Feed, Kind, OfTheUser, drive, every, gone, http1, http2, kinds, until

if TYPE_CHECKING:
    from collections.abc import Callable


REFUSED_STREAM = 7

# What goes wrong


def fails(kind: Kind, script: Callable[[Any], Any], *, timeout: float | None = None) -> tuple[TransportError, Any]:
    """The error of an exchange, after which another one on the same transport is good."""
    turn = iter([script])
    caught: list[TransportError] = []

    def scripts(exchange: Exchange) -> Any:
        exchange.content()
        return next(turn, lambda e: e.answer(b"ok"))(exchange)

    async def body(driver: Driver) -> None:
        with pytest.raises(TransportError) as error:
            await limited(driver, timeout, driver.whole(driver.request(b"hello", timeout=timeout)))
        caught.append(error.value)
        assert (await driver.whole(driver.request(b"hello")))[1] == b"ok"

    with peer(scripts, kind.version) as where:
        drive(kind, where, body)
    return caught[0], where


async def limited(driver: Driver, limit: float | None, work: Any) -> Any:
    """As clients do it: the loop ends what takes too long, and a sync transport does so by itself."""
    if driver.sync or limit is None:
        return await work
    try:
        async with asyncio.timeout(limit):
            return await work
    except TimeoutError:
        raise TransportError(Gone.TIMEOUT) from None


def test_nobody_listens() -> None:
    async def body(driver: Driver) -> None:
        driver.origin = "http://127.0.0.1:1"
        with pytest.raises((TransportError, ConnectionRefusedError)) as caught:
            await driver.open(driver.request(b"hello"))
        assert not isinstance(caught.value, TransportError) or caught.value.reason is Gone.REFUSED

    for kind in KINDS:
        if kind.network:
            with peer(lambda exchange: None, kind.version) as where:
                drive(kind, where, body)


def head_then_abort(exchange: Exchange) -> None:
    exchange.respond()
    exchange.data(b"x")
    time.sleep(0.05)
    exchange.abort()


BREAKS: dict[str, Callable[[Any], Any]] = {"before the head": lambda exchange: exchange.abort(), "within": head_then_abort}


@every
@pytest.mark.parametrize("name", BREAKS)
def test_connection_that_breaks(kind: Kind, name: str) -> None:
    error, _ = fails(kind, BREAKS[name])
    assert error.reason is Gone.CLOSED, error


def length_then_close(exchange: Exchange1) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc")
    exchange.connection.close()


def chunk_then_close(exchange: Exchange1) -> None:
    exchange.respond()
    exchange.data(b"abc")
    exchange.connection.close()


@http1
@pytest.mark.parametrize(
    "script",
    [
        lambda exchange: exchange.connection.close(),
        lambda exchange: (exchange.raw(b"HTTP/1.1 200 OK\r\nx: "), exchange.connection.close()),
        length_then_close,
        chunk_then_close,
    ],
    ids=["at once", "within the head", "within the content", "before the last chunk"],
)
def test_connection_that_ends(kind: Kind, script: Any) -> None:
    error, _ = fails(kind, script)
    assert error.reason is Gone.CLOSED, error


@http1
@pytest.mark.parametrize(
    "said",
    [
        b"\0\1\2 garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx\0y: 1\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    ],
    ids=["garbage", "another protocol", "NUL in a name", "two lengths", "negative length", "chunk size"],
)
def test_what_is_not_http1(kind: Kind, said: bytes) -> None:
    def script(exchange: Exchange1) -> None:
        exchange.raw(said)
        exchange.gone()

    error, _ = fails(kind, script)
    assert error.reason is Gone.MALFORMED, error


@http2
@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
        b"\0\0\1\0\0\0\0\0\0x",  # DATA on stream 0
        b"\0\0\5\4\0\0\0\0\0xxxxx",  # SETTINGS of five bytes
        b"\xff\xff\xff\0\0\0\0\0\1",  # a frame of 16 MiB
    ],
    ids=["HTTP/1.1", "DATA on stream 0", "SETTINGS of five bytes", "a huge frame"],
)
def test_what_is_not_http2(kind: Kind, said: bytes) -> None:
    def script(exchange: Exchange2) -> None:
        exchange.raw(said)
        exchange.is_gone.wait(0.5)  # h2 waits for the rest of a frame, however long
        exchange.abort()

    error, _ = fails(kind, script)
    assert error.reason in (Gone.MALFORMED, Gone.RESET, Gone.CLOSED), error


@http2
@pytest.mark.parametrize("code", [1, 2, REFUSED_STREAM, 8, 11])
@pytest.mark.parametrize("begun", [False, True])
def test_stream_that_is_reset(kind: Kind, code: int, begun: bool) -> None:
    if kind.sends_again and code == REFUSED_STREAM and not begun:
        pytest.skip("such a request is sent again: it was not processed")

    def script(exchange: Exchange2) -> None:
        if begun:
            exchange.respond()
            exchange.data(b"x")
        exchange.reset(code)

    error, where = fails(kind, script)
    assert (error.reason, error.reset_code) == (Gone.RESET, code), error
    assert where.connections == 1


# Giving up


@every
@pytest.mark.parametrize("begun", [False, True], ids=["before the head", "within the content"])
def test_deadline(kind: Kind, begun: bool) -> None:
    given_up = threading.Event()

    def script(exchange: Exchange) -> None:
        if begun:
            exchange.respond()
            exchange.data(b"x")
        if kind.resets and exchange.gone():
            given_up.set()

    if kind.version == "wsgi" and not begun:
        pytest.skip("an application in the caller's thread is not interrupted")
    start = time.monotonic()
    error, _ = fails(kind, script, timeout=1)
    assert error.reason is Gone.TIMEOUT
    assert time.monotonic() - start < PATIENCE
    assert not kind.resets or given_up.wait(PATIENCE)


@kinds(mode="async")
@pytest.mark.parametrize("begun", [False, True], ids=["before the head", "within the content"])
@pytest.mark.parametrize("content", [b"hello", None], ids=["bytes", "iterator"])
def test_canceled_task(kind: Kind, begun: bool, content: bytes | None) -> None:
    if begun and content is None and not kind.duplex:
        pytest.skip("all content is sent first")
    reached, given_up, never = threading.Event(), threading.Event(), threading.Event()
    feed = Feed(b"hello", never)

    def script(exchange: Exchange) -> None:
        exchange.chunk()
        if begun:
            exchange.respond()
            exchange.data(b"x")
        reached.set()
        if exchange.gone():
            given_up.set()

    async def body(driver: Driver) -> None:
        task = asyncio.ensure_future(driver.whole(driver.request(content or feed)))
        await until(reached)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        if kind.resets:
            await until(given_up)
        if content is None:
            await until(feed.closed)

    with peer(script, kind.version) as where:
        drive(kind, where, body)


@kinds(mode="sync", interrupts=True)
@pytest.mark.parametrize("begun", [False, True], ids=["before the head", "within the content"])
def test_cancellation(kind: Kind, begun: bool) -> None:
    given_up = threading.Event()
    cancellation = Cancellation()

    def script(exchange: Exchange) -> None:
        exchange.content()
        if begun:
            exchange.respond()
            exchange.data(b"x")
        time.sleep(0.05)
        cancellation.cancel()
        if exchange.gone():
            given_up.set()

    async def body(driver: Driver) -> None:
        with pytest.raises(TransportError) as caught:
            await driver.whole(driver.request(b"hello", cancellation=cancellation))
        assert caught.value.reason is Gone.CANCELED
        assert given_up.wait(PATIENCE)

    with peer(script, kind.version) as where:
        drive(kind, where, body)


@every
@pytest.mark.parametrize("content", [b"hello", None], ids=["bytes", "iterator"])
def test_response_that_is_closed_early(kind: Kind, content: bytes | None) -> None:
    if content is None and not kind.duplex:
        pytest.skip("all content is sent first")
    given_up, never = threading.Event(), threading.Event()
    feed = Feed(b"hello", never)

    def script(exchange: Exchange) -> None:
        exchange.chunk()
        exchange.respond()
        exchange.data(b"x")
        if kind.resets and exchange.gone():
            given_up.set()

    async def body(driver: Driver) -> None:
        response = await driver.open(driver.request(content or feed))
        assert await driver.read(response) == b"x"
        await driver.close(response)
        await driver.close(response)
        if content is None:
            await gone(feed, driver)
        if kind.resets:
            await until(given_up) if not driver.sync else given_up.wait(PATIENCE)
            assert given_up.is_set()

    with peer(script, kind.version) as where:
        drive(kind, where, body)
        never.set()


# Many


@kinds(mode="async", shares=True)
def test_many_at_once(kind: Kind) -> None:
    def script(exchange: Exchange) -> None:
        exchange.answer(exchange.content())

    async def body(driver: Driver) -> None:
        async def one(number: int) -> None:
            data = b"%d" % number * 1000
            content = data if number % 2 else Feed(data[:50], data[50:])
            assert (await driver.whole(driver.request(content)))[1] == data

        async with asyncio.TaskGroup() as tasks:
            for number in range(50):
                tasks.create_task(one(number))

    with peer(script, kind.version) as where:
        drive(kind, where, body)


@kinds(mode="sync", shares=True)
def test_many_threads(kind: Kind) -> None:
    def script(exchange: Exchange) -> None:
        exchange.answer(exchange.content())

    async def body(driver: Driver) -> None:
        wrong: list[Any] = []

        def some(number: int) -> None:
            for _ in range(5):
                try:
                    data = b"%d" % number * 1000
                    _, content = complete(driver.whole(driver.request(data if number % 2 else Feed(data[:50], data[50:]))))
                    assert content == data
                except BaseException as error:
                    wrong.append(error)

        threads = [threading.Thread(target=some, args=(number,)) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    with peer(script, kind.version) as where:
        drive(kind, where, body)


async def pause(driver: Driver) -> None:
    if driver.sync:
        time.sleep(0.05)  # noqa: ASYNC251 - nothing else waits
    else:
        await asyncio.sleep(0.05)


def held() -> tuple[int, int]:
    """Descriptors and threads of this process."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted by /proc")
@every
def test_nothing_is_left(kind: Kind) -> None:
    """Of exchanges that failed, were closed early or were canceled."""

    def script(exchange: Exchange) -> None:
        match exchange.chunk():
            case b"breaks":
                exchange.abort()
            case b"closes":
                exchange.respond()
                exchange.data(b"x")
                exchange.gone() if kind.resets else exchange.end()
            case b"waits":
                exchange.content()
            case _:
                exchange.answer(b"ok")

    async def rounds(driver: Driver, count: int) -> None:
        for _ in range(count):
            with pytest.raises(TransportError):
                await driver.whole(driver.request(b"breaks"))
            response = await driver.open(driver.request(b"closes"))
            await driver.read(response)
            await driver.close(response)
            with pytest.raises(OfTheUser):
                await driver.whole(driver.request(Feed(b"waits", OfTheUser())))
            assert (await driver.whole(driver.request(b"good")))[1] == b"ok"
            if not driver.sync:
                task = asyncio.ensure_future(driver.whole(driver.request(Feed(b"waits", threading.Event()))))
                await asyncio.sleep(0.005)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    async def body(driver: Driver) -> None:
        await rounds(driver, 3)
        before = held()
        await rounds(driver, 20)
        patience = time.monotonic() + PATIENCE
        while any(now > then + 3 for now, then in zip(held(), before, strict=True)) and time.monotonic() < patience:
            await pause(driver)
        assert all(now <= then + 3 for now, then in zip(held(), before, strict=True)), (before, held())
        if not driver.sync:
            await asyncio.sleep(0.05)
            assert len(asyncio.all_tasks()) == 1

    with peer(script, kind.version) as where:
        drive(kind, where, body)
