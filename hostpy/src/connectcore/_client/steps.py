"""The steps of the module that make up a client's call, and what is done when one fails."""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Any, Final

from .._wasm import abi, client_records, records
from .._wasm.instance import GuestError
from .._wasm.pool import POOL
from ..code import Code
from ..errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..method import MethodInfo
    from .config import ClientConfig

__all__ = ["ClientSteps"]

_FAULT: Final = struct.pack("<H", abi.EV_FAULT)

_log: Final = logging.getLogger("connectcore")


class ClientSteps:
    """A call as its instance of the module knows it: by a handle, once it is open there."""

    _handle = 0
    _late: tuple[int, int] | None = None  # timeout and length of a call that the next batch opens
    finished = False

    def __init__(self, config: ClientConfig, method: MethodInfo[Any, Any]) -> None:
        self._config = config
        self._plan = config.plan(method)
        # Where the module has to be compiled first, that takes a second or two: before the call's clock starts.
        self._instance = POOL.pick()

    def close(self) -> None:
        """The call is over for its caller; if it is not for the module, the module forgets it. Never raises."""
        if self.finished or not self._handle:
            return
        self.finished = True
        instance = self._instance
        if instance.failed:
            return
        try:
            instance.step(records.close(self._handle))
        except GuestError as error:
            POOL.discard(instance, error)

    def _opened(self, batch: Callable[[int], bytes]) -> bytes:
        """Step a batch that opens a call, given the configuration's handle."""
        config, instance = self._config, self._instance
        for _ in range(2):
            try:
                handle = config.handle_in(instance)
            except GuestError as error:
                raise self._failed(error) from error
            events = self._step(batch(handle))
            if events[:2] != _FAULT:
                return events
            first = self._decoded(events)[0]
            if not isinstance(first, records.Fault) or first.fault != abi.FAULT_HANDLE:
                return events
            config.forget_in(instance)  # closed in the meantime, to make room for another client's
        raise self._broken("it does not know its own configuration")

    def _advance(self, batch: bytes) -> bytes:
        """Give commands to this call, which they open if it is not open yet: handle 0, which they bear then, means that."""
        late = self._late
        if late is None:
            return self._step(batch)
        self._late = None
        self._instance = POOL.pick()
        timeout_us, length = late
        procedure = self._plan.procedure
        return self._opened(lambda handle: client_records.ask(handle, timeout_us, procedure, length) + batch)

    def _step(self, batch: bytes) -> bytes:
        try:
            return self._instance.step(batch)
        except GuestError as error:
            raise self._failed(error) from error

    def _decoded(self, events: bytes) -> list[records.Event]:
        decoded = records.decode(events)
        for event in decoded:
            if isinstance(event, records.Fault) and event.fault == abi.FAULT_PANIC:
                self._instance.failed = True
                raise self._failed(event.text.decode("utf-8", "replace"))
        return decoded

    def _rejected(self, reason: int, text: bytes) -> list[records.Event]:
        """What the module says to a message that the host cannot use (ABI.md, `reject`)."""
        if self._instance.failed:  # by another call: this one needs nothing from it any more
            self._instance = POOL.pick()
        try:
            handle = self._config.handle_in(self._instance)
        except GuestError as error:
            raise self._failed(error) from error
        return self._decoded(self._step(records.reject(handle, reason, text)))

    def _failed(self, why: object) -> ConnectError:
        """The instance is lost, and this call with it."""
        self.finished = True
        POOL.discard(self._instance, why)
        return ConnectError(Code.INTERNAL, "the protocol module failed; the next call gets a fresh one")

    def _broken(self, what: str) -> ConnectError:
        """The module and this host do not agree."""
        _log.error("The protocol module refused what this client did: %s", what)
        self.close()
        return ConnectError(Code.INTERNAL, f"the protocol module and its host disagree: {what}")
