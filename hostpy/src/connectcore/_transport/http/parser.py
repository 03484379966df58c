"""The one file that touches `zttp`: a parser of HTTP/1.1 and HTTP/2 that does no I/O.

Bytes go in, events come out: a response's head, pieces of content, the end of a message with its trailers, and HTTP/2's own
events. `zttp` bounds what a peer can make it hold: 64 KiB or 100 fields of a head, 16 KiB a line, 16 CONTINUATION frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..transport import Gone, TransportError

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
    "ENDED_EARLY",
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
    "ended",
    "failure_of",
    "foreign",
    "http1",
    "http1_requests",
    "http2",
    "kind_of",
    "never_used",
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


ENDED_EARLY: Final = "the server closed it"
"""Why a response is not whole, where the connection ended as it should."""

_ALERT = b"\x15\x03"  # how TLS says that it was not spoken to (RFC 8446, 5.1 and 6)
_SETTINGS = b"\x04\x00\x00\x00\x00\x00"  # what every server's first frame of HTTP/2 has behind its length (RFC 9113, 3.4)


def foreign(begun: bytes) -> str:
    """What to say of a server that speaks something else, by its first bytes; empty where these do not tell."""
    if begun.startswith(_ALERT):
        return "the server speaks TLS here: the address must begin with https://"
    if begun.startswith(b"HTTP/1."):
        return "the server speaks HTTP/1.1 here, and this call needs HTTP/2"
    return 'the server speaks HTTP/2 here: give the transport http_version="2"' if begun[3:9] == _SETTINGS else ""


def ended(begun: bytes | None, text: str) -> tuple[Gone, str]:
    """What the end of a connection means, of whose first response this came; None where it was another one, or clearly HTTP.

    `text` says why it ended.
    """
    if begun is None or text is not ENDED_EARLY:
        return Gone.CLOSED, text
    other = foreign(begun)
    return (Gone.MALFORMED, other) if other else (Gone.CLOSED, text if begun else "the server closed it without a word")


def never_used(begun: bytes | None) -> TransportError:
    """What the end of a connection means that came before its first request; else as `ended`."""
    other = foreign(begun or b"")
    return TransportError(Gone.MALFORMED, other) if other else TransportError(Gone.REFUSED, "it closed the connection at once")


def failure_of(error: ProtocolError, version: str, begun: bytes = b"") -> tuple[Gone, str]:
    """What an error of the parser means. `begun`: the response as far as it came, if it was the first."""
    text = str(error)
    if "exceeded" in text:
        return Gone.TOO_LARGE, "a section of fields is larger than this transport takes"
    return Gone.MALFORMED, foreign(begun) or f"the response is no {version}: {text}"
