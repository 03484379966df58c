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

from . import _guest, _module

LIMIT: Final = min(8, (os.cpu_count() or 1) + 1)
"""Most instances that one process uses at a time."""

WATERMARK: Final = 64 << 20
"""Bytes of linear memory above which an instance takes no new calls."""

_CHECK_EVERY: Final = 1024
_log: Final = logging.getLogger("connectcore")


class Pool:
    """Instances for new calls. `failures` counts those that trapped, `replaced` those that grew too large."""

    __slots__ = ("_instances", "_lock", "_picks", "failures", "replaced")

    def __init__(self) -> None:
        self._instances: list[_guest.Instance] = []
        self._lock = threading.Lock()
        self._picks = 0
        self.failures = 0
        self.replaced = 0

    def pick(self) -> _guest.Instance:
        """An instance for a new call: one that is not in a step, if there is one. Raises ModuleError."""
        self._picks += 1
        if self._picks >= _CHECK_EVERY:
            self._replace_large()
        if not _module.sound():
            self._start_over()
        for instance in self._instances:
            if not instance.lock.locked():
                if not instance.failed:
                    return instance
                break
        return self._another()

    def discard(self, instance: _guest.Instance, why: object) -> None:
        """Take an instance out that failed. Its other calls fail at their next step."""
        with self._lock:
            if instance not in self._instances:
                return
            self._instances = [other for other in self._instances if other is not instance]
            self.failures += 1
        _log.error("An instance of the protocol module failed and was dropped: %s", why)

    def instances(self) -> tuple[_guest.Instance, ...]:
        """The instances that take new calls."""
        return tuple(self._instances)

    def _another(self) -> _guest.Instance:
        with self._lock:
            instances = [instance for instance in self._instances if not instance.failed]
            for instance in instances:
                if not instance.lock.locked():
                    break
            else:
                if len(instances) < LIMIT:
                    instances.append(_guest.new_instance())
                    instance = instances[-1]
                else:  # all are busy: wait for one, a different one each time
                    instance = instances[self._picks % len(instances)]
            self._instances = instances
            return instance

    def _start_over(self) -> None:
        """Go on with instances of the careful engine; those that exist serve the calls that they have."""
        _log.info("faulthandler was switched on or off: going on with an engine that makes no use of signals")
        with self._lock:
            _module.be_careful()
            self._instances = []

    def _replace_large(self) -> None:
        with self._lock:
            self._picks = 0
            kept = [instance for instance in self._instances if instance.failed or instance.memory_size <= WATERMARK]
            self.replaced += len(self._instances) - len(kept)
            self._instances = kept


_pool = Pool()


def pool() -> Pool:
    """The process's pool."""
    return _pool


def _after_fork_in_child() -> None:
    global _pool
    # The parent's instances are left alone: one of its threads may have been in the middle of a step.
    _pool = Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
