"""nginx and Envoy, with the configurations of hostpy/examples, in front of an application under a server of servers.py."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ports import take_port

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXAMPLES = ROOT / "hostpy/examples"
HOST = "127.0.0.1"
PATIENCE = 30  # seconds
GRACE = 5


def nginx_program() -> str | None:
    """nginx, installed or as get-nginx.sh has unpacked it."""
    unpacked = ROOT / ".cache/nginx/usr/sbin/nginx"
    return shutil.which("nginx") or (str(unpacked) if unpacked.exists() else None)


def missing(name: str) -> str:
    """Why a proxy cannot run here, or nothing."""
    if name.startswith("nginx") and nginx_program() is None:
        return "there is no nginx: install it, or run tests/serving/get-nginx.sh"
    if name.startswith("envoy") and not Path(sys.executable).with_name("envoy").exists():
        return "there is no Envoy for this platform"
    return ""


def nginx_command(serving: Any, ports: dict[str, list[int]], folder: Path) -> list[str | Path]:
    """What runs nginx; its files are written into the folder."""
    text = (EXAMPLES / "nginx.conf").read_text()
    kind = ("ssl " if serving.certificate else "") + ("http2" if serving.http2 or serving.certificate else "")
    changes = {
        r"listen .*;": f"listen {HOST}:{ports['proxy'][0]} {kind};",
        r"server 127.0.0.1:8001;": " ".join(f"server {HOST}:{port};" for port in ports["http2"]),
        r"server 127.0.0.1:8002;": " ".join(f"server {HOST}:{port};" for port in ports["http1"]),
    }
    if serving.certificate:
        changes["certificate.pem"], changes["key.pem"] = str(serving.certificate), str(serving.key)
    else:
        changes[r" +ssl_certificate.*\n"] = ""
    if serving.clients:
        changes[r"( +)client_max_body_size"] = rf"\1ssl_client_certificate {serving.clients};\n\1ssl_verify_client on;\n\g<0>"
        changes[r"grpc_set_header Host"] = f"{NGINX_SAYS_WHO}\n\\g<0>"
    # What nginx keeps on disk belongs into the folder, too.
    kept = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    changes["access_log off;"] = f"access_log off; {kept}"
    for old, new in changes.items():
        text, count = re.subn(old, new, text)
        assert count, f"nginx.conf has no {old}"
    (folder / "nginx.conf").write_text(f"daemon off; worker_shutdown_timeout {GRACE}s;\n{text}")
    program = nginx_program()
    assert program
    return [program, "-c", folder / "nginx.conf", "-p", folder, "-e", "stderr"]


def envoy_command(serving: Any, ports: dict[str, list[int]], folder: Path) -> list[str | Path]:
    """What runs Envoy; its file is written into the folder."""
    config = yaml.safe_load((EXAMPLES / "envoy.yaml").read_text())
    listener = config["static_resources"]["listeners"][0]
    listener["address"]["socket_address"]["port_value"] = ports["proxy"][0]
    chain = listener["filter_chains"][0]
    if serving.certificate:
        tls = chain["transport_socket"]["typed_config"]
        (files,) = tls["common_tls_context"]["tls_certificates"]
        files["certificate_chain"]["filename"], files["private_key"]["filename"] = str(serving.certificate), str(serving.key)
        if serving.clients:
            tls["require_client_certificate"] = True
            tls["common_tls_context"]["validation_context"] = {"trusted_ca": {"filename": str(serving.clients)}}
            chain["filters"][0]["typed_config"] |= ENVOY_SAYS_WHO
    else:
        del chain["transport_socket"]
    for cluster in config["static_resources"]["clusters"]:
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
            {"endpoint": {"address": {"socket_address": {"address": HOST, "port_value": port}}}}
            for port in ports[cluster["name"]]
        ]
    (folder / "envoy.yaml").write_text(yaml.safe_dump(config))
    program = Path(sys.executable).with_name("envoy")
    quiet = ("--log-level", "error", "--disable-hot-restart", "--concurrency", "1", "--drain-time-s", "1")
    return [program, "-c", folder / "envoy.yaml", *quiet]


# How the server hears whose certificate a caller has shown: docs/authentication.md has these, too.
NGINX_SAYS_WHO = """grpc_set_header x-forwarded-client-cert 'Subject="$ssl_client_s_dn"';"""
ENVOY_SAYS_WHO = {"forward_client_cert_details": "SANITIZE_SET", "set_current_client_cert_details": {"subject": True}}

COMMANDS = {"nginx": nginx_command, "envoy": envoy_command}

# It ends with its caller, however that ends: nginx leaves with its calls when it gets SIGQUIT, Envoy with SIGTERM.
LEASH = '"$@" </dev/null & program=$!; cat; kill -{signal} $program; wait $program'


def until_listening(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(0.01)
    raise RuntimeError(f"nobody listens on {port} after {PATIENCE} s")


def until_closed(port: int) -> None:
    """Wait until nobody listens there any more."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            with contextlib.suppress(ConnectionResetError):
                socket.create_connection((HOST, port), 1).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)
    raise RuntimeError(f"{port} is still listened on after {PATIENCE} s")


@contextlib.contextmanager
def started(command: Sequence[object], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program that ends when its standard input does, which is when the block ends."""
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, text=True, **options)
    assert process.stdin
    try:
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


@contextlib.contextmanager
def backend(
    server: str, target: str, grace: int = 2, variables: dict[str, str] | None = None, stderr: Any = None
) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The port and the process of an application under a server, while the block runs.

    Its calls get `grace` seconds to end. `variables` are added to its environment.
    """
    command = [sys.executable, ROOT / "tests/demo/serve.py", server, target]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "SERVING_GRACE": str(grace), **(variables or {})}
    with started(command, env=environment, stdout=subprocess.PIPE, stderr=stderr) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        assert url, f"{server} did not start"
        yield int(url.rpartition(":")[2]), process


@contextlib.contextmanager
def proxy(name: str, serving: Any, http2: list[int], http1: list[int]) -> Iterator[int]:
    """The port of a proxy in front of servers on these ports, while the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        port = take_port(HOST)
        command = COMMANDS[name](serving, {"proxy": [port], "http2": http2, "http1": http1}, Path(folder))
        leash = LEASH.format(signal="QUIT" if name == "nginx" else "TERM")
        with started(["sh", "-c", leash, name, *command], stdout=sys.stderr):
            until_listening(port)
            yield port


def behind(name: str, serving: Any, server: Callable[[Any], None]) -> None:
    """Serve as the functions of servers.py do: a proxy in front of one of them, in this process."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn passes it on at its end, when the proxy has still to go
    with contextlib.ExitStack() as stack:

        def ready(port: int) -> None:
            serving.ready(stack.enter_context(proxy(name, serving, [port], [port])))

        server(replace(serving, ready=ready, certificate=None, key=None, clients=None))
