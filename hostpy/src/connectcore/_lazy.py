"""asyncio, imported when it is first used.

Generated code brings the applications and clients of both kinds at once. A program of threads uses those for asyncio never,
and the import costs it a third of its start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
else:

    class _Asyncio:
        def __getattr__(self, name: str) -> Any:
            import asyncio

            value = getattr(asyncio, name)
            setattr(self, name, value)
            return value

    asyncio = _Asyncio()

__all__ = ["asyncio"]
