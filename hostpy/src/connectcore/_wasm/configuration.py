"""What all calls of a server or of a client have in common, told to each instance once.

An instance knows a configuration by a handle. Owners with equal records share a configuration, and it is closed everywhere
when the last of them is gone.
"""

from __future__ import annotations

import gc
import itertools
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from ..method import IdempotencyLevel, StreamType
from . import abi, records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..method import MethodInfo
    from .instance import Instance

__all__ = [
    "DEFAULT_READ_MAX_BYTES",
    "BusyError",
    "Configuration",
    "attributes",
    "compress_min_of",
    "read_max_of",
    "send_max_of",
    "unknown_option",
]

DEFAULT_READ_MAX_BYTES: Final = abi.DEFAULT_READ_MAX
"""Bytes in one received message, unless a server or a client is told otherwise."""

_MOST: Final = abi.COMPRESSED - 1  # a longer message has no length in the interface

_STREAM_TYPES: Final = {
    StreamType.UNARY: abi.UNARY,
    StreamType.CLIENT_STREAM: abi.CLIENT_STREAM,
    StreamType.SERVER_STREAM: abi.SERVER_STREAM,
    StreamType.BIDI_STREAM: abi.BIDI_STREAM,
}

_keys: Final = itertools.count(1)
_known: Final[weakref.WeakValueDictionary[bytes, Configuration]] = weakref.WeakValueDictionary()
_lock = threading.RLock()


class BusyError(Exception):
    """The instance has no room for one more."""


class Configuration:
    """A configuration. Made by `of`; who opens calls by it keeps it until they are open.

    `key` names it in `Instance.handles`. `flags` are those of the guest's `configured`, once it has a handle.
    """

    __slots__ = ("__weakref__", "_places", "_record", "flags", "key")

    def __init__(self, record: bytes) -> None:
        self.key = next(_keys)
        self.flags = 0
        self._record = record
        self._places: list[tuple[weakref.ref[Instance], int]] = []
        weakref.finalize(self, _close, self.key, self._places).atexit = False

    @classmethod
    def of(cls, record: bytes) -> Configuration:
        """The configuration of this record (`configure-server` or `configure-client`)."""
        with _lock:
            configuration = _known.get(record)
            if configuration is None:
                configuration = _known[record] = cls(record)
            return configuration

    def handle_in(self, instance: Instance) -> int:
        """The handle in an instance, which is told if it does not know the configuration.

        Raises:
            BusyError: the instance has no room for more configurations.
            ValueError: the guest refuses the configuration; the text says why.
            GuestError: the instance failed.

        """
        handle = instance.handles.get(self.key)
        return self._configure(instance) if handle is None else handle

    def _configure(self, instance: Instance) -> int:
        with _lock:
            handle = instance.handles.get(self.key)
            if handle is not None:
                return handle
            event = instance.tell(self._record)[-1]
            if isinstance(event, records.Fault) and event.fault == abi.FAULT_BUSY:
                gc.collect()  # owners that nobody can reach may be part of a cycle, and have not let go yet
                event = instance.tell(self._record)[-1]
            if isinstance(event, records.Configured):
                self.flags = event.flags
                self._places[:] = [place for place in self._places if place[0]() is not None]
                self._places.append((weakref.ref(instance), event.handle))
                instance.handles[self.key] = event.handle
                return event.handle
            assert isinstance(event, records.Fault)
            if event.fault == abi.FAULT_BUSY:
                raise BusyError
            raise ValueError(event.text.decode("utf-8", "replace"))


def attributes(method: MethodInfo[Any, Any]) -> int:
    """A procedure's attributes, as the guest wants them."""
    safe = method.idempotency_level is IdempotencyLevel.NO_SIDE_EFFECTS
    return _STREAM_TYPES[method.stream_type] | (abi.NO_SIDE_EFFECTS if safe else 0)


def read_max_of(read_max_bytes: int | None) -> int:
    """The option as the guest wants it.

    Raises:
        ValueError: there is no message of this length.
        TypeError: it is no whole number.

    """
    return _MOST if read_max_bytes is None else _within("read_max_bytes", read_max_bytes, 1, ", or None for no limit")


def send_max_of(send_max_bytes: int | None) -> int:
    """The same for messages that are sent. Raises ValueError and TypeError."""
    return 0 if send_max_bytes is None else _within("send_max_bytes", send_max_bytes, 1, ", or None for no limit")


def compress_min_of(compress_min_bytes: int) -> int:
    """The same for the smallest message to compress. Raises ValueError and TypeError."""
    return _within("compress_min_bytes", compress_min_bytes, 0)


def _within(name: str, value: int, least: int, otherwise: str = "") -> int:
    if not isinstance(value, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name} must be a whole number from {least} to {_MOST}{otherwise}, not {value!r}")
    if not least <= value <= _MOST:
        raise ValueError(f"{name} must be from {least} to {_MOST}{otherwise}, not {value}")
    return value


def _close(key: int, places: list[tuple[weakref.ref[Instance], int]]) -> None:
    """The last owner is gone. This may be anywhere, also in the middle of a step."""
    for where, handle in places:
        instance = where()
        if instance is not None and instance.handles.pop(key, None) is not None:
            instance.later(records.close_config(handle))


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def unknown_option(what: str, name: str, known: Iterable[str]) -> TypeError:
    """What to say of an option that a server or a client does not have."""
    from difflib import get_close_matches

    names = [*known]
    meant = "".join(f": is {each} meant?" for each in get_close_matches(name, names, 1))
    return TypeError(f"{what} has no option {name!r}{meant or ', but ' + ', '.join(names)}")
