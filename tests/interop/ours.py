"""Calls the interop service with this project's Python clients, in a loop or in threads.

It reads and writes what js/run.mjs does.

Its speech is {library: "connectcore" or "connectcore-sync", protocol: "connect", "grpc" or "grpc-web", http: "1.1" or "2",
json, get, coding: "gzip"}.
"""

from __future__ import annotations

import asyncio
import base64
import json
import queue
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from connectcore.client import Cancellation, ResponseMetadata
from connectcore.codec import proto_json_codec
from connectcore.compression.gzip import GzipCompression
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.request import Headers
from connectcore.transport import HTTPTransport, HTTPTransportSync
from google.protobuf.wrappers_pb2 import StringValue

sys.path.append(str(Path(__file__).parent / "gen"))
from interop_connectcore import InteropClient, InteropClientSync

Asked = dict[str, Any]
Result = dict[str, Any]

PROTOCOLS = {"connect": ProtocolType.CONNECT, "grpc": ProtocolType.GRPC, "grpc-web": ProtocolType.GRPC_WEB}
STREAMS = ("server", "bidi")


def options(speech: dict[str, Any]) -> dict[str, Any]:
    """How a client speaks."""
    chosen: dict[str, Any] = {"protocol": PROTOCOLS[speech["protocol"]]}
    if speech.get("json"):
        chosen["codec"] = proto_json_codec()
    if speech.get("coding"):
        chosen["send_compression"] = GzipCompression()
    return chosen


def arguments(speech: dict[str, Any], one: Asked, metadata: ResponseMetadata) -> dict[str, Any]:
    """What goes with a call beside its messages."""
    headers = Headers()
    for name, value in one.get("metadata", {}).items():
        if name.endswith("-bin"):
            headers.add_bin(name, base64.b64decode(value + "=" * (-len(value) % 4)))
        else:
            headers.add(name, value)
    chosen: dict[str, Any] = {"headers": headers, "timeout_ms": one.get("timeoutMs"), "response_metadata": metadata}
    if speech.get("get") and one["procedure"] == "safe":
        chosen["use_get"] = True
    return chosen


def fields(*sections: Headers) -> dict[str, str]:
    """The service's own metadata."""
    return {
        name: base64.b64encode(section.getbin(name)).decode() if name.endswith("-bin") else value
        for section in sections
        for name, value in section.allitems()
        if re.match("x-(lead|trail|error)", name)
    }


def told(responses: list[str], metadata: ResponseMetadata, error: ConnectError | None) -> Result:
    if error is None:
        header, trailer = fields(metadata.headers), fields(metadata.trailers)
        return {"responses": responses, "header": header, "trailer": trailer, "error": None}
    details = [[each.type_name, base64.b64encode(each.message_bytes).decode()] for each in error.details]
    failure = {"code": error.code.value, "message": error.message, "details": details, "metadata": fields(error.metadata)}
    return {"responses": responses, "header": {}, "trailer": {}, "error": failure}


def canceled(responses: list[str]) -> Result:
    error = {"code": "canceled", "message": "", "details": [], "metadata": {}}
    return {"responses": responses, "header": {}, "trailer": {}, "error": error}


def each(one: Asked) -> list[Asked]:
    """The calls that are to be made at once."""
    return [{"procedure": one["procedure"], "requests": [text]} for text in one["atOnce"]]


def nothing() -> None:
    pass


# --- in threads ---------------------------------------------------------------------------------------------------


