"""Servers of others that are killed in mid-stream: our clients give what came before, and say that the server is gone."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.transport import HTTPTransport, HTTPTransportSync
from google.protobuf.wrappers_pb2 import StringValue

from speech import SERVERS
from started import started

sys.path.append(str(Path(__file__).parent / "gen"))
from interop_connectcore import InteropClient, InteropClientSync

CONNECT, GRPC, GRPC_WEB = ProtocolType.CONNECT, ProtocolType.GRPC, ProtocolType.GRPC_WEB
CASES: list[tuple[str, ProtocolType, Any]] = [
    ("connect-go", CONNECT, "1.1"),
    ("connect-go", CONNECT, "2"),
    ("connect-go", GRPC, "2"),
    ("connect-go", GRPC_WEB, "1.1"),
    ("grpc-go", GRPC, "2"),
    ("grpcio", GRPC, "2"),
    ("connect-es", CONNECT, "2"),
    ("connect-es", GRPC, "2"),
    ("connect-es-http1", GRPC_WEB, "1.1"),
]
WANTED = ["sleep 0", "sleep 1", "sleep 2"]


@pytest.mark.usefixtures("go_programs")
@pytest.mark.parametrize("mode", ["async", "sync"])
@pytest.mark.parametrize(("name", "protocol", "version"), CASES)
def test_killed(name: str, protocol: ProtocolType, version: Any, mode: str) -> None:
    got: list[str] = []
    killed = 0.0

    def take(message: StringValue, server: subprocess.Popen[str]) -> None:
        nonlocal killed
        got.append(message.value)
        if len(got) == len(WANTED):
            killed = time.monotonic()
            server.kill()

    async def read(url: str, server: subprocess.Popen[str]) -> None:
        async with HTTPTransport(http_version=version) as transport:
            client = InteropClient(url, protocol=protocol, http_client=transport)
            async for message in client.server(StringValue(value="sleep"), timeout=60):
                take(message, server)

    def read_sync(url: str, server: subprocess.Popen[str]) -> None:
        with HTTPTransportSync(http_version=version) as transport:
            client = InteropClientSync(url, protocol=protocol, http_client=transport)
            for message in client.server(StringValue(value="sleep"), timeout=60):
                take(message, server)

    with started(SERVERS[name]) as (url, server), pytest.raises(ConnectError) as caught:
        asyncio.run(read(url, server)) if mode == "async" else read_sync(url, server)
    assert got == WANTED
    assert caught.value.code is Code.UNAVAILABLE
    assert time.monotonic() - killed < 5  # a few milliseconds, on a machine that is not busy
