"""What sends a client's requests: `transport` says what a client asks, and the others do it.

`http` sends them over the network in the caller's event loop, `pyqwest` on threads of its own (`pyqwest_cancel`: so that
another thread can abort one), `httpx` by a client that a user has, `app` to an application in this process. `content` is what
their libraries get of a request that comes piece by piece, `choose` and `default` say which of them a client uses.
"""

from __future__ import annotations
