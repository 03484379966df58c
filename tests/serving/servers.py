"""Starts applications under the servers that Python people run, the same way for every test that needs one.

Each function serves an application, named as `module:name`, on a free port of the loopback interface, calls `ready` with that
port once requests are taken, and returns when the process gets SIGTERM. `OPTIONS` says what each server is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ports import take_port
from proxies import behind

HOST = "127.0.0.1"
GRACE = int(os.environ.get("SERVING_GRACE") or 2)  # seconds that calls get to end in
THREADS = int(os.environ.get("SERVING_THREADS") or 16)
SYNC_WORKERS = int(os.environ.get("SERVING_WORKERS") or 4)  # processes of gunicorn that serve a request each


@dataclass(frozen=True)
class Serving:
    target: str
    ready: Callable[[int], None]
    http2: bool = False
    http3: bool = False
    # Files; None where there is no TLS, or no client has to show a certificate.
    certificate: Path | None = None
    key: Path | None = None
    clients: Path | None = None

    def app(self) -> Any:
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


def uvicorn(serving: Serving, **options: Any) -> None:
    import uvicorn as server

    listener = socket.create_server((HOST, 0))

    class Announcing(server.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                serving.ready(listener.getsockname()[1])

    config = server.Config(
        serving.app(),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        ssl_certfile=serving.certificate,
        ssl_keyfile=serving.key,
        ssl_ca_certs=serving.clients and str(serving.clients),
        ssl_cert_reqs=ssl.CERT_REQUIRED if serving.clients else ssl.CERT_NONE,
        **options,
    )
    Announcing(config).run([listener])


def uvicorn_h11(serving: Serving) -> None:
    uvicorn(serving, http="h11")


def uvicorn_httptools(serving: Serving) -> None:
    uvicorn(serving, http="httptools")


def uvicorn_zttp(serving: Serving) -> None:
    uvicorn(serving, http="zttp", http2=True)


def uvicorn_either(serving: Serving) -> None:
    """As it comes, or as HTTP/2 wants it."""
    uvicorn_zttp(serving) if serving.http2 else uvicorn(serving)


def hypercorn(serving: Serving, mode: str = "asgi") -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    listener = socket.create_server((HOST, 0))
    config.bind = [f"fd://{listener.fileno()}"]
    config.loglevel = "WARNING"
    config.graceful_timeout = GRACE
    config.certfile, config.keyfile, config.ca_certs = (
        None if file is None else str(file) for file in (serving.certificate, serving.key, serving.clients)
    )
    if serving.clients:
        config.verify_mode = ssl.CERT_REQUIRED
    serving.ready(listener.getsockname()[1])  # whoever connects waits in the listener's queue
    asyncio.run(serve(serving.app(), config, mode=mode))  # type: ignore[arg-type]


def hypercorn_wsgi(serving: Serving) -> None:
    hypercorn(serving, "wsgi")


def granian(serving: Serving, interface: str = "asgi") -> None:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, SSLProtocols

    port = take_port(HOST)

    def announce() -> None:
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                break
            time.sleep(0.01)
        serving.ready(port)

    threading.Thread(target=announce, daemon=True).start()
    Granian(
        serving.target,
        address=HOST,
        port=port,
        interface=Interfaces(interface),
        blocking_threads=THREADS if interface == "wsgi" else None,
        http=HTTPModes.auto,
        log_enabled=False,
        workers_kill_timeout=GRACE,
        ssl_cert=serving.certificate,
        ssl_key=serving.key,
        ssl_ca=serving.clients,
        ssl_client_verify=serving.clients is not None,
        ssl_protocol_min=SSLProtocols.tls12,
    ).serve()


def granian_wsgi(serving: Serving) -> None:
    granian(serving, "wsgi")


def pyvoy(serving: Serving, interface: str = "asgi") -> None:
    from pyvoy import PyvoyServer

    async def run() -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        server = PyvoyServer(
            serving.target,
            address=HOST,
            interface=interface,  # type: ignore[arg-type]
            worker_threads=THREADS if interface == "wsgi" else None,
            tls_cert=serving.certificate,
            tls_key=serving.key,
            tls_ca_cert=serving.clients,
            tls_enable_http3=serving.http3,
            stderr=sys.stderr.fileno(),
            stdout=sys.stderr.fileno(),
        )
        async with server:
            port = server.listener_port_quic if serving.http3 else server.listener_port
            assert port is not None
            serving.ready(port)
            await ended.wait()

    asyncio.run(run())


def pyvoy_wsgi(serving: Serving) -> None:
    pyvoy(serving, "wsgi")


def daphne(serving: Serving) -> None:
    from daphne.endpoints import build_endpoint_description_strings
    from daphne.server import Server

    listener = socket.create_server((HOST, 0))
    port = listener.getsockname()[1]
    endpoints = build_endpoint_description_strings(file_descriptor=listener.fileno())
    Server(serving.app(), endpoints=endpoints, ready_callable=lambda: serving.ready(port), verbosity=0).run()


def gunicorn(serving: Serving, worker_class: str = "gthread") -> None:
    from gunicorn.app.base import BaseApplication

    values: dict[str, Any] = {
        "bind": f"{HOST}:0",
        "worker_class": worker_class,
        "preload_app": bool(os.environ.get("SERVING_PRELOAD")),
        "http_protocols": "h2,h1" if serving.http2 else "h1",
        "http2_cleartext": "prior-knowledge",
        "workers": SYNC_WORKERS if worker_class == "sync" else 1,
        "threads": THREADS if worker_class == "gthread" else 1,
        "loglevel": "warning",
        "graceful_timeout": GRACE,
        "keepalive": 30,  # a client that is slow to say more finds its connection closed otherwise
        "when_ready": lambda arbiter: serving.ready(arbiter.LISTENERS[0].sock.getsockname()[1]),
    }
    if serving.certificate:
        values |= {"certfile": str(serving.certificate), "keyfile": str(serving.key)}
    if serving.clients:
        values |= {"ca_certs": str(serving.clients), "cert_reqs": ssl.CERT_REQUIRED}

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            for name, value in values.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return serving.app()

    Application().run()


def gunicorn_asgi(serving: Serving) -> None:
    gunicorn(serving, "asgi")


def gunicorn_asgi_http2(serving: Serving) -> None:
    gunicorn(replace(serving, http2=True), "asgi")


def gunicorn_http2(serving: Serving) -> None:
    """Without TLS its threads serve HTTP/2 alone, or HTTP/1.1."""
    gunicorn(replace(serving, http2=True))


def gunicorn_sync(serving: Serving) -> None:
    gunicorn(serving, "sync")


def gunicorn_gevent(serving: Serving) -> None:
    gunicorn(serving, "gevent")


def wsgiref(serving: Serving) -> None:
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    class Threads(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    with make_server(HOST, 0, serving.app(), Threads, Quiet) as server:
        serving.ready(server.server_port)
        server.serve_forever()


def uwsgi(serving: Serving) -> None:
    """A program of its own."""
    listener = socket.create_server((HOST, 0))
    module, _, name = serving.target.partition(":")
    paths = os.pathsep.join(path for path in sys.path if path)
    options = ("--master", "--need-app", "--die-on-term", "--threads", str(THREADS), "--disable-logging")
    process = subprocess.Popen(
        [
            *(Path(sys.executable).with_name("uwsgi"), "--http-socket", f"fd://{listener.fileno()}"),
            *("--module", f"{module}:{name}", *options),
            *("--add-header", "Connection: close"),  # it closes them all, and does not say so by itself
            *("--chunked-input-limit", str(8 << 20)),  # bytes of one chunk, which it takes whole
        ],
        env={**os.environ, "PYTHONPATH": paths},
        pass_fds=[listener.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    serving.ready(listener.getsockname()[1])  # whoever connects waits in the listener's queue
    process.wait()


def waitress(serving: Serving) -> None:
    from waitress import create_server

    listener = socket.create_server((HOST, 0))
    # What a client does not read is held up to 16 MiB, if not told otherwise.
    server = create_server(serving.app(), sockets=[listener], threads=THREADS, outbuf_high_watermark=1 << 20)
    serving.ready(listener.getsockname()[1])
    server.run()


# Servers by name: ASGI, then WSGI.
ASGI: dict[str, Callable[[Serving], None]] = {
    "uvicorn": uvicorn_either,
    "uvicorn-h11": uvicorn_h11,
    "uvicorn-httptools": uvicorn_httptools,
    "uvicorn-zttp": uvicorn_zttp,
    "hypercorn": hypercorn,
    "granian": granian,
    "pyvoy": pyvoy,
    "daphne": daphne,
    "gunicorn-asgi": gunicorn_asgi,
    "gunicorn-asgi-http2": gunicorn_asgi_http2,
    # Proxies in front of uvicorn.
    "nginx": lambda serving: behind("nginx", serving, uvicorn_zttp),
    "envoy": lambda serving: behind("envoy", serving, uvicorn_zttp),
}
WSGI: dict[str, Callable[[Serving], None]] = {
    "gunicorn-sync": gunicorn_sync,
    "gunicorn-gthread": gunicorn,
    "gunicorn-gthread-http2": gunicorn_http2,
    "gunicorn-gevent": gunicorn_gevent,
    "hypercorn-wsgi": hypercorn_wsgi,
    "granian-wsgi": granian_wsgi,
    "pyvoy-wsgi": pyvoy_wsgi,
    "waitress": waitress,
    "wsgiref": wsgiref,
    "uwsgi": uwsgi,
}
SERVERS = ASGI | WSGI
