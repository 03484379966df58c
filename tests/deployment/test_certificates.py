"""Mutual TLS as docs/authentication.md has it: the commands of its servers, the example's client, a proxy's header."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import auth_certificates
import pytest
from certificates import certificates
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.testing import client
from greet.v1.greet_connectcore import GreetServiceClient
from greet.v1.greet_pb2 import GreetRequest

from ports import take_port
from proxies import ENVOY_SAYS_WHO, NGINX_SAYS_WHO, backend, proxy, until_listening
from servers import Serving
from test_proxies import need

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "hostpy/examples"
PAGE = (ROOT / "hostpy/docs/authentication.md").read_text()
COMMANDS = {
    command.split()[0]: command for command in re.findall(r"^(?:uvicorn|hypercorn|granian) .*8443.*$", PAGE, re.MULTILINE)
}
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the commands name."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, (certificate, key) in certificates().items():
        (folder / f"{name}.pem").write_bytes(certificate)
        (folder / f"{name}.key").write_bytes(key)
    return folder


@contextlib.contextmanager
def serving(command: str, folder: Path) -> Iterator[int]:
    port = take_port(HOST)
    bin_folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES), "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    words = command.replace("8443", str(port)).split()
    with subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until_listening(port)
            yield port
        finally:
            process.terminate()


def called(port: int, folder: Path, *certificate: str) -> list[str]:
    program = str(EXAMPLES / "auth_certificates.py")
    command = [sys.executable, program, f"https://{HOST}:{port}", "authority.pem", *certificate]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "granian"])
def test_only_those_with_a_certificate_get_in(server: str, folder: Path) -> None:
    with serving(COMMANDS[server], folder) as port:
        assert called(port, folder, "client.pem", "client.key") == ["Hello, World!"]
        [refused] = called(port, folder)
        assert refused.startswith("unavailable: ")


@pytest.mark.parametrize("name", ["nginx", "envoy"])
def test_a_proxy_checks_certificates(name: str, folder: Path) -> None:
    need(name)
    files: dict[str, Any] = {
        "certificate": folder / "server.pem",
        "key": folder / "server.key",
        "clients": folder / "authority.pem",
    }
    serving = Serving("", lambda port: None, **files)
    with (
        backend("uvicorn-zttp", "auth_certificates:behind_proxy") as (server, _),
        proxy(name, serving, [server], [server]) as port,
    ):
        assert called(port, folder, "client.pem", "client.key") == ["Hello, World!"]
        # An authority's own certificate is signed by that authority, and not known to the application.
        assert called(port, folder, "authority.pem", "authority.key") == [
            "permission_denied: authority may not call this service"
        ]


def test_the_page_says_how_proxies_say_who_calls() -> None:
    assert NGINX_SAYS_WHO in PAGE
    for option in json.dumps(ENVOY_SAYS_WHO).replace('"', "").replace("True", "true").strip("{}").split(", "):
        assert option in PAGE


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        ('Hash=0;Subject="CN=client,O=Acme"', "Hello, World!"),
        ('By=spiffe://x;Subject="O=Acme, CN=client"', "Hello, World!"),
        ('Subject="CN=somebody"', Code.PERMISSION_DENIED),
        ("Hash=0", Code.UNAUTHENTICATED),
        ("", Code.UNAUTHENTICATED),
    ],
)
async def test_a_proxy_says_who_calls(header: str, answer: object) -> None:
    async with client(GreetServiceClient, auth_certificates.behind_proxy) as greet:
        try:
            said: object = (await greet.greet(GreetRequest(name="World"), headers={"x-forwarded-client-cert": header})).greeting
        except ConnectError as error:
            said = error.code
    assert said == answer
