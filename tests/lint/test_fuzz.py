"""The fuzz runner takes the end of its time for no failure, and every failure for one."""

from __future__ import annotations

import pytest

from fuzz import only_time_ended, tried

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


def test_inputs_are_counted() -> None:
    assert tried(HEAD + TAIL) == (238740, 103)
    assert tried("FAIL\n") == (0, 0)


def test_a_package_that_does_not_build_failed() -> None:
    assert not only_time_ended("package [build failed]\nFAIL\n")
