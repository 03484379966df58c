"""Clients: `client_async` and `client_sync` are thin, `base` is what they share.

    client_async, client_sync -> base (arguments, interceptors) -> exchange (what a call does with a transport)
                                      -> call (a call without I/O) -> config (what all calls of a client share)

`cancellation` cancels synchronous calls; `response_metadata` catches what comes beside a message.
"""

from __future__ import annotations
