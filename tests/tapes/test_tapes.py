"""Replay the tapes to the module under wasmtime, by wasmtime's public interface alone.

``pytest tests/tapes`` runs them as tests. As a program it replays them and writes
the digests of the event bytes: ``python test_tapes.py --dump FILE [--tapes PART]``.
With ``--sessions FILE`` it plays the batches in there instead.
"""

from __future__ import annotations

import argparse
import base64
import functools
import hashlib
import json
import os
import sys
from pathlib import Path

import pytest
import wasmtime

sys.path.insert(0, str(Path(__file__).parent))

from tape_format import HERE, TapeError, load, names
from tape_player import ABI, MODES, Player

MODULE = os.environ.get("TAPES_MODULE") or str(HERE.parent.parent / "hostgo" / "connectcore.wasm")


@functools.cache
def _module() -> tuple[wasmtime.Engine, wasmtime.Module, wasmtime.Linker]:
    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    return engine, wasmtime.Module.from_file(engine, MODULE), linker


class Instance:
    """A fresh instance of the module."""

    def __init__(self) -> None:
        engine, module, linker = _module()
        self._store = wasmtime.Store(engine)
        self._store.set_wasi(wasmtime.WasiConfig())
        exports = linker.instantiate(self._store, module).exports(self._store)
        initialize = exports["_initialize"]
        memory = exports["memory"]
        reserve, step, version = (exports[ABI["exports"][name]] for name in ("reserve", "step", "version"))
        assert isinstance(initialize, wasmtime.Func)
        assert isinstance(memory, wasmtime.Memory)
        assert isinstance(reserve, wasmtime.Func)
        assert isinstance(step, wasmtime.Func)
        assert isinstance(version, wasmtime.Func)
        initialize(self._store)
        assert version(self._store) == ABI["major"] << 16 | ABI["minor"]
        self._memory, self._reserve, self._step = memory, reserve, step

    def step(self, batch: bytes) -> bytes:
        """Carry out a batch."""
        address = self._reserve(self._store, len(batch))
        self._memory.write(self._store, batch, address)
        result = self._step(self._store, len(batch)) & (2**64 - 1)
        start, size = result >> 32, result & 0xFFFFFFFF
        return bytes(self._memory.read(self._store, start, start + size))


def replay(name: str) -> dict[str, str]:
    """Replay a tape in every mode and return the digests; raise TapeError."""
    digests: dict[str, str] = {}
    tape, after = load(name), load("presets/good-call")
    for mode in MODES:
        player = Player(Instance())
        player.play(tape, mode)
        player.play(after, MODES[0])
        digests[f"{name} {mode.name}"] = player.digest()
    return digests


@pytest.mark.parametrize("name", names())
def test_tape(name: str) -> None:
    """Each tape goes as it says, in every mode."""
    replay(name)


@pytest.mark.parametrize("name", sorted(path.stem for path in (HERE / "selftest").glob("*.tape")))
def test_selftest(name: str) -> None:
    """A tape that must fail does, with what it says."""
    with pytest.raises(TapeError) as failure:
        tape = load(f"selftest/{name}")
        Player(Instance()).play(tape, MODES[0])
    wanted = load(f"selftest/{name}").headers["fails"]
    assert wanted in str(failure.value)


def told(batches: list[bytes]) -> str:
    """Tell a fresh instance batches, and return the digest of what it answers."""
    instance, digest = Instance(), hashlib.sha256()
    for batch in batches:
        events = instance.step(batch)
        digest.update(b"%d:%b" % (len(events), events))
    return digest.hexdigest()


def main() -> int:
    """Replay and write digests."""
    parser = argparse.ArgumentParser(description="Replay the tapes under wasmtime.")
    parser.add_argument("--dump", help="where to write the digests")
    parser.add_argument("--tapes", default="", help="only tapes whose name contains this")
    parser.add_argument("--sessions", help="a file of batches by name, as base64 in JSON, to play instead")
    options = parser.parse_args()
    digests: dict[str, str] = {}
    failed = 0
    if options.sessions:
        sessions = json.loads(Path(options.sessions).read_text(encoding="utf-8"))
        digests = {name: told([base64.b64decode(batch or "") for batch in batches or ()]) for name, batches in sessions.items()}
    for name in [] if options.sessions else names(options.tapes):
        try:
            digests |= replay(name)
        except TapeError as error:
            print(error, file=sys.stderr)
            failed += 1
    if options.dump:
        Path(options.dump).write_text(json.dumps(digests), encoding="utf-8")
    print(f"wasmtime: {len(digests)} replays, {failed} tapes failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
