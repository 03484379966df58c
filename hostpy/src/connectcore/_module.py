"""Finds, checks and compiles the module that decides the protocols.

The engine and the compiled module belong to one process and are made on first use. With a warm compile cache
(`_cache.py`) that takes a few milliseconds; without, a second or two.

Together with `_guest.py` this is the only code that touches wasmtime.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from . import _abi, _cache

if TYPE_CHECKING:
    import wasmtime

FILE: Final = "connectcore.wasm"
MEMORY_CAP: Final = 512 << 20
"""Bytes of linear memory that one instance may have: what stops a runaway guest."""

_REINSTALL: Final = "reinstall connectcore"
_WASI: Final = "wasi_snapshot_preview1"
_FUNCTIONS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    _abi.EXPORT_MARKER: ((), ("i32",)),
    _abi.EXPORT_VERSION: ((), ("i32",)),
    _abi.EXPORT_RESERVE: (("i32",), ("i32",)),
    _abi.EXPORT_STEP: (("i32",), ("i64",)),
    "_initialize": ((), ()),
}


class ModuleError(RuntimeError):
    """The module cannot be used: it is missing, damaged, or not of this version. The text says what to do."""


class LoadedModule:
    """A compiled module with its engine. `stable` says that linear memory never moves."""

    __slots__ = ("engine", "linker", "module", "stable", "where")

    def __init__(
        self, engine: wasmtime.Engine, module: wasmtime.Module, linker: wasmtime.Linker, stable: bool, where: str
    ) -> None:
        self.engine = engine
        self.module = module
        self.linker = linker
        self.stable = stable
        self.where = where


_lock = threading.Lock()
_loaded: LoadedModule | None = None
_inherited: LoadedModule | None = None
_compiled_before_fork = False
_compiling = False


def load() -> LoadedModule:
    """The process's module, loaded or compiled on the first call. Raises ModuleError."""
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = _load(wasm_path())
    return _loaded


def unload() -> None:
    """Give the process's module back; the next `load` makes it anew. Instances must have been closed before."""
    global _loaded, _inherited
    with _lock:
        for loaded in (_loaded, _inherited):
            if loaded is not None:
                loaded.linker.close()
                loaded.module.close()
                loaded.engine.close()
        _loaded = _inherited = None


