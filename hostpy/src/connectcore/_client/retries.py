"""Making a call again: when, how often and after which time. What the server says about it the module has read.

The rules are those of gRPC's retry design (proposal A6). A call that the server did no work for is made again whatever it does.
One that may have had an effect is only made again where the method says that twice is as good as once. Of a call that gives a
stream nothing may have reached the application; of one that takes a stream, all that was sent must still be there
(`requests.py`).
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._wasm import abi
from ..code import Code
from ..method import IdempotencyLevel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .call import ClientCall

__all__ = ["RetryPolicy", "Tries"]


class RetryPolicy:
    """Lets a client make a call again that failed.

        client = GreetServiceClient(address, timeout=5, retries=RetryPolicy())

    A call is made again if another try may go better (by its code, or because the server says when to come back), and if it
    cannot do harm: the method's idempotency level says so, or the server has done no work, since it could not be reached or
    refused the request. Of a stream of requests up to 256 KiB are kept for another try; a call that has sent more is not made
    again. A call's timeout holds for all of its tries together.

    The waits grow from try to try, with a random part so that clients do not come back all at once; what the server says about
    when to come back, or not at all, is kept instead. A budget stops tries altogether while too many calls fail: each failure
    takes one token, each success gives `token_ratio`, and there are tries only while more than half of `max_tokens` is left.
    Clients that are given the same policy share its budget.

    Args:
        max_attempts: tries of one call, the first one included.
        initial_backoff: seconds before the second try, give or take `jitter`.
        max_backoff: most seconds between two tries, unless the server says more.
        backoff_multiplier: how many times longer each wait is than the one before.
        jitter: the part of a wait that is random: 0.2 makes it between 0.8 and 1.2 times as long.
        codes: further codes that may go better the next time, beside those that say so by themselves.
        max_tokens: what the budget holds.
        token_ratio: what a call that ends well adds to it.

    Raises:
        ValueError: an argument makes no sense.
        TypeError: an argument is no number, or one of the codes is none.

    """

    def __init__(
        self,
        *,
        max_attempts: int = 4,
        initial_backoff: float = 0.1,
        max_backoff: float = 5.0,
        backoff_multiplier: float = 2.0,
        jitter: float = 0.2,
        codes: Iterable[Code] = (),
        max_tokens: float = 10.0,
        token_ratio: float = 0.1,
    ) -> None:
        for name, given in vars().items():
            if name not in ("self", "codes") and not isinstance(given, int | float):
                raise TypeError(f"{name} must be a number, not {given!r}")
        _check(max_attempts >= 2, f"max_attempts must be at least 2, not {max_attempts}: the first try counts")
        _check(initial_backoff > 0, f"initial_backoff must be more than 0 seconds, not {initial_backoff}")
        _check(max_backoff >= initial_backoff, f"max_backoff must be at least initial_backoff, not {max_backoff}")
        _check(backoff_multiplier >= 1, f"backoff_multiplier must be at least 1, not {backoff_multiplier}")
        _check(0 <= jitter <= 1, f"jitter must be between 0 and 1, not {jitter}")
        _check(0 < max_tokens <= 1000, f"max_tokens must be more than 0 and at most 1000, not {max_tokens}")
        _check(token_ratio > 0, f"token_ratio must be more than 0, not {token_ratio}")
        self.max_attempts = max_attempts
        self.codes = frozenset(codes)
        for code in self.codes:
            if not isinstance(code, Code):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise TypeError(f"codes must be connectcore.code.Code, not {code!r}")
        self._initial = initial_backoff
        self._max = max_backoff
        self._multiplier = backoff_multiplier
        self._jitter = jitter
        self._capacity = self._tokens = max_tokens
        self._ratio = token_ratio
        self._lock = threading.Lock()

    def backoff(self, step: int) -> float:
        """Seconds to wait after `step` waits that were chosen like this."""
        from random import uniform  # most clients never need it

        # The power stops growing long before it is more than a float holds.
        wait = min(self._initial * self._multiplier ** min(step, 64), self._max)
        return wait * uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311 - no secret

    def good(self) -> None:
        """A call ended well, or as another try would have."""
        with self._lock:
            self._tokens = min(self._tokens + self._ratio, self._capacity)

    def bad(self) -> bool:
        """A call failed as servers in trouble let them. Whether the budget has room for another try."""
        with self._lock:
            self._tokens = max(self._tokens - 1, 0)
            return self._tokens > self._capacity / 2


def _check(good: bool, text: str) -> None:
    if not good:  # NaN, too
        raise ValueError(text)


class Tries:
    """The tries of one call. `before` is how many came before the one under way."""

    __slots__ = ("_deadline", "_policy", "_safe", "_waits", "before", "wait")

    def __init__(self, policy: RetryPolicy, level: IdempotencyLevel, deadline: float | None) -> None:
        self._policy = policy
        self._safe = level is not IdempotencyLevel.UNKNOWN
        self._deadline = deadline
        self._waits = 0
        self.before = 0
        self.wait: float | None = None

    @property
    def left(self) -> float | None:
        """Seconds to the call's deadline."""
        return None if self._deadline is None else self._deadline - monotonic()

    def over(self, call: ClientCall, requests: Any, content: Any) -> float | None:
        """A try is over, as the call says. Seconds to wait before the next one; None where there is none.

        Args:
            call: the try.
            requests: the call's stream of requests; None where it takes one message.
            content: what the try took of it.

        """
        self.wait = self._after(call)
        if self.wait is not None and requests is not None and not requests.again(content):
            self.wait = None
        if self.wait is not None:
            self.before += 1
        return self.wait

    def _after(self, call: ClientCall) -> float | None:
        policy, said = self._policy, call.retry
        if said is None:
            policy.good()
            return None
        flags = said.flags
        unprocessed = bool(flags & abi.RETRY_UNPROCESSED)
        if not (flags & (abi.RETRY_UNPROCESSED | abi.RETRY_TRANSIENT | abi.RETRY_NEVER) or call.code in policy.codes):
            policy.good()
            return None
        room = policy.bad()
        if flags & abi.RETRY_NEVER or not (unprocessed or self._safe) or not room or self.before + 1 >= policy.max_attempts:
            return None
        if flags & abi.RETRY_TOLD:
            self._waits = 0
            wait = said.wait_us / 1e6
        else:
            wait = policy.backoff(self._waits)
            self._waits += 1
        left = self.left
        return None if left is not None and wait >= left else wait
