"""One instance of the module: a batch of commands in, a batch of events out.

A step costs one copy in, one call and one copy out, by the engine's fast way where it has one.

What can wait (`later`) goes in front of the next batch: so a call or a configuration is closed without a step of its own,
and from where no step may be made, as in a finalizer.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Final

from . import abi, module, records
from .engine import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .engine import Compiled, RawCall

__all__ = ["GuestError", "Instance", "new_instance"]

_HOLD_MAX: Final = 16 << 10
"""Batches up to this many bytes run without letting other threads in: giving up the interpreter's lock for a few
microseconds can cost a wait of milliseconds to get it back."""

_MANY: Final = 64
"""So many records that wait are worth a step."""

_living: Final[weakref.WeakSet[Instance]] = weakref.WeakSet()


class GuestError(Exception):
    """The instance trapped or broke the contract. Its calls are lost; other instances are not touched."""


class Instance:
    """One instance.

    `lock` is held during a step and never across one. `failed` is set when the instance must not be used again. `handles`
    has what the instance calls each configuration, by its key (`configuration.py`). `version` is the interface's, as the
    module gives it. `fast` says whether steps go the engine's fast way.

    Raises:
        ModuleError: the module does not start, or is of another version.

    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_forget",
        "_later",
        "_machine",
        "_room",
        "failed",
        "fast",
        "handles",
        "lock",
        "step",
        "version",
    )

    step: Callable[[bytes], bytes]
    """Give the guest a batch of commands and return its events. Raises GuestError."""

    def __init__(self, compiled: Compiled, *, fast: bool = True) -> None:
        self.lock = threading.Lock()
        self.failed = False
        self.handles: dict[int, int] = {}
        self._later: deque[bytes] = deque()
        self._forget: Callable[[], None] | None = None
        try:
            self._machine = compiled.start()
            _living.add(self)
            self._machine.call("_initialize")
            self.version = version = self._machine.call(abi.EXPORT_VERSION)
        except EngineError as error:
            raise module.ModuleError(f"the module does not start: {error}") from error
        if version >> 16 != abi.MAJOR or version & 0xFFFF < abi.MINOR:
            raise module.ModuleError(
                f"the module speaks version {version >> 16}.{version & 0xFFFF} of the interface; this package needs "
                f"{abi.MAJOR}.{abi.MINOR} or a later minor version: {module.remedy(module.wasm_path())}"
            )
        self._room = self._address = 0
        self._reserve(64 << 10)
        self.fast = fast
        try:
            self.step = self._fast_step(self._machine.raw(abi.EXPORT_STEP)) if fast else self._step
        except AttributeError:
            self.fast, self.step = False, self._step

    def tell(self, batch: bytes) -> list[records.Event]:
        """A step, and its events read. Raises GuestError."""
        return self.read(self.step(batch))

    def read(self, events: bytes) -> list[records.Event]:
        """The events of one of this instance's steps. Raises GuestError if the guest says that it failed."""
        read = records.decode(events)
        if read and isinstance(read[0], records.Fault) and read[0].fault == abi.FAULT_PANIC:
            raise self._fail(read[0].text.decode("utf-8", "replace"))
        return read

    def later(self, record: bytes) -> None:
        """Give a command whose events nobody waits for with the next batch. Makes no step, and may be called anywhere.

        Only for what is open in the instance (`close`, `close-config`): so no more records wait than there are handles.
        """
        self._later.append(record)

    def settle(self) -> None:
        """Make a step for what waits, if that is much: nothing else may come for a long time. Raises nothing."""
        if len(self._later) >= _MANY and not self.failed:
            try:
                self.step(b"")
            except GuestError:
                pass  # whoever uses the instance next finds out

    def close(self) -> None:
        """Give the instance's memory back. Every later step raises GuestError."""
        with self.lock:
            self._fail("it is closed")
            self._machine.close()

    @property
    def memory_size(self) -> int:
        """Bytes of linear memory that the instance has."""
        return self._machine.memory_size

    def _step(self, batch: bytes) -> bytes:
        """A step by the public API."""
        with self.lock:
            if self.failed:
                raise GuestError("the instance failed in an earlier step")
            if self._later:
                batch = self._waiting(batch)
            size = len(batch)
            if size > self._room:
                self._reserve(size)
            self._machine.write(batch, self._address)
            result = self._guarded(abi.EXPORT_STEP, size)
            start, length = result >> 32 & 0xFFFFFFFF, result & 0xFFFFFFFF
            if start + length > self._machine.memory_size:
                raise self._fail("events lie outside of its memory")
            return self._machine.read(start, start + length)

    def _fast_step(self, raw: RawCall) -> Callable[[bytes], bytes]:
        """The step as a closure: local names cost a third of what attributes do."""
        lock, waits, waiting = self.lock, self._later, self._waiting
        free, hold, storage, trap, memory = raw.free, raw.hold, raw.storage, raw.trap, raw.memory
        context, callee, values, one, caught = raw.arguments
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
                raise self._fail("events lie outside of its memory")

        def forget() -> None:
            nonlocal room
            room = -1  # every later step asks for room, and is told

        def step(batch: bytes, _owner: object = raw) -> bytes:
            with lock:
                if waits:
                    batch = waiting(batch)
                size = len(batch)
                if size > room:
                    make_room(size)
                memory[address : address + size] = batch
                storage[0] = size
                error = (hold if size <= _HOLD_MAX else free)(context, callee, values, one, caught)
                if error or trap:
                    raise self._fail(raw.why(error))
                start = storage[1]
                end = start + storage[0]
                if end > known:
                    learn(end)
                return memory[start:end].tobytes()

        self._forget = forget
        return step

    def _waiting(self, batch: bytes) -> bytes:
        """A batch with what waited in front of it."""
        waits = self._later
        first = waits.popleft()
        if not waits:  # the close of the call before
            return first + batch
        return b"".join((first, *[waits.popleft() for _ in range(len(waits))], batch))

    def _reserve(self, size: int) -> None:
        """Make room for a batch; some more than asked, so that growing batches do not ask each time."""
        size = max(size, min(2 * self._room, 1 << 20))
        address = self._guarded(abi.EXPORT_RESERVE, size) & 0xFFFFFFFF
        if address + size > self._machine.memory_size:
            raise self._fail("the in arena lies outside of its memory")
        self._address, self._room = address, size

    def _guarded(self, name: str, *arguments: int) -> int:
        try:
            return self._machine.call(name, *arguments)
        except EngineError as error:
            raise self._fail(str(error)) from None

    def _fail(self, why: str) -> GuestError:
        self.failed = True
        if self._forget is not None:
            self._forget()
        return GuestError(why)


def new_instance() -> Instance:
    """A fresh instance of the process's module. Raises ModuleError."""
    loaded = module.load()
    try:
        return Instance(loaded.compiled)
    except module.ModuleError:
        if not loaded.compiled.engine.quick:
            raise
    # Most likely there is no room in the address space for what the quick engine reserves.
    module.be_careful()
    return Instance(module.load().compiled)


@atexit.register
def _close_all() -> None:
    """Close what is open before the interpreter takes the binding's code away from under it."""
    for instance in list(_living):
        if instance.lock.acquire(blocking=False):  # a daemon thread's step keeps its instance
            instance.lock.release()
            instance.close()
    module.unload()
