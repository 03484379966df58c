"""The codings' module (wasm/ABI.md, section 11): br and zstd where no library does them.

It is loaded when the first message needs it, which takes a few milliseconds with a warm compile cache. Its instances keep
nothing from one message to the next, so a message takes any that is idle, or makes one.

Everything here belongs to one process: a forked child starts without instances.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from typing import TYPE_CHECKING, Final

from . import codings_abi as abi
from . import module
from .engine import EngineError
from .instance import GuestError
from .pool import LIMIT, WATERMARK

if TYPE_CHECKING:
    from .engine import Machine

__all__ = ["FILE", "TooLargeError", "compress", "decompress", "precompile", "wasm_path"]

FILE: Final = "connectcore-codings.wasm"

_NUMBERS: Final = {"br": abi.BR, "zstd": abi.ZSTD}
_MOST: Final = (1 << 31) - 1

_CONTRACT: Final = module.Contract(
    abi.EXPORT_MARKER,
    {
        abi.EXPORT_MARKER: ((), ("i32",)),
        abi.EXPORT_VERSION: ((), ("i32",)),
        abi.EXPORT_RESERVE: (("i32",), ("i32",)),
        abi.EXPORT_COMPRESS: (("i32", "i32", "i32"), ("i64",)),
        abi.EXPORT_DECOMPRESS: (("i32", "i32", "i32"), ("i64",)),
        "_initialize": ((), ()),
    },
)

_log: Final = logging.getLogger("connectcore")


class TooLargeError(Exception):
    """A message decompresses to more than the limit."""


class _Codings:
    """The process's module with its instances. At most `LIMIT` are in use at a time; others wait."""

    def __init__(self) -> None:
        self._inherited: module.LoadedModule | None = None
        self.forget()

    def forget(self) -> None:
        """Start anew, as in a forked process. Instances that exist are left alone."""
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(LIMIT)
        self._loaded: module.LoadedModule | None = None
        self._idle: list[Machine] = []
        self._used = 0

    def fork(self) -> None:
        """What a forked process does."""
        self._inherited = self._loaded or self._inherited
        self.forget()

    def run(self, export: str, coding: int, number: int, data: bytes | bytearray | memoryview) -> bytes:
        """One message. Raises TooLargeError, ValueError (malformed), GuestError and ModuleError."""
        message = data if isinstance(data, bytes) else bytes(data)
        with self._free:
            machine = self._take()
            try:
                result = _call(machine, export, coding, number, message)
            except (TooLargeError, ValueError):
                self._give(machine)
                raise
            except BaseException as error:
                self._drop(machine, error)
                raise
            self._give(machine)
            return result

    def close(self) -> None:
        """Give back what is not in use."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()
            for loaded in (self._loaded, self._inherited):
                if loaded is not None and not self._used:
                    loaded.compiled.close()
            self._loaded = self._inherited = None

    def _take(self) -> Machine:
        with self._lock:
            if not module.sound():
                module.be_careful()
            if self._loaded is None or self._loaded.compiled.engine.quick != module.quick():
                while self._idle:  # of the other engine
                    self._idle.pop().close()
                self._loaded = module.load_other(wasm_path(), _CONTRACT, self._inherited)
            machine = self._idle.pop() if self._idle else self._start(self._loaded)
            self._used += 1
            return machine

    def _start(self, loaded: module.LoadedModule) -> Machine:
        try:
            return _start(loaded)
        except module.ModuleError:
            if not loaded.compiled.engine.quick:
                raise
        # Most likely there is no room in the address space for what the quick engine reserves.
        module.be_careful()
        self._loaded = module.load_other(wasm_path(), _CONTRACT, self._inherited)
        return _start(self._loaded)

    def _give(self, machine: Machine) -> None:
        with self._lock:
            self._used -= 1
            current = self._loaded is not None and machine.compiled is self._loaded.compiled
            if current and machine.memory_size <= WATERMARK:
                self._idle.append(machine)
                return
        machine.close()

    def _drop(self, machine: Machine, why: BaseException) -> None:
        with self._lock:
            self._used -= 1
        machine.close()
        _log.error("An instance of the codings' module failed and was dropped: %s", why)


def _start(loaded: module.LoadedModule) -> Machine:
    try:
        machine = loaded.compiled.start()
        machine.call("_initialize")
        version = machine.call(abi.EXPORT_VERSION)
    except EngineError as error:
        raise module.ModuleError(f"the codings' module does not start: {error}") from error
    if version >> 16 != abi.MAJOR or version & 0xFFFF < abi.MINOR:
        machine.close()
        raise module.ModuleError(
            f"the codings' module speaks version {version >> 16}.{version & 0xFFFF} of its interface; this package needs "
            f"{abi.MAJOR}.{abi.MINOR} or a later minor version: reinstall connectcore"
        )
    return machine


def _call(machine: Machine, export: str, coding: int, number: int, message: bytes) -> bytes:
    size = len(message)
    if size > _MOST:
        raise GuestError(f"a message of {size} bytes")
    try:
        address = machine.call(abi.EXPORT_RESERVE, size) & 0xFFFFFFFF
        if not address or address + size > machine.memory_size:
            raise GuestError(f"there is no room for a message of {size} bytes")
        machine.write(message, address)
        result = machine.call(export, coding, number, size)
    except EngineError as error:
        raise GuestError(str(error)) from None
    start, length = result >> 32 & 0xFFFFFFFF, result & 0xFFFFFFFF
    if start:
        if start + length > machine.memory_size:
            raise GuestError("a result lies outside of its memory")
        return machine.read(start, start + length)
    if length == abi.FAULT_TOO_LARGE:
        raise TooLargeError
    if length == abi.FAULT_MALFORMED:
        raise ValueError("the data is malformed")
    raise GuestError(f"fault {length}")


_CODINGS: Final = _Codings()


def wasm_path() -> str:
    """The path of the module that this package carries."""
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), FILE)


def compress(coding: str, level: int, data: bytes | bytearray | memoryview) -> bytes:
    """Compress a message with `br` or `zstd`. Raises GuestError, and ModuleError where the module cannot be used."""
    return _CODINGS.run(abi.EXPORT_COMPRESS, _NUMBERS[coding], level, data)


def decompress(coding: str, data: bytes | bytearray | memoryview, limit: int) -> bytes:
    """Decompress a message to at most `limit` bytes, and never to 2 GiB.

    Raises:
        TooLargeError: more would come out.
        ValueError: the data is malformed.
        GuestError: the instance failed, which is dropped.
        ModuleError: the module cannot be used.

    """
    return _CODINGS.run(abi.EXPORT_DECOMPRESS, _NUMBERS[coding], min(limit, _MOST), data)


def precompile(*, shared: bool = False) -> list[str]:
    """Compile the module into the cache; see `module.precompile`."""
    return module.precompile(wasm_path(), _CONTRACT, shared=shared)


# Before the first module's engine is closed, whose function was registered when it was imported.
atexit.register(_CODINGS.close)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_CODINGS.fork)