class Threads:
    def __init__(self, client: InteropClientSync, speech: dict[str, Any]) -> None:
        self.client, self.speech = client, speech

    def call(self, one: Asked, arrived: Callable[[], None], cancellation: Cancellation | None = None) -> Result:
        answers: queue.SimpleQueue[None] = queue.SimpleQueue()

        def requests() -> Iterator[StringValue]:
            for value in one["requests"]:
                yield StringValue(value=value)
                if one.get("conversation") or (one.get("sleeps") and one["procedure"] == "bidi"):
                    answers.get(timeout=60)

        name, metadata, error = one["procedure"], ResponseMetadata(), None
        responses: list[str] = []
        try:
            with cancellation or nullcontext():
                request = requests() if name in ("client", "bidi") else StringValue(value=one["requests"][0])
                made = getattr(self.client, name)(request, **arguments(self.speech, one, metadata))
                for response in made if name in STREAMS else [made]:
                    responses.append(response.value)
                    answers.put(None)
                    arrived()
        except ConnectError as failed:
            error = failed
            answers.put(None)
        return told(responses, metadata, error)

    def play(self, one: Asked) -> Any:
        if "atOnce" in one:
            with ThreadPoolExecutor(20) as pool:
                return list(pool.map(self.play, each(one)))
        if not one.get("sleeps"):
            return self.call(one, nothing)
        arrivals: queue.SimpleQueue[None] = queue.SimpleQueue()
        cancellation = Cancellation()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self.call, one, lambda: arrivals.put(None), cancellation)
            began = self.ask("began")
            if "cancelAfter" in one:
                for _ in range(one["cancelAfter"]):
                    arrivals.get(timeout=20)
                cancellation.cancel()
            return {**answer.result(), "began": began, "ended": self.ask("ended")}

    def ask(self, what: str) -> str:
        answer = self.call({"procedure": "unary", "requests": [what], "timeoutMs": 20_000}, nothing)
        return str(answer["error"] or answer["responses"][0])


# --- in a loop ----------------------------------------------------------------------------------------------------


class Loop:
    def __init__(self, client: InteropClient, speech: dict[str, Any]) -> None:
        self.client, self.speech = client, speech

    async def call(self, one: Asked, arrived: Callable[[], None]) -> Result:
        answers: asyncio.Queue[None] = asyncio.Queue()

        async def requests() -> AsyncIterator[StringValue]:
            for value in one["requests"]:
                yield StringValue(value=value)
                if one.get("conversation") or (one.get("sleeps") and one["procedure"] == "bidi"):
                    await answers.get()

        name, metadata, error = one["procedure"], ResponseMetadata(), None
        responses: list[str] = []

        def take(response: StringValue) -> None:
            responses.append(response.value)
            answers.put_nowait(None)
            arrived()

        try:
            request = requests() if name in ("client", "bidi") else StringValue(value=one["requests"][0])
            made = getattr(self.client, name)(request, **arguments(self.speech, one, metadata))
            if name in STREAMS:
                async for response in made:
                    take(response)
            else:
                take(await made)
        except ConnectError as failed:
            error = failed
        except asyncio.CancelledError:
            return canceled(responses)
        return told(responses, metadata, error)

    async def play(self, one: Asked) -> Any:
        if "atOnce" in one:
            return await asyncio.gather(*map(self.play, each(one)))
        if not one.get("sleeps"):
            return await self.call(one, nothing)
        arrivals: asyncio.Queue[None] = asyncio.Queue()
        answer = asyncio.create_task(self.call(one, lambda: arrivals.put_nowait(None)))
        began = await self.ask("began")
        if "cancelAfter" in one:
            for _ in range(one["cancelAfter"]):
                await arrivals.get()
            answer.cancel()
        return {**await answer, "began": began, "ended": await self.ask("ended")}

    async def ask(self, what: str) -> str:
        asked = {"procedure": "unary", "requests": [what], "timeoutMs": 20_000}
        answer = await self.call(asked, nothing)
        return str(answer["error"] or answer["responses"][0])


async def in_a_loop(plan: dict[str, Any]) -> list[Any]:
    async with HTTPTransport(http_version="2" if plan["speech"]["http"] == "2" else "1.1") as transport:
        client = Loop(InteropClient(plan["url"], http_client=transport, **options(plan["speech"])), plan["speech"])
        return [await client.play(one) for one in plan["cases"]]


def in_threads(plan: dict[str, Any]) -> list[Any]:
    with HTTPTransportSync(http_version="2" if plan["speech"]["http"] == "2" else "1.1") as transport:
        client = Threads(InteropClientSync(plan["url"], http_client=transport, **options(plan["speech"])), plan["speech"])
        return [client.play(one) for one in plan["cases"]]


def main() -> None:
    plan = json.load(sys.stdin)
    results = in_threads(plan) if plan["speech"]["library"].endswith("-sync") else asyncio.run(in_a_loop(plan))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
