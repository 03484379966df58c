"""Streams that are given up: by a canceled task, another thread, a deadline, a reader that leaves, or a server that dies.

CONNECTCORE_CANCELED says how many calls of each kind are canceled, where many are.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from client_support import open_calls, pressing_ctrl_c
from connectcore._transport.http import pump
from connectcore.client import Cancellation, ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.transport import HTTPTransport
from server_support import BIDI, CLIENT, SERVER, UNARY, method
from stream_support import KINDS, PROTOCOLS, Service, call_any, new_client, said, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from google.protobuf.wrappers_pb2 import StringValue

pytest.importorskip("zttp")

pytestmark = pytest.mark.usefixtures("nothing_is_left")

MANY = int(os.environ.get("CONNECTCORE_CANCELED", "60"))
FLIGHT = 20
CALM = 60
"""Calls that are canceled on one connection: the server takes more of them for an attack."""


async def hanging(before: int = 1) -> AsyncIterator[StringValue]:
    """Requests that make the server answer, and then wait for ever."""
    for _ in range(before):
        yield said("a")
    await asyncio.sleep(60)


def hanging_sync(over: threading.Event, before: int = 1) -> Iterator[StringValue]:
    for _ in range(before):
        yield said("a")
    over.wait(60)


async def alone() -> None:
    """Wait until there is no other task."""
    for _ in range(1000):
        if asyncio.all_tasks() == {asyncio.current_task()}:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(asyncio.all_tasks())


async def hang(client: ConnectClient, kind: str, **options: Any) -> Any:
    """A call that does not end by itself; a stream has given a message."""
    options["method"] = method(kind)
    if kind == UNARY:
        return await client.execute_unary(request=said("hang"), **options)
    if kind == CLIENT:
        return await client.execute_client_stream(request=hanging(), **options)
    if kind == SERVER:
        stream = client.execute_server_stream(request=said("a hang"), **options)
    else:
        stream = client.execute_bidi_stream(request=hanging(), **options)
    assert await anext(stream) == said("A")
    return await anext(stream)


def hang_sync(client: ConnectClientSync, kind: str, **options: Any) -> Any:
    options["method"] = method(kind)
    over = threading.Event()
    try:
        if kind == UNARY:
            return client.execute_unary(request=said("hang"), **options)
        if kind == CLIENT:
            return client.execute_client_stream(request=hanging_sync(over), **options)
        if kind == SERVER:
            stream = client.execute_server_stream(request=said("a hang"), **options)
        else:
            stream = client.execute_bidi_stream(request=hanging_sync(over), **options)
        assert next(stream) == said("A")
        return next(stream)
    finally:
        over.set()


loops = pytest.mark.parametrize("run_in", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])


@loops
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_canceled_task(address: str, service: Service, protocol: ProtocolType, kind: str, run_in: Any) -> None:
    async def run() -> None:
        async with new_client("async", address, protocol=protocol) as client:
            before = service.canceled
            task = asyncio.create_task(hang(client, kind))
            await asyncio.to_thread(until, lambda: service.running == 1)
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()
            await asyncio.to_thread(until, lambda: service.running == 0)
            assert service.canceled == before + 1
            assert (await client.execute_unary(request=said("good"), method=method(UNARY))).value == "GOOD"

    run_in(run())


@loops
@pytest.mark.parametrize("kind", KINDS)
def test_timeouts_and_groups_are_asyncios(address: str, kind: str, run_in: Any) -> None:
    async def run() -> None:
        async with new_client("async", address) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await hang(client, kind)
            with pytest.raises(ExceptionGroup) as caught:
                await in_group(hang(client, kind))
            assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]

    run_in(run())


async def in_group(call: Coroutine[Any, Any, Any]) -> None:
    """Make a call in a task group that another of its tasks ends."""
    async with asyncio.TaskGroup() as group:
        group.create_task(call)
        await asyncio.sleep(0.05)
        raise ZeroDivisionError


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_deadlines(mode: str, address: str, service: Service, protocol: ProtocolType, kind: str) -> None:
    """They cover the whole call, and what came before is given."""
    client = new_client(mode, address, protocol=protocol)
    start = time.monotonic()
    with pytest.raises(ConnectError) as caught:
        hang_sync(client, kind, timeout=0.3) if mode == "sync" else asyncio.run(hang(client, kind, timeout=0.3))
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert 0.2 < time.monotonic() - start < 10


@pytest.mark.parametrize("kind", [SERVER, BIDI])
def test_a_deadline_between_two_messages(mode: str, address: str, kind: str) -> None:
    """It is seen by a reader that did something else meanwhile."""
    over = threading.Event()
    client = new_client(mode, address)
    options = {"method": method(kind), "timeout": 1}
    if mode == "sync":
        if kind == SERVER:
            stream = client.execute_server_stream(request=said("a hang"), **options)
        else:
            stream = client.execute_bidi_stream(request=hanging_sync(over), **options)
        assert next(stream) == said("A")
        time.sleep(1.1)
        with pytest.raises(ConnectError) as caught:
            next(stream)
        over.set()
    else:

        async def run() -> None:
            if kind == SERVER:
                stream = client.execute_server_stream(request=said("a hang"), **options)
            else:
                stream = client.execute_bidi_stream(request=hanging(), **options)
            assert await anext(stream) == said("A")
            await asyncio.sleep(1.1)
            await anext(stream)

        with pytest.raises(ConnectError) as caught:
            asyncio.run(run())
    assert caught.value.code is Code.DEADLINE_EXCEEDED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_canceled_by_another_thread(address: str, service: Service, protocol: ProtocolType, kind: str) -> None:
    with new_client("sync", address, protocol=protocol) as client, Cancellation() as cancellation:

        def cancel() -> None:
            until(lambda: service.running == 1)
            time.sleep(0.02)
            cancellation.cancel()

        threading.Thread(target=cancel).start()
        start = time.monotonic()
        with pytest.raises(ConnectError) as caught:
            hang_sync(client, kind)
        assert caught.value.code is Code.CANCELED
        assert time.monotonic() - start < 10
        until(lambda: service.running == 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", [ProtocolType.CONNECT, ProtocolType.GRPC])
def test_ctrl_c(address: str, service: Service, protocol: ProtocolType, kind: str) -> None:
    with new_client("sync", address, protocol=protocol) as client:
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt), pressing_ctrl_c(lambda: until(lambda: service.running == 1)):
            hang_sync(client, kind)
        assert time.monotonic() - start < 20
        until(lambda: service.running == 0)
        assert client.execute_unary(request=said("good"), method=method(UNARY)).value == "GOOD"


def test_messages_that_came_before_a_cancellation_are_not_given(address: str) -> None:
    with new_client("sync", address) as client, Cancellation() as cancellation:
        stream = client.execute_server_stream(request=said("many:100000"), method=method(SERVER))
        next(stream)
        cancellation.cancel()
        with pytest.raises(ConnectError) as caught:
            next(stream)
        assert caught.value.code is Code.CANCELED


# Readers that leave


def leave_async(how: str, kind: str) -> Callable[[Any], Any]:
    async def leave(client: ConnectClient) -> None:
        def stream() -> Any:
            if kind == SERVER:
                return client.execute_server_stream(request=said("a hang"), method=method(SERVER))
            return client.execute_bidi_stream(request=hanging(), method=method(BIDI))

        if how == "break":
            async for _ in stream():
                break
        elif how == "block":
            async with stream() as responses:
                async for _ in responses:
                    break
        elif how == "error":
            try:
                async for _ in stream():
                    raise ZeroDivisionError
            except ZeroDivisionError:
                pass
        elif how == "close":
            responses = stream()
            await anext(responses)
            await responses.aclose()
        else:
            responses = stream()
            await anext(responses)
            cycle = [responses]
            cycle.append(cycle)
            del responses, cycle
            await asyncio.to_thread(gc.collect)  # in another thread than the loop's

    return leave


WAYS = ["break", "block", "error", "close", "cycle"]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("kind", [SERVER, BIDI])
@pytest.mark.parametrize("protocol", [ProtocolType.CONNECT, ProtocolType.GRPC])
def test_leaving_a_stream(address: str, service: Service, how: str, kind: str, protocol: ProtocolType) -> None:
    """The server hears of it at once, while the program goes on."""

    async def run() -> None:
        async with new_client("async", address, protocol=protocol) as client:
            await leave_async(how, kind)(client)
            await asyncio.to_thread(until, lambda: service.running == 0)
            await alone()

    asyncio.run(run())


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("kind", [SERVER, BIDI])
def test_leaving_a_stream_sync(address: str, service: Service, how: str, kind: str) -> None:
    over = threading.Event()
    with new_client("sync", address) as client:

        def stream() -> Any:
            if kind == SERVER:
                return client.execute_server_stream(request=said("a hang"), method=method(SERVER))
            return client.execute_bidi_stream(request=hanging_sync(over), method=method(BIDI))

        if how == "break":
            for _ in stream():
                break
        elif how == "block":
            with stream() as responses:
                for _ in responses:
                    break
        elif how == "error":
            try:
                for _ in stream():
                    raise ZeroDivisionError
            except ZeroDivisionError:
                pass
        elif how == "close":
            responses = stream()
            next(responses)
            responses.close()
        else:
            responses = stream()
            next(responses)
            cycle = [responses]
            cycle.append(cycle)
            del responses, cycle
            gc.collect()
        until(lambda: service.running == 0)
        over.set()


def test_a_stream_that_outlives_its_loop(address: str) -> None:
    """Nobody is left to close it; nothing is raised, and the module forgets the call."""

    async def run() -> Any:
        stream = new_client("async", address).execute_server_stream(request=said("a hang"), method=method(SERVER))
        await anext(stream)
        return stream

    stream = asyncio.run(run())
    del stream
    gc.collect()
    until(lambda: open_calls() == 0)


def test_streams_that_never_began(address: str) -> None:
    for mode in ("async", "sync"):
        client = new_client(mode, address)
        stream = client.execute_server_stream(request=said("a"), method=method(SERVER))
        del stream
        stream = client.execute_bidi_stream(request=iter([said("a")]), method=method(BIDI))
        del stream


# Many


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_many_canceled_calls_leave_nothing(address: str, service: Service, protocol: ProtocolType, kind: str) -> None:
    """Canceled at every moment of a call."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for first in range(0, MANY, FLIGHT):
            if not first % CALM:
                sender = HTTPTransport(http_version="2")
                client = ConnectClient(address, http_client=sender, protocol=protocol)
            tasks = [asyncio.create_task(hang(client, kind)) for _ in range(FLIGHT)]
            for number, task in enumerate(tasks):
                loop.call_later((first + number) % 37 / 1500, task.cancel)
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
            if not (first + FLIGHT) % CALM:
                await asyncio.to_thread(until, lambda: service.running == 0)
                assert (await client.execute_unary(request=said("good"), method=method(UNARY))).value == "GOOD"
                await sender.close()
        await alone()

    call_any(new_client("async", address), UNARY, ["what is opened once"])
    before = descriptors()
    asyncio.run(run())
    gc.collect()
    until(lambda: descriptors() <= before + 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_many_canceled_calls_leave_nothing_sync(
    address: str, service: Service, protocol: ProtocolType, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "_KEPT", 0.2)  # threads that wait for more to do are not waited for so long
    outcomes = []

    def work(first: int) -> None:
        for number in range(MANY // 6):
            if not number % 10:
                client = new_client("sync", address, protocol=protocol)
            with Cancellation() as cancellation:
                timer = threading.Timer((first + number) % 37 / 1500, cancellation.cancel)
                timer.start()
                try:
                    hang_sync(client, kind)
                except BaseException as error:
                    outcomes.append(error)
                timer.join()

    work(0)  # with what stays: the loop that cancelable calls run in
    threads_before, before = threading.active_count(), descriptors()
    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 30, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {getattr(outcome, "code", outcome) for outcome in outcomes} == {Code.CANCELED}
    assert len(outcomes) == MANY // 6 * 6
    until(lambda: service.running == 0 and threading.active_count() <= threads_before)
    until(lambda: descriptors() <= before + 8)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


# A server that dies

SERVER_PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import socket
import uvicorn
from server_support import ASGI
from stream_support import Service
listener = socket.socket(fileno={fd})
config = uvicorn.Config(ASGI(Service().functions), http="zttp", http2=True, lifespan="off", log_level="warning")
uvicorn.Server(config).run([listener])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("kind", [SERVER, BIDI])
@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_is_killed(mode: str, protocol: ProtocolType, version: str, kind: str) -> None:
    """What came before is given, then the call fails so that it may be tried again."""
    if version == "1" and (protocol is ProtocolType.GRPC or kind == BIDI):
        pytest.skip("HTTP/1.1 carries no gRPC, and the server answers there when it has all requests")
    listener = socket.create_server(("127.0.0.1", 0))
    listener.set_inheritable(True)
    program = SERVER_PROGRAM.format(tests=str(Path(__file__).parent), fd=listener.fileno())
    with subprocess.Popen([sys.executable, "-c", program], pass_fds=[listener.fileno()]) as server:
        try:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            listener.close()
            killed = 0.0
            got = []
            over = threading.Event()
            client = new_client(mode, address, version, protocol=protocol, timeout=20)

            def kill() -> None:
                nonlocal killed
                server.kill()
                killed = time.monotonic()

            def read_sync() -> None:
                made: Any
                if kind == SERVER:
                    made = client.execute_server_stream(request=said("a b hang"), method=method(SERVER))
                else:
                    made = client.execute_bidi_stream(request=hanging_sync(over, 2), method=method(BIDI))
                for message in made:
                    got.append(message.value)
                    if len(got) == 2:
                        kill()

            async def read() -> None:
                made: Any
                if kind == SERVER:
                    made = client.execute_server_stream(request=said("a b hang"), method=method(SERVER))
                else:
                    made = client.execute_bidi_stream(request=hanging(2), method=method(BIDI))
                async for message in made:
                    got.append(message.value)
                    if len(got) == 2:
                        kill()

            with pytest.raises(ConnectError) as caught:
                read_sync() if mode == "sync" else asyncio.run(read())
            over.set()
            assert caught.value.code is Code.UNAVAILABLE
            assert len(got) == 2
            assert time.monotonic() - killed < 5  # a busy machine may be slow to tell
        finally:
            server.kill()
