"""TLS contexts, with the protocols that ALPN offers (RFC 7301)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from ..transport import Gone, TransportError

if TYPE_CHECKING:
    from .options import HttpVersion

__all__ = ["TlsContexts", "checked"]

_H2: Final = "h2"
_OFFERS: Final[dict[str | None, list[str]]] = {None: [_H2, "http/1.1"], "1.1": ["http/1.1"], "2": [_H2]}


class TlsContexts:
    """The contexts of a transport, one for each offer.

    Args:
        given: the user's own. It serves every connection, so it always offers what the transport's `http_version` allows.

    """

    def __init__(self, given: ssl.SSLContext | None, version: HttpVersion | None) -> None:
        self._given = given
        if given is not None:
            given.set_alpn_protocols(_OFFERS[version])
        self._made: dict[HttpVersion | None, ssl.SSLContext] = {}

    def of(self, version: HttpVersion | None) -> ssl.SSLContext:
        """The context for connections that are to speak one version of HTTP, or whichever ALPN finds."""
        if self._given is not None:
            return self._given
        context = self._made.get(version)
        if context is None:
            context = ssl.create_default_context()
            context.set_alpn_protocols(_OFFERS[version])
            self._made[version] = context
        return context


def checked(found: str | None, version: HttpVersion | None) -> HttpVersion:
    """The version that a server has agreed to. Raises TransportError."""
    agreed: HttpVersion = "2" if found == _H2 else "1.1"
    if version == "2" and agreed != "2":
        raise TransportError(Gone.REFUSED, "the server does not offer HTTP/2 over TLS (ALPN), which this call needs")
    return agreed
