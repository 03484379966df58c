"""Over which of a name's addresses requests go: all to the first that answers, or around all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ..transport import Gone, TransportError
from .async_connect import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .address import Address
    from .async_pool import Place

__all__ = ["Spread"]

_FRESH: Final = 30.0
"""Seconds after which a name is looked up again."""

_AGAIN: Final = 1.0
"""Seconds for which an address that refused is left alone."""


class Spread:
    """The places of a target.

    Attributes:
        place: the one place, where all of a name's addresses are one. None: `next` tells.

    """

    def __init__(self, make: Callable[[Sequence[Address] | None], Place]) -> None:
        self._make = make
        place = make(None)
        self._first = place
        around = place.options.balancing == "round_robin" and place.options.unix_socket is None
        around = around and place.options.proxies.of(place.target) is None
        self.place = None if around else place
        self._places: dict[Address, Place] = {}
        self._turn: list[Place] = []
        self._down: dict[Place, float] = {}  # until when
        self._until = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def next(self) -> Place:
        """The place whose turn it is. Raises TransportError."""
        loop = self._first.loop
        if loop.time() >= self._until and self._looking is None:
            self._looking = loop.create_task(self._look_up())
        if not self._places:
            looking = self._looking
            assert looking is not None
            await asyncio.shield(looking)
        if not self._places:
            raise TransportError(Gone.REFUSED, f"no address is known of {self._first.target.host}")
        now = loop.time()
        for _ in range(len(self._places)):
            self._turn = self._turn or list(self._places.values())
            place = self._turn.pop()
            if self._down.get(place, 0.0) <= now:
                return place
        return next(iter(self._places.values()))  # all refused lately: one is to say so again

    async def _look_up(self) -> None:
        first = self._first
        try:
            found = await resolve(first.loop, first.target.host, first.target.port)
        except OSError:
            found = list(self._places)  # those that were known go on serving
        finally:
            self._looking = None
        self._until = first.loop.time() + _FRESH
        known = self._places
        self._places = {address: known.get(address) or self._make([address]) for address in found}
        self._turn = []
        for address, place in known.items():
            if address not in self._places:
                place.leave()

    def refused(self, place: Place) -> bool:
        """A place could not be reached. Gives whether another is to be tried."""
        if self.place is not None:
            return False
        now = self._first.loop.time()
        self._down[place] = now + _AGAIN
        self._until = min(self._until, now + _AGAIN)
        return any(self._down.get(other, 0.0) <= now for other in self._places.values())

    def rest(self, now: float) -> None:
        """Close what has rested for too long."""
        for place in [self._first, *self._places.values()]:
            place.rest(now)

    def close(self) -> None:
        """Close everything."""
        if self._looking is not None:
            self._looking.cancel()
        for place in [self._first, *self._places.values()]:
            place.close()
