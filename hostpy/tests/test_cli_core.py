"""The command line itself: `connectcore core`, help, completion, and what is left without click."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from cli_support import run
from connectcore._wasm import module

if TYPE_CHECKING:
    from pathlib import Path

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def no_click(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "click" else find(name, *rest))


def test_core(capsys: Capsys) -> None:
    said = json.loads(run(capsys, "core", "--json").out)
    with open(module.wasm_path(), "rb") as file:
        wasm = file.read()
    assert said["module"] == {"path": module.wasm_path(), "size": len(wasm), "sha256": hashlib.sha256(wasm).hexdigest()}
    assert said["interface"] == "1.0"
    lines = run(capsys, "core").lines
    assert lines[2] == f"module                 {module.wasm_path()}"
    assert lines[3].endswith(f"KiB, sha256 {said['module']['sha256']}")


def test_the_cache_and_its_state(capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTCORE_CACHE", "off")
    assert "cache                  off (CONNECTCORE_CACHE)" in run(capsys, "core").lines
    ran = run(capsys, "core", "precompile")
    assert (ran.code, ran.err) == (1, "connectcore: the cache is off (CONNECTCORE_CACHE=off)\n")
    monkeypatch.setenv("CONNECTCORE_CACHE", str(tmp_path))
    assert "empty: fill it with `connectcore core precompile`" in run(capsys, "core").out


@pytest.mark.usefixtures("no_click")
def test_without_click(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sha256" in run(capsys, "core").out
    monkeypatch.setenv("CONNECTCORE_CACHE", "off")
    assert run(capsys, "core", "precompile", "--shared").code == 1
    for words in ((), ("call", "localhost"), ("--help",), ("core", "--shared"), ("core", "nope")):
        ran = run(capsys, *words)
        assert (ran.code, ran.out) == (2, "")
        assert "needs the package click: pip install 'connectcore[cli]'" in ran.err


def test_help_and_version(capsys: Capsys) -> None:
    ran = run(capsys, "--help")
    assert ran.code == 0
    for name in ("call", "core", "completion", "Exit codes"):
        assert name in ran.out
    assert run(capsys, "--version").out.startswith("connectcore, version ")
    for words in ((), ("nope",), ("core", "nope"), ("core", "--nope")):
        assert run(capsys, *words).code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(capsys: Capsys, shell: str) -> None:
    assert "_CONNECTCORE_COMPLETE" in run(capsys, "completion", shell).out


def test_bash_completes() -> None:
    """As the script that `completion` prints has it asked."""
    environment: dict[str, Any] = {
        **os.environ,
        "_CONNECTCORE_COMPLETE": "bash_complete",
        "COMP_WORDS": "connectcore call --proto",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [sys.executable, "-m", "connectcore"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.splitlines() == ["plain,--protocol", "plain,--proto"], done.stderr


def test_a_reader_that_goes_away() -> None:
    command = f"{sys.executable} -m connectcore core --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("{", "")
