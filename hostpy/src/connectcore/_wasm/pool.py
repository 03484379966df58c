"""The process's instances of the module.

A call picks an instance when it opens and stays with it. One instance serves a whole event loop; threads that find it in
the middle of a step take or make another, up to `LIMIT`. An instance that failed, or whose memory has grown past
`WATERMARK`, is picked no more and goes when its last call does: linear memory never shrinks.

Everything here belongs to one process: a forked child starts with an empty pool.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Final

from . import module
from .instance import Instance, new_instance

LIMIT: Final = min(8, (os.cpu_count() or 1) + 1)
"""Most instances that one process uses at a time."""

WATERMARK: Final = 64 << 20
"""Bytes of linear memory above which an instance takes no new calls."""

_QUICK_PICKS: Final = 64
_log: Final = logging.getLogger("connectcore")


class Pool:
    """Instances for new calls. `failures` counts those that trapped, `replaced` those that grew too large."""

    __slots__ = ("_first", "_instances", "_lock", "_quick_picks", "_turn", "failures", "replaced")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start empty, as in a new process. Instances that exist are left alone."""
        self._lock = threading.Lock()
        self._instances: list[Instance] = []
        self._first: Instance | None = None
        self._quick_picks = 0  # how often `_first` may be given out before all is looked at again
        self._turn = 0
        self.failures = 0
        self.replaced = 0

    def pick(self) -> Instance:
        """An instance for a new call: one that is not in a step, if there is one. Raises ModuleError."""
        if self._quick_picks > 0:
            self._quick_picks -= 1
            first = self._first
            if first is not None and not first.lock.locked() and not first.failed:
                return first
        return self._choose()

    def other(self, full: Instance) -> Instance:
        """An instance other than one that has no room for a call. Raises ModuleError."""
        with self._lock:
            for instance in self._instances:
                if instance is not full and not instance.failed:
                    return instance
            self._instances.append(new_instance())
            return self._instances[-1]

    def discard(self, instance: Instance, why: object) -> None:
        """Take an instance out that failed, and give its memory back. Its other calls fail at their next step."""
        with self._lock:
            if instance not in self._instances:
                return
            self._instances.remove(instance)
            self.failures += 1
        instance.close()
        _log.error("An instance of the protocol module failed and was dropped: %s", why)

    def instances(self) -> tuple[Instance, ...]:
        """The instances that take new calls."""
        return tuple(self._instances)

    def _choose(self) -> Instance:
        """Look after the instances, then find one that is free, or make one, or take one that is not."""
        with self._lock:
            if not module.sound():
                self._start_over()
            self._drop_large()
            self._instances = instances = [instance for instance in self._instances if not instance.failed]
            for instance in instances:
                if not instance.lock.locked():
                    break
            else:
                if len(instances) < LIMIT:
                    instances.append(new_instance())
                    instance = instances[-1]
                else:  # all are busy: wait for one, a different one each time
                    self._turn += 1
                    return instances[self._turn % len(instances)]
            self._first = instance
            self._quick_picks = _QUICK_PICKS
            return instance

    def _start_over(self) -> None:
        """Go on with instances of the careful engine; those that exist serve the calls that they have."""
        _log.info("faulthandler was switched on or off: going on with an engine that makes no use of signals")
        module.be_careful()
        self._instances = []

    def _drop_large(self) -> None:
        kept = [instance for instance in self._instances if instance.failed or instance.memory_size <= WATERMARK]
        self.replaced += len(self._instances) - len(kept)
        self._instances = kept


POOL: Final = Pool()
"""The process's pool."""


if hasattr(os, "register_at_fork"):
    # The parent's instances are left alone: one of its threads may have been in the middle of a step.
    os.register_at_fork(after_in_child=POOL.forget)
