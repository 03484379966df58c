"""One instance of the module: a batch of commands in, a batch of events out.

A step costs one copy in, one call and one copy out. The call goes straight to wasmtime's C function for unchecked calls,
with argument storage that is made once: 0.5 us where the public API takes 10. Where the installed binding has no such
function, the public API does the same work, slower.

Together with `module.py` this is the only code that touches wasmtime.
"""

from __future__ import annotations

import atexit
import ctypes
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from . import abi, module

if TYPE_CHECKING:
    from collections.abc import Callable

_HOLD_MAX: Final = 16 << 10
"""Batches up to this many bytes run without letting other threads in: giving up the interpreter's lock for a few
microseconds can cost a wait of milliseconds to get it back."""


_living: Final[weakref.WeakSet[Instance]] = weakref.WeakSet()


class GuestError(Exception):
    """The instance trapped or broke the contract. Its calls are lost; other instances are not touched."""


class Instance:
    """One instance, on wasmtime's public API.

    `lock` is held during a step and never across one. `failed` is set when the instance must not be used again.
    `handles` belongs to the configurations' owner: what the instance calls each of them. `version` is the interface's, as the
    module gives it.
    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_exports",
        "_loaded",
        "_memory",
        "_room",
        "_store",
        "failed",
        "handles",
        "lock",
        "version",
    )

    def __init__(self, loaded: module.LoadedModule) -> None:
        import wasmtime

        self.lock = threading.Lock()
        self.failed = False
        self.handles: dict[Any, int] = {}
        self._loaded = loaded  # the store does not outlive the engine
        store = wasmtime.Store(loaded.engine)
        store.set_limits(memory_size=module.MEMORY_CAP, instances=1, memories=1)
        store.set_wasi(wasmtime.WasiConfig())  # no files, no arguments, no environment, no output
        self._store = store
        _living.add(self)
        try:
            instance = loaded.linker.instantiate(store, loaded.module)
            self._exports = instance.exports(store)
            self._function("_initialize")
            self.version = version = self._function(abi.EXPORT_VERSION)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise module.ModuleError(f"the module does not start: {_text(error)}") from error
        if version >> 16 != abi.MAJOR or version & 0xFFFF < abi.MINOR:
            raise module.ModuleError(
                f"the module speaks version {version >> 16}.{version & 0xFFFF} of the interface; this package needs "
                f"{abi.MAJOR}.{abi.MINOR} or a later minor version: reinstall connectcore"
            )
        self._memory: Any = self._exports["memory"]
        self._room = 0
        self._address = 0
        self._reserve(64 << 10)

    def step(self, batch: bytes) -> bytes:
        """Give the guest a batch of commands and return its events. Raises GuestError."""
        size = len(batch)
        with self.lock:
            if self.failed:
                raise GuestError("the instance failed in an earlier step")
            if size > self._room:
                self._reserve(size)
            self._memory.write(self._store, batch, self._address)
            result = self._guarded(abi.EXPORT_STEP, size)
            start, length = result >> 32 & 0xFFFFFFFF, result & 0xFFFFFFFF
            if start + length > self._memory.data_len(self._store):
                raise self._fail("events lie outside of its memory")
            return bytes(self._memory.read(self._store, start, start + length))

    def close(self) -> None:
        """Give the instance's memory back. Every later step raises GuestError."""
        with self.lock:
            self.failed = True
            self._closing()
            self._store.close()

    def _closing(self) -> None:
        """What a faster kind must forget before its memory goes."""

    @property
    def memory_size(self) -> int:
        """Bytes of linear memory that the instance has."""
        return int(self._memory.data_len(self._store))

    def _reserve(self, size: int) -> None:
        """Make room for a batch; some more than asked, so that growing batches do not ask each time."""
        size = max(size, min(2 * self._room, 1 << 20))
        address = self._guarded(abi.EXPORT_RESERVE, size) & 0xFFFFFFFF
        if address + size > self._memory.data_len(self._store):
            raise self._fail("the in arena lies outside of its memory")
        self._address, self._room = address, size

    def _function(self, name: str, *arguments: int) -> int:
        return self._exports[name](self._store, *arguments)  # type: ignore[operator, no-any-return]

    def _guarded(self, name: str, *arguments: int) -> int:
        import wasmtime

        try:
            return self._function(name, *arguments)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise self._fail(_text(error)) from None

    def _fail(self, why: str) -> GuestError:
        self.failed = True
        return GuestError(why)


