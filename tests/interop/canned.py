"""Calls canned responses with this project's Python clients: a line of JSON comes for each call, and one of its outcome goes.

A call is {library: "connectcore" or "connectcore-sync", url, protocol, json, procedure, moment}. The moment says what goes out
behind the first of many requests: the second at once ("late"), or when a response has come ("talk"), or nothing before the end
of the responses ("early").
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Any

from connectcore.client import ResponseMetadata
from connectcore.errors import ConnectError
from connectcore.transport import HTTPTransport, HTTPTransportSync
from google.protobuf.wrappers_pb2 import StringValue
from interop_connectcore import InteropClient, InteropClientSync

from ours import STREAMS, Asked, options

READ_MAX = 1000


class Outcome:
    """What a caller sees."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.metadata = ResponseMetadata()
        self.error: ConnectError | None = None

    def told(self) -> dict[str, Any]:
        error = self.error
        sections = [self.metadata.headers, self.metadata.trailers, *([error.metadata] if error else [])]
        details = [[each.type_name, base64.b64encode(each.message_bytes).decode()] for each in error.details] if error else []
        return {
            "messages": self.messages,
            "code": error.code.value if error else "ok",
            "text": error.message if error else "",
            "details": details,
            "fields": [pair for section in sections for pair in section.allitems()],
        }


def clients(kind: Callable[..., Any], transport: HTTPTransport | HTTPTransportSync) -> Callable[[Asked], Any]:
    """A client for each way to speak, which is kept."""

    @cache
    def made(url: str, protocol: str, as_json: bool) -> Any:
        speech = options({"protocol": protocol, "json": as_json})
        return kind(url, http_client=transport, read_max_bytes=READ_MAX, **speech)

    return lambda asked: made(asked["url"], asked["protocol"], asked["json"])


class Loop:
    def __init__(self) -> None:
        self.client = clients(InteropClient, HTTPTransport(http_version="2"))

    async def call(self, asked: Asked) -> Outcome:
        name, moment = asked["procedure"], asked["moment"]
        outcome, arrived, over = Outcome(), asyncio.Event(), asyncio.Event()

        async def requests() -> AsyncIterator[StringValue]:
            yield StringValue(value="a")
            if moment == "talk":
                await arrived.wait()
            if moment != "early":
                yield StringValue(value="b")
            if moment != "late":
                await over.wait()

        try:
            request = requests() if name in ("client", "bidi") else StringValue(value="x")
            made = getattr(self.client(asked), name)(request, response_metadata=outcome.metadata)
            if name in STREAMS:
                async for response in made:
                    outcome.messages.append(response.value)
                    arrived.set()
            else:
                outcome.messages.append((await made).value)
        except ConnectError as failed:
            outcome.error = failed
        arrived.set()
        over.set()
        return outcome


class Threads:
    def __init__(self) -> None:
        self.client = clients(InteropClientSync, HTTPTransportSync(http_version="2"))

    def call(self, asked: Asked) -> Outcome:
        name, moment = asked["procedure"], asked["moment"]
        outcome, arrived, over = Outcome(), threading.Event(), threading.Event()

        def requests() -> Iterator[StringValue]:
            yield StringValue(value="a")
            if moment == "talk":
                arrived.wait()
            if moment != "early":
                yield StringValue(value="b")
            if moment != "late":
                over.wait()

        try:
            request = requests() if name in ("client", "bidi") else StringValue(value="x")
            made = getattr(self.client(asked), name)(request, response_metadata=outcome.metadata)
            for response in made if name in STREAMS else [made]:
                outcome.messages.append(response.value)
                arrived.set()
        except ConnectError as failed:
            outcome.error = failed
        arrived.set()
        over.set()
        return outcome


async def main() -> None:
    loop, threads = Loop(), Threads()
    for line in iter(sys.stdin.readline, ""):
        asked = json.loads(line)
        outcome = threads.call(asked) if asked["library"].endswith("-sync") else await loop.call(asked)
        print(json.dumps(outcome.told()), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
