"""Over which of a name's addresses requests go: all to the first that answers, or around all of them. Without I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from ..transport import Gone, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .address import Address
    from .options import Options, Target

__all__ = ["AnyPlace", "Rotation"]

_FRESH: Final = 30.0
"""Seconds after which a name is looked up again."""

_AGAIN: Final = 1.0
"""Seconds for which an address that refused is left alone."""


class AnyPlace(Protocol):
    """The connections to some addresses of a target, in either form."""

    target: Target
    options: Options

    def rest(self, now: float) -> None:
        """Close what has rested for too long."""
        ...

    def leave(self) -> None:
        """Close what carries nothing now, and the rest as it ends: no more requests come."""
        ...

    def close(self) -> None:
        """Close everything."""
        ...


P = TypeVar("P", bound=AnyPlace)


class Rotation(Generic[P]):
    """The places of a target.

    Attributes:
        first: the place for all addresses together.
        place: the same, if requests go there. None: they go around a place for each address.
        until: when the name is to be looked up again.
        failure: why it could not be looked up.

    """

    def __init__(self, make: Callable[[Sequence[Address] | None], P]) -> None:
        self._make = make
        self.first = first = make(None)
        # Behind a proxy or a Unix socket there is one address, whatever the name has.
        options = first.options
        around = options.balancing == "round_robin" and options.unix_socket is None and options.proxies.of(first.target) is None
        self.place: P | None = None if around else first
        self.until = 0.0
        self.failure = "the name has none"
        self._places: dict[Address, P] = {}
        self._turn: list[P] = []
        self._down: dict[P, float] = {}  # until when

    @property
    def known(self) -> list[Address]:
        """The addresses that are in use."""
        return list(self._places)

    def due(self, now: float) -> bool:
        """Whether the caller is to look the name up. Others are not told so for a moment."""
        if now < self.until:
            return False
        self.until = now + _AGAIN
        return True

    def update(self, found: Iterable[Address], now: float) -> None:
        """The name was looked up."""
        known = self._places
        self._places = {address: known.get(address) or self._make([address]) for address in found}
        self._turn = []
        self._down = {place: until for place, until in self._down.items() if until > now}
        self.until = now + _FRESH
        for address, place in known.items():
            if address not in self._places:
                place.leave()

    def pick(self, now: float) -> P:
        """The place whose turn it is. Raises TransportError."""
        if not self._places:
            raise TransportError(Gone.REFUSED, f"no address is known of {self.first.target.host}: {self.failure}")
        for _ in range(len(self._places)):
            self._turn = self._turn or list(reversed(self._places.values()))
            place = self._turn.pop()
            if self._down.get(place, 0.0) <= now:
                return place
        return next(iter(self._places.values()))  # all refused lately: one is to say so again

    def refused(self, place: P, now: float) -> bool:
        """A place could not be reached. Gives whether another is to be tried."""
        if self.place is not None:
            return False
        self._down[place] = now + _AGAIN
        self.until = min(self.until, now + _AGAIN)
        return any(self._down.get(other, 0.0) <= now for other in self._places.values())

    def rest(self, now: float) -> None:
        """Close what has rested for too long."""
        for place in [self.first, *self._places.values()]:
            place.rest(now)

    def close(self) -> None:
        """Close everything."""
        for place in [self.first, *self._places.values()]:
            place.close()
