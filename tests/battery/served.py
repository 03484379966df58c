"""The service that the battery calls: `asgi` and `wsgi`, for servers in other processes.

A message says what to do: "fail" and "crash" end the call with an error, after what came before it; "hang" waits until the call
is canceled; "status" is answered by what the process holds, as JSON; all else is given back. `preloaded` is `wsgi`, used.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from client_support import open_calls
from connectcore.code import Code
from connectcore.errors import ConnectError
from google.protobuf.wrappers_pb2 import StringValue
from server_support import ASGI, BIDI, CLIENT, SERVER, UNARY, WSGI, Request, call_wsgi, message

from figures import descriptors, resident

FAIL, CRASH, HANG, STATUS = "fail", "crash", "hang", "status"
running = 0


class SecretClass(Exception):
    """What nobody but this process may hear of."""


def status() -> str:
    tasks = len(asyncio.all_tasks()) if asyncio._get_running_loop() else 0
    held = {"running": running, "open": open_calls(), "tasks": tasks}
    return json.dumps(held | {"process": os.getpid(), "resident": resident(), "descriptors": descriptors()})


def answered(text: str) -> StringValue:
    if text.startswith(FAIL):
        raise ConnectError(Code.FAILED_PRECONDITION, "not now", [StringValue(value="why")], metadata={"x-error": "1"})
    if text.startswith(CRASH):
        raise SecretClass(f"{__file__} at {id(text):#x}: goroutine wasm")
    return StringValue(value=status() if text == STATUS else text)


async def answer(text: str) -> StringValue:
    global running
    if not text.startswith(HANG):
        return answered(text)
    running += 1
    try:
        await asyncio.sleep(3600)
    finally:
        running -= 1
    return StringValue()


async def unary(request: StringValue, ctx: Any) -> StringValue:
    return await answer(request.value)


async def client_stream(requests: AsyncIterator[StringValue], ctx: Any) -> StringValue:
    return StringValue(value="+".join([(await answer(each.value)).value async for each in requests]))


async def server_stream(request: StringValue, ctx: Any) -> AsyncIterator[StringValue]:
    """A number gives so many messages of a KiB, other words each one of their own."""
    if request.value.isdecimal():
        for _ in range(int(request.value)):
            yield StringValue(value="x" * 1024)
        return
    for word in request.value.split():
        yield await answer(word)


async def bidi_stream(requests: AsyncIterator[StringValue], ctx: Any) -> AsyncIterator[StringValue]:
    async for each in requests:
        yield await answer(each.value)


def sync(text: str) -> StringValue:
    if text.startswith(HANG):
        time.sleep(0.01)
    return answered(text)


def unary_sync(request: StringValue, ctx: Any) -> StringValue:
    return sync(request.value)


def client_stream_sync(requests: Iterator[StringValue], ctx: Any) -> StringValue:
    return StringValue(value="+".join(sync(each.value).value for each in requests))


def server_stream_sync(request: StringValue, ctx: Any) -> Iterator[StringValue]:
    for word in request.value.split():
        yield sync(word)


def bidi_stream_sync(requests: Iterator[StringValue], ctx: Any) -> Iterator[StringValue]:
    for each in requests:
        yield sync(each.value)


FUNCTIONS = {UNARY: unary, CLIENT: client_stream, SERVER: server_stream, BIDI: bidi_stream}
FUNCTIONS_SYNC = {UNARY: unary_sync, CLIENT: client_stream_sync, SERVER: server_stream_sync, BIDI: bidi_stream_sync}
asgi: Any = ASGI(FUNCTIONS)
wsgi: Any = WSGI(FUNCTIONS_SYNC)


def __getattr__(name: str) -> Any:
    if name != "preloaded":
        raise AttributeError(name)
    assert call_wsgi(wsgi, Request(chunks=[message("before the fork")])).status == 200
    return wsgi
