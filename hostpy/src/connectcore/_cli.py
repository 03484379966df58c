"""The command line: `python -m connectcore precompile` and `python -m connectcore info`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ._version import __version__
from ._wasm import cache, codings, module
from ._wasm.engine import wasmtime_version
from ._wasm.instance import new_instance

if TYPE_CHECKING:
    from collections.abc import Sequence

_PRECOMPILE = f"""Compile the modules into the cache, so that no process has to.

For an image that is built by one user and run by another:

    ENV {cache.ENVIRONMENT}=/opt/connectcore
    RUN python -m connectcore precompile --shared

The result is for the machine type, the processor's features and the wasmtime version of where this runs.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if it did what it should."""
    parser = argparse.ArgumentParser(prog="python -m connectcore", description="Look after the protocol module.")
    commands = parser.add_subparsers(dest="command", required=True)
    precompile = commands.add_parser(
        "precompile",
        help="compile the modules into the cache",
        description=_PRECOMPILE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    precompile.add_argument("--shared", action="store_true", help="let other users read the result")
    commands.add_parser("info", help="say which module is used, and where its compiled form is kept")
    options = parser.parse_args(arguments)
    try:
        if options.command == "precompile":
            for path in module.precompile(shared=options.shared) + codings.precompile(shared=options.shared):
                print(path)
        else:
            _info()
    except (module.ModuleError, OSError) as error:
        print(f"connectcore: {error}", file=sys.stderr)
        return 1
    return 0


def _info() -> None:
    loaded = module.load()
    instance = new_instance()
    version = instance.version
    cached = module.cached_path()
    lines = {
        "connectcore": __version__,
        "wasmtime": wasmtime_version(),
        "module": module.wasm_path(),
        "interface": f"{version >> 16}.{version & 0xFFFF}",
        "engine": f"{'quick' if loaded.compiled.engine.quick else 'careful'}, module {loaded.where}",
        "calls": "unchecked" if instance.fast else "by the public API",
        "memory of an instance": f"{instance.memory_size >> 10} KiB",
        "cache": cached or f"off ({cache.ENVIRONMENT})",
    }
    for name, value in lines.items():
        print(f"{name:22} {value}")
    for path, size in cache.entries():
        print(f"{'':22} {path} ({size >> 10} KiB)")
    instance.close()
