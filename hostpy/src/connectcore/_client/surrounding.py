"""Objects whose `with` block concerns the calls that are made inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

if TYPE_CHECKING:
    from contextvars import ContextVar
    from types import TracebackType

__all__ = ["Around", "Surrounding"]

Around: TypeAlias = "tuple[Surrounding, Any, Around | None]"
"""An object whose block this is, what the calls inside have to do with, and the same of the block around this one."""


class Surrounding:
    """Puts itself into a context variable, `_current`, for the time of its `with` block.

    The variable holds what is to be put back, and the object does not: so many threads or tasks may be in blocks of one object
    at once, and a block may stand within another of the same object.
    """

    __slots__ = ()

    _current: ClassVar[ContextVar[Around | None]]

    def __enter__(self) -> Self:
        around = self._current.get()
        self._current.set((self, self._within(around), around))
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        block = self._current.get()
        # A block that is left in another context than it was entered in has nothing to put back there.
        if block is not None and block[0] is self:
            self._current.set(block[2])
            self._left(block)

    def _within(self, _around: Around | None) -> Any:
        """What the calls inside have to do with."""
        return self

    def _left(self, block: Around) -> None:
        """A block has been left."""
