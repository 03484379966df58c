"""Clients: `client_async` and `client_sync` do the I/O, `base` is what they share.

    client_async, client_sync -> call (a call without I/O) -> steps (its steps of the module) -> config (what all calls share)

`cancellation` cancels synchronous calls; `response_metadata` catches what comes beside a message.
"""

from __future__ import annotations
