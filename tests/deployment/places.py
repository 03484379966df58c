"""Serves applications in this process, for tests that look at what is around an RPC application rather than at servers."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

HOST = "127.0.0.1"


@contextlib.contextmanager
def serving_asgi(app: Any, **options: Any) -> Iterator[str]:
    """The URL of an application under uvicorn, while the block runs."""
    import uvicorn

    listener = socket.create_server((HOST, 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", http="httptools", **options))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
    assert not thread.is_alive(), "the server does not end"


@contextlib.contextmanager
def serving_wsgi(app: Any) -> Iterator[str]:
    """The URL of an application under waitress, while the block runs."""
    import waitress

    listener = socket.create_server((HOST, 0))
    channels: dict[int, Any] = {}
    server = waitress.create_server(app, sockets=[listener], map=channels)
    thread = threading.Thread(target=server.run)
    thread.start()

    def end() -> None:
        for channel in list(channels.values()):
            channel.close()  # the loop ends with its last channel

    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        # Not `pull_trigger`: between the two of its steps the loop, awake for another reason, may close what it writes to.
        with server.trigger.lock:
            server.trigger.thunks.append(end)
            server.trigger.pull_trigger()
        thread.join(20)
        server.task_dispatcher.shutdown()
        listener.close()
    assert not thread.is_alive(), "the server does not end"


@contextlib.contextmanager
def requested(url: str, method: str = "GET", content: bytes | None = None, **fields: str) -> Iterator[http.client.HTTPResponse]:
    """The response to a plain HTTP request. Names of fields are given with underscores."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    connection.request(method, parts.path or "/", content, headers)
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def get(url: str, **fields: str) -> tuple[int, str]:
    """Status and text of the answer to a GET."""
    with requested(url, "GET", None, **fields) as response:
        return response.status, response.read().decode()
