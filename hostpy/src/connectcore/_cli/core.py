"""The modules that this package carries: which they are, and where their compiled forms are kept."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._version import __version__
from .._wasm import cache, codings, module
from .._wasm.engine import wasmtime_version
from .._wasm.instance import new_instance
from .problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Description", "described", "precompiled"]


@dataclass(frozen=True)
class Description:
    """What there is to know. Sizes are bytes."""

    said: dict[str, Any]

    def lines(self) -> list[str]:
        """It as text, a line for each thing, its name in front."""
        said = self.said
        rows: list[tuple[str, object]] = [("connectcore", said["version"]), ("wasmtime", said["wasmtime"])]
        for name, title in (("module", "module"), ("codings", "codings' module")):
            part = said[name]
            rows += [(title, part["path"]), ("", f"{part['size'] >> 10} KiB, sha256 {part['sha256']}")]
        rows += [
            ("interface", said["interface"]),
            ("engine", f"{said['engine']}, module {said['loaded']}"),
            ("calls", said["calls"]),
            ("memory of an instance", f"{said['memory'] >> 10} KiB"),
            ("cache", said["cache"]["directory"] or f"off ({cache.ENVIRONMENT})"),
        ]
        entries = said["cache"]["entries"]
        rows += [("", f"{entry['path']} ({entry['size'] >> 10} KiB{_in_use(entry)})") for entry in entries]
        if said["cache"]["directory"] and not entries:
            rows.append(("", "empty: fill it with `connectcore core precompile`"))
        return [f"{name:22} {value}" for name, value in rows]


def _in_use(entry: dict[str, Any]) -> str:
    return ", in use" if entry["in_use"] else ""


def described() -> Description:
    """What this process uses. Raises ProblemError."""
    try:
        loaded = module.load()
        instance = new_instance()
    except module.ModuleError as error:
        raise ProblemError(str(error)) from error
    version = instance.version
    used = module.cached_path()
    entries = [{"path": path, "size": size, "in_use": path == used} for path, size in cache.entries()]
    said = {
        "version": __version__,
        "wasmtime": wasmtime_version(),
        "module": _file(module.wasm_path()),
        "codings": _file(codings.wasm_path()),
        "interface": f"{version >> 16}.{version & 0xFFFF}",
        "engine": "quick" if loaded.compiled.engine.quick else "careful",
        "loaded": loaded.where,
        "calls": "unchecked" if instance.fast else "by the public API",
        "memory": instance.memory_size,
        "cache": {"directory": cache.directory(), "entries": entries},
    }
    instance.close()
    return Description(said)


def precompiled(*, shared: bool) -> Iterator[str]:
    """Compile the modules into the cache; gives the files' paths. `shared`: other users may read them. Raises ProblemError."""
    if cache.directory() is None:  # to be told before the time is spent
        raise ProblemError(f"the cache is off ({cache.ENVIRONMENT}=off)")
    try:
        yield from module.precompile(shared=shared)
        yield from codings.precompile(shared=shared)
    except (module.ModuleError, OSError) as error:
        raise ProblemError(str(error)) from error


def _file(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"path": path, "size": os.path.getsize(path), "sha256": digest}
    except OSError as error:
        raise ProblemError(f"{path} cannot be read ({error.strerror}): reinstall connectcore") from error
