"""The transports of clients that bring none: one of each form for the process, made on first use."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .transport import Transport, TransportSync

__all__ = ["default_transport", "default_transport_sync"]

_lock = threading.Lock()
_async: Transport | None = None
_sync: TransportSync | None = None


def default_transport() -> Transport:
    """Our own, or that by `pyqwest` where `zttp` has no wheel."""
    global _async
    if _async is None:
        with _lock:
            if _async is None:
                _async = _make()
    return _async


def default_transport_sync() -> TransportSync:
    """The same for threads."""
    global _sync
    if _sync is None:
        with _lock:
            if _sync is None:
                _sync = _make_sync()
    return _sync


def _make() -> Transport:
    try:
        from .http.async_transport import HTTPTransport
    except ImportError:
        from .pyqwest import PyqwestTransport

        return PyqwestTransport()
    return HTTPTransport()


def _make_sync() -> TransportSync:
    try:
        from .http.sync_transport import HTTPTransportSync
    except ImportError:
        from .pyqwest import PyqwestTransportSync

        return PyqwestTransportSync()
    return HTTPTransportSync()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # a thread of the parent's may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
