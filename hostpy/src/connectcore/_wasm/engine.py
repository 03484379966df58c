"""wasmtime: the one file that touches it.

    Engine -> Compiled (the module as native code) -> Machine (one instance in a store of its own) -> RawCall (its fast way)

What fails raises `EngineError`. Nothing here knows what the module's exports mean.

There are two kinds of engine. The *quick* one leaves the check of each memory access to the processor: it makes half the
code in half the time, and that code is a sixth faster. But a trap is then a signal, and the engine must be the first to see
it; and an instance reserves 4 GiB of addresses. The *careful* one makes code that checks each access itself.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    import wasmtime

__all__ = ["MEMORY_CAP", "Compiled", "Engine", "EngineError", "Machine", "RawCall", "Signature", "wasmtime_version"]

MEMORY_CAP: Final = 512 << 20
"""Bytes of linear memory that one instance may have: what stops a runaway guest."""

Signature = tuple[tuple[str, ...], tuple[str, ...]]
"""A function's parameters and results, by the names of their types."""


class EngineError(Exception):
    """What the engine could not do, or a trap, in one line."""


class Engine:
    """The compiler with the settings that this package wants.

    `stable` says whether an instance's memory stays where it is. `serial` compiles in this thread alone.
    """

    __slots__ = ("_engine", "quick", "stable")

    def __init__(self, *, quick: bool, serial: bool) -> None:
        import wasmtime

        config = wasmtime.Config()
        config.wasm_threads = False  # the module does not use them
        if serial:
            config.parallel_compilation = False
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
        self._engine = wasmtime.Engine(config)

    def compile(self, wasm: bytes) -> Compiled:
        """Compile a module, which takes a second or two of CPU. Raises EngineError."""
        import wasmtime

        try:
            return Compiled(self, wasmtime.Module(self._engine, wasm))
        except wasmtime.WasmtimeError as error:
            raise EngineError(_text(error)) from error

    def load(self, descriptor: int) -> Compiled | None:
        """What `Compiled.serialize` gave, from an open file, which is closed; None where it is damaged or not this engine's.

        It is native code and not checked: the caller knows who wrote it.
        """
        import wasmtime

        try:
            opened = f"/proc/self/fd/{descriptor}"
            if sys.platform == "linux" and os.path.exists(opened):
                return Compiled(self, wasmtime.Module.deserialize_file(self._engine, opened))
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return Compiled(self, wasmtime.Module.deserialize(self._engine, file.read()))
        except wasmtime.WasmtimeError:
            return None
        finally:
            os.close(descriptor)


class Compiled:
    """The module, compiled by an engine."""

    __slots__ = ("_linker", "_module", "engine")

    def __init__(self, engine: Engine, module: wasmtime.Module) -> None:
        self.engine = engine
        self._module = module
        self._linker: wasmtime.Linker | None = None

    def imports(self) -> list[tuple[str, str]]:
        """Module and name of all that it imports."""
        return [(entry.module, entry.name or "") for entry in self._module.imports]

    def exports(self) -> dict[str, Signature | None]:
        """What it exports: the signatures of functions, None for all else."""
        import wasmtime

        found: dict[str, Signature | None] = {}
        for entry in self._module.exports:
            kind = entry.type
            found[entry.name] = None
            if isinstance(kind, wasmtime.FuncType):
                found[entry.name] = tuple(map(str, kind.params)), tuple(map(str, kind.results))
        return found

    def serialize(self) -> bytearray:
        """The native code, for `Engine.load`."""
        return self._module.serialize()

    def start(self) -> Machine:
        """Make an instance. Raises EngineError."""
        import wasmtime

        engine = self.engine._engine
        if self._linker is None:
            linker = wasmtime.Linker(engine)
            linker.define_wasi()
            self._linker = linker
        store = wasmtime.Store(engine)
        store.set_limits(memory_size=MEMORY_CAP, instances=1, memories=1)
        store.set_wasi(wasmtime.WasiConfig())  # no files, no arguments, no environment, no output
        try:
            return Machine(self, store, self._linker.instantiate(store, self._module).exports(store))
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise EngineError(_text(error)) from error

    def close(self) -> None:
        """Give it back, with its engine. Its machines must have been closed before."""
        if self._linker is not None:
            self._linker.close()
        self._module.close()
        self.engine._engine.close()