def wasm_path() -> str:
    """The path of the module that this package carries."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), FILE)


def precompile(*, shared: bool = False) -> str:
    """Compile the module into the cache, whether or not it is there, and return the path of the result.

    `shared` makes the result readable to other users, for images that are built by one user and run by another. Raises
    ModuleError, and OSError where the cache cannot be written.
    """
    wasm = _read(wasm_path())
    engine, stable = _engine()
    module = _compile(engine, wasm, wasm_path())
    _verify(module, wasm_path())
    return _cache.store(_key(wasm, stable), module.serialize(), shared=shared)


def cached_path() -> str | None:
    """Where the cache keeps the module of this version on this machine, or None where the cache is off."""
    return _cache.path_of(_key(_read(wasm_path()), _engine()[1]))


def _load(path: str) -> LoadedModule:
    import wasmtime

    wasm = _read(path)
    engine, stable = _engine()
    key = _key(wasm, stable)
    module = _from_cache(engine, key)
    where = "cache"
    if module is None:
        if _inherited is not None:
            # The parent's module works in a forked child; compiling there may not.
            return _inherited
        module = _compile(engine, wasm, path)
        where = "compiled"
        _cache.keep(key, module.serialize())
    _verify(module, path)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    return LoadedModule(engine, module, linker, stable, where)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            wasm = file.read()
    except FileNotFoundError:
        raise ModuleError(f"{path} is missing: {_REINSTALL}, or run `make wasm` in a source checkout") from None
    except OSError as error:
        raise ModuleError(f"{path} cannot be read ({error.strerror}): check its permissions, or {_REINSTALL}") from error
    if wasm[:8] != b"\0asm\x01\0\0\0":
        raise ModuleError(f"{path} is not a WebAssembly module ({len(wasm)} bytes): {_REINSTALL}")
    return wasm


def _engine() -> tuple[wasmtime.Engine, bool]:
    import wasmtime

    config = wasmtime.Config()
    # With traps by signal, a faulthandler that is enabled after the engine exists turns any trap into the death of the
    # process; test runners and servers do that.
    config.signals_based_traps = False
    # Features that the module does not use stay off.
    config.wasm_threads = False
    if _compiled_before_fork:
        config.parallel_compilation = False  # the compiler's threads did not survive the fork
    stable = True
    try:
        # All of an instance's memory is reserved at once, so its address holds for the instance's life.
        config.memory_reservation = MEMORY_CAP
        config.memory_guard_size = 0
        config.memory_may_move = False
    except AttributeError:
        stable = False
    return wasmtime.Engine(config), stable


def _compile(engine: wasmtime.Engine, wasm: bytes, path: str) -> wasmtime.Module:
    global _compiling
    import wasmtime

    _compiling = True
    try:
        return wasmtime.Module(engine, wasm)
    except wasmtime.WasmtimeError as error:
        raise ModuleError(f"{path} does not compile ({_first_line(error)}): {_REINSTALL}") from error


def _from_cache(engine: wasmtime.Engine, key: str) -> wasmtime.Module | None:
    import wasmtime

    descriptor = _cache.find(key)
    if descriptor is None:
        return None
    try:
        opened = f"/proc/self/fd/{descriptor}"
        if sys.platform == "linux" and os.path.exists(opened):
            return wasmtime.Module.deserialize_file(engine, opened)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return wasmtime.Module.deserialize(engine, file.read())
    except wasmtime.WasmtimeError:
        return None  # cut short, or of another engine: it is compiled again and replaced
    finally:
        os.close(descriptor)


def _verify(module: wasmtime.Module, path: str) -> None:
    """Check that the module imports and exports what the contract says, and name all that differs."""
    foreign = sorted({f"{entry.module}.{entry.name}" for entry in module.imports if entry.module != _WASI})
    if foreign:
        raise ModuleError(f"{path} imports {', '.join(foreign)}, but only {_WASI} is served: {_REINSTALL}")
    exports = {entry.name: entry.type for entry in module.exports}
    if _abi.EXPORT_MARKER not in exports:
        other = [name for name in exports if name.startswith("connectcore_abi_v")]
        found = f"speaks another interface ({', '.join(other)})" if other else "is not a Connectcore module"
        raise ModuleError(f"{path} {found}; this package needs {_abi.EXPORT_MARKER}: {_REINSTALL}")
    missing = [] if "memory" in exports else ["memory"]
    for name, signature in _FUNCTIONS.items():
        found_type = exports.get(name)
        if found_type is None or _signature(found_type) != signature:
            missing.append(f"{name}({', '.join(signature[0])}) -> ({', '.join(signature[1])})")
    if missing:
        raise ModuleError(f"{path} lacks the export {'; '.join(missing)}: {_REINSTALL}")


def _signature(kind: Any) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    import wasmtime

    if not isinstance(kind, wasmtime.FuncType):
        return None
    return tuple(str(entry) for entry in kind.params), tuple(str(entry) for entry in kind.results)


def _key(wasm: bytes, stable: bool) -> str:
    """Names a compiled module: by the module, the compiler, its settings and the processor."""
    digest = hashlib.sha256(wasm)
    for part in (wasmtime_version(), f"signals=off stable={stable} cap={MEMORY_CAP}", sys.platform, _processor()):
        digest.update(b"\0" + part.encode())
    return digest.hexdigest()[:40]


def wasmtime_version() -> str:
    """The version of the wasmtime distribution that is installed."""
    import wasmtime

    # Reading the directory's name takes a hundredth of the time that importing importlib.metadata takes.
    where = os.path.dirname(os.path.dirname(os.path.abspath(wasmtime.__file__)))
    found = [name for name in os.listdir(where) if name.startswith("wasmtime-") and name.endswith(".dist-info")]
    if len(found) == 1:
        return found[0][len("wasmtime-") : -len(".dist-info")]
    import importlib.metadata

    return importlib.metadata.version("wasmtime")


def _processor() -> str:
    """The machine type, and on Linux the first processor's features, which decide what code the compiler makes."""
    machine = platform.machine()
    try:
        with open("/proc/cpuinfo", "rb", buffering=0) as file:
            # The first processor's part is enough, and long lists take long to make.
            for line in file.read(8192).split(b"\n"):
                if line.startswith((b"flags", b"Features")):
                    return f"{machine} {line.decode('ascii', 'replace')}"
    except OSError:
        pass
    return machine


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]


def _after_fork_in_child() -> None:
    global _lock, _loaded, _inherited, _compiled_before_fork
    _lock = threading.Lock()
    _inherited = _loaded or _inherited
    _loaded = None
    _compiled_before_fork = _compiling or _compiled_before_fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
