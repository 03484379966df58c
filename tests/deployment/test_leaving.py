"""Under each ASGI server: a handler hears that its caller has left, and calls end well when the server is told to."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.transport import HTTPTransport
from greet.v1.greet_connectcore import GreetServiceClient
from greet.v1.greet_pb2 import ChatRequest, GreetGroupRequest, GreetManyRequest, GreetRequest

from proxies import HOST, backend, until_closed

SERVERS = [
    *((name, "1.1") for name in ("uvicorn-h11", "uvicorn-httptools", "hypercorn", "granian", "daphne", "gunicorn-asgi")),
    # Under pyvoy 1.3 the news is sometimes lost where the machine is busy (`InvalidStateError` in its RecvFutureExecutor).
    *((name, "2") for name in ("uvicorn-zttp", "granian")),
]
WHOLE = {"daphne"}  # it calls an application when the request has ended
AT_ONCE = {"daphne"}  # it ends whatever is under way


def endless(client: GreetServiceClient) -> dict[str, Callable[[], Coroutine[Any, Any, Any]]]:
    """A call of each stream type that does not end by itself."""

    async def names() -> AsyncIterator[GreetGroupRequest]:
        yield GreetGroupRequest(name="a")
        await asyncio.Event().wait()

    async def lines() -> AsyncIterator[ChatRequest]:
        yield ChatRequest(line="a")
        await asyncio.Event().wait()

    async def all_of(responses: Any) -> None:
        async for _ in responses:
            pass

    return {
        "Greet": lambda: client.greet(GreetRequest()),
        "GreetMany": lambda: all_of(client.greet_many(GreetManyRequest())),
        "GreetGroup": lambda: client.greet_group(names()),
        "Chat": lambda: all_of(client.chat(lines())),
    }


@contextlib.asynccontextmanager
async def calling(
    server: str, http: Any, port: int
) -> AsyncIterator[tuple[Callable[[str], Coroutine[Any, Any, str]], dict[str, Any]]]:
    """What asks the service for its news, and the endless calls of which this server tells that they were left."""
    url = f"http://{HOST}:{port}"
    async with HTTPTransport(http_version=http) as transport, GreetServiceClient(url, http_client=transport) as client:

        async def said(what: str) -> str:
            return (await client.greet(GreetRequest(name=what), timeout=20)).greeting

        unheard = ("GreetGroup", "Chat") if server in WHOLE else ()
        yield said, {name: call for name, call in endless(client).items() if name not in unheard}


@pytest.mark.parametrize(("server", "http"), SERVERS)
def test_leaving_and_ending(server: str, http: Any, tmp_path: Path) -> None:
    with backend(server, "told:asgi", grace=60) as (port, process):
        asyncio.run(leave_and_end(server, http, port, process, tmp_path / "go"))


async def leave_and_end(server: str, http: Any, port: int, process: Any, file: Path) -> None:
    async with calling(server, http, port) as (said, calls):
        for name, call in calls.items():
            task = asyncio.create_task(call())
            assert await said("began") == name
            task.cancel()
            assert await said("left") == name
        last = asyncio.create_task(said(str(file)))
        assert await said("began") == "Greet"
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(until_closed, port)
        if server in AT_ONCE:
            with pytest.raises(ConnectError) as caught:
                await last
            assert caught.value.code is Code.UNAVAILABLE
        else:
            file.touch()
            assert await last == str(file)
