"""Serves an application until standard input ends: `serve.py [--h11 | --http2 | --wsgi] MODULE[:NAME]`.

The name is `app` unless another is given. It runs under uvicorn as it comes, on h11, or on zttp for HTTP/1.1 and HTTP/2,
or under gunicorn. The port is a free one of the loopback interface; the URL is printed once the server takes requests.
Ending with the input means that nothing stays behind, however the caller ends.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "hostpy/examples"))


def uvicorn(app: Any, **options: Any) -> None:
    import uvicorn as server

    listener = socket.create_server(("127.0.0.1", 0))

    class Announcing(server.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                announce(listener)

    Announcing(server.Config(app, log_level="warning", timeout_graceful_shutdown=2, **options)).run([listener])


def gunicorn(app: Any) -> None:
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in {
                "bind": "127.0.0.1:0",
                "worker_class": "gthread",
                "threads": 16,
                "loglevel": "warning",
                "graceful_timeout": 2,
                "when_ready": lambda arbiter: announce(arbiter.LISTENERS[0].sock),
            }.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return app

    Application().run()


def announce(listener: socket.socket) -> None:
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)


def watch() -> None:
    while os.read(0, 4096):  # sys.stdin's lock would be held in children that are forked meanwhile
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    threading.Thread(target=watch, daemon=True).start()
    module, _, name = sys.argv[-1].partition(":")
    app = getattr(importlib.import_module(module), name or "app")
    if "--wsgi" in sys.argv:
        gunicorn(app)
    elif "--http2" in sys.argv:
        uvicorn(app, http="zttp", http2=True)
    else:
        uvicorn(app, http="h11" if "--h11" in sys.argv else "auto")


main()
