"""CORS: what lets pages of other origins call a server (Fetch standard, "CORS protocol").

A middleware around an application, or around several in one router:

    app = CORSASGIMiddleware(app, origins=["https://example.com"])

and the lists that it uses, for a framework's own middleware: `METHODS`, `allowed_headers`, `exposed_headers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ._server.wrong_server import NOT_GIVEN, NoRSGI, called_as_asgi
from ._standard.fields import METHODS, REQUEST, RESPONSE, TRAILER_PREFIX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import Never

    Fields = list[tuple[str, str]]

__all__ = ["METHODS", "CORSASGIMiddleware", "CORSWSGIMiddleware", "allowed_headers", "exposed_headers"]

DEFAULT_MAX_AGE: Final = 7200
"""Seconds; no current browser keeps an answer longer than Chromium does, which is so long."""

_PREFLIGHT_VARY: Final = "origin, access-control-request-method, access-control-request-headers"


def allowed_headers(*metadata: str) -> list[str]:
    """Request fields that a page may send: those of Connect and gRPC-Web, and metadata with these names."""
    return [*REQUEST, *_names(metadata)]


def exposed_headers(*metadata: str) -> list[str]:
    """Response fields that a page may see: Connect's and gRPC-Web's, and metadata with these names, leading and trailing."""
    names = _names(metadata)
    return [*RESPONSE, *names, *(TRAILER_PREFIX + name for name in names)]


class _Policy:
    """What is answered, as fields to be added."""

    def __init__(
        self,
        origins: Iterable[str] | Callable[[str], bool],
        request_metadata: Iterable[str],
        response_metadata: Iterable[str],
        credentials: bool,
        max_age: int,
    ) -> None:
        self._allows, self._any = _origins(origins)
        if self._any and credentials:
            raise ValueError("credentials are not for any origin: name those that may send them")
        if max_age < 0:
            raise ValueError(f"max_age is a number of seconds, not {max_age}")
        self._common: Fields = [("access-control-allow-credentials", "true")] if credentials else []
        self._answer = ("access-control-expose-headers", ", ".join(exposed_headers(*response_metadata)))
        self._preflight: Fields = [
            ("access-control-allow-methods", ", ".join(METHODS)),
            ("access-control-allow-headers", ", ".join(allowed_headers(*request_metadata))),
            ("access-control-max-age", str(max_age)),
        ]

    def answer(self, origin: str | None) -> Fields:
        """The fields to add to the response to a request that is no preflight."""
        # A cache must not give one origin what was made for another.
        vary: Fields = [] if self._any else [("vary", "origin")]
        return vary + self._allowed(origin, [self._answer])

    def preflight(self, origin: str) -> Fields:
        """The fields of the response to a preflight. One that allows nothing has no fields that allow."""
        return [("vary", _PREFLIGHT_VARY), *self._allowed(origin, self._preflight)]

    def _allowed(self, origin: str | None, more: Fields) -> Fields:
        if origin is None or not self._allows(origin):
            return []
        return [("access-control-allow-origin", "*" if self._any else origin), *self._common, *more]


class CORSASGIMiddleware(NoRSGI):
    """Answers preflights, and lets pages of these origins see an ASGI application's responses.

    Args:
        app: the application.
        origins: which pages may call: origins such as `https://example.com`, the one text `*` for any, or a function that is
            given an origin and says whether it may.
        request_metadata: names of metadata that pages send, such as `authorization`.
        response_metadata: names of metadata that pages want to see, leading and trailing.
        credentials: whether pages may send cookies and other credentials of the browser's.
        max_age: seconds for which a browser may remember the answer to a preflight.

    Raises:
        ValueError: an origin is none, or any origin is to send credentials.

    """

    _interface = "asgi"

    def __init__(
        self,
        app: Callable[[Any, Any, Any], Awaitable[None]],
        *,
        origins: Iterable[str] | Callable[[str], bool],
        request_metadata: Iterable[str] = (),
        response_metadata: Iterable[str] = (),
        credentials: bool = False,
        max_age: int = DEFAULT_MAX_AGE,
    ) -> None:
        self._app = app
        self._policy = _Policy(origins, request_metadata, response_metadata, credentials, max_age)

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        """Serve one request, or hand on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = {name: value for name, value in scope["headers"] if name in (b"origin", b"access-control-request-method")}
        origin = found[b"origin"].decode("latin-1") if b"origin" in found else None
        if origin is not None and scope["method"] == "OPTIONS" and b"access-control-request-method" in found:
            await send({"type": "http.response.start", "status": 204, "headers": _bytes(self._policy.preflight(origin))})
            await send({"type": "http.response.body", "body": b""})
            return
        more = _bytes(self._policy.answer(origin))

        async def answer(event: Any) -> None:
            if event["type"] == "http.response.start":
                event = {**event, "headers": [*event.get("headers", ()), *more]}
            await send(event)

        await self._app(scope, receive, answer)


class CORSWSGIMiddleware(NoRSGI):
    """Answers preflights, and lets pages of these origins see a WSGI application's responses.

    The arguments are those of `CORSASGIMiddleware`.
    """

    _interface = "wsgi"

    def __init__(
        self,
        app: Callable[[dict[str, Any], Any], Iterable[bytes]],
        *,
        origins: Iterable[str] | Callable[[str], bool],
        request_metadata: Iterable[str] = (),
        response_metadata: Iterable[str] = (),
        credentials: bool = False,
        max_age: int = DEFAULT_MAX_AGE,
    ) -> None:
        self._app = app
        self._policy = _Policy(origins, request_metadata, response_metadata, credentials, max_age)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any] = NOT_GIVEN, *others: Never
    ) -> Iterable[bytes]:
        """Serve one request."""
        if start_response is NOT_GIVEN or others:
            raise called_as_asgi(self)
        origin = environ.get("HTTP_ORIGIN")
        asked = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        if origin is not None and asked and environ["REQUEST_METHOD"] == "OPTIONS":
            start_response("204 No Content", self._policy.preflight(origin))
            return []
        more = self._policy.answer(origin)

        def answer(status: str, fields: list[tuple[str, str]], *exc_info: Any) -> Any:
            return start_response(status, [*fields, *more], *exc_info)

        return self._app(environ, answer)


def _origins(origins: Iterable[str] | Callable[[str], bool]) -> tuple[Callable[[str], bool], bool]:
    """Whether an origin may call, and whether any may. Raises ValueError."""
    if callable(origins):
        return origins, False
    known = frozenset([origins] if isinstance(origins, str) else origins)
    if "*" in known:
        return lambda _: True, True
    for origin in known:
        parts = urlsplit(origin)
        if origin != f"{parts.scheme}://{parts.netloc}".lower() or not parts.netloc:
            raise ValueError(f"an origin is a scheme, a host and perhaps a port, as in https://example.com, not {origin!r}")
    return known.__contains__, False


def _names(metadata: Iterable[str]) -> list[str]:
    return [name.lower() for name in metadata]


def _bytes(fields: Fields) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in fields]
