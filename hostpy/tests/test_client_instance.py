"""Clients and the instances of the module: failures, configurations, threads."""

from __future__ import annotations

import asyncio
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from client_support import GOOD, MESSAGE, METHOD, MODES, Exchange, call, method, open_calls, response, serving
from connectcore._client import config
from connectcore._wasm import abi
from connectcore._wasm.instance import GuestError, Instance
from connectcore._wasm.pool import POOL, Pool
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.errors import ConnectError


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Failing:
    """An instance whose step number `at` fails as a trap does."""

    def __init__(self, instance: Instance, at: int) -> None:
        self._instance = instance
        self._left = at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._instance, name)

    def step(self, batch: bytes) -> bytes:
        self._left -= 1
        if self._left < 0:
            self._instance.failed = True
            raise GuestError("trap")
        return self._instance.step(batch)


@pytest.mark.parametrize("at", [0, 1])
def test_trap(mode: str, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    with serving(GOOD) as server:
        call(mode, server.address)  # the configuration is known from now on
        healthy = POOL.pick()
        failing: Any = Failing(healthy, at)
        with monkeypatch.context() as patch:
            patch.setattr(Pool, "pick", lambda _: failing)
            patch.setattr(Pool, "discard", lambda self, _, why, discard=Pool.discard: discard(self, healthy, why))
            with pytest.raises(ConnectError) as caught:
                call(mode, server.address)
        assert caught.value.code is Code.INTERNAL
        assert "trap" not in caught.value.message
        assert healthy not in POOL.instances()
        assert call(mode, server.address) == MESSAGE
    assert open_calls() == 0


def test_panic_event(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that caught its own panic says so; the instance goes all the same."""
    with serving(GOOD) as server:
        call(mode, server.address)
        instance = POOL.pick()
        fault = struct.pack("<HHIIII", abi.EV_FAULT, 0, 20, 0, abi.FAULT_PANIC, 0)
        panics: Any = Failing(instance, 99)
        panics.step = lambda batch: fault
        with monkeypatch.context() as patch:
            patch.setattr(Pool, "pick", lambda _: panics)
            with pytest.raises(ConnectError) as caught:
                call(mode, server.address)
        assert caught.value.code is Code.INTERNAL
        POOL.discard(instance, "test")
        assert call(mode, server.address) == MESSAGE


def test_equal_clients_share_a_configuration() -> None:
    with serving(GOOD) as server:
        for _ in range(3):
            call("sync", server.address)
        before = [len(instance.handles) for instance in POOL.instances()]
        for _ in range(50):
            call("sync", server.address)
        assert [len(instance.handles) for instance in POOL.instances()] == before


def test_many_different_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """More settings than an instance may know: the oldest go, and come back when they are needed."""
    monkeypatch.setattr(config, "_MOST_PER_INSTANCE", 5)
    with serving(GOOD) as server:
        clients = [ConnectClientSync(f"{server.address}/{i}") for i in range(12)]
        for _ in range(2):
            for client in clients:
                assert client.execute_unary(request=MESSAGE, method=METHOD) == MESSAGE
        targets = [exchange.target.split("/")[1] for exchange in server.exchanges]
        assert targets == [str(i) for i in range(12)] * 2
    ours = [key for key in POOL.pick().handles if isinstance(key, config._Key)]
    assert len(ours) <= 5


def test_configuration_that_is_closed_between_look_up_and_use() -> None:
    with serving(GOOD) as server:
        client = ConnectClientSync(f"{server.address}/race")
        client.execute_unary(request=MESSAGE, method=METHOD)
        instance = POOL.pick()
        instance.handles[client._config.record] = 0xC0FF0001  # a handle that is no more
        headers = {"x-a": "1"}  # with metadata nothing is remembered
        assert client.execute_unary(request=MESSAGE, method=METHOD, headers=headers) == MESSAGE
        assert instance.handles[client._config.record] != 0xC0FF0001


def test_settings_that_the_module_refuses() -> None:
    class Odd:
        def name(self) -> str:
            return "no such/codec"

        def encode(self, message: Any) -> bytes:
            return b""

        def decode(self, data: bytes | bytearray, message_class: Any) -> Any:
            return None

    with pytest.raises(ConnectError, match="this client's settings: a codec's name") as caught:
        call("sync", "http://127.0.0.1:1", codec=Odd())
    assert caught.value.code is Code.INTERNAL


def test_methods_made_for_each_call() -> None:
    with serving(GOOD) as server, ConnectClientSync(server.address) as client:
        for i in range(5):
            client.execute_unary(request=MESSAGE, method=method(f"M{i}"))
        assert [exchange.target.rpartition("/")[2] for exchange in server.exchanges] == [f"M{i}" for i in range(5)]
        for i in range(config._MOST_PLANS + 5):
            client._config.plan(method(f"M{i}"))
        assert len(client._config._plans) <= config._MOST_PLANS


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
