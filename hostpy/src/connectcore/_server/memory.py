"""What a server remembers of requests that come again.

Memory is bounded in number and bytes, and something is kept from the second time on: a head that comes once pushes nothing out
and costs next to nothing.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Head", "Heads", "Memory", "Shape"]

Shape: TypeAlias = "tuple[int, bytes, bytes, bytes, tuple[Any, ...]]"
"""What heads are alike in: capability flags, HTTP method, path, query, names of the fields in their order."""

Head: TypeAlias = "tuple[Shape, tuple[Any, ...]]"
"""A request's head: its shape, and the values of its fields. Names and values are bytes, or text with a character per byte."""

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

    __slots__ = ("_bytes", "_count", "_kept", "_once", "get")

    get: Callable[[Hashable], V | None]

    def __init__(self) -> None:
        self._kept: dict[Hashable, V] = {}
        self._once: set[int] = set()
        self._bytes = self._count = 0
        self.get = self._kept.get

    def __len__(self) -> int:
        return self._count

    def offer(self, key: Hashable, value: V, size: int) -> None:
        """Keep a value of `size` bytes, key included, if its key was offered before."""
        if self._again(key) and self._room(size):
            self._kept[key] = value

    def _again(self, key: Hashable) -> bool:
        """Whether this was asked of the key before."""
        mark = hash(key)
        if mark in self._once:
            return True
        if len(self._once) >= _ONCE:
            self._once.clear()
        self._once.add(mark)
        return False

    def _room(self, size: int) -> bool:
        """Make room for something of `size` bytes, unless that is too large."""
        if size > LARGEST:
            return False
        if self._count >= MOST or self._bytes + size > MOST_BYTES:
            self._kept.clear()
            self._bytes = self._count = 0
        self._bytes += size
        self._count += 1
        return True


class _Form(Generic[V]):
    """Which values of heads of one shape matter, as the guest has said, how many bytes all values may have together, and what
    is kept by those that matter."""

    __slots__ = ("kept", "matters", "pick", "room")

    def __init__(self, names: tuple[Any, ...], matters: bytes, head_max: int) -> None:
        self.matters = matters
        self.room = head_max - sum(map(len, names))
        wanted = [index for index in range(len(names)) if matters[index >> 3] >> (index & 7) & 1]
        self.pick: Callable[[tuple[Any, ...]], tuple[Any, ...]]
        # The first is picked twice, because a getter of one item would give it alone.
        self.pick = itemgetter(wanted[0], *wanted) if wanted else lambda _: ()
        self.kept: dict[tuple[Any, ...], V] = {}


class Heads(Memory[_Form[V]]):
    """Values by heads. One value is for all heads of which the guest says the same (ABI.md section 9, "An answer can be kept"):
    those of one shape whose fields have the same values where these matter.
    """

    __slots__ = ("_empty", "_nul")

    def __init__(self, *, text: bool) -> None:
        super().__init__()
        self._empty: Any = "" if text else b""
        self._nul: Any = "\0" if text else 0

    def find(self, head: Head) -> V | None:
        """The value for a head, if one is kept."""
        shape, values = head
        form = self.get(shape)
        if form is None:
            return None
        value = form.kept.get(form.pick(values))
        if value is None:
            return None
        joined = self._empty.join(values)
        return None if len(joined) > form.room or self._nul in joined else value

    def saw(self, head: Head, matters: bytes, head_max: int, value: V) -> None:
        """Keep the value for heads like this one, from the second time on; of a shape that comes again, the first at once."""
        shape, values = head
        form = self.get(shape)
        if form is not None and form.matters == matters:
            picked = form.pick(values)
            if not self._again((shape, picked)):
                return
        elif self._again((shape, matters)):
            made: _Form[V] = _Form(shape[4], matters, head_max)
            form, picked = made, made.pick(values)
        else:
            return
        if self._room(len(shape[2]) + len(shape[3]) + sum(map(len, shape[4])) + sum(map(len, picked))):
            if self.get(shape) is not form:
                form.kept.clear()  # it was forgotten just now, or is new
                self._kept[shape] = form
            form.kept[picked] = value
