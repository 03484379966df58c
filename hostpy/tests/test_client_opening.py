"""Calls that are opened alike: the module learns of them when something comes back, and says what it would have said before."""

from __future__ import annotations

import asyncio
import gzip
import socket
from typing import TYPE_CHECKING, Any

import h2.events
import pytest

from client_support import DATA, GOOD, MESSAGE, METHOD, CountedSteps, Exchange, open_calls, response, serving
from connectcore._client.call import ClientCall
from connectcore._client.opening import _MANY, _OUTCOMES
from connectcore._wasm.pool import POOL
from connectcore.client import ConnectClient, ConnectClientSync, ResponseMetadata
from connectcore.code import Code
from connectcore.compression.gzip import GzipCompression
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from http2_support import http2_server
from stream_support import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectcore._wasm.instance import Instance
    from http2_support import Connection

TIMES = 3
KNOWN = 3
"""After so many calls, the outcome of a response is known."""


def calls(
    mode: str, address: str, between: Callable[[], object] | None = None, times: int = TIMES, **options: Any
) -> list[Any]:
    """What unary calls of one client come to: the message or the error, and what came beside it."""
    of_call: dict[str, Any] = {"request": MESSAGE, "method": METHOD}
    of_call |= {name: options.pop(name) for name in ("headers", "timeout", "use_get", "request") if name in options}

    async def once(client: Any) -> Any:
        metadata = ResponseMetadata()
        try:
            outcome = client.execute_unary(response_metadata=metadata, **of_call)
            got = await outcome if mode == "async" else outcome
        except ConnectError as error:
            got = error.code, error.message, list(error.metadata.items()), repr(error.details)
        return got, metadata.http_status, list(metadata.headers.items()), list(metadata.trailers.items())

    async def run() -> list[Any]:
        make: Any = ConnectClient if mode == "async" else ConnectClientSync
        client = make(address, **options)
        outcomes: list[Any] = []
        for _ in range(times):
            outcomes.append(await once(client))
            if between is not None:
                between()
        return outcomes

    return asyncio.run(run())


CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\ntransfer-encoding: chunked\r\n\r\n"
DETAILED = b'{"code":"aborted","message":"no","details":[{"type":"acme.v1.A","value":"AQI"}]}'

RESPONSES = {
    "a message": GOOD,
    "a message with metadata": response(DATA, "x-a: 1", "x-a: 2", "x-b-bin: AQI", "trailer-x-c: 3"),
    "a message of no bytes": response(b""),
    "a message that is compressed": response(gzip.compress(DATA), "content-encoding: gzip"),
    "a message that is none": response(b"\xff"),
    "a message that is badly compressed": response(DATA, "content-encoding: gzip"),
    "a message in chunks": CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(DATA), DATA),
    "no content": CHUNKED + b"0\r\n\r\n",
    "many chunks": CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in DATA) + b"0\r\n\r\n",
    "a message of 100 KiB": response(b"\x0a\x80\xa0\x06" + b"a" * 102400),
    "a message above the limit": response(b"a" * (5 << 20)),
    "an error": response(DETAILED, "content-type: application/json", "x-a: 1", status="409 Conflict"),
    "an error of 20 KiB": response(
        b'{"code":"aborted","message":"%b"}' % (b"a" * 20480), "content-type: application/json", status="409 Conflict"
    ),
    "another type": response(b"<p>", "content-type: text/html"),
    "another status": response(b"gone", "content-type: text/plain", status="404 Not Found"),
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
}


@pytest.mark.parametrize("said", RESPONSES.values(), ids=RESPONSES)
def test_the_outcome_is_always_the_same(mode: str, said: bytes) -> None:
    with serving(said) as server:
        for options in ({}, {"timeout": 60}, {"headers": {"x-a": "1"}}):
            first, *others = calls(mode, server.address, times=KNOWN + 2, **options)
            assert others == [first] * (KNOWN + 1)
        assert len({(each.head, each.content) for each in server.exchanges[: KNOWN + 2]}) == 1
    assert open_calls() == 0


def test_the_request_is_always_the_same(mode: str) -> None:
    """Each that is made of the same: by length, metadata, timeout, HTTP method, compression."""
    with serving(GOOD) as server:
        for length in (0, 3, 5000, 100_000):
            for options in (
                {},
                {"timeout": 60},
                {"headers": {"x-a": "b"}},
                {"headers": {"x-bin": "AQI"}},
                {"use_get": True},
                {"send_compression": GzipCompression(), "compress_min_bytes": 4},
            ):
                server.exchanges.clear()
                request = type(MESSAGE)(value="a" * length)
                assert {outcome[0].value for outcome in calls(mode, server.address, request=request, **options)} == {"hello"}
                assert len({(each.head, each.content) for each in server.exchanges}) == 1
    assert open_calls() == 0


