"""Looking up a target's addresses, in an event loop."""

from __future__ import annotations

import asyncio

from .address import why
from .async_connect import resolve
from .async_pool import Place
from .balance import Rotation

__all__ = ["Spread"]


class Spread(Rotation[Place]):
    """The places of a target."""

    _looking: asyncio.Task[None] | None = None

    async def next(self) -> Place:
        """The place whose turn it is. Raises TransportError."""
        loop = self.first.loop
        if self._looking is None and self.due(loop.time()):
            self._looking = loop.create_task(self._look_up())
        if not self.known and self._looking is not None:
            await asyncio.shield(self._looking)
        return self.pick(loop.time())

    async def _look_up(self) -> None:
        first = self.first
        try:
            found = await resolve(first.loop, first.target.host, first.target.port)
        except OSError as error:
            self.failure = why(error)  # those that were known go on serving
            return
        finally:
            self._looking = None
        self.update(found, first.loop.time())

    def close(self) -> None:
        """Close everything."""
        if self._looking is not None:
            self._looking.cancel()
        super().close()
