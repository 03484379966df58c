"""What a server remembers of requests that come again.

Memory is bounded in number and bytes, and something is kept from the second time on: a head that comes once, such as one with
an identifier of its own, pushes nothing out and costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Memory"]

V = TypeVar("V")

MOST: Final = 512
"""Things that one memory keeps."""

MOST_BYTES: Final = 1 << 20
"""Bytes, about, that they take together."""

LARGEST: Final = 4 << 10
"""Bytes, about, of the largest thing that is kept."""

_ONCE: Final = 1024  # how many are known to have come, without being kept


class Memory(Generic[V]):
    """Values by key. `get` is a dict's. When it is full it starts over."""

    __slots__ = ("_bytes", "_kept", "_once", "get")

    get: Callable[[Hashable], V | None]

    def __init__(self) -> None:
        self._kept: dict[Hashable, V] = {}
        self._once: set[int] = set()
        self._bytes = 0
        self.get = self._kept.get

    def __len__(self) -> int:
        return len(self._kept)

    def offer(self, key: Hashable, value: V, size: int) -> None:
        """Keep a value of `size` bytes, key included, if its key was offered before."""
        mark = hash(key)
        if mark not in self._once:
            if len(self._once) >= _ONCE:
                self._once.clear()
            self._once.add(mark)
        elif size <= LARGEST:
            if len(self._kept) >= MOST or self._bytes + size > MOST_BYTES:
                self._kept.clear()
                self._bytes = 0
            self._kept[key] = value
            self._bytes += size
