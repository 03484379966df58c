"""Servers that speak another interface than an application does: their logs say what to do."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import greet_server
import greet_server_wsgi
import pytest
from connectcore.cors import CORSASGIMiddleware, CORSWSGIMiddleware
from connectcore.server import ConnectASGIRouter, ConnectWSGIRouter

from test_page import PAGE

EXAMPLES = Path(greet_server.__file__).parent
# Commands of the page, with what their servers say.
SAID = dict(re.findall(r"^\| `((?:granian|gunicorn|uvicorn) [\w:]+)` \| `(.+?)`", PAGE.read_text(), re.MULTILINE))
# What has each choose a port, and how it tells which.
PORTS = {
    "gunicorn": (["-b", "127.0.0.1:0", "--no-control-socket"], r"Listening at: (http://[\d.:]+)"),
    "uvicorn": (["--port", "0"], r"running on (http://[\d.:]+)"),
}
AROUND: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda app: app,
    "router": lambda app: (ConnectASGIRouter if app is greet_server.app else ConnectWSGIRouter)(app),
    "CORS": lambda app: (CORSASGIMiddleware if app is greet_server.app else CORSWSGIMiddleware)(app, origins="*"),
}


def logged(command: str) -> str:
    """What a server of the page writes, to the end of a request that fails."""
    name, application = command.split()
    ports, pattern = PORTS.get(name, (["--port", "0"], "nothing: it does not start"))
    arguments = [sys.executable, "-m", name, *ports, application]
    lines = []
    with subprocess.Popen(arguments, cwd=EXAMPLES, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        late = threading.Timer(60, server.kill)
        late.start()
        try:
            for line in server.stderr:
                lines.append(line)
                if found := re.search(pattern, line):
                    with pytest.raises(urllib.error.HTTPError, match="500"):
                        urllib.request.urlopen(f"{found[1]}/greet.v1.GreetService/Greet", b"", timeout=50)
                    break
        finally:
            server.terminate()
        lines.append(server.stderr.read())
        late.cancel()
    return "".join(lines)


@pytest.mark.parametrize("command", SAID)
def test_a_server_says_what_to_do(command: str) -> None:
    assert SAID[command] in logged(command)


def test_each_kind_is_on_the_page() -> None:
    assert {command.split()[0] for command in SAID} == {"granian", "gunicorn", "uvicorn"}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize(("interface", "app"), [("asgi", greet_server.app), ("wsgi", greet_server_wsgi.app)])
def test_granian(interface: str, app: Any, around: str) -> None:
    """It calls this when it starts, if it was told no interface."""
    with pytest.raises(RuntimeError, match=f"does not speak RSGI: start granian with --interface {interface}"):
        AROUND[around](app).__rsgi_init__(None)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("arguments", [("scope",), ("scope", "receive", "send")])
def test_a_wsgi_application_under_asgi(arguments: tuple[Any, ...], around: str) -> None:
    app = AROUND[around](greet_server_wsgi.app)
    with pytest.raises(TypeError, match=f"^{type(app).__name__} is a WSGI application, .* serve it by gunicorn"):
        app(*arguments)