def test_the_second_call_and_those_after_it_take_one_step(mode: str, instance: Instance) -> None:
    with serving(GOOD) as server:
        steps = CountedSteps(instance)
        numbers: list[int] = []
        calls(mode, server.address, between=lambda: numbers.append(steps.number))
        first = numbers[0]
        assert numbers == [first, first + 1, first + 2]
    assert open_calls() == 0


def test_a_response_like_one_before_takes_none(mode: str, instance: Instance) -> None:
    with serving(GOOD) as server:
        steps = CountedSteps(instance)
        numbers: list[int] = []
        calls(mode, server.address, between=lambda: numbers.append(steps.number), times=KNOWN + 3)
        assert numbers[KNOWN - 1 :] == [numbers[0] + KNOWN - 1] * 4
    assert open_calls() == 0


def test_a_response_unlike_those_before_has_an_outcome_of_its_own(mode: str) -> None:
    """By its metadata, its length, and by a message of the same length that is none."""
    good = [response(DATA, "x-a: 1", "trailer-x-b: 1")] * (KNOWN + 1)
    unlike = [
        response(DATA, "x-a: 2", "trailer-x-b: 1"),
        response(DATA, "x-a: 1", "trailer-x-b: 2"),
        response(DATA + DATA, "x-a: 1", "trailer-x-b: 1"),
        response(b"\xff" * len(DATA), "x-a: 1", "trailer-x-b: 1"),
        response(DETAILED, "content-type: application/json", status="409 Conflict"),
    ]
    alone: list[Any] = []
    for each in unlike:
        with serving(each) as server:
            alone += calls(mode, server.address, times=1)
    said = [*good, *[again for each in unlike for again in (each, each, good[0])]]
    with serving(lambda exchange: exchange.send(said[len(server.exchanges) - 1])) as server:
        first, *outcomes = calls(mode, server.address, times=len(said))
    assert outcomes == [*[first] * KNOWN, *[again for each in alone for again in (each, each, first)]]
    assert open_calls() == 0


def grpc_calls(mode: str, said: list[tuple[bytes, list[tuple[str, str]]]]) -> list[Any]:
    """What calls come to over one connection that are answered by these contents and trailers, one after the other."""
    left = said[::-1]

    def heard(connection: Connection, event: Any) -> None:
        if isinstance(event, h2.events.StreamEnded):
            content, trailers = left.pop()
            connection.h2.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
            connection.h2.send_data(event.stream_id, content)
            connection.h2.send_headers(event.stream_id, trailers, end_stream=True)
            connection.send()

    with http2_server(heard) as server:
        return calls(mode, server.address, times=len(said), protocol=ProtocolType.GRPC)


def test_a_grpc_response_unlike_those_before_has_an_outcome_of_its_own(mode: str) -> None:
    """By its trailers, its length, and by what stands in front of the message."""
    usual = b"\0\0\0\0%c%b" % (len(DATA), DATA), [("grpc-status", "0")]
    message, good = usual
    unlike = [
        (message, [("grpc-status", "5"), ("grpc-message", "gone")]),
        (message, [*good, ("x-a", "1")]),
        (message + message, good),
        (b"\0\0\0\0%c%b" % (len(DATA) - 1, DATA), good),
        (b"\0\0\0\0\0", good),
    ]
    alone = [grpc_calls(mode, [each])[0] for each in unlike]
    first, *outcomes = grpc_calls(mode, [*[usual] * (KNOWN + 1), *[again for each in unlike for again in (each, each, usual)]])
    assert outcomes == [*[first] * KNOWN, *[again for each in alone for again in (each, each, first)]]
    assert open_calls() == 0


def test_a_head_waits_if_it_is_like_a_good_one(mode: str, instance: Instance) -> None:
    """Where no length is told: the first head goes to the module at once, the next ones with what follows."""
    told: list[int] = []

    def answer(exchange: Exchange) -> None:
        exchange.send(CHUNKED)
        number = len(server.exchanges)
        if number == 1:
            until(lambda: steps.number == told[0] + 2)
        elif number == TIMES:
            exchange.send(b"%x\r\n%b\r\n" % (1, DATA[:1]))
            until(lambda: pieces[-1:] == [DATA[:1]])
            exchange.send(b"%x\r\n%b\r\n" % (len(DATA) - 1, DATA[1:]))
            until(lambda: steps.number == told[-1] + 1)
            exchange.send(b"0\r\n\r\n")
            return
        exchange.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(DATA), DATA))

    pieces: list[bytes] = []
    with serving(answer) as server, pytest.MonkeyPatch.context() as patch:
        content = ClientCall.content

        def watched(self: ClientCall, data: bytes) -> None:
            content(self, data)
            pieces.append(data)

        patch.setattr(ClientCall, "content", watched)
        steps = CountedSteps(instance)
        told.append(1)  # the configuration
        outcomes = calls(mode, server.address, between=lambda: told.append(steps.number))
        assert [outcome[0] for outcome in outcomes] == [MESSAGE] * TIMES
        assert told == [1, 4, 5, 7]
    assert open_calls() == 0


