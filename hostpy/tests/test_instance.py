"""One instance: batches in, events out, and what becomes of it when it fails."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import module_support
from connectcore._wasm import engine, module
from connectcore._wasm import instance as instances
from connectcore._wasm.instance import GuestError, Instance, new_instance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, module.LoadedModule]:
    path = module_support.write(tmp_path_factory.mktemp("module"))
    return {kind: module._load(str(path), kind == "quick") for kind in ("quick", "careful")}


@pytest.fixture(params=["quick", "careful", "public"])
def instance(request: pytest.FixtureRequest, loaded: dict[str, module.LoadedModule]) -> Iterator[Instance]:
    public = request.param == "public"
    made = Instance(loaded["quick" if public else request.param].compiled, fast=not public)
    assert made.fast is not public
    yield made
    if not made.failed:
        made.close()


@pytest.mark.parametrize("size", [0, 1, 12, 1000, 65_536, 65_537, 300_000, 5_000_000])
def test_batches_of_any_size(instance: Instance, size: int) -> None:
    batch = bytes(range(256)) * (size // 256 + 1)
    for _ in range(2):
        assert instance.step(batch[:size]) == batch[:size]
        assert instance.step(b"small") == b"small"


def test_memory_grows(instance: Instance) -> None:
    before = instance.memory_size
    instance.step(bytes(3_000_000))
    assert instance.memory_size > before


def test_a_trap_is_the_end_of_the_instance(instance: Instance, loaded: dict[str, module.LoadedModule]) -> None:
    other = Instance(loaded["quick"].compiled)
    with pytest.raises(GuestError, match="unreachable"):
        instance.step(module_support.TRAP)
    assert instance.failed
    with pytest.raises(GuestError, match="failed in an earlier step"):
        instance.step(b"good")
    assert not instance.lock.locked()
    assert other.step(b"good") == b"good"
    other.close()


def test_events_outside_of_memory_are_not_read(instance: Instance) -> None:
    with pytest.raises(GuestError, match="events lie outside of its memory"):
        instance.step(module_support.ASTRAY)
    with pytest.raises(GuestError):
        instance.step(b"good")


def test_arena_outside_of_memory_is_not_written(tmp_path: Path) -> None:
    reserve = '(func (export "connectcore_reserve") (param i32) (result i32) (i32.const -4096))'
    path = module_support.write(tmp_path, module_support.module(reserve=reserve))
    with pytest.raises(GuestError, match="the in arena lies outside of its memory"):
        Instance(module._load(str(path), True).compiled)


def test_memory_has_a_cap(instance: Instance) -> None:
    with pytest.raises(GuestError, match="outside of its memory"):
        instance.step(bytes(engine.MEMORY_CAP))


def test_closed(instance: Instance) -> None:
    instance.step(b"good")
    instance.close()
    with pytest.raises(GuestError):
        instance.step(b"good")


def test_one_owner_at_a_time(instance: Instance) -> None:
    """Steps of many threads do not mix, at sizes that do and that do not let other threads run."""
    wrong: list[bytes] = []

    def work(letter: bytes) -> None:
        for size in [10, 20_000, 100, 40_000] * 25:
            batch = letter * size
            if instance.step(batch) != batch:
                wrong.append(letter)

    threads = [threading.Thread(target=work, args=(bytes([letter]),)) for letter in b"abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_binding_without_the_fast_call_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking() -> object:
        raise AttributeError("wasmtime_func_call_unchecked")

    monkeypatch.setattr(engine, "_entries", lacking)
    instance = new_instance()
    assert not instance.fast
    assert instance.step(b"") == b""
    instance.close()


def test_what_waits_goes_in_front_of_the_next_batch(instance: Instance) -> None:
    instance.later(b"a, ")
    instance.later(b"b, ")
    assert instance.step(b"c") == b"a, b, c"
    assert instance.step(b"four") == b"four"


def test_what_waits_does_not_pile_up_where_nothing_else_comes(instance: Instance) -> None:
    for _ in range(instances._MANY - 1):
        instance.later(b"a")
        instance.settle()
    assert len(instance._later) == instances._MANY - 1
    instance.later(b"a")
    instance.settle()
    assert not instance._later


def test_what_waits_for_an_instance_that_failed_does_no_harm(instance: Instance) -> None:
    with pytest.raises(GuestError):
        instance.step(module_support.TRAP)
    for _ in range(instances._MANY):
        instance.later(b"a")
    instance.settle()
