"""A bare ASGI application to compare with: it answers a unary call with its own message, and waits where the battery's does."""

from __future__ import annotations

from typing import Any

from served import HANG

__all__ = ["asgi"]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (event := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{event['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    unary = (b"content-type", b"application/proto") in scope["headers"]
    body, more = b"", True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        body += event.get("body", b"")
        more = event.get("more_body", False) or not unary or body[2:6] == HANG.encode()
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/proto"), length]})
    await send({"type": "http.response.body", "body": body})
