"""Which instance a new call gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import module_support
from connectcore._wasm import module
from connectcore._wasm import pool as pools
from connectcore._wasm.instance import GuestError, Instance
from connectcore._wasm.pool import _QUICK_PICKS, LIMIT, WATERMARK, Pool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    loaded = module._load(str(module_support.write(tmp_path)), True)
    monkeypatch.setattr(pools, "new_instance", lambda: Instance(loaded.compiled))
    return Pool()


def test_one_is_enough_while_it_is_free(pool: Pool) -> None:
    first = pool.pick()
    assert {pool.pick() for _ in range(3 * _QUICK_PICKS)} == {first}
    assert pool.instances() == (first,)


def test_another_while_one_is_in_a_step(pool: Pool) -> None:
    first = pool.pick()
    with first.lock:
        second = pool.pick()
        assert second is not first
        assert pool.pick() is second
    assert pool.instances() == (first, second)


def test_no_more_than_the_limit(pool: Pool) -> None:
    made = []
    for _ in range(LIMIT):
        made.append(pool.pick())
        made[-1].lock.acquire()
    waiting = [pool.pick() for _ in range(2 * LIMIT)]
    assert set(waiting) == set(made)
    assert pool.instances() == tuple(made)


def test_one_that_failed_is_replaced_and_counted(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    first = pool.pick()
    with pytest.raises(GuestError) as failure:
        first.step(module_support.TRAP)
    pool.discard(first, failure.value)
    pool.discard(first, failure.value)
    assert pool.failures == 1
    assert "failed and was dropped: " in caplog.text
    second = pool.pick()
    assert second is not first
    assert second.step(b"good") == b"good"


def test_one_that_failed_is_not_picked_even_before_it_is_discarded(pool: Pool) -> None:
    first = pool.pick()
    with pytest.raises(GuestError):
        first.step(module_support.TRAP)
    assert pool.pick() is not first


def test_one_that_grew_too_large_is_replaced(pool: Pool) -> None:
    first = pool.pick()
    first.step(bytes(WATERMARK))
    picked = [pool.pick() for _ in range(_QUICK_PICKS + 1)]
    assert picked[0] is first
    assert picked[-1] is not first
    assert picked[-1].memory_size < WATERMARK
    assert (pool.replaced, pool.failures) == (1, 0)
    assert first.step(b"its calls go on") == b"its calls go on"


def test_other_than_one_that_is_full(pool: Pool) -> None:
    first = pool.pick()
    other = pool.other(first)
    assert other is not first
    assert (pool.other(first), pool.other(other)) == (other, first)
