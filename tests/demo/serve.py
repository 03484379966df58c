"""Serves an application under uvicorn until standard input ends: `serve.py [--http2] MODULE`.

The port is a free one of the loopback interface; the URL is printed once the server takes requests. Ending with the
input means that nothing stays behind, however the caller ends.
"""

from __future__ import annotations

import importlib
import socket
import sys
import threading
from pathlib import Path

import uvicorn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "hostpy/examples"))


class Server(uvicorn.Server):
    url = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self.url, flush=True)


def main() -> None:
    http2 = "--http2" in sys.argv[1:-1]
    app = importlib.import_module(sys.argv[-1]).app
    sock = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http="zttp" if http2 else "auto", http2=http2, log_level="warning", timeout_graceful_shutdown=2
    )
    server = Server(config)
    server.url = f"http://127.0.0.1:{sock.getsockname()[1]}"

    def watch() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run([sock])


main()
