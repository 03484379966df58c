"""The suite's server under test: `server.py --mode async|sync --server NAME [--modules]`.

The runner writes one ServerCompatRequest to standard input, behind its size; the answer, once the server listens, is a
ServerCompatResponse on standard output. Then the server serves until it is told to stop.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import struct
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import setup

setup.ensure()

from connectcore.server import DEFAULT_READ_MAX_BYTES  # noqa: E402
from connectrpc.conformance.v1 import config_pb2, server_compat_pb2  # type: ignore[import-not-found]  # noqa: E402
from connectrpc.conformance.v1.service_connectcore import (  # type: ignore[import-not-found]  # noqa: E402
    ConformanceServiceASGIApplication,
    ConformanceServiceWSGIApplication,
)

from codings import codings  # noqa: E402
from service import Service, ServiceSync  # noqa: E402

HOST = "127.0.0.1"


@dataclass
class Settings:
    """What the runner asks for. Files are None where there is no TLS."""

    http2: bool
    read_max: int
    certificate: bytes
    compressions: list[Any]
    certificate_file: str | None = None
    key_file: str | None = None
    client_file: str | None = None


def read_settings(folder: Path, *, modules: bool) -> Settings:
    size = struct.unpack(">I", sys.stdin.buffer.read(4))[0]
    asked = server_compat_pb2.ServerCompatRequest.FromString(sys.stdin.buffer.read(size))
    read_max = asked.message_receive_limit or DEFAULT_READ_MAX_BYTES
    settings = Settings(asked.http_version == config_pb2.HTTP_VERSION_2, read_max, b"", [*codings(modules=modules).values()])
    if asked.use_tls:
        settings.certificate = asked.server_creds.cert
        settings.certificate_file = _file(folder / "cert.pem", asked.server_creds.cert)
        settings.key_file = _file(folder / "key.pem", asked.server_creds.key)
        if asked.client_tls_cert:
            settings.client_file = _file(folder / "client.pem", asked.client_tls_cert)
    return settings


def _file(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def announce(port: int, settings: Settings) -> None:
    """Tell the runner that the server listens."""
    response = server_compat_pb2.ServerCompatResponse(host=HOST, port=port, pem_cert=settings.certificate)
    data = response.SerializeToString()
    sys.stdout.buffer.write(struct.pack(">I", len(data)) + data)
    sys.stdout.buffer.flush()


def asgi(settings: Settings) -> Any:
    return ConformanceServiceASGIApplication(Service(), read_max_bytes=settings.read_max, compressions=settings.compressions)


def wsgi(settings: Settings) -> Any:
    return ConformanceServiceWSGIApplication(
        ServiceSync(), read_max_bytes=settings.read_max, compressions=settings.compressions
    )


def uvicorn(settings: Settings) -> None:
    import uvicorn as server

    listener = socket.create_server((HOST, 0))

    class Announcing(server.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            announce(listener.getsockname()[1], settings)

    options: dict[str, Any] = {"http": "zttp", "http2": True} if settings.http2 else {}
    config = server.Config(
        asgi(settings),
        log_level="warning",
        ssl_certfile=settings.certificate_file,
        ssl_keyfile=settings.key_file,
        ssl_ca_certs=settings.client_file,
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.client_file else ssl.CERT_NONE,
        timeout_graceful_shutdown=1,
        **options,
    )
    Announcing(config).run([listener])


def gunicorn(settings: Settings, worker_class: str = "sync") -> None:
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            values: dict[str, Any] = {
                "bind": f"{HOST}:0",
                "workers": 4 if worker_class == "sync" else 1,
                "threads": 1 if worker_class == "sync" else 16,
                "worker_class": worker_class,
                "loglevel": "warning",
                "graceful_timeout": 1,
                "when_ready": lambda arbiter: announce(arbiter.LISTENERS[0].sock.getsockname()[1], settings),
            }
            if settings.certificate_file:
                values |= {"certfile": settings.certificate_file, "keyfile": settings.key_file}
            if settings.client_file:
                values |= {"ca_certs": settings.client_file, "cert_reqs": ssl.CERT_REQUIRED}
            for name, value in values.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return wsgi(settings)

    Application().run()


def gunicorn_threads(settings: Settings) -> None:
    gunicorn(settings, "gthread")


SERVERS = {
    "async": {"uvicorn": uvicorn},
    "sync": {"gunicorn": gunicorn, "gunicorn-gthread": gunicorn_threads},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=SERVERS, required=True)
    parser.add_argument("--server", required=True, help=f"one of {SERVERS}")
    parser.add_argument("--modules", action="store_true", help="compress in this package's modules, whatever is installed")
    options = parser.parse_args()
    serve = SERVERS[options.mode].get(options.server)
    if serve is None:
        parser.error(f"--mode {options.mode} serves under {', '.join(SERVERS[options.mode])}, not {options.server}")
    with tempfile.TemporaryDirectory() as folder:
        serve(read_settings(Path(folder), modules=options.modules))


if __name__ == "__main__":
    main()
