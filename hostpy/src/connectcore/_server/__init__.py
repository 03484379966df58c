"""Servers: `service` is what an application offers and the short way of plain calls, `call` any other call, without I/O.

    asgi -> asgi_call -> service, call <- wsgi_call <- wsgi

`actions` is what a call has to write, `wsgi_request` reads a WSGI environment, `endpoint` is a method with the function that
serves it. `router` makes several applications one, `mount` finds where one is mounted, `lifespan` answers ASGI's other scopes.
"""

from __future__ import annotations
