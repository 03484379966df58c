"""The benchmark's service on gRPC's own Python servers: `grpcioserver.py threads|loop`.

Its message has one string, as StringValue has.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue

from cases import STREAM
from contenders import Echo, EchoSync

sys.path.append(str(Path(__file__).resolve().parents[1] / "serving"))

from grpcio_servers import serve

THREADS = 8


class Threads(EchoSync):
    def server_stream(self, request: StringValue, ctx: Any) -> Iterator[StringValue]:
        for _ in range(STREAM):
            yield StringValue(value=request.value)


class Loop(Echo):
    async def server_stream(self, request: StringValue, ctx: Any) -> AsyncIterator[StringValue]:
        for _ in range(STREAM):
            yield StringValue(value=request.value)


mode = sys.argv[1]
service: Any = Threads() if mode == "threads" else Loop()
methods = {
    "Unary": ("unary_unary", service.unary),
    "ServerStream": ("unary_stream", service.server_stream),
    "ClientStream": ("stream_unary", service.client_stream),
}
serve(mode, "bench.v1.EchoService", methods, THREADS)
