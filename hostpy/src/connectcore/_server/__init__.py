"""Servers. A request goes down through these rooms, and up once with its answer:

    router -> asgi, wsgi -> asgi_call, wsgi_call -> call -> the guest
                  |___________ service ___________/

`asgi` and `wsgi` are the applications, `asgi_request` and `wsgi_request` read a request's head and content (`mount` finds the
procedure), `lifespan` answers ASGI's other scopes. `service` is what an application offers: it opens a call, or knows that it
is plain and needs none. `call` is a call without I/O; `asgi_call` and `wsgi_call` own it, run the handler and write.

`procedure` is one method, `endpoint` how it is declared, and `handlers` what its function must be; `memory` is what is
remembered of requests that come again, `response` what is to be written, `outcome` how a call ends, and `usual` the records
that most calls consist of.
"""

from __future__ import annotations
