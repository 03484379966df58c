"""Serves an application until standard input ends: `serve.py SERVER MODULE[:NAME]`.

The name is `app` unless another is given. The port is a free one of the loopback interface; the URL is printed once the
server takes requests. Ending with the input means that nothing stays behind, however the caller ends.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "serving"), str(TESTS.parent / "hostpy/examples")]

from servers import HOST, SERVERS, Serving  # noqa: E402


def watch() -> None:
    while os.read(0, 4096):  # sys.stdin's lock would be held in children that are forked meanwhile
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    server, target = sys.argv[1:]
    threading.Thread(target=watch, daemon=True).start()
    module, _, name = target.partition(":")
    SERVERS[server](Serving(f"{module}:{name or 'app'}", lambda port: print(f"http://{HOST}:{port}", flush=True)))


if __name__ == "__main__":
    main()