class Machine:
    """One instance: its functions and its memory. Not to be used by two threads at a time: that would abort the process."""

    __slots__ = ("_exports", "_memory", "_store", "compiled")

    def __init__(self, compiled: Compiled, store: wasmtime.Store, exports: Any) -> None:
        self.compiled = compiled  # the store must not outlive the engine
        self._store = store
        self._exports = exports
        self._memory = exports["memory"]

    @property
    def memory_size(self) -> int:
        """Bytes of linear memory."""
        return int(self._memory.data_len(self._store))

    def call(self, name: str, *arguments: int) -> int:
        """Call an export. Raises EngineError on a trap: then the instance must not be used again."""
        import wasmtime

        try:
            return self._exports[name](self._store, *arguments)  # type: ignore[no-any-return]
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise EngineError(_text(error)) from None

    def write(self, data: bytes, address: int) -> None:
        """Put bytes into memory, which must have room for them there."""
        self._memory.write(self._store, data, address)

    def read(self, start: int, end: int) -> bytes:
        """Bytes of memory, all inside of it."""
        return bytes(self._memory.read(self._store, start, end))

    def raw(self, name: str) -> RawCall:
        """The fast way to call an export of one number. Raises AttributeError where there is none."""
        if not self.compiled.engine.stable:
            raise AttributeError("memory can move")
        return RawCall(self._store, self._exports[name]._func, self._memory.data_ptr(self._store))

    def close(self) -> None:
        """Give the memory back. A `RawCall` must not be used any more."""
        self._store.close()


class RawCall:
    """wasmtime's C function for unchecked calls on one export, with arguments made once, and a view of all memory that the
    instance can ever have: 0.5 us where the public API takes 10.

    Put the number into `storage[0]` and call `hold(*arguments)`, or `free(*arguments)`, which lets other threads run; if that
    gives an error or `trap` is set, the call has failed, and `why` says how. Else `storage[0]` and `storage[1]` are the lower
    and the upper half of the result.
    """

    __slots__ = ("_owned", "arguments", "free", "hold", "memory", "storage", "trap")

    def __init__(self, store: wasmtime.Store, function: Any, memory: Any) -> None:
        self.free, self.hold = _entries()
        self.storage = (ctypes.c_uint32 * 4)()  # arguments and results share it: one value of 16 bytes
        self.trap = ctypes.c_void_p()
        self._owned = function
        self.memory = memoryview((ctypes.c_ubyte * MEMORY_CAP).from_address(ctypes.addressof(memory.contents))).cast("B")
        # Without argtypes each of these is passed as it is, which takes half the time.
        self.arguments = (
            ctypes.cast(store._context(), ctypes.c_void_p),
            ctypes.c_void_p(ctypes.addressof(function)),
            ctypes.c_void_p(ctypes.addressof(self.storage)),
            ctypes.c_size_t(1),
            ctypes.c_void_p(ctypes.addressof(self.trap)),
        )

    def why(self, error: int | None) -> str:
        """What a call failed with, given what it returned."""
        import wasmtime
        import wasmtime._ffi as ffi

        try:
            if error:
                pointer = ctypes.cast(ctypes.c_void_p(error), ctypes.POINTER(ffi.wasmtime_error_t))
                return _text(wasmtime.WasmtimeError._from_ptr(pointer))
            return _text(wasmtime.Trap._from_ptr(ctypes.cast(self.trap, ctypes.POINTER(ffi.wasm_trap_t))))
        except (AttributeError, TypeError):
            return "trap"


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


def _entries() -> tuple[Callable[..., int | None], Callable[..., int | None]]:
    """The C function for unchecked calls, as one that lets other threads run and one that does not."""
    import wasmtime._ffi as binding

    ffi: Any = binding
    address = ctypes.cast(ffi.dll.wasmtime_func_call_unchecked, ctypes.c_void_p).value
    assert address is not None
    free = ctypes.CFUNCTYPE(ctypes.c_void_p)(address)
    hold = ctypes.PYFUNCTYPE(ctypes.c_void_p)(address)
    # An empty argtypes would still be checked for the count.
    for entry in (free, hold):
        entry.argtypes = None  # type: ignore[assignment]
    return free, hold


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]
