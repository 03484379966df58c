"""The suite's server under test: `server.py NAME [--modules]`, where the name is one of tests/serving/servers.py.

The runner writes one ServerCompatRequest to standard input, behind its size; the answer, once the server listens, is a
ServerCompatResponse on standard output. Then the server serves until it is told to stop.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import setup

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "serving"))
setup.ensure()

from connectrpc.conformance.v1 import config_pb2, server_compat_pb2  # type: ignore[import-not-found]  # noqa: E402

from servers import ASGI, HOST, SERVERS, Serving  # noqa: E402

READ_MAX, MODULES = "CONFORMANCE_READ_MAX", "CONFORMANCE_MODULES"  # see applications.py


def read_asked() -> Any:
    size = struct.unpack(">I", sys.stdin.buffer.read(4))[0]
    return server_compat_pb2.ServerCompatRequest.FromString(sys.stdin.buffer.read(size))


def announce(port: int, certificate: bytes) -> None:
    """Tell the runner that the server listens."""
    data = server_compat_pb2.ServerCompatResponse(host=HOST, port=port, pem_cert=certificate).SerializeToString()
    sys.stdout.buffer.write(struct.pack(">I", len(data)) + data)
    sys.stdout.buffer.flush()


def serving(asked: Any, interface: str, folder: Path) -> Serving:
    def file(name: str, data: bytes) -> Path | None:
        path = folder / name
        path.write_bytes(data)
        return path if data else None

    return Serving(
        f"applications:{interface}",
        lambda port: announce(port, asked.server_creds.cert),
        http2=asked.http_version == config_pb2.HTTP_VERSION_2,
        http3=asked.http_version == config_pb2.HTTP_VERSION_3,
        certificate=file("cert.pem", asked.server_creds.cert),
        key=file("key.pem", asked.server_creds.key),
        clients=file("client.pem", asked.client_tls_cert),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument("--modules", action="store_true", help="every coding is done by this package's modules")
    options = parser.parse_args()
    if options.modules:
        os.environ[MODULES] = "1"
    asked = read_asked()
    os.environ[READ_MAX] = str(asked.message_receive_limit or "")
    with tempfile.TemporaryDirectory() as folder:
        SERVERS[options.server](serving(asked, "asgi" if options.server in ASGI else "wsgi", Path(folder)))


if __name__ == "__main__":
    main()