class FastInstance(Instance):
    """The same on the unchecked call and a view of all memory that the instance can ever have.

    Raises AttributeError where the binding lacks what this needs.
    """

    __slots__ = ("_closing", "step")

    def __init__(self, loaded: module.LoadedModule) -> None:
        if not loaded.stable:
            raise AttributeError("memory can move")
        super().__init__(loaded)
        self.step = self._make_step()  # type: ignore[method-assign, assignment]

    def _make_step(self) -> Callable[[bytes], bytes]:
        """The step as a closure: local names cost a third of what attributes do."""
        import wasmtime._ffi as ffi

        lock = self.lock
        exported: Any = self._exports[abi.EXPORT_STEP]
        function = exported._func
        storage = (ctypes.c_uint32 * 4)()  # arguments and results share it: one value of 16 bytes
        trap = ctypes.c_void_p()
        free, held = _entries(ffi)
        # Without argtypes each of these is passed as it is, which takes half the time.
        context = ctypes.cast(self._store._context(), ctypes.c_void_p)
        callee = ctypes.c_void_p(ctypes.addressof(function))
        values = ctypes.c_void_p(ctypes.addressof(storage))
        one = ctypes.c_size_t(1)
        caught = ctypes.c_void_p(ctypes.addressof(trap))
        start_of_memory = ctypes.addressof(self._memory.data_ptr(self._store).contents)
        view = memoryview((ctypes.c_ubyte * module.MEMORY_CAP).from_address(start_of_memory)).cast("B")
        room = address = 0
        known = self.memory_size

        def make_room(size: int) -> None:
            nonlocal room, address
            if self.failed:
                raise GuestError("the instance failed in an earlier step")
            if size > self._room:
                self._reserve(size)
            room, address = self._room, self._address

        def learn(end: int) -> None:
            nonlocal known
            known = self.memory_size
            if end > known:
                raise lose("events lie outside of its memory")

        def forget() -> None:
            nonlocal room
            room = -1  # every later step asks for room, and is told

        def lose(why: str) -> GuestError:
            forget()
            return self._fail(why)

        def step(batch: bytes, _owners: object = (function, storage, trap)) -> bytes:
            size = len(batch)
            with lock:
                if size > room:
                    make_room(size)
                view[address : address + size] = batch
                storage[0] = size
                error = (held if size <= _HOLD_MAX else free)(context, callee, values, one, caught)
                if error or trap:
                    raise lose(_why(error, trap))
                start = storage[1]
                end = start + storage[0]
                if end > known:
                    learn(end)
                return view[start:end].tobytes()

        self._closing = forget  # type: ignore[method-assign]
        return step


def new_instance() -> Instance:
    """A fresh instance of the process's module, by the fastest way that the binding offers. Raises ModuleError."""
    loaded = module.load()
    try:
        return _instance_of(loaded)
    except module.ModuleError:
        if not loaded.quick:
            raise
    # Most likely there is no room in the address space for what the quick engine reserves.
    module.be_careful()
    return _instance_of(module.load())


def _instance_of(loaded: module.LoadedModule) -> Instance:
    try:
        return FastInstance(loaded)
    except AttributeError:
        return Instance(loaded)


def _entries(ffi: Any) -> tuple[Callable[..., int | None], Callable[..., int | None]]:
    """The C function for unchecked calls, as one that lets other threads run and one that does not."""
    address = ctypes.cast(ffi.dll.wasmtime_func_call_unchecked, ctypes.c_void_p).value
    assert address is not None
    free = ctypes.CFUNCTYPE(ctypes.c_void_p)(address)
    held = ctypes.PYFUNCTYPE(ctypes.c_void_p)(address)
    # An empty argtypes would still be checked for the count.
    for entry in (free, held):
        entry.argtypes = None  # type: ignore[assignment]
    return free, held


def _why(error: int | None, trap: ctypes.c_void_p) -> str:
    """What an unchecked call failed with."""
    import wasmtime
    import wasmtime._ffi as ffi

    try:
        if error:
            pointer = ctypes.cast(ctypes.c_void_p(error), ctypes.POINTER(ffi.wasmtime_error_t))
            return _text(wasmtime.WasmtimeError._from_ptr(pointer))
        return _text(wasmtime.Trap._from_ptr(ctypes.cast(trap, ctypes.POINTER(ffi.wasm_trap_t))))
    except (AttributeError, TypeError):
        return "trap"


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]


@atexit.register
def _close_all() -> None:
    """Close what is open before the interpreter takes the binding's code away from under it."""
    for instance in list(_living):
        if instance.lock.acquire(blocking=False):  # a daemon thread's step keeps its instance
            instance.lock.release()
            instance.close()
    module.unload()
