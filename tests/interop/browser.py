"""Opens the page that plays cases (js/page.mjs) in headless Chromium, and hands over what it tells."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from speech import HERE, NODE, TOOLS

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
LONGEST = 120  # seconds for all cases of a plan
HTML = b"<!doctype html><meta charset=utf-8><title>Interop</title><script type=module src=/page.js></script>"
OPTIONS = (
    "--headless",
    "--no-sandbox",  # it refuses to run as root otherwise, and the only page is our own
    *("--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--mute-audio", "--hide-scrollbars"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--no-proxy-server",
)


def chromium() -> str | None:
    """The browser's program; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def bundle() -> bytes:
    """The page's program with the libraries that it uses."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    target = TOOLS / "page.js"
    esbuild = HERE / "js/node_modules/.bin/esbuild"
    command: list[str | Path] = [
        NODE,
        esbuild,
        "--bundle",
        "--format=esm",
        "--log-level=warning",
        "page.mjs",
        f"--outfile={target}",
    ]
    subprocess.run(command, cwd=HERE / "js", check=True)
    return target.read_bytes()


def play(url: str, plan: list[dict[str, Any]], program: bytes, folder: Path, host: str = "127.0.0.1") -> Any:
    """What the page says of the plan's cases, called at this URL. The page itself is opened at `host`."""
    told: SimpleQueue[Any] = SimpleQueue()
    files = {
        "/": ("text/html", HTML),
        "/page.js": ("text/javascript", program),
        "/plan": ("application/json", json.dumps({"url": url, "plan": plan}).encode()),
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            kind, content = files.get(self.path, ("", b""))
            self.send_response(200 if kind else 404)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with opened(f"http://{host}:{server.server_port}/", folder) as log:
            try:
                results = told.get(timeout=LONGEST)
            except Empty:
                raise AssertionError(f"the page told nothing:\n{log.read_text()[-2000:]}") from None
            finally:
                server.shutdown()
    assert isinstance(results, list), results["failed"]
    return results


@contextlib.contextmanager
def opened(url: str, folder: Path) -> Iterator[Path]:
    """The browser with one page, and its log."""
    browser = chromium()
    assert browser, "no Chromium is installed"
    log = folder / "log"
    command = [browser, *OPTIONS, f"--user-data-dir={folder / 'profile'}", url]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    try:
        yield log
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with all that it started
        process.wait()
