"""Which instance a new call gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import module_support
from connectcore import _guest, _module, _pool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _pool.Pool:
    loaded = _module._load(str(module_support.write(tmp_path)), True)
    monkeypatch.setattr(_guest, "new_instance", lambda: _guest.FastInstance(loaded))
    return _pool.Pool()


def test_one_is_enough_while_it_is_free(pool: _pool.Pool) -> None:
    first = pool.pick()
    assert {pool.pick() for _ in range(3 * _pool._QUICK_PICKS)} == {first}
    assert pool.instances() == (first,)


def test_another_while_one_is_in_a_step(pool: _pool.Pool) -> None:
    first = pool.pick()
    with first.lock:
        second = pool.pick()
        assert second is not first
        assert pool.pick() is second
    assert pool.instances() == (first, second)


def test_no_more_than_the_limit(pool: _pool.Pool) -> None:
    made = []
    for _ in range(_pool.LIMIT):
        made.append(pool.pick())
        made[-1].lock.acquire()
    waiting = [pool.pick() for _ in range(2 * _pool.LIMIT)]
    assert set(waiting) == set(made)
    assert pool.instances() == tuple(made)


def test_one_that_failed_is_replaced_and_counted(pool: _pool.Pool, caplog: pytest.LogCaptureFixture) -> None:
    first = pool.pick()
    with pytest.raises(_guest.GuestError) as failure:
        first.step(module_support.TRAP)
    pool.discard(first, failure.value)
    pool.discard(first, failure.value)
    assert pool.failures == 1
    assert "failed and was dropped: " in caplog.text
    second = pool.pick()
    assert second is not first
    assert second.step(b"good") == b"good"


def test_one_that_failed_is_not_picked_even_before_it_is_discarded(pool: _pool.Pool) -> None:
    first = pool.pick()
    with pytest.raises(_guest.GuestError):
        first.step(module_support.TRAP)
    assert pool.pick() is not first


def test_one_that_grew_too_large_is_replaced(pool: _pool.Pool) -> None:
    first = pool.pick()
    first.step(bytes(_pool.WATERMARK))
    picked = [pool.pick() for _ in range(_pool._QUICK_PICKS + 1)]
    assert picked[0] is first
    assert picked[-1] is not first
    assert picked[-1].memory_size < _pool.WATERMARK
    assert (pool.replaced, pool.failures) == (1, 0)
    assert first.step(b"its calls go on") == b"its calls go on"
