"""A call that the guest has prepared an answer for, and that has to wait: for its content, or for what its application does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..request import expired
from .call import ServerCall
from .verdict import OK

if TYPE_CHECKING:
    from .._codec.payload import RejectedError
    from .memory import Head
    from .service import Service
    from .verdict import Verdict

__all__ = ["PlainCall"]


class PlainCall(ServerCall):
    """The call of a verdict. Its content may still come.

    It is not open in any instance. It is opened when the content is not what the verdict is about, or when there is more to
    tell than a plain success; all is told at once then.
    """

    __slots__ = ("_verdict",)

    def __init__(self, service: Service, head: Head, verdict: Verdict) -> None:
        super().__init__(service, head, None)
        self._verdict: Verdict | None = verdict  # None once the guest was asked about the content
        self.request, self.procedure = verdict.request, verdict.procedure
        self.opened = True

    def settle(self, content: bytes | None, ctx: Any) -> None:
        """All of its content is there, and the application took it; or, if None, it is not, and nobody wants it any more."""
        self._unopened = content, content is not None
        self.ctx = ctx
        self.received = True

    def refuse(self, content: bytes, ctx: Any, bad: RejectedError) -> None:
        """All of its content is there, and is bad."""
        self.settle(content, ctx)
        self._reject(bad)

    def show(self, content: bytes, ctx: Any, *, ended: bool, gone: bool) -> None:
        """So much of its content came, up to its end perhaps, or until the peer went away, or until it is late."""
        self.ctx = ctx
        if gone:
            self.peer_gone()
        elif not ended and expired(ctx):
            self.settle(None, ctx)
            self.deadline()
        else:
            self.feed(content, end=ended)

    def feed(self, data: bytes, *, end: bool) -> None:
        """Content came. After `done` it is ignored."""
        if self.done:
            return
        if self._verdict is None:
            super().feed(data, end=end)
            return
        plain = self._verdict.plain
        kept = self._keep(data)
        size = kept.size
        if size <= plain.limit and not end:
            return
        content = kept.peek(0, size)
        if size <= plain.limit and plain.holds(content):
            self._unopened = content, True
            self.messages.append(content)
            self.received = True
            return
        self._unopened = content, end
        self._ask()
        self._step(b"")

    def finish(self, payloads: list[bytes], error: BaseException | None) -> None:
        """The application is done, after these last messages: well, or with what was raised."""
        if self._verdict is not None and error is None and not self.done:
            plain = self._verdict.plain
            answer = plain.answer(payloads[0], self.ctx)
            if answer is not None:
                self.done = True
                self.outcome = self.request.protocol, OK
                self.response.whole(plain.status, *answer)
                return
        super().finish(payloads, error)

    def _ask(self) -> None:
        """From now on what the guest says counts."""
        self._verdict = None
        self.opened = False

    def _reject(self, bad: RejectedError) -> None:
        if self._verdict is not None:
            self._ask()
        super()._reject(bad)
        self.messages.clear()  # the guest has shown the message to be rejected once more

    def _payload(self, taken: Any) -> bytes:
        return super()._payload(taken) if self._verdict is None else self._verdict.plain.payload(taken)
