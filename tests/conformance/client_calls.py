"""A call of the suite's, played by the async and by the sync client, of any stream type."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import nullcontext
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from connectcore.client import Cancellation, ResponseMetadata
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.method import StreamType
from connectcore.request import Headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from connectcore.client import ConnectClient, ConnectClientSync
    from connectcore.method import MethodInfo

__all__ = ["Call", "call_async", "call_sync"]

PATIENCE = 5.0
"""Seconds that a stream of requests that is not to end waits for its call to be canceled."""


class Call:
    """What is asked for, and what came of it."""

    def __init__(self, request: Any, method: MethodInfo[Any, Any], full_duplex: bool) -> None:
        self.method = method
        self.delay = request.request_delay_ms / 1000
        self.messages = []
        for packed in request.request_messages:
            message = method.input()
            if not packed.Unpack(message):
                raise ValueError(f"the message is no {method.input.__name__}")
            self.messages.append(message)
        self.many_requests = method.stream_type in (StreamType.CLIENT_STREAM, StreamType.BIDI_STREAM)
        if not self.many_requests and len(self.messages) != 1:
            raise ValueError(f"a call of one message with {len(self.messages)}")
        self.many_responses = method.stream_type in (StreamType.SERVER_STREAM, StreamType.BIDI_STREAM)
        self.in_turns = full_duplex
        cancel = request.cancel if request.HasField("cancel") else None
        timing = None if cancel is None else cancel.WhichOneof("cancel_timing")
        self.cancels = cancel is not None
        self.cancel_before_close = timing == "before_close_send"
        self.cancel_seconds: float | None = None
        if cancel is not None and timing in (None, "after_close_send_ms"):
            self.cancel_seconds = cancel.after_close_send_ms / 1000
        self.cancel_after: int | None = None
        if cancel is not None and timing == "after_num_responses":
            self.cancel_after = cancel.after_num_responses
        self.metadata = ResponseMetadata()
        headers = Headers((header.name, value) for header in request.request_headers for value in header.value)
        self.options: dict[str, Any] = {
            "method": method,
            "headers": headers,
            "timeout_ms": request.timeout_ms if request.HasField("timeout_ms") else None,
            "response_metadata": self.metadata,
        }
        if method.stream_type is StreamType.UNARY:
            self.options["use_get"] = request.use_get_http_method
        self.unsent = len(self.messages)
        self.responses: list[Any] = []
        self.error: ConnectError | None = None

    def execute(self, client: ConnectClient | ConnectClientSync, request: Any) -> Any:
        """Start the call."""
        name = f"execute_{self.method.stream_type.name.lower()}"
        return getattr(client, name)(request=request, **self.options)


async def call_async(client: ConnectClient, call: Call) -> None:
    """Play a call by the async client."""
    loop = asyncio.get_running_loop()
    turns: asyncio.Queue[None] = asyncio.Queue()
    task: asyncio.Task[None]

    def closed_send() -> None:
        call.unsent = 0
        if call.cancel_seconds is not None:
            loop.call_later(call.cancel_seconds, task.cancel)

    async def requests() -> AsyncIterator[Any]:
        for message in call.messages:
            await asyncio.sleep(call.delay)
            call.unsent -= 1
            yield message
            if call.in_turns:
                await turns.get()
        if call.cancel_before_close:
            task.cancel()
            await asyncio.sleep(PATIENCE)
        closed_send()

    async def play() -> None:
        if call.many_requests:
            made = call.execute(client, requests())
        else:
            await asyncio.sleep(call.delay)
            made = call.execute(client, call.messages[0])
            closed_send()
        if not call.many_responses:
            call.responses.append(await made)
            return
        if call.cancel_after == 0:
            task.cancel()
        async with made:
            async for response in made:
                call.responses.append(response)
                turns.put_nowait(None)
                if call.cancel_after == len(call.responses):
                    task.cancel()
                    await asyncio.sleep(0)

    task = asyncio.create_task(play())
    try:
        await task
    except ConnectError as error:
        call.error = error
    except asyncio.CancelledError:
        call.error = ConnectError(Code.CANCELED, "canceled")


def call_sync(client: ConnectClientSync, call: Call) -> None:
    """Play a call by the sync client."""
    turns: SimpleQueue[None] = SimpleQueue()
    over = threading.Event()
    cancellation = Cancellation()

    def closed_send() -> None:
        call.unsent = 0
        if call.cancel_seconds is not None:
            threading.Timer(call.cancel_seconds, cancellation.cancel).start()

    def requests() -> Iterator[Any]:
        for message in call.messages:
            time.sleep(call.delay)
            call.unsent -= 1
            yield message
            if call.in_turns:
                turns.get(timeout=PATIENCE)
                if over.is_set():
                    return
        if call.cancel_before_close:
            cancellation.cancel()
            over.wait(PATIENCE)
        closed_send()

    try:
        with cancellation if call.cancels else nullcontext():
            if call.many_requests:
                made = call.execute(client, requests())
            else:
                time.sleep(call.delay)
                closed_send()
                made = call.execute(client, call.messages[0])
            if not call.many_responses:
                call.responses.append(made)
                return
            if call.cancel_after == 0:
                cancellation.cancel()
            with made:
                for response in made:
                    call.responses.append(response)
                    turns.put(None)
                    if call.cancel_after == len(call.responses):
                        cancellation.cancel()
    except ConnectError as error:
        call.error = error
    finally:
        over.set()
        turns.put(None)  # a stream of requests must not keep its thread when the program ends
