"""The one file that touches `zttp`: a parser of HTTP/1.1 and HTTP/2 that does no I/O.

Bytes go in, events come out: a response's head, pieces of content, the end of a message with its trailers, and HTTP/2's own
events. `zttp` bounds what a peer can make it hold: 64 KiB or 100 fields of a head, 16 KiB a line, 16 CONTINUATION frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..transport import Gone

if TYPE_CHECKING:
    from collections.abc import Callable

    import zttp
    from zttp import (
        CONNECTION_CLOSED,
        NEED_DATA,
        Data,
        EndOfMessage,
        GoAway,
        H1Connection,
        H2Connection,
        Ping,
        ProtocolError,
        Request,
        Response,
        RstStream,
        Settings,
        Stream,
    )
else:
    import sys
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    def _core() -> object:
        """The parser itself: one extension module. The package around it is for HTTP/3, and takes ten times as long to import.

        Raises ImportError.
        """
        name = "zttp._zttp"
        package = None if "zttp" in sys.modules else PathFinder.find_spec("zttp")
        if package is not None and name not in sys.modules:
            spec = PathFinder.find_spec(name, package.submodule_search_locations)
            if spec is not None and spec.loader is not None:
                try:
                    sys.modules[name] = module = module_from_spec(spec)
                    spec.loader.exec_module(module)
                    module.Connection(module.CLIENT, module.HTTP2).stream(1)
                except Exception:  # noqa: BLE001 - another version may need its package
                    sys.modules.pop(name, None)
                else:
                    return module
        import zttp

        return zttp

    zttp = _core()
    CONNECTION_CLOSED, NEED_DATA, ProtocolError = zttp.CONNECTION_CLOSED, zttp.NEED_DATA, zttp.ProtocolError
    H1Connection, H2Connection, Stream = zttp.H1Connection, zttp.H2Connection, zttp.Stream
    Data, EndOfMessage, Request, Response = zttp.Data, zttp.EndOfMessage, zttp.Request, zttp.Response
    GoAway, Ping, RstStream, Settings = zttp.GoAway, zttp.Ping, zttp.RstStream, zttp.Settings

__all__ = [
    "CONNECTION_CLOSED",
    "NEED_DATA",
    "Data",
    "EndOfMessage",
    "GoAway",
    "H1Connection",
    "H2Connection",
    "Ping",
    "ProtocolError",
    "Request",
    "Response",
    "RstStream",
    "Settings",
    "Stream",
    "failure_of",
    "http1",
    "http1_requests",
    "http2",
    "kind_of",
]

kind_of: Callable[[object], type[object]] = type
"""An event's class."""


def http1() -> H1Connection:
    """A parser of HTTP/1.1 responses."""
    return zttp.Connection(zttp.CLIENT)


def http1_requests() -> H1Connection:
    """A parser of HTTP/1.1 requests."""
    return zttp.Connection(zttp.SERVER)


def http2() -> H2Connection:
    """The state of an HTTP/2 connection as its client sees it."""
    return zttp.Connection(zttp.CLIENT, zttp.HTTP2)


def failure_of(error: ProtocolError, version: str) -> tuple[Gone, str]:
    """What an error of the parser means."""
    text = str(error)
    if "exceeded" in text:
        return Gone.TOO_LARGE, "a section of fields is larger than this transport takes"
    return Gone.MALFORMED, f"the response is no {version}: {text}"
