"""One instance: batches in, events out, and what becomes of it when it fails."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import module_support
from connectcore._wasm import guest, module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, module.LoadedModule]:
    path = module_support.write(tmp_path_factory.mktemp("module"))
    return {kind: module._load(str(path), kind == "quick") for kind in ("quick", "careful")}


@pytest.fixture(params=["quick", "careful", "public"])
def instance(request: pytest.FixtureRequest, loaded: dict[str, module.LoadedModule]) -> Iterator[guest.Instance]:
    made = guest.Instance(loaded["quick"]) if request.param == "public" else guest.FastInstance(loaded[request.param])
    yield made
    if not made.failed:
        made.close()


@pytest.mark.parametrize("size", [0, 1, 12, 1000, 65_536, 65_537, 300_000, 5_000_000])
def test_batches_of_any_size(instance: guest.Instance, size: int) -> None:
    batch = bytes(range(256)) * (size // 256 + 1)
    for _ in range(2):
        assert instance.step(batch[:size]) == batch[:size]
        assert instance.step(b"small") == b"small"


def test_memory_grows(instance: guest.Instance) -> None:
    before = instance.memory_size
    instance.step(bytes(3_000_000))
    assert instance.memory_size > before


def test_a_trap_is_the_end_of_the_instance(instance: guest.Instance, loaded: dict[str, module.LoadedModule]) -> None:
    other = guest.FastInstance(loaded["quick"])
    with pytest.raises(guest.GuestError, match="unreachable"):
        instance.step(module_support.TRAP)
    assert instance.failed
    with pytest.raises(guest.GuestError, match="failed in an earlier step"):
        instance.step(b"good")
    assert not instance.lock.locked()
    assert other.step(b"good") == b"good"
    other.close()


def test_events_outside_of_memory_are_not_read(instance: guest.Instance) -> None:
    with pytest.raises(guest.GuestError, match="events lie outside of its memory"):
        instance.step(module_support.ASTRAY)
    with pytest.raises(guest.GuestError):
        instance.step(b"good")


def test_arena_outside_of_memory_is_not_written(tmp_path: Path) -> None:
    reserve = '(func (export "connectcore_reserve") (param i32) (result i32) (i32.const -4096))'
    path = module_support.write(tmp_path, module_support.module(reserve=reserve))
    with pytest.raises(guest.GuestError, match="the in arena lies outside of its memory"):
        guest.Instance(module._load(str(path), True))


def test_memory_has_a_cap(instance: guest.Instance) -> None:
    with pytest.raises(guest.GuestError, match="outside of its memory"):
        instance.step(bytes(module.MEMORY_CAP))


def test_closed(instance: guest.Instance) -> None:
    instance.step(b"good")
    instance.close()
    with pytest.raises(guest.GuestError):
        instance.step(b"good")


def test_one_owner_at_a_time(instance: guest.Instance) -> None:
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
    def lacking(ffi: object) -> object:
        raise AttributeError("wasmtime_func_call_unchecked")

    monkeypatch.setattr(guest, "_entries", lacking)
    instance = guest.new_instance()
    assert type(instance) is guest.Instance
    instance.close()
