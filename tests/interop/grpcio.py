"""Calls the interop service with gRPC's own Python client, in threads or in a loop. It reads and writes what js/run.mjs does.

Its speech is {library: "grpcio" or "grpcio-aio", coding: "gzip" or "deflate"}.
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
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from grpc_status import rpc_status

Asked = dict[str, Any]
Result = dict[str, Any]

KINDS = {"client": "stream_unary", "server": "unary_stream", "bidi": "stream_stream"}
CODINGS = {None: None, "gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


def begin(channel: Any, speech: dict[str, Any], one: Asked, requests: Any, *, future: bool = False) -> Any:
    """The call that is asked for. One that gets a single response is a future if asked for."""
    name: str = one["procedure"]
    kind = KINDS.get(name, "unary_unary")
    method = getattr(channel, kind)(
        f"/interop.v1.Interop/{name.capitalize()}", StringValue.SerializeToString, StringValue.FromString
    )
    if kind.startswith("unary"):
        requests = StringValue(value=one["requests"][0])
    start = method.future if future and kind.endswith("unary") else method
    return start(
        requests,
        timeout=one["timeoutMs"] / 1000 if "timeoutMs" in one else None,
        metadata=[(key, decoded(key, value)) for key, value in one.get("metadata", {}).items()],
        compression=CODINGS[speech.get("coding")],
    )


def streams(one: Asked) -> bool:
    """Whether there is any number of responses."""
    return KINDS.get(one["procedure"], "").endswith("stream")


def each(one: Asked) -> list[Asked]:
    """The calls that are to be made at once."""
    return [{"procedure": one["procedure"], "requests": [text]} for text in one["atOnce"]]


def nothing(*_: Any) -> None:
    pass


def decoded(name: str, value: str) -> Any:
    return base64.b64decode(value + "=" * (-len(value) % 4)) if name.endswith("-bin") else value


def fields(*sections: Any) -> dict[str, str]:
    """The service's own metadata."""
    return {
        name: base64.b64encode(value).decode() if name.endswith("-bin") else value
        for section in sections
        for name, value in section or ()
        if re.match("x-(lead|trail|error)", name)
    }


def told(responses: list[str], code: Any, message: str, header: Any, trailer: Any, status: Any) -> Result:
    if code is grpc.StatusCode.OK:
        return {"responses": responses, "header": fields(header), "trailer": fields(trailer), "error": None}
    details = status.details if status else []
    return {
        "responses": responses,
        "header": {},
        "trailer": {},
        "error": {
            "code": "canceled" if code is grpc.StatusCode.CANCELLED else code.name.lower(),
            "message": message,
            "details": [[each.type_url.partition("/")[2], base64.b64encode(each.value).decode()] for each in details],
            "metadata": fields(header, trailer),
        },
    }


# --- in threads ---------------------------------------------------------------------------------------------------


class Threads:
    def __init__(self, channel: Any, speech: dict[str, Any]) -> None:
        self.channel, self.speech = channel, speech

    def call(self, one: Asked, begun: Callable[[Any], None], arrived: Callable[[], None]) -> Result:
        answers: queue.SimpleQueue[None] = queue.SimpleQueue()

        def requests() -> Iterator[StringValue]:
            for value in one["requests"]:
                yield StringValue(value=value)
                if one.get("conversation"):
                    answers.get()

        call = begin(self.channel, self.speech, one, requests(), future=True)
        begun(call)
        responses: list[str] = []
        try:
            for response in call if streams(one) else [call.result()]:
                responses.append(response.value)
                answers.put(None)
                arrived()
        except (grpc.RpcError, grpc.FutureCancelledError):
            pass  # the call says why
        code, status = call.code(), None
        if code is not grpc.StatusCode.CANCELLED:
            status = rpc_status.from_call(call)
        return told(responses, code, call.details(), call.initial_metadata(), call.trailing_metadata(), status)

    def play(self, one: Asked) -> Any:
        if "atOnce" in one:
            with ThreadPoolExecutor(20) as pool:
                return list(pool.map(self.play, each(one)))
        if not one.get("sleeps"):
            return self.call(one, nothing, nothing)
        begun: queue.SimpleQueue[Any] = queue.SimpleQueue()
        arrivals: queue.SimpleQueue[None] = queue.SimpleQueue()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(self.call, one, begun.put, lambda: arrivals.put(None))
            call, began = begun.get(), self.ask("began")
            if "cancelAfter" in one:
                for _ in range(one["cancelAfter"]):
                    arrivals.get(timeout=20)
                call.cancel()
            return {**answer.result(), "began": began, "ended": self.ask("ended")}

    def ask(self, what: str) -> str:
        response: str = self.call({"procedure": "unary", "requests": [what], "timeoutMs": 20_000}, nothing, nothing)[
            "responses"
        ][0]
        return response


