"""The mark of what a `.proto` file calls deprecated: `warnings.deprecated`, or what generated code needs of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

__all__ = ["deprecated"]

if TYPE_CHECKING:
    from typing_extensions import deprecated  # type checkers know it without the package
elif sys.version_info >= (3, 13):
    from warnings import deprecated
else:
    import functools
    import inspect
    import warnings

    def deprecated(message: str, /) -> Any:
        """Warn with this text whenever what is decorated is called: a function, a coroutine function or a class."""

        def warn(stacklevel: int) -> None:
            warnings.warn(message, DeprecationWarning, stacklevel=stacklevel + 1)

        def mark(marked: Any) -> Any:
            marked.__deprecated__ = message
            if isinstance(marked, type):
                original = marked.__init__

                @functools.wraps(original)
                def made(self: Any, *args: Any, **kwargs: Any) -> None:
                    if type(self) is marked:
                        warn(2)
                    original(self, *args, **kwargs)

                marked.__init__ = made
                return marked
            if inspect.iscoroutinefunction(marked):

                @functools.wraps(marked)
                async def called(*args: Any, **kwargs: Any) -> Any:
                    warn(2)
                    return await marked(*args, **kwargs)
            else:

                @functools.wraps(marked)
                def called(*args: Any, **kwargs: Any) -> Any:
                    warn(2)
                    return marked(*args, **kwargs)

            return called

        return mark
