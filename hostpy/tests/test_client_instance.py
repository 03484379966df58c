"""Clients and the instances of the module: failures, configurations, threads."""

from __future__ import annotations

import asyncio
import gc
import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from client_support import DATA, GOOD, MESSAGE, METHOD, CountedSteps, Exchange, call, open_calls, response, serving
from connectcore._wasm import abi, records
from connectcore._wasm.configuration import Configuration
from connectcore._wasm.pool import POOL, Pool
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.errors import ConnectError
from stream_support import until

if TYPE_CHECKING:
    from connectcore._wasm.instance import Instance


@pytest.fixture
def known(instance: Instance) -> Configuration:
    """The configuration of clients without settings, kept, so that the instance knows it from now on."""
    configuration = ConnectClientSync("http://any")._config._configuration
    configuration.handle_in(instance)
    return configuration


@pytest.mark.parametrize("how", ["trap", "panic"])
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.usefixtures("known")
def test_instance_that_fails(mode: str, instance: Instance, how: str, at: int) -> None:
    with serving(GOOD) as server:
        CountedSteps(instance, **{how: at})
        with pytest.raises(ConnectError) as caught:
            call(mode, server.address)
        assert (caught.value.code, caught.value.message) == (Code.INTERNAL, "the call failed inside")
        assert instance not in POOL.instances()
        assert call(mode, server.address) == MESSAGE
    assert open_calls() == 0


