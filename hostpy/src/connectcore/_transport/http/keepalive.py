"""When to ask an HTTP/2 peer for a sign of life, without I/O: the meaning of the three options that grpcio has for it, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from .options import Options

__all__ = ["DEAD", "Keepalive"]

DEAD: Final = "the peer does not answer a ping"


class Keepalive:
    """What is known about a peer's being there. Whatever comes from it is a sign of life.

    Attributes:
        heard: when something came last.

    """

    __slots__ = ("_asked", "_permit", "_time", "_timeout", "heard")

    def __init__(self, options: Options, now: float) -> None:
        self._time = options.keepalive_time or 0.0
        self._timeout = options.keepalive_timeout
        self._permit = options.keepalive_permit_without_calls
        self._asked: float | None = None
        self.heard = now

    def check(self, now: float, *, busy: bool) -> tuple[Literal["wait", "ask", "dead"], float]:
        """What to do now, and in how many seconds to check again. `busy`: requests are under way."""
        if self._asked is not None:
            if self.heard >= self._asked:
                self._asked = None
            elif now >= self._asked + self._timeout:
                return "dead", 0.0
            else:
                return "wait", min(self._time, self._asked + self._timeout - now)
        if not busy and not self._permit:
            return "wait", self._time
        left = self.heard + self._time - now
        if left > 0:
            return "wait", left
        self._asked = now
        return "ask", min(self._time, self._timeout)
