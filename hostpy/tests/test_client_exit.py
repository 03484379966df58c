"""A program that ends right after its last call ends well: the HTTP library's threads must not outlive the interpreter."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = 24  # without a wait at the end, about one in eleven aborts

PROGRAM = """
import asyncio, sys
from google.protobuf.wrappers_pb2 import StringValue
from connectcore.client import ConnectClient
from connectcore.method import IdempotencyLevel, MethodInfo, StreamType

method = MethodInfo(
    name="Echo", service_name="test.Service", input=StringValue, output=StringValue,
    idempotency_level=IdempotencyLevel.UNKNOWN, stream_type=StreamType.UNARY,
)

async def main():
    client = ConnectClient(sys.argv[1])
    print((await client.execute_unary(request=StringValue(value="good"), method=method)).value)

asyncio.run(main())
"""


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/proto")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_short_programs_end_well(url: str) -> None:
    def run(_: int) -> tuple[int, str, str]:
        done = subprocess.run([sys.executable, "-c", PROGRAM, url], capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(run, range(RUNS))) == {(0, "good\n", "")}
