"""Finds, checks and compiles a module: the one that decides the protocols, and for `codings.py` that of the codings.

The engine and the compiled module belong to one process and are made on first use. With a warm compile cache
(`cache.py`) that takes a few milliseconds; without, a second or two.

The quick engine (`engine.py`) is used where it can be. `faulthandler`, enabled or disabled after it was made, gets between it
and its signals, and a trap would be the end of the process. So where that happens, and where the address space has no room for
what it reserves, the careful engine takes over.

The environment may name another file in the place of the protocol module that the package carries, with its hash: one that was
audited, say, for all hosts.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
import platform
import sys
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from . import abi, cache
from .engine import MEMORY_CAP, Engine, EngineError, wasmtime_version

if TYPE_CHECKING:
    from .engine import Compiled, Signature

FILE: Final = "connectcore.wasm"

ENVIRONMENT: Final = "CONNECTCORE_MODULE"
"""Names a file to use in the place of the package's own."""

PIN: Final = "CONNECTCORE_MODULE_SHA256"
"""The SHA-256 that this file must have, in hexadecimal digits: it is used only with that."""

_HEAD: Final = 16 << 10
"""Bytes that tell a module from others: Go writes a hash of all that it is built from to its start. To read and hash all of
it would take as long as all else."""

_WASI: Final = "wasi_snapshot_preview1"


class Contract(NamedTuple):
    """What a module exports: a function whose name ends with the interface's major version, and all functions."""

    marker: str
    functions: dict[str, Signature]


_CONTRACT: Final = Contract(
    abi.EXPORT_MARKER,
    {
        abi.EXPORT_MARKER: ((), ("i32",)),
        abi.EXPORT_VERSION: ((), ("i32",)),
        abi.EXPORT_RESERVE: (("i32",), ("i32",)),
        abi.EXPORT_STEP: (("i32",), ("i64",)),
        "_initialize": ((), ()),
    },
)


class ModuleError(RuntimeError):
    """The module cannot be used: it is missing, damaged, or not of this version. The text says what to do."""


class LoadedModule:
    """The compiled module, and where it was found: `cache`, or `compiled` where it was not."""

    __slots__ = ("compiled", "where")

    def __init__(self, compiled: Compiled, where: str) -> None:
        self.compiled = compiled
        self.where = where


_lock = threading.Lock()
_loaded: LoadedModule | None = None
_inherited: LoadedModule | None = None
_compiled_before_fork = False
_compiling = False
_quick = True
_faulthandler: bool | None = None  # whether it was on when the first quick engine was made, which set up the signals


def load() -> LoadedModule:
    """The process's module, loaded or compiled on the first call. Raises ModuleError."""
    global _loaded
    if _loaded is None:
        with _lock:
            if _loaded is None:
                _loaded = _load(wasm_path(), _quick, inherited=_inherited)
    return _loaded


def load_other(path: str, contract: Contract, inherited: LoadedModule | None) -> LoadedModule:
    """Another module, for a caller who keeps it, and closes it before `unload`. Raises ModuleError.

    `inherited` is what a forked process has from its parent, if anything.
    """
    with _lock:
        return _load(path, _quick, contract, inherited)


def quick() -> bool:
    """Whether what is loaded now is for the quick engine."""
    return _quick


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
                loaded.compiled.close()
        _loaded = _inherited = None


def wasm_path() -> str:
    """The path of the module: what the environment names, or else the one that this package carries."""
    return os.environ.get(ENVIRONMENT) or os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), FILE)


def precompile(path: str | None = None, contract: Contract = _CONTRACT, *, shared: bool = False) -> list[str]:
    """Compile a module into the cache for both kinds of engine, whether or not it is there, and return the paths.

    `shared` makes the result readable to other users, for images that are built by one user and run by another. Raises
    ModuleError, and OSError where the cache cannot be written.
    """
    path = path or wasm_path()
    identity, wasm = _identify(path)
    wasm = wasm or _read(path)
    paths: list[str] = []
    for quick in (True, False):
        compiled = _compile(_engine(quick), wasm, path)
        _verify(compiled, path, contract)
        paths.append(cache.store(_key(identity, compiled.engine), compiled.serialize(), shared=shared))
    return paths


def cached_path() -> str | None:
    """Where the cache keeps the module of this version on this machine, or None where the cache is off."""
    return cache.path_of(_key(_identify(wasm_path())[0], _engine(_quick)))


def _engine(quick: bool) -> Engine:
    # Where the parent compiled, the compiler's threads did not survive the fork.
    return Engine(quick=quick, serial=_compiled_before_fork)


