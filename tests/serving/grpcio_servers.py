"""Serves on gRPC's own Python servers, for tests and figures. All messages are StringValues."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

HOST = "127.0.0.1"


def serve(mode: str, service: str, methods: Mapping[str, tuple[str, Any]], workers: int) -> None:
    """Serve methods, each with grpc's word for its stream type and its function, in `threads` or in a `loop`.

    Prints the URL, and ends with standard input.
    """
    made = {
        name: getattr(grpc, f"{kind}_rpc_method_handler")(function, StringValue.FromString, StringValue.SerializeToString)
        for name, (kind, function) in methods.items()
    }
    handlers = [grpc.method_handlers_generic_handler(service, made)]
    if mode == "threads":
        _in_threads(handlers, workers)
    else:
        asyncio.run(_in_a_loop(handlers))


def _in_threads(handlers: list[Any], workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        server = grpc.server(pool, handlers=handlers)
        print(f"http://{HOST}:{server.add_insecure_port(f'{HOST}:0')}", flush=True)
        server.start()
        sys.stdin.read()
        server.stop(1).wait()


async def _in_a_loop(handlers: list[Any]) -> None:
    server = grpc.aio.server(handlers=handlers)
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    print(f"http://{HOST}:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(1)
