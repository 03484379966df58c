"""The transports of clients that bring none: one of each form for the process, made on first use."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .transport import Transport

__all__ = ["default_transport"]

_lock = threading.Lock()
_async: Transport | None = None


def default_transport() -> Transport:
    """Our own, or that by `pyqwest` where `zttp` has no wheel."""
    global _async
    if _async is None:
        with _lock:
            if _async is None:
                _async = _make()
    return _async


def _make() -> Transport:
    try:
        from .http.async_transport import HTTPTransport
    except ImportError:
        from .pyqwest import PyqwestTransport

        return PyqwestTransport()
    return HTTPTransport()