def _load(path: str, quick: bool, contract: Contract = _CONTRACT, inherited: LoadedModule | None = None) -> LoadedModule:
    global _faulthandler
    if quick and _faulthandler is None:
        _faulthandler = faulthandler.is_enabled()
    engine = _engine(quick)
    identity, wasm = _identify(path)
    key = _key(identity, engine)
    descriptor = cache.find(key)
    compiled = None if descriptor is None else engine.load(descriptor)
    where = "cache"
    if compiled is None:
        if inherited is not None and inherited.compiled.engine.quick == quick:
            # The parent's module works in a forked child; compiling there is slow at best.
            return inherited
        compiled = _compile(engine, wasm or _read(path), path)
        where = "compiled"
        cache.keep(key, compiled.serialize())
    _verify(compiled, path, contract)
    return LoadedModule(compiled, where)


def _identify(path: str) -> tuple[bytes, bytes | None]:
    """What tells a module from others; and all of it, where the environment named and pinned it. Raises ModuleError."""
    if path != os.environ.get(ENVIRONMENT):
        return _read(path, _HEAD), None
    wasm = _read(path)
    found, wanted = hashlib.sha256(wasm).hexdigest(), os.environ.get(PIN, "").lower()
    if not wanted:
        raise ModuleError(f"{path}, which {ENVIRONMENT} names, needs its hash: set {PIN} to {found} if you trust it")
    if found != wanted:
        raise ModuleError(f"{path} is not the module that {PIN} pins: its SHA-256 is {found}, {wanted} is wanted")
    return found.encode(), wasm


def remedy(path: str) -> str:
    """What to do about a module that cannot be used."""
    return f"{ENVIRONMENT} must name another file" if path == os.environ.get(ENVIRONMENT) else "reinstall connectcore"


def _read(path: str, most: int = -1) -> bytes:
    """A module, or the first bytes of it. Raises ModuleError."""
    try:
        with open(path, "rb") as file:
            wasm = file.read(most)
    except FileNotFoundError:
        raise ModuleError(f"{path} is missing: {remedy(path)}, or run `make wasm` in a source checkout") from None
    except OSError as error:
        raise ModuleError(f"{path} cannot be read ({error.strerror}): check its permissions, or {remedy(path)}") from error
    if wasm[:8] != b"\0asm\x01\0\0\0":
        raise ModuleError(f"{path} is not a WebAssembly module ({len(wasm)} bytes): {remedy(path)}")
    return wasm


def _compile(engine: Engine, wasm: bytes, path: str) -> Compiled:
    global _compiling
    _compiling = True
    try:
        return engine.compile(wasm)
    except EngineError as error:
        raise ModuleError(f"{path} does not compile ({error}): {remedy(path)}") from error


def _verify(compiled: Compiled, path: str, contract: Contract) -> None:
    """Check that the module imports and exports what the contract says, and name all that differs."""
    foreign = sorted({f"{module}.{name}" for module, name in compiled.imports() if module != _WASI})
    if foreign:
        raise ModuleError(f"{path} imports {', '.join(foreign)}, but only {_WASI} is served: {remedy(path)}")
    exports = compiled.exports()
    if contract.marker not in exports:
        stem = contract.marker.rstrip("0123456789")
        other = [name for name in exports if name.startswith(stem) and name[-1:].isdigit()]
        found = f"speaks another interface ({', '.join(other)})" if other else "is not a Connectcore module"
        raise ModuleError(f"{path} {found}; this package needs {contract.marker}: {remedy(path)}")
    missing = [] if "memory" in exports else ["memory"]
    missing += [
        f"{name}({', '.join(signature[0])}) -> ({', '.join(signature[1])})"
        for name, signature in contract.functions.items()
        if exports.get(name) != signature
    ]
    if missing:
        raise ModuleError(f"{path} lacks the export {'; '.join(missing)}: {remedy(path)}")


def _key(identity: bytes, engine: Engine) -> str:
    """Names a compiled module: by what tells the module from others, the compiler, its settings and the processor."""
    digest = hashlib.sha256(identity)
    settings = f"quick={engine.quick} stable={engine.stable} cap={MEMORY_CAP}"
    for part in (wasmtime_version(), settings, sys.platform, _processor()):
        digest.update(b"\0" + part.encode())
    return digest.hexdigest()[:40]


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


def _after_fork_in_child() -> None:
    global _lock, _loaded, _inherited, _compiled_before_fork
    _lock = threading.Lock()
    _inherited = _loaded or _inherited
    _loaded = None
    _compiled_before_fork = _compiling or _compiled_before_fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
