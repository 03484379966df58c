"""The benchmark's service on gRPC's own Python servers: `grpcioserver.py threads|loop`.

Its message has one string, as StringValue has. Prints its URL, and ends with standard input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from cases import STREAM
from contenders import Echo, EchoSync

KINDS = {"Unary": ("unary_unary", "unary"), "ClientStream": ("stream_unary", "client_stream")}


class Threads(EchoSync):
    def server_stream(self, request: StringValue, ctx: Any) -> Iterator[StringValue]:
        for _ in range(STREAM):
            yield StringValue(value=request.value)


class Loop(Echo):
    async def server_stream(self, request: StringValue, ctx: Any) -> AsyncIterator[StringValue]:
        for _ in range(STREAM):
            yield StringValue(value=request.value)


def handlers(service: Any) -> Any:
    kinds = {**KINDS, "ServerStream": ("unary_stream", "server_stream")}
    made = {
        name: getattr(grpc, f"{kind}_rpc_method_handler")(
            getattr(service, method), StringValue.FromString, StringValue.SerializeToString
        )
        for name, (kind, method) in kinds.items()
    }
    return grpc.method_handlers_generic_handler("bench.v1.EchoService", made)


def in_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, handlers=[handlers(Threads())])
        print(f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", flush=True)
        server.start()
        sys.stdin.read()
        server.stop(None).wait()


async def in_a_loop() -> None:
    server = grpc.aio.server(handlers=[handlers(Loop())])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"http://127.0.0.1:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if sys.argv[1:] == ["threads"]:
    in_threads()
else:
    asyncio.run(in_a_loop())
