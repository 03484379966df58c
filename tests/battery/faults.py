"""A fault in every hundredth step of an instance: its call gets `internal` once, and no other call hears of it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

from connectcore._wasm import pool
from connectcore._wasm.instance import GuestError, Instance, new_instance
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.protocol import ProtocolType
from connectcore.transport import ASGITransport, WSGITransport
from server_support import (
    BIDI,
    CLIENT,
    CONNECT,
    GRPC,
    SERVER,
    UNARY,
    Answer,
    Request,
    Wire,
    call_wsgi,
    envelope,
    envelopes,
    message,
)
from stream_support import Outcome, call_async, call_sync

from figures import Figure, at_most, none, resident
from served import asgi, wsgi

EVERY = 100
OURS = "the call failed inside"
RIGHT, INTERNAL, BROKEN = "right", "internal", "broken off"
TEXTS = ["one", "two", "three"]
ENVELOPED = [envelope(message(word)) for word in TEXTS]
JOINED = [envelope(message("+".join(TEXTS)))]


class Faults:
    """Makes the process's instances fail: by turns by an exception, as of a trap, and by a trap, for which all of the guest's
    memory is overwritten before the step."""

    def __init__(self) -> None:
        self.steps = self.made = 0
        self.by_trap = False
        pool.new_instance = self.instance  # type: ignore[attr-defined]
        pool.POOL.forget()

    def instance(self) -> Instance:
        made = new_instance()
        step = made.step

        def failing(batch: bytes) -> bytes:
            self.steps += 1
            if self.steps % EVERY or made.failed:
                return step(batch)
            self.made += 1
            self.by_trap = not self.by_trap
            if not self.by_trap:
                made.failed = True
                raise GuestError("wasm trap: made")
            made._machine.write(b"\xff" * made.memory_size, 0)
            answer = step(batch)
            raise AssertionError(f"no trap, but {answer[:100]!r}")

        made.step = failing
        return made


# Servers: requests that no remembered answer serves, and the messages of their answers.
REQUESTS: list[tuple[dict[str, Any], list[bytes]]] = [
    ({}, [message("hello")]),
    ({"content_type": "application/json", "chunks": [b'"hello"']}, [b'"hello"']),
    ({"procedure": CLIENT, "chunks": ENVELOPED, **CONNECT}, JOINED),
    ({"procedure": SERVER, "chunks": [envelope(message(" ".join(TEXTS)))], **CONNECT}, ENVELOPED),
    ({"procedure": BIDI, "chunks": ENVELOPED, **CONNECT, "http_version": "2"}, ENVELOPED),
    ({"chunks": [envelope(message("hello"))], **GRPC}, [envelope(message("hello"))]),
    ({"procedure": SERVER, "chunks": [envelope(message(" ".join(TEXTS)))], **GRPC}, ENVELOPED),
]


def judged(answer: Answer, wanted: list[bytes]) -> str:
    """What came of a request."""
    content, said = answer.content, {}
    (kind,) = answer.values("content-type")
    if kind == "application/json" and answer.status != 200:
        said = json.loads(content)
    elif "grpc" in kind:
        fields = dict(answer.fields) | dict(answer.trailers)
        if fields["grpc-status"] != "0":
            said = {"code": {"13": INTERNAL}.get(fields["grpc-status"]), "message": fields["grpc-message"]}
    elif "connect" in kind:
        end = envelopes(content)[-1]
        content = content[: -5 - len(end[1])]
        said = json.loads(end[1]).get("error", {}) if end[0] == 2 else {"code": "no end"}
    if not said:
        return RIGHT if content == b"".join(wanted) else f"{content[:100]!r}"
    return INTERNAL if said == {"code": INTERNAL, "message": OURS} else f"{said}"


async def asked(request: Request) -> Answer:
    wire = Wire(request)
    await asgi(wire.scope, wire.receive, wire.send)
    return wire.answer


async def served(interface: str, number: int) -> str:
    parts, wanted = REQUESTS[number % len(REQUESTS)]
    field = "grpc-timeout" if parts.get("content_type") == GRPC["content_type"] else "connect-timeout-ms"
    unit = "m" if field == "grpc-timeout" else ""
    request = Request(**parts, fields=[(field, f"{1_000_000 + number}{unit}")])
    try:
        answer = await asked(request) if interface == "asgi" else call_wsgi(wsgi, request)
    except RuntimeError as error:
        return BROKEN if "broken off" in str(error) else repr(error)
    return judged(answer, wanted)


# Clients: calls of the service in the same process, whose instance they share.
CALLS: list[tuple[str, list[str]]] = [(UNARY, ["hello"]), (CLIENT, ["+".join(TEXTS)]), (SERVER, TEXTS), (BIDI, TEXTS)]


def came_to(outcome: Outcome, wanted: list[str]) -> str:
    if outcome.error is None:
        return RIGHT if outcome.messages == wanted else f"{outcome.messages}"
    return INTERNAL if outcome.error.code is Code.INTERNAL else f"{outcome.error.code} {outcome.error.message}"


async def called(clients: list[Any], number: int) -> str:
    client = clients[number % len(clients)]
    kind, wanted = CALLS[number // len(clients) % len(CALLS)]
    if isinstance(client, ConnectClient):
        return came_to(await call_async(client, kind, ["hello"] if kind == UNARY else TEXTS), wanted)
    return came_to(call_sync(client, kind, ["hello"] if kind == UNARY else TEXTS), wanted)


async def played(whole: bool) -> Iterator[Figure]:
    count = 10_000 if whole else 1_000
    faults = Faults()
    found: list[Figure] = []
    protocols = [*ProtocolType]
    clients: list[Any] = [ConnectClient("http://a", protocol=each, http_client=ASGITransport(asgi)) for each in protocols]
    clients += [ConnectClientSync("http://a", protocol=each, http_client=WSGITransport(wsgi)) for each in protocols[::2]]
    before = 0.0
    for who in ("servers", "clients"):
        outcomes: Counter[str] = Counter()
        made = faults.made
        for number in range(count):
            said = await (called(clients, number) if who == "clients" else served(("asgi", "wsgi")[number & 1], number))
            outcomes[said] += 1
            if number == count // 4:
                before = max(before, resident())
        made = faults.made - made
        failed = outcomes[INTERNAL] + outcomes[BROKEN]
        wrong = Counter({said: n for said, n in outcomes.items() if said not in (RIGHT, INTERNAL, BROKEN)})
        measured = f"{made} faults: {outcomes[INTERNAL]} internal, {outcomes[BROKEN]} broken off behind messages"
        found.append(Figure(f"{who}: {count:,} calls", measured, "a failure for each fault", failed == made and made > 0))
        found.append(none(f"{who}: other answers", wrong))
    found.append(at_most("memory since a quarter of the calls", resident() - before, 16, "MiB"))
    return iter(found)


def figures(whole: bool) -> Iterator[Figure]:
    logging.disable()
    return asyncio.run(played(whole))
