"""Generated histories of calls, played on servers under ASGI and WSGI and on clients: nothing is left, and nothing hangs.

What comes of a call that nothing disturbs is what its handler says; of another, an answer that is whole, or none where the peer
is gone. HISTORIES=N plays so many of each, others each time; without it the same few are played.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from client_support import open_calls
from connectcore._wasm.abi import CODES
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.protocol import ProtocolType
from connectcore.transport import ASGITransport, WSGITransport
from hypothesis import HealthCheck, given, settings
from server_support import ASGI, WSGI, Answer, Chunks, Request, Wire, envelopes, environ, text
from stream_support import call_async, call_sync

from histories import SHORT, Handlers, History, Outcome, histories

COUNT = int(os.environ.get("HISTORIES") or 0)
LONGEST = 20  # seconds that a call may take
HEALTH = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
play = settings(max_examples=COUNT or 150, derandomize=not COUNT, deadline=None, database=None, suppress_health_check=HEALTH)
HANDLERS = Handlers()
PROTOCOL_TYPES = {"connect": ProtocolType.CONNECT, "grpc": ProtocolType.GRPC, "grpc-web": ProtocolType.GRPC_WEB}


class PeerGone(Exception):
    """What a server raises where nothing can be written any more."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def heard(answer: Answer) -> Outcome:
    """What a peer makes of an answer, which has to be whole."""
    outcome = Outcome()
    (kind,) = answer.values("content-type")
    if kind in ("application/proto", "application/json"):
        if answer.status == 200:
            outcome.replies.append(text(answer.content))
        else:
            outcome.code = json.loads(answer.content)["code"]
        return outcome
    assert answer.status == 200
    ends = dict(answer.fields) | dict(answer.trailers)
    for flags, data in envelopes(answer.content):
        if flags & 0x80:
            ends |= dict(line.split(": ", 1) for line in data.decode().splitlines())
        elif flags & 2:
            outcome.code = json.loads(data).get("error", {}).get("code", "ok")
            ends["grpc-status"] = ""
        else:
            outcome.replies.append(text(data))
    status = ends["grpc-status"]
    if status:
        outcome.code = CODES[int(status)] if int(status) else "ok"
    return outcome


def check(history: History, outcome: Outcome) -> None:
    """That it is what must come of the call."""
    wanted = HANDLERS.model()
    if history.quiet or history.timeout == SHORT and history.damage is None and outcome.code != "deadline_exceeded":
        assert outcome == wanted
    else:
        assert history.one_response or outcome.code != "ok" or history.damage or outcome.replies == wanted.replies


def check_nothing_left() -> None:
    assert HANDLERS.running == 0
    assert open_calls() == 0


async def settle() -> None:
    """What has been canceled gets its turn; then nothing may be left."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
    check_nothing_left()


class Peer(Wire):
    """A server's side of a history: it reads slowly, and may find that the peer is gone."""

    def __init__(self, history: History) -> None:
        super().__init__(history.request, hold=True)
        self.history = history
        self.writes = 0

    async def send(self, event: dict[str, Any]) -> None:
        self.writes += 1
        for _ in range(self.history.reader):
            await asyncio.sleep(0)
        if self.history.broken is not None and self.writes > self.history.broken:
            raise PeerGone
        await super().send(event)

    async def give(self) -> None:
        """What comes, piece by piece."""
        turns = [*self.history.turns]
        chunks = [*self.request.chunks]
        for number, chunk in enumerate(chunks):
            if number == self.history.gone:
                return self.disconnect()
            for _ in range(turns.pop() if turns else 0):
                await asyncio.sleep(0)
            self.content(chunk, more=number + 1 < len(chunks))
        for _ in range(sum(turns)):
            await asyncio.sleep(0)
        if self.history.gone is not None:
            self.disconnect()
        return None


async def played_asgi(application: Any, history: History) -> None:
    peer = Peer(history)
    giving = asyncio.create_task(peer.give())
    failed: BaseException | None = None
    try:
        async with asyncio.timeout(LONGEST):
            await application(peer.scope, peer.receive, peer.send)
    except (PeerGone, RuntimeError) as error:
        failed = error
    await giving
    await settle()
    if isinstance(failed, PeerGone):
        assert history.broken is not None
    elif failed is not None:
        assert history.gone is not None, failed
    elif history.gone is None or (peer.sent and not peer._more):
        check(history, heard(peer.answer))


ASGI_APPLICATION = ASGI(HANDLERS.functions)
WSGI_APPLICATION = WSGI(HANDLERS.functions_sync)


@play
@given(histories())
def test_asgi(history: History) -> None:
    HANDLERS.history = history
    asyncio.run(played_asgi(ASGI_APPLICATION, history))


class Content(Chunks):
    """Content whose peer is gone after some reads."""

    def __init__(self, history: History, request: Request) -> None:
        super().__init__(request.chunks)
        self.gone = history.gone

    def read(self, size: int = -1) -> bytes:
        if self.gone is not None and self.reads >= self.gone:
            raise OSError("the peer is gone")
        return super().read(size)


def played_wsgi(history: History) -> None:
    request = history.request
    answer = Answer()
    variables = environ(request) | {"wsgi.input": Content(history, request)}
    if request.trailers:
        variables["wsgi.ext.http.send_trailers"] = answer.trailers.extend

    def start_response(status: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        assert not answer.status
        answer.status, answer.fields = int(status[:3]), fields
        return io.BytesIO().write  # type: ignore[return-value]

    begun = time.monotonic()
    whole = True
    written = WSGI_APPLICATION(variables, start_response)
    try:
        for number, part in enumerate(written):
            if number == history.broken:
                whole = False
                break
            answer.writes.append(part)
    except RuntimeError:
        assert history.gone is not None
        whole = False
    finally:
        if hasattr(written, "close"):
            written.close()
    assert time.monotonic() - begun < LONGEST
    check_nothing_left()
    if whole and history.gone is None:
        answer.content = b"".join(answer.writes)
        check(history, heard(answer))


@play
@given(histories())
def test_wsgi(history: History) -> None:
    HANDLERS.history = history
    played_wsgi(history)


def of_client(outcome: Any) -> Outcome:
    return Outcome(outcome.messages, "ok" if outcome.error is None else outcome.error.code.value)


@play
@given(histories())
def test_async_client(history: History) -> None:
    """It may be canceled after some turns."""
    HANDLERS.history = history

    async def run() -> None:
        transport = ASGITransport(ASGI_APPLICATION)
        client = ConnectClient("http://a", http_client=transport, protocol=PROTOCOL_TYPES[history.protocol])
        asks = [*history.asks] or [""]
        call = asyncio.create_task(call_async(client, history.kind, asks, timeout_ms=history.timeout))
        async with asyncio.timeout(LONGEST):
            if history.gone is not None:
                for _ in range(history.gone * 3):
                    await asyncio.sleep(0)
                call.cancel()
            await asyncio.wait([call])
        await settle()
        if not call.cancelled() and history.damage is None:
            check(history, of_client(call.result()))

    asyncio.run(run())


@play
@given(histories())
def test_sync_client(history: History) -> None:
    HANDLERS.history = history
    transport = WSGITransport(WSGI_APPLICATION)
    client = ConnectClientSync("http://a", http_client=transport, protocol=PROTOCOL_TYPES[history.protocol])
    outcome = call_sync(client, history.kind, [*history.asks], timeout_ms=history.timeout)
    check_nothing_left()
    check(history, of_client(outcome))
