"""The fuzz runner takes the end of its time for no failure, and every failure for one; each target says what must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import fuzz
from fuzz import Target, failing, only_time_ended, report, targets, tried

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "fuzz: elapsed: 6s, execs: 238740 (0/sec), new interesting: 5 (total: 103)\n--- FAIL: FuzzGet (6.02s)\n"
TAIL = "FAIL\nexit status 1\nFAIL\tpackage\t6.028s\n"


def test_the_end_of_the_time_is_no_failure() -> None:
    assert only_time_ended(HEAD + "    context deadline exceeded\n" + TAIL)


@pytest.mark.parametrize(
    "details",
    [
        "",
        "    --- FAIL: FuzzGet (0.00s)\n    context deadline exceeded\n    Failing input written to testdata\n",
        "    fuzzing process hung or terminated unexpectedly: exit status 2\n",
        "    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzGet/1f\n",
    ],
)
def test_a_failing_input_is_one(details: str) -> None:
    assert not only_time_ended(HEAD + details + TAIL)


def test_an_input_that_failed_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "ROOT", tmp_path)
    file = tmp_path / "core/testdata/fuzz/FuzzGet/1f"
    file.parent.mkdir(parents=True)
    file.write_text('go test fuzz v1\n[]byte("a")\n')
    said = HEAD + "    Failing input written to testdata/fuzz/FuzzGet/1f\n    To re-run:\n" + TAIL
    assert failing(said, tmp_path / "core") == 'fuzz: core/testdata/fuzz/FuzzGet/1f:\ngo test fuzz v1\n[]byte("a")\n'


def test_inputs_are_counted() -> None:
    assert tried(HEAD + TAIL) == (238740, 103)
    assert tried("FAIL\n") == (0, 0)


def test_a_package_that_does_not_build_failed() -> None:
    assert not only_time_ended("package [build failed]\nFAIL\n")


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_a_target_says_what_must_hold(target: Target) -> None:
    assert target.invariant.startswith("Invariant: "), "the comment above a fuzz target begins with the word"
    assert "bound.Within(t," in (source := target.source())[source.index(f"func {target.name}(") :].partition("\n}\n")[0], (
        "each input is held to its cost"
    )


def test_a_report_says_what_came_of_a_run() -> None:
    plan = [
        Target("./core", "FuzzOne", "Invariant: it holds.", 1_500_000, 70, passed=True),
        Target("./core", "FuzzTwo", "", 2, 3),
    ]
    page = report(plan, "60s", 120.4, "nothing")
    assert "**1,500,002 inputs in one go**, in 120 s" in page
    assert "1 targets failed" in page
    assert "| `FuzzOne` in `core` | it holds. | 1,500,000 | 70 | pass |" in page
    assert "| `FuzzTwo` in `core` |  | 2 | 3 | **fail** |" in page