def test_a_head_unlike_a_good_one_is_told_at_once(mode: str) -> None:
    """Nothing needs to follow it."""

    def answer(exchange: Exchange) -> bool:
        if len(server.exchanges) == 1:
            exchange.send(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(DATA), DATA))
            return True
        other = (b"200 OK", b"503 Busy") if len(server.exchanges) == 2 else (b"application/proto", b"text/html")
        exchange.send(CHUNKED.replace(*other))
        return not exchange.wait_for_close()

    with serving(answer) as server:
        good, *bad = calls(mode, server.address)
        assert good[0] == MESSAGE
        assert [each[0][0] for each in bad] == [Code.UNAVAILABLE, Code.UNKNOWN]
    assert open_calls() == 0


def test_nobody_answers(mode: str) -> None:
    """Nothing came back: the module says what that means all the same."""

    def answer(exchange: Exchange) -> bool:
        if len(server.exchanges) == 1:
            exchange.send(GOOD)
            return True
        return not exchange.wait_for_close() if what == "timeout" else False

    for what, code in (("close", Code.UNAVAILABLE), ("timeout", Code.DEADLINE_EXCEEDED)):
        with serving(answer) as server:
            first, *others = calls(mode, server.address, timeout=1 if what == "timeout" else None)
            assert first[0] == MESSAGE
            assert [other[0][0] for other in others] == [code] * (TIMES - 1), others
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    first, *others = calls(mode, f"http://127.0.0.1:{port}")
    assert first[0][0] is Code.UNAVAILABLE
    assert others == [first] * (TIMES - 1)
    assert open_calls() == 0


@pytest.mark.parametrize("how", ["trap", "panic"])
def test_an_instance_that_fails_under_the_answer(mode: str, instance: Instance, how: str) -> None:
    with serving(GOOD) as server:
        CountedSteps(instance, **{how: 3})  # behind the configuration and the first call's two
        outcomes = [outcome[0] for outcome in calls(mode, server.address)]
        assert outcomes[0] == outcomes[2] == MESSAGE
        assert outcomes[1][:2] == (Code.INTERNAL, "the call failed inside")
        assert instance not in POOL.instances()
    assert open_calls() == 0


def test_an_instance_without_room_for_the_answer(mode: str, instance: Instance) -> None:
    """The server has done its work, so another instance reads what it says."""
    with serving(GOOD) as server:
        CountedSteps(instance, busy=3)
        assert [outcome[0] for outcome in calls(mode, server.address)] == [MESSAGE] * TIMES
        assert len(server.exchanges) == TIMES
        assert len(POOL.instances()) == 2
    assert open_calls() == 0


def test_what_is_remembered_is_bounded() -> None:
    with serving(GOOD) as server, ConnectClientSync(server.address) as client:
        openings = client._config.openings
        client.execute_unary(request=MESSAGE, method=METHOD)
        client.execute_unary(request=MESSAGE, method=METHOD, headers={"x-long": "a" * 5000})
        (often,) = openings._new.values()  # what is long is not kept
        for number in range(2 * _MANY + 40):
            client.execute_unary(request=MESSAGE, method=METHOD, headers={"x-number": str(number)})
            if number % 50 == 0:
                client.execute_unary(request=MESSAGE, method=METHOD)
        assert _MANY < len(openings) <= 2 * _MANY
        assert often in openings._new.values()
    assert open_calls() == 0


def test_outcomes_that_are_remembered_are_bounded() -> None:
    def answer(exchange: Exchange) -> None:
        number = len(server.exchanges)
        exchange.send(response(DATA, f"x-number: {number}" + (2000 * "a" if number % 2 else "")))

    most = 0
    with serving(answer) as server, ConnectClientSync(server.address) as client:
        for number in range(1, 4 * _OUTCOMES):
            metadata = ResponseMetadata()
            client.execute_unary(request=MESSAGE, method=METHOD, response_metadata=metadata)
            assert metadata.headers["x-number"].rstrip("a") == str(number)
            (opening,) = client._config.openings._new.values()
            most = max(most, len(opening.outcomes))
            assert all(len(str(alike)) < 2000 for alike in opening.outcomes)
    assert most == _OUTCOMES
    assert open_calls() == 0
