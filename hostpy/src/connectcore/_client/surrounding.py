"""Objects whose `with` block concerns the calls that are made inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from contextvars import ContextVar, Token
    from types import TracebackType

__all__ = ["Surrounding"]


class Surrounding:
    """Puts itself into a context variable, `_current`, for the time of its `with` block."""

    __slots__ = ("_token",)

    _current: ClassVar[ContextVar[Any]]

    def __init__(self) -> None:
        self._token: Token[Any] | None = None

    def __enter__(self) -> Self:
        self._token = self._current.set(self)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:
                self._current.reset(token)
            except ValueError:  # left in another context than it was entered in: nothing there to put back
                pass
