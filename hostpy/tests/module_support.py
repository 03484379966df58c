"""Modules made for tests of the loader: what the interface asks for, with a fault where one is wanted."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import wasmtime

if TYPE_CHECKING:
    from pathlib import Path

TRAP = b"x" * 13
"""A batch in whose step `ECHO` traps."""
ASTRAY = b"x" * 14
"""A batch whose events, as `ECHO` has it, lie outside of its memory."""

_PARTS = {
    "import": "",
    "memory": '(memory (export "memory") 3)',
    "initialize": '(func (export "_initialize"))',
    "marker": '(func (export "connectcore_abi_v1") (result i32) (i32.const 0))',
    "version": '(func (export "connectcore_abi_version") (result i32) (i32.const 0x10000))',
    "reserve": """
        (func (export "connectcore_reserve") (param $size i32) (result i32)
          (local $pages i32)
          (local.set $pages (i32.add (i32.div_u (i32.add (global.get $in) (local.get $size)) (i32.const 65536)) (i32.const 1)))
          (if (i32.gt_u (local.get $pages) (memory.size))
            (then (drop (memory.grow (i32.sub (local.get $pages) (memory.size))))))
          (global.get $in))""",
    "step": """
        (func (export "connectcore_step") (param $size i32) (result i64)
          (if (i32.eq (local.get $size) (i32.const 13)) (then unreachable))
          (if (i32.eq (local.get $size) (i32.const 14)) (then (return (i64.const -1))))
          (i64.or (i64.shl (i64.extend_i32_u (global.get $in)) (i64.const 32)) (i64.extend_i32_u (local.get $size))))""",
}


def module(**parts: str) -> bytes:
    """A module whose events are its commands, with some parts replaced."""
    unknown = set(parts) - set(_PARTS)
    assert not unknown, unknown
    text = " ".join(({**_PARTS, **parts}).values())
    return bytes(wasmtime.wat2wasm(f"(module {text} (global $in (mut i32) (i32.const 65536)))".replace("\n", " ")))


ECHO = module()


def write(directory: Path, wasm: bytes = ECHO) -> Path:
    """Put a module into a file."""
    path = directory / "module.wasm"
    path.write_bytes(wasm)
    return path


def run(code: str, *arguments: str, cache: str = "off", timeout: float = 60) -> str:
    """Run code in a process of its own, whose module is the file that the first argument names; gives what it printed."""
    prologue = "import sys; from connectcore._wasm import module; module.wasm_path = lambda: sys.argv[1]\n" if arguments else ""
    done = subprocess.run(
        [sys.executable, "-c", prologue + code, *arguments],
        env={"CONNECTCORE_CACHE": cache, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()
