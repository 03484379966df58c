"""The type parameters of a method: its request and its response message.

They default to `Any` for type checkers, so that a bare `RequestContext` is complete under strict checking. `typing.TypeVar`
learned defaults in Python 3.13 only and `typing_extensions` is no dependency, so at run time they have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    REQ = TypeVar("REQ", default=Any)
    RES = TypeVar("RES", default=Any)
    T = TypeVar("T", default=Any)
    T_contra = TypeVar("T_contra", contravariant=True, default=Any)
else:
    from typing import TypeVar

    REQ = TypeVar("REQ")
    RES = TypeVar("RES")
    T = TypeVar("T")
    T_contra = TypeVar("T_contra", contravariant=True)

__all__ = ["REQ", "RES", "T", "T_contra"]
