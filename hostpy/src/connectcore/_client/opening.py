"""Calls that are opened alike, such as those of one procedure with messages of one length and without metadata.

The module answers the same commands by the same request. So it is asked once. The calls that follow are opened in it together
with what comes back for them, in one step in the place of two; a call that nothing comes back for is never opened.

The same holds for what comes back. If the module has heard the same of a whole response before, its answer is known, and the
call takes no step at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._wasm import abi, records
from .._wasm.columns import layout

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from typing import TypeAlias

    Outcome: TypeAlias = tuple[records.Response, int, int]
    """Of a call that went well: the response, and where its message begins and ends in the content."""

__all__ = ["START", "Opening", "Openings"]

_MANY: Final = 256
"""So many are kept that are new, and at most as many that were."""

_SMALL: Final = 4 << 10
"""Bytes of commands above which they are not kept."""

_OUTCOMES: Final = 8
"""So many are remembered: responses that come in the same second differ in nothing but their messages."""

_SHORT: Final = 1 << 10
"""Most bytes that tell the module of a response that is remembered."""

START: Final = layout((abi.LAYOUT_DONE, "kind handle"))
"""How every event begins."""


class Opening:
    """The commands that open a call and send its only message, and the request that the module makes of them.

    Attributes:
        batch: the commands, with the handle of a configuration in one instance.
        method: the request's HTTP method.
        target: its path and query.
        fields: its header section, as a column.
        body: its content, around the message.
        size: how many bytes the events have that say so.
        outcomes: what the module said to responses, by what those have in common that it says this to.

    """

    __slots__ = ("_arguments", "_sending", "batch", "body", "fields", "method", "outcomes", "size", "target")
    method: str
    target: str
    fields: bytes
    body: records.HttpBody
    size: int

    def __init__(self, handle: int, arguments: Sequence[Any], sending: bytes) -> None:
        self._arguments = arguments
        self._sending = sending
        self.outcomes: dict[Hashable, Outcome] = {}
        self.batch = self.batch_for(handle)

    def batch_for(self, handle: int) -> bytes:
        """The commands with the configuration's handle in another instance."""
        return records.open_client(handle, *self._arguments) + self._sending

    def learn(self, alike: Hashable, outcome: Outcome, size: int) -> None:
        """Remember the outcome of a response whose commands have so many bytes: the same commands have the same."""
        if size <= _SHORT:
            if len(self.outcomes) >= _OUTCOMES:
                self.outcomes.clear()
            self.outcomes[alike] = outcome


class Openings:
    """What the module said to the first of calls that are opened alike. Those that no call asks for are forgotten."""

    __slots__ = ("_new", "_old")

    def __init__(self) -> None:
        self._new: dict[Hashable, Opening] = {}
        self._old: dict[Hashable, Opening] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def find(self, key: Hashable) -> Opening | None:
        """What was kept by this key."""
        opening = self._new.get(key)
        if opening is None:
            opening = self._old.get(key)
            if opening is not None:
                self._add(key, opening)
        return opening

    def keep(self, key: Hashable, opening: Opening, events: Sequence[records.Event], size: int) -> None:
        """Remember it, if that is all that there is to say of the request."""
        if len(events) != 2 or len(opening.batch) > _SMALL:
            return
        head, body = events
        if isinstance(head, records.HttpRequestHead) and isinstance(body, records.HttpBody):
            opening.method, opening.target = head.method.decode("ascii"), head.target.decode("ascii")
            opening.fields, opening.body, opening.size = head.fields, body, size
            self._add(key, opening)

    def _add(self, key: Hashable, opening: Opening) -> None:
        if len(self._new) >= _MANY:
            self._old, self._new = self._new, {}
        self._new[key] = opening
