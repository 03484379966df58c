"""Every rule has its proof. That the proofs hold is for `make mutate` to show; here, that none is missing or stale."""

from __future__ import annotations

import re

from mutate import PROOFS, TAPES, mutations, rules


def test_every_rule_is_broken_by_a_mutation() -> None:
    broken = {(mutation.rule, mutation.what) for mutation in mutations()}
    missing = [f"{rule} {what}" for rule, what in rules() if not any(rule == r and what.startswith(w) for r, w in broken)]
    assert not missing, "write a mutation for each (tests/mutate/mutations.toml), then run `make mutate`"


def test_every_mutation_fits_the_sources() -> None:
    for mutation in mutations():
        assert mutation.text()
        assert [what for rule, what in rules() if rule == mutation.rule and what.startswith(mutation.what)], mutation.what


def test_the_table_has_every_mutation_and_tapes_that_exist() -> None:
    rows = [line for line in PROOFS.read_text().splitlines() if re.match(r"\| \d", line)]
    wanted = [mutation.row() for mutation in mutations()]
    assert [row[: len(want)] for row, want in zip(rows, wanted, strict=True)] == wanted, "run `make mutate`"
    for row in rows:
        count, tapes = re.search(r"\| (\d+) \| ([^|]*) \|$", row).groups()  # type: ignore[union-attr]
        assert int(count) > 0
        for tape in re.findall(r"`([^`]+)`", tapes):
            assert (TAPES / f"{tape}.tape").exists(), f"{tape}: run `make mutate`"