@pytest.mark.usefixtures("known")
def test_command_that_the_module_refuses(mode: str, instance: Instance, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of this package's own: it fails the call, and leaves nothing behind."""
    with serving(GOOD) as server:
        CountedSteps(instance, misuse=1)
        with pytest.raises(ConnectError) as caught:
            call(mode, server.address)
        assert (caught.value.code, caught.value.message) == (Code.INTERNAL, "the call failed inside")
        assert "refused a command" in caplog.text
        CountedSteps(instance, misuse=0)
        with pytest.raises(RuntimeError, match="refuses a call"):
            call(mode, server.address)
        assert call(mode, server.address) == MESSAGE
    assert instance in POOL.instances()
    assert open_calls() == 0


@pytest.mark.usefixtures("known")
def test_instance_that_fails_before_the_verdict_on_a_message(mode: str, instance: Instance) -> None:
    with serving(response(b"\xff")) as server:
        steps = CountedSteps(instance, trap=2)  # behind request and response
        with pytest.raises(ConnectError) as caught:
            call(mode, server.address)
        assert steps.number == 3
        assert (caught.value.code, caught.value.message) == (Code.INTERNAL, "the call failed inside")
    assert open_calls() == 0


def test_instances_that_all_fail(monkeypatch: pytest.MonkeyPatch, instance: Instance) -> None:
    CountedSteps(instance, trap=0)
    monkeypatch.setattr(Pool, "pick", lambda _: instance)
    with pytest.raises(RuntimeError, match="no instance of the protocol module"):
        call("sync", "http://127.0.0.1:1")


@pytest.mark.usefixtures("known")
def test_a_call_takes_two_steps_and_closing_it_none(mode: str, instance: Instance) -> None:
    with serving(GOOD) as server:
        steps = CountedSteps(instance)
        for number in range(1, 4):
            call(mode, server.address)
            assert steps.number == 2 * number
        with pytest.raises(ConnectError):
            call(mode, server.address, timeout=0)
        assert steps.number == 7
    assert open_calls() == 0


PIECES = [
    b"HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\ntransfer-encoding: chunked\r\n\r\n",
    b"%x\r\n%b\r\n" % (len(DATA), DATA),
    b"0\r\n\r\n",
]


@pytest.mark.usefixtures("known")
def test_steps_of_a_response_of_unknown_length(mode: str, instance: Instance) -> None:
    """The request, the head, each piece but the last, and that with the end."""

    def answer(exchange: Exchange) -> None:
        exchange.send(PIECES[0])
        until(lambda: steps.number == 2)
        exchange.send(PIECES[1] + PIECES[2])

    with serving(answer) as server:
        steps = CountedSteps(instance)
        assert call(mode, server.address) == MESSAGE
        assert steps.number == 3
    assert open_calls() == 0


@pytest.mark.usefixtures("known")
def test_steps_of_a_response_that_comes_at_once(mode: str, instance: Instance) -> None:
    """The request, and all of the response: its length need not be known."""
    with serving(b"".join(PIECES)) as server:
        steps = CountedSteps(instance)
        assert call(mode, server.address) == MESSAGE
        assert steps.number == 2
    assert open_calls() == 0


def configurations(instance: Instance) -> int:
    """How many configurations an instance has, as it says itself: it gives the lowest free place to the next one."""
    probe = Configuration.of(records.configure_client(protocol=1, codec=b"proto", prefix=b"/probe"))
    instance.step(b"")
    return probe.handle_in(instance) & 0xFFFF


def test_equal_clients_share_a_configuration(instance: Instance) -> None:
    with serving(GOOD) as server:
        clients = [ConnectClientSync(server.address) for _ in range(50)]
        for client in clients:
            client.execute_unary(request=MESSAGE, method=METHOD)
        assert len(instance.handles) == 1


def test_a_configuration_goes_with_its_last_client(mode: str, instance: Instance) -> None:
    with serving(GOOD) as server:
        before = configurations(instance)
        for _ in range(5):
            call(mode, f"{server.address}/own")
        gc.collect()  # what asyncio.run leaves
        assert (len(instance.handles), configurations(instance)) == (0, before)


@pytest.mark.parametrize("cyclic", [False, True])
def test_three_thousand_different_clients_one_after_the_other(instance: Instance, cyclic: bool) -> None:
    """More than an instance can know at a time. Those in a reference cycle wait for the collector, which is asked at need."""
    with serving(GOOD) as server:
        gc.disable()
        try:
            for number in range(3000):
                client: Any = ConnectClientSync(f"{server.address}/{number}")
                assert client.execute_unary(request=MESSAGE, method=METHOD) == MESSAGE
                if cyclic:
                    client.itself = client
        finally:
            gc.enable()
        assert len({exchange.target for exchange in server.exchanges}) == 3000
    assert POOL.instances() == (instance,)


def test_more_configurations_than_an_instance_knows(mode: str, instance: Instance) -> None:
    """What the module says to that is the call's outcome; others go on."""
    with serving(GOOD) as server:
        call(mode, server.address)
        known = ConnectClientSync(server.address)
        known.execute_unary(request=MESSAGE, method=METHOD)
        many = [
            Configuration.of(records.configure_client(protocol=1, codec=b"proto", prefix=b"/%d" % number))
            for number in range(abi.MAX_CONFIGS - 1)
        ]
        for each in many:
            each.handle_in(instance)
        with pytest.raises(ConnectError) as caught:
            call(mode, f"{server.address}/one-more")
        assert (caught.value.code, caught.value.message) == (Code.RESOURCE_EXHAUSTED, "too many calls are under way")
        assert known.execute_unary(request=MESSAGE, method=METHOD) == MESSAGE
        del many, each
        assert call(mode, f"{server.address}/one-more") == MESSAGE
    assert open_calls() == 0


def test_more_calls_than_an_instance_holds(mode: str, instance: Instance) -> None:
    with serving(GOOD) as server:
        call(mode, server.address)
        other = Configuration.of(records.configure_client(protocol=1, codec=b"proto"))
        opening = records.open_client(other.handle_in(instance), 0, abi.UNARY, 0, abi.NO_TIMEOUT, b"/a/b")
        for _ in range(abi.MAX_CALLS // 1285):
            instance.step(opening * 1285)
        with pytest.raises(ConnectError) as caught:
            call(mode, server.address)
        assert (caught.value.code, caught.value.message) == (Code.RESOURCE_EXHAUSTED, "too many calls are under way")


def test_settings_that_the_module_refuses(mode: str) -> None:
    class Odd:
        def name(self) -> str:
            return "no such/codec"

        def encode(self, message: Any) -> bytes:
            return b""

        def decode(self, data: bytes | bytearray, message_class: Any) -> Any:
            return None

    with pytest.raises(ValueError, match="this client's settings: a codec's name"):
        call(mode, "http://127.0.0.1:1", codec=Odd())


@pytest.mark.parametrize("name", ["x-a", "x-\ud800"])
@pytest.mark.parametrize("value", ["\ud800", "a\udc00b", "line\nbreak", "nul\0"])
def test_metadata_that_cannot_be_sent_fails_at_home(mode: str, name: str, value: str) -> None:
    with serving(GOOD) as server:
        with pytest.raises(ConnectError) as caught:
            call(mode, server.address, headers={name: value})
        assert caught.value.code is Code.INTERNAL
        assert "metadata" in caught.value.message
        assert call(mode, server.address) == MESSAGE
        assert len(server.exchanges) == 1
    assert open_calls() == 0


def test_compressed_error(mode: str) -> None:
    """The module reads errors, and this host decompresses them for it."""
    said = b'{"code": "aborted", "message": "no luck"}'
    fields = ("content-type: application/json", "content-encoding: gzip")
    for content, code, text in (
        (gzip.compress(said), Code.ABORTED, "no luck"),
        (gzip.compress(said)[:-1], Code.UNKNOWN, "409"),
        (gzip.compress(said + b" " * (5 << 20)), Code.RESOURCE_EXHAUSTED, "larger than the limit"),
    ):
        with serving(response(content, *fields, status="409 Conflict")) as server:
            with pytest.raises(ConnectError) as caught:
                call(mode, server.address)
            assert (caught.value.code, text in caught.value.message) == (code, True), caught.value
    assert open_calls() == 0


def test_threads_share_a_client() -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(response(exchange.content))

    with serving(answer) as server, ConnectClientSync(server.address) as client:

        def work(number: int) -> None:
            for i in range(25):
                message = type(MESSAGE)(value=f"{number}-{i}" * 50)
                assert client.execute_unary(request=message, method=METHOD) == message

        with ThreadPoolExecutor(12) as threads:
            for done in [threads.submit(work, number) for number in range(12)]:
                done.result()
    assert open_calls() == 0


def test_one_client_in_several_loops() -> None:
    with serving(GOOD) as server:
        client = ConnectClient(server.address)
        failures: list[BaseException] = []

        def work() -> None:
            async def calls() -> None:
                for _ in range(10):
                    assert await client.execute_unary(request=MESSAGE, method=METHOD) == MESSAGE

            try:
                asyncio.run(calls())
            except BaseException as e:
                failures.append(e)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
    assert open_calls() == 0
