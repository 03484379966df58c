"""Programs that end right after a call, or within one, end well: no thread outlives the interpreter, or is waited for."""

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


LEAVING = """
import sys
from google.protobuf.wrappers_pb2 import StringValue
from connectcore.client import ConnectClientSync
from connectcore.method import IdempotencyLevel, MethodInfo, StreamType
from connectcore.transport import HTTPTransportSync

method = MethodInfo(
    name="Many", service_name="test.Service", input=StringValue, output=StringValue,
    idempotency_level=IdempotencyLevel.UNKNOWN, stream_type=StreamType.SERVER_STREAM,
)
client = ConnectClientSync(sys.argv[1], http_client=HTTPTransportSync())
stream = client.execute_server_stream(request=StringValue(value="good"), method=method)
print(next(stream).value)
cycle = [stream]  # which the garbage collector finds when the interpreter goes down
cycle.append(cycle)
del stream, cycle
"""


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        if self.path.endswith("/Many"):  # a stream that does not end
            self.send_header("content-type", "application/connect+proto")
            self.end_headers()
            self.wfile.write(content)
            self.rfile.read(1)
            self.close_connection = True
            return
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


def outcome(program: str, url: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", program, url], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_short_programs_end_well(url: str) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(lambda _: outcome(PROGRAM, url), range(RUNS))) == {(0, "good\n", "")}


def test_a_program_that_leaves_a_stream_ends(url: str) -> None:
    assert outcome(LEAVING, url) == (0, "good\n", "")
