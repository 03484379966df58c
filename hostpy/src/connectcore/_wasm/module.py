"""Finds, checks and compiles the module that decides the protocols.

The engine and the compiled module belong to one process and are made on first use. With a warm compile cache
(`cache.py`) that takes a few milliseconds; without, a second or two.

There are two kinds of engine. The *quick* one leaves the check of each memory access to the processor: it makes half the
code in half the time, and that code is a sixth faster. But a trap is then a signal, and the engine must be the first to
see it. `faulthandler`, enabled or disabled after the engine was made, gets in between, and a trap would be the end of the
process. So where that happens, and where the address space has no room for what the quick engine reserves (4 GiB for an
instance), the *careful* engine takes over, whose code checks each access itself.

Together with `guest.py` this is the only code that touches wasmtime.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
import platform
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from . import abi, cache

if TYPE_CHECKING:
    import wasmtime

FILE: Final = "connectcore.wasm"
MEMORY_CAP: Final = 512 << 20
"""Bytes of linear memory that one instance may have: what stops a runaway guest."""

_REINSTALL: Final = "reinstall connectcore"
_WASI: Final = "wasi_snapshot_preview1"
_FUNCTIONS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    abi.EXPORT_MARKER: ((), ("i32",)),
    abi.EXPORT_VERSION: ((), ("i32",)),
    abi.EXPORT_RESERVE: (("i32",), ("i32",)),
    abi.EXPORT_STEP: (("i32",), ("i64",)),
    "_initialize": ((), ()),
}


class ModuleError(RuntimeError):
    """The module cannot be used: it is missing, damaged, or not of this version. The text says what to do."""


class LoadedModule:
    """A compiled module with its engine: of which kind, whether linear memory stays where it is, and where it was found."""

    __slots__ = ("engine", "linker", "module", "quick", "stable", "where")

    def __init__(self, engine: Engine, module: wasmtime.Module, where: str) -> None:
        import wasmtime

        self.engine = engine.engine
        self.quick = engine.quick
        self.stable = engine.stable
        self.module = module
        self.where = where
        self.linker = wasmtime.Linker(self.engine)
        self.linker.define_wasi()


class Engine:
    """wasmtime's engine with the settings that this package wants."""

    __slots__ = ("engine", "quick", "stable")

    def __init__(self, quick: bool) -> None:
        import wasmtime

        config = wasmtime.Config()
        config.wasm_threads = False  # the module does not use them
        if _compiled_before_fork:
            config.parallel_compilation = False  # the compiler's threads did not survive the fork
        self.quick = quick
        self.stable = True
        try:
            # All of an instance's memory is reserved at once, so its address holds for the instance's life.
            config.memory_may_move = False
            if not quick:
                config.signals_based_traps = False
                config.memory_reservation = MEMORY_CAP
                config.memory_guard_size = 0
        except AttributeError:  # an older binding
            self.stable = False
        self.engine = wasmtime.Engine(config)


_lock = threading.Lock()
_loaded: LoadedModule | None = None
_inherited: LoadedModule | None = None
_compiled_before_fork = False
_compiling = False
_quick = True
_faulthandler: bool | None = None  # whether it was on when the first quick engine was made, which set up the signals


def load() -> LoadedModule:
    """The process's module, loaded or compiled on the first call. Raises ModuleError."""
    global _loaded, _faulthandler
    if _loaded is None:
        with _lock:
            if _loaded is None:
                if _quick and _faulthandler is None:
                    _faulthandler = faulthandler.is_enabled()
                _loaded = _load(wasm_path(), _quick)
    return _loaded


def sound() -> bool:
    """Whether instances of what `load` gave may go on taking calls; if not, `be_careful`."""
    return not _quick or _faulthandler is None or faulthandler.is_enabled() is _faulthandler


def be_careful() -> None:
    """From now on the careful engine is used. Instances that exist are not touched."""
    global _quick, _loaded
    with _lock:
        if _quick:
            _quick = False
            _loaded = None


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
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), FILE)


def precompile(*, shared: bool = False) -> list[str]:
    """Compile the module into the cache for both kinds of engine, whether or not it is there, and return the paths.

    `shared` makes the result readable to other users, for images that are built by one user and run by another. Raises
    ModuleError, and OSError where the cache cannot be written.
    """
    wasm = _read(wasm_path())
    paths: list[str] = []
    for quick in (True, False):
        engine = Engine(quick)
        module = _compile(engine, wasm, wasm_path())
        _verify(module, wasm_path())
        paths.append(cache.store(_key(wasm, engine), module.serialize(), shared=shared))
    return paths


def cached_path() -> str | None:
    """Where the cache keeps the module of this version on this machine, or None where the cache is off."""
    return cache.path_of(_key(_read(wasm_path()), Engine(_quick)))


def _load(path: str, quick: bool) -> LoadedModule:
    wasm = _read(path)
    engine = Engine(quick)
    key = _key(wasm, engine)
    module = _from_cache(engine, key)
    where = "cache"
    if module is None:
        if _inherited is not None and _inherited.quick == quick:
            # The parent's module works in a forked child; compiling there is slow at best.
            return _inherited
        module = _compile(engine, wasm, path)
        where = "compiled"
        cache.keep(key, module.serialize())
    _verify(module, path)
    return LoadedModule(engine, module, where)


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


def _compile(engine: Engine, wasm: bytes, path: str) -> wasmtime.Module:
    global _compiling
    import wasmtime

    _compiling = True
    try:
        return wasmtime.Module(engine.engine, wasm)
    except wasmtime.WasmtimeError as error:
        raise ModuleError(f"{path} does not compile ({_first_line(error)}): {_REINSTALL}") from error


def _from_cache(engine: Engine, key: str) -> wasmtime.Module | None:
    import wasmtime

    descriptor = cache.find(key)
    if descriptor is None:
        return None
    try:
        opened = f"/proc/self/fd/{descriptor}"
        if sys.platform == "linux" and os.path.exists(opened):
            return wasmtime.Module.deserialize_file(engine.engine, opened)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return wasmtime.Module.deserialize(engine.engine, file.read())
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
    if abi.EXPORT_MARKER not in exports:
        other = [name for name in exports if name.startswith("connectcore_abi_v") and name[-1:].isdigit()]
        found = f"speaks another interface ({', '.join(other)})" if other else "is not a Connectcore module"
        raise ModuleError(f"{path} {found}; this package needs {abi.EXPORT_MARKER}: {_REINSTALL}")
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


def _key(wasm: bytes, engine: Engine) -> str:
    """Names a compiled module: by the module, the compiler, its settings and the processor."""
    digest = hashlib.sha256(wasm)
    settings = f"quick={engine.quick} stable={engine.stable} cap={MEMORY_CAP}"
    for part in (wasmtime_version(), settings, sys.platform, _processor()):
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