# --- in a loop ----------------------------------------------------------------------------------------------------


class Loop:
    def __init__(self, channel: Any, speech: dict[str, Any]) -> None:
        self.channel, self.speech = channel, speech

    async def call(self, one: Asked, begun: Callable[[Any], None], arrived: Callable[[], None]) -> Result:
        answers: asyncio.Queue[None] = asyncio.Queue()

        async def requests() -> AsyncIterator[StringValue]:
            for value in one["requests"]:
                yield StringValue(value=value)
                if one.get("conversation"):
                    await answers.get()

        call = begin(self.channel, self.speech, one, requests())
        begun(call)
        responses: list[str] = []

        def take(response: StringValue) -> None:
            responses.append(response.value)
            answers.put_nowait(None)
            arrived()

        try:
            if streams(one):
                async for response in call:
                    take(response)
            else:
                take(await call)
        except (grpc.RpcError, asyncio.CancelledError):
            pass  # the call says why
        code, status = await call.code(), None
        if code is not grpc.StatusCode.CANCELLED:
            status = await rpc_status.aio.from_call(call)
        header, trailer = await call.initial_metadata(), await call.trailing_metadata()
        return told(responses, code, await call.details(), header, trailer, status)

    async def play(self, one: Asked) -> Any:
        if "atOnce" in one:
            return await asyncio.gather(*map(self.play, each(one)))
        if not one.get("sleeps"):
            return await self.call(one, nothing, nothing)
        begun: asyncio.Queue[Any] = asyncio.Queue()
        arrivals: asyncio.Queue[None] = asyncio.Queue()
        answer = asyncio.create_task(self.call(one, begun.put_nowait, lambda: arrivals.put_nowait(None)))
        call, began = await begun.get(), await self.ask("began")
        if "cancelAfter" in one:
            for _ in range(one["cancelAfter"]):
                await arrivals.get()
            call.cancel()
        return {**await answer, "began": began, "ended": await self.ask("ended")}

    async def ask(self, what: str) -> str:
        asked = {"procedure": "unary", "requests": [what], "timeoutMs": 20_000}
        response: str = (await self.call(asked, nothing, nothing))["responses"][0]
        return response


async def in_a_loop(address: str, speech: dict[str, Any], cases: list[Asked]) -> list[Any]:
    async with grpc.aio.insecure_channel(address) as channel:
        client = Loop(channel, speech)
        return [await client.play(one) for one in cases]


def in_threads(address: str, speech: dict[str, Any], cases: list[Asked]) -> list[Any]:
    with grpc.insecure_channel(address) as channel:
        client = Threads(channel, speech)
        return [client.play(one) for one in cases]


def main() -> None:
    plan = json.load(sys.stdin)
    address, speech = plan["url"].removeprefix("http://"), plan["speech"]
    if speech["library"] == "grpcio":
        results = in_threads(address, speech, plan["cases"])
    else:
        results = asyncio.run(in_a_loop(address, speech, plan["cases"]))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
