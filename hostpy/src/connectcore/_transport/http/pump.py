"""Threads that send requests' content from iterators: kept for a while, and no hindrance to the program's end."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["in_thread", "start_thread"]

_KEPT: Final = 10.0
"""Seconds for which a thread waits for more to do."""

_ready = threading.Condition()
_work: deque[Callable[[], None]] = deque()
_idle = 0


def start_thread(work: Callable[[], None], name: str) -> None:
    """Start a thread that is no hindrance to the program's end. Raises RuntimeError where none can be started."""
    # Before Python 3.12, starting one while the interpreter goes down waits for ever: the thread never comes to its first step.
    if sys.is_finalizing():
        raise RuntimeError("no thread can be started while the interpreter goes down")
    threading.Thread(target=work, name=name, daemon=True).start()


def in_thread(work: Callable[[], None]) -> None:
    """Have a function called in a thread of its own. It must not raise. Raises RuntimeError where no thread can be started."""
    with _ready:
        _work.append(work)
        if _idle >= len(_work) and not sys.is_finalizing():
            _ready.notify()
            return
    try:
        start_thread(_run, "connectcore-content")
    except RuntimeError:
        with _ready:
            if work not in _work:
                return  # another thread has become free for it
            _work.remove(work)
        raise


def _run() -> None:
    global _idle
    while True:
        with _ready:
            _idle += 1
            try:
                if not _work and not _ready.wait_for(lambda: bool(_work), _KEPT):
                    return
                work = _work.popleft()
            finally:
                _idle -= 1
        work()
        del work


def _after_fork_in_child() -> None:
    global _ready, _idle
    _ready = threading.Condition()
    _work.clear()
    _idle = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
