"""Servers that speak another interface than an application does: each ends with a clear word.

granian speaks RSGI, an interface of its own, unless it is told another. Servers for ASGI take what is no coroutine function for
an application of ASGI's second version, which gets its arguments in two calls. For ASGI's applications under a WSGI server
there is nothing here: servers know them by their `async def`. Python says what is missing, the page on deployment what to do.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

__all__ = ["NOT_GIVEN", "NoRSGI", "called_as_asgi"]

NOT_GIVEN: Final[Any] = None
"""The default of what every WSGI server gives."""


def called_as_asgi(application: object) -> TypeError:
    """What to say where a WSGI application got another number of arguments than two."""
    return TypeError(
        f"{type(application).__name__} is a WSGI application, and this server called it as one of ASGI: serve it by gunicorn, "
        "granian --interface wsgi or another WSGI server, or make the ASGI application in its place"
    )


class NoRSGI:
    """An application that granian cannot serve as it comes."""

    _interface: ClassVar[str]
    """What to tell granian instead."""

    def __rsgi_init__(self, loop: Any) -> None:
        """Called when granian starts. Raises RuntimeError."""
        raise RuntimeError(f"{type(self).__name__} does not speak RSGI: start granian with --interface {self._interface}")
