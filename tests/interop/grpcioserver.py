"""The interop service on gRPC's own Python servers: `grpcioserver.py threads|loop`. It does what service.go says.

Prints its URL, and ends with standard input.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc_status import rpc_status

sys.path.append(str(Path(__file__).resolve().parents[1] / "serving"))

from grpcio_servers import serve

LARGE_SIZE = 300_000
MESSAGE = "not now: é"
FOREVER = 1e9
KINDS = {
    "Unary": "unary_unary",
    "Safe": "unary_unary",
    "Client": "stream_unary",
    "Server": "unary_stream",
    "Bidi": "stream_stream",
}


def metadata(context: Any) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """The peer's metadata as metadata of both kinds."""
    asked = [(name.removeprefix("x-ask"), value) for name, value in context.invocation_metadata() if name.startswith("x-ask")]
    return [("x-lead" + name, value) for name, value in asked], [("x-trail" + name, value) for name, value in asked]


def failure(trailing: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The trailing metadata of an error."""
    detail = AnyMessage()
    detail.Pack(Int64Value(value=42))
    status = Status(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message=MESSAGE, details=[detail])
    return [*trailing, ("x-error", "why"), *rpc_status.to_status(status).trailing_metadata]


def act(ask: str, context: Any) -> StringValue:
    """What can be said without waiting."""
    if ask == "panic":
        raise ZeroDivisionError("not for clients")
    if ask == "deadline":
        left = context.time_remaining()  # in threads, much where there is none
        return StringValue(value="none" if left is None or left > FOREVER else str(int(left * 1000)))
    if ask == "method":
        return StringValue(value="POST")
    return StringValue(value="l" * LARGE_SIZE if ask == "large" else ask.upper())


def texts(ask: str) -> Iterator[StringValue]:
    return (StringValue(value=f"{ask} {number}") for number in range(3))


class Threads:
    def __init__(self) -> None:
        self.told: dict[str, queue.SimpleQueue[str]] = {"began": queue.SimpleQueue(), "ended": queue.SimpleQueue()}

    def act(self, ask: str, context: Any, trailing: list[tuple[str, Any]]) -> StringValue:
        if ask == "fail":
            context.set_trailing_metadata(failure(trailing))
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, MESSAGE)
        if ask == "sleep":
            over = threading.Event()
            if context.add_callback(over.set):
                self.told["began"].put("began")
                over.wait(60)
            left = context.time_remaining()
            self.told["ended"].put("deadline" if left is not None and left <= 0 else "canceled")
        return StringValue(value=self.told[ask].get(timeout=20)) if ask in self.told else act(ask, context)

    def begin(self, context: Any) -> list[tuple[str, Any]]:
        leading, trailing = metadata(context)
        context.send_initial_metadata(leading)
        context.set_trailing_metadata(trailing)
        return trailing

    def unary(self, request: StringValue, context: Any) -> StringValue:
        return self.act(request.value, context, self.begin(context))

    safe = unary

    def client(self, requests: Iterator[StringValue], context: Any) -> StringValue:
        return self.unary(StringValue(value="+".join(request.value for request in requests)), context)

    def server(self, request: StringValue, context: Any) -> Iterator[StringValue]:
        trailing = self.begin(context)
        yield from texts(request.value)
        self.act(request.value, context, trailing)

    def bidi(self, requests: Iterator[StringValue], context: Any) -> Iterator[StringValue]:
        trailing = self.begin(context)
        for request in requests:
            yield self.act(request.value, context, trailing)


class Loop:
    def __init__(self) -> None:
        self.told: dict[str, asyncio.Queue[str]] = {"began": asyncio.Queue(), "ended": asyncio.Queue()}

    async def act(self, ask: str, context: Any, trailing: list[tuple[str, Any]]) -> StringValue:
        if ask == "fail":
            context.set_trailing_metadata(failure(trailing))
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, MESSAGE)
        if ask == "sleep":
            self.told["began"].put_nowait("began")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                left = context.time_remaining()
                self.told["ended"].put_nowait("deadline" if left is not None and left <= 0 else "canceled")
                raise
        return StringValue(value=await self.told[ask].get()) if ask in self.told else act(ask, context)

    async def begin(self, context: Any) -> list[tuple[str, Any]]:
        leading, trailing = metadata(context)
        await context.send_initial_metadata(leading)
        context.set_trailing_metadata(trailing)
        return trailing

    async def unary(self, request: StringValue, context: Any) -> StringValue:
        return await self.act(request.value, context, await self.begin(context))

    safe = unary

    async def client(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        return await self.unary(StringValue(value="+".join([request.value async for request in requests])), context)

    async def server(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        trailing = await self.begin(context)
        for each in texts(request.value):
            yield each
        await self.act(request.value, context, trailing)

    async def bidi(self, requests: AsyncIterator[StringValue], context: Any) -> AsyncIterator[StringValue]:
        trailing = await self.begin(context)
        async for request in requests:
            yield await self.act(request.value, context, trailing)


mode = sys.argv[1]
service: Any = Threads() if mode == "threads" else Loop()
serve(mode, "interop.v1.Interop", {name: (kind, getattr(service, name.lower())) for name, kind in KINDS.items()}, 40)
