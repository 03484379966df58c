"""Each kind of trap, beside `faulthandler` in each state: an error of the instance, and the process goes on."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import module_support

from figures import PATIENCE, PLACES, Figure

# What a step does to a batch of this length.
KINDS = {
    "unreachable": "unreachable",
    "memory": "(drop (i32.load (i32.const -8)))",
    "division": "(drop (i32.div_s (i32.const 1) (i32.sub (local.get $size) (local.get $size))))",
    "overflow": "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
    "conversion": "(drop (i32.trunc_f64_s (f64.div (f64.const 0) (f64.const 0))))",
    "indirect call": "(call_indirect (type $none) (i32.const 3))",
    "stack": "(call $endless)",
}
SIZE = 100
STEP = """
    (type $none (func))
    (table 8 funcref)
    (func $endless (call $endless) (call $endless))
    (func (export "connectcore_step") (param $size i32) (result i64)
      {traps}
      (i64.or (i64.shl (i64.extend_i32_u (global.get $in)) (i64.const 32)) (i64.extend_i32_u (local.get $size))))
"""
MODES = ("off", "before", "after", "pytest")
USE = """
from connectcore._wasm.instance import GuestError
from connectcore._wasm.pool import POOL
def use():
    assert POOL._choose().step(b"good") == b"good"
def check():
    use()
    instance = POOL._choose()
    other = POOL.other(instance)
    try:
        instance.step(bytes({size}))
    except GuestError:
        POOL.discard(instance, "")
    else:
        raise AssertionError("no trap")
    assert other.step(b"good") == b"good"
    use()
"""


def module(kind: str) -> bytes:
    traps = f"(if (i32.eq (local.get $size) (i32.const {SIZE})) (then {KINDS[kind]}))"
    return module_support.module(step=STEP.format(traps=traps))


def program(mode: str) -> str:
    begin = {
        "off": "import faulthandler; faulthandler.disable(); use()",
        "before": "import faulthandler; faulthandler.enable(); use()",
        "after": "use(); import faulthandler; faulthandler.enable()",
    }
    return f"{USE.format(size=SIZE)}\n{begin[mode]}\ncheck()\nprint('well')"


def survives(mode: str, path: Path) -> str:
    """Nothing, or how the process ended."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    other = {"CONNECTCORE_CACHE": "off", "CONNECTCORE_MODULE": str(path), "CONNECTCORE_MODULE_SHA256": digest}
    environment = {**os.environ, **other, "PYTHONPATH": os.pathsep.join(PLACES)}
    if mode == "pytest":  # which enables it after it has loaded a conftest.py
        (path.parent / "conftest.py").write_text(USE.format(size=SIZE) + "\nuse()\n")
        (path.parent / "test_traps.py").write_text("from conftest import check\ndef test_traps(): check()\n")
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(path.parent)]
    else:
        command = ["-c", program(mode)]
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    well = "1 passed" if mode == "pytest" else "well"
    return "" if done.returncode == 0 and well in done.stdout else f"exit code {done.returncode}: {done.stdout}{done.stderr}"


def figures(whole: bool) -> Iterator[Figure]:
    kinds = list(KINDS) if whole else ["memory"]
    for mode in MODES:
        ended = {}
        for kind in kinds:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "module.wasm")
                path.write_bytes(module(kind))
                ended[kind] = survives(mode, path)
        died = [f"{kind}: {how[-300:]}" for kind, how in ended.items() if how]
        measured = "; ".join(died) or f"an error each: {', '.join(kinds)}"
        yield Figure(f"`faulthandler` {mode if mode != 'pytest' else 'by pytest'}", measured, "the process goes on", not died)
