"""The battery in its short form: `make battery` plays the whole."""

from __future__ import annotations

import pytest

from battery import SECTIONS, measured, table


@pytest.mark.parametrize("name", SECTIONS)
def test_section(name: str) -> None:
    figures = measured(name, whole=False)
    assert figures
    failed = [figure for figure in figures if figure.passed is False]
    assert not failed, table(failed)
