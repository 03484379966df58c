"""Calls that are made again: which, how often, when, and that nothing else is."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from client_support import DATA, GOOD, MESSAGE, Exchange, call, method, open_calls, response, serving
from connectcore.client import Cancellation, ConnectClient, ConnectClientSync, RetryPolicy
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.method import MethodInfo, StreamType
from connectcore.protocol import ProtocolType
from connectcore.transport import Gone, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

SAFE = method()
UNSAFE = method(safe=False)
JSON = "content-type: application/json"
BUSY = response(b'{"code": "unavailable", "message": "busy"}', JSON, status="503 Busy")
GRPC = "content-type: application/grpc"


def quick(**options: Any) -> RetryPolicy:
    """A policy that wastes no time."""
    return RetryPolicy(**{"initial_backoff": 0.001, "max_backoff": 0.01, **options})


def script(*answers: bytes | Callable[[Exchange], Any]) -> Callable[[Exchange], Any]:
    """Answers in turn; the last one again and again."""
    left = list(answers)

    def answer(exchange: Exchange) -> Any:
        said = left.pop(0) if len(left) > 1 else left[0]
        return exchange.send(said) if isinstance(said, bytes) else said(exchange)

    return answer


def resets(exchange: Exchange) -> bool:
    exchange.reset()
    return False


def count(mode: str, answer: Callable[[Exchange], Any], what: MethodInfo[Any, Any] = SAFE, **options: Any) -> tuple[Any, int]:
    """The reply or the error of a call, and how many requests there were."""
    with serving(answer) as server:
        try:
            outcome: Any = call(mode, server.address, what=what, **options)
        except ConnectError as error:
            outcome = error
        tries = len(server.exchanges)
    assert open_calls() == 0
    return outcome, tries


def test_off_unless_asked(mode: str) -> None:
    error, tries = count(mode, script(BUSY, GOOD))
    assert (error.code, tries) == (Code.UNAVAILABLE, 1)


def test_until_it_is_good(mode: str) -> None:
    assert count(mode, script(BUSY, BUSY, GOOD), retries=quick()) == (MESSAGE, 3)
    assert count(mode, script(resets, GOOD), retries=quick()) == (MESSAGE, 2)


def test_no_more_than_asked(mode: str) -> None:
    error, tries = count(mode, script(BUSY), retries=quick(max_attempts=3))
    assert (error.code, error.message, tries) == (Code.UNAVAILABLE, "busy", 3)


def test_side_effects(mode: str) -> None:
    """Only where the server has done no work."""
    for answer in (BUSY, resets):
        error, tries = count(mode, script(answer, GOOD), UNSAFE, retries=quick())
        assert (error.code, tries) == (Code.UNAVAILABLE, 1)


def test_other_failures(mode: str) -> None:
    """What would fail the next time, too, or was malformed."""
    said = [
        response(b'{"code": "not_found"}', JSON, status="404 No"),
        response(b'{"code": "resource_exhausted"}', JSON, status="429 No"),
        response(b"\xff"),
        b"garbage\r\n\r\n",
    ]
    for answer in said:
        error, tries = count(mode, script(answer, GOOD), retries=quick())
        assert (tries, error.code is Code.UNAVAILABLE) == (1, False)


def test_further_codes(mode: str) -> None:
    said = response(b'{"code": "aborted"}', JSON, status="409 No")
    assert count(mode, script(said, GOOD), retries=quick(codes=[Code.ABORTED])) == (MESSAGE, 2)
    assert count(mode, script(said, GOOD), UNSAFE, retries=quick(codes=[Code.ABORTED]))[1] == 1


class Failing:
    """A transport that fails as it is told, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.requests: list[Any] = []
        self.status, self.fields, self.length, self.trailers = 200, [("content-type", "application/proto")], None, ()
        self.content: list[bytes] = []

    def take(self, request: Any) -> Failing:
        self.requests.append(request)
        if self.failures:
            raise self.failures.pop(0)
        self.content = [DATA]
        return self

    async def open(self, request: Any) -> Any:
        return self.take(request)

    async def read(self) -> bytes:
        return self.content.pop() if self.content else b""

    async def close(self) -> None:
        pass


class FailingSync(Failing):
    def open_sync(self, request: Any) -> Any:
        return self.take(request)

    def read(self) -> bytes:  # type: ignore[override]
        return self.content.pop() if self.content else b""

    def close(self) -> None:  # type: ignore[override]
        pass


def failing(mode: str, *failures: Exception) -> Any:
    return Failing(*failures) if mode == "async" else FailingSync(*failures)


def test_where_no_work_was_done(mode: str) -> None:
    """Whatever the call does: nobody listened, or the server refused the stream."""
    for failure in (ConnectionRefusedError(111, "no"), TransportError(Gone.REFUSED), TransportError(Gone.RESET, "", 7)):
        transport = failing(mode, failure, failure)
        assert call(mode, "http://a", what=UNSAFE, http_client=transport, retries=quick()) == MESSAGE
        assert len(transport.requests) == 3
    for other in (TransportError(Gone.CLOSED), TransportError(Gone.RESET, "", 8), TransportError(Gone.MALFORMED), KeyError()):
        transport = failing(mode, other)
        with pytest.raises(ConnectError):
            call(mode, "http://a", what=UNSAFE, http_client=transport, retries=quick())
        assert len(transport.requests) == 1
    assert open_calls() == 0


def test_the_server_says_when(mode: str) -> None:
    busy = response(b'{"code": "resource_exhausted"}', JSON, "retry-after: 1", status="429 Busy")
    start = time.monotonic()
    assert count(mode, script(busy, GOOD), retries=quick()) == (MESSAGE, 2)
    assert time.monotonic() - start >= 1
    later = response(b"", "retry-after: 30", status="503 Busy")
    start = time.monotonic()
    error, tries = count(mode, script(later, GOOD), retries=quick(), timeout=5)
    assert (error.code, tries) == (Code.UNAVAILABLE, 1)
    assert time.monotonic() - start < 4  # beyond the deadline, so there is nothing to wait for
    never = response(b"", "retry-after: Fri, 31 Dec 1999 23:59:59 GMT", status="503 Busy")
    assert count(mode, script(never, GOOD), retries=quick())[1] == 1


def grpc(mode: str, *fields: str) -> tuple[Any, list[Any]]:
    """A gRPC call that is answered by an error with these fields, then by success; and the heads of its requests."""
    transport = failing(mode)
    bad = [tuple(field.split(": ")) for field in ("content-type: application/grpc", "grpc-status: 14", *fields)]
    good = [("content-type", "application/grpc")]
    heads = [(bad, [], ()), (good, [b"\0\0\0\0" + bytes([len(DATA)]) + DATA], [("grpc-status", "0")])]

    def take(request: Any) -> Any:
        transport.requests.append(request)
        transport.fields, transport.content, transport.trailers = heads.pop(0)
        return transport

    transport.take = take
    try:
        outcome: Any = call(mode, "http://a", http_client=transport, retries=quick(), protocol=ProtocolType.GRPC)
    except ConnectError as error:
        outcome = error
    return outcome, [dict(request.text_fields) for request in transport.requests]


def test_grpc(mode: str) -> None:
    start = time.monotonic()
    reply, heads = grpc(mode, "grpc-retry-pushback-ms: 300")
    assert reply == MESSAGE
    assert [head.get("grpc-previous-rpc-attempts") for head in heads] == [None, "1"]
    assert time.monotonic() - start >= 0.3
    error, heads = grpc(mode, "grpc-retry-pushback-ms: -1")
    assert (error.code, len(heads)) == (Code.UNAVAILABLE, 1)
    assert open_calls() == 0


def test_one_deadline_for_all(mode: str) -> None:
    """And each try tells the server what is left of it."""
    told: list[int] = []

    def answer(exchange: Exchange) -> None:
        told.append(int(dict(exchange.fields)["connect-timeout-ms"]))
        exchange.send(BUSY)

    start = time.monotonic()
    error, _ = count(mode, answer, retries=quick(max_attempts=1000, max_tokens=1000, max_backoff=0.05), timeout=0.5)
    assert 0.2 < time.monotonic() - start < 3
    assert error.code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED)
    assert len(told) > 2
    assert told == sorted(told, reverse=True)
    assert told[0] <= 500
    assert told[-1] < told[0]


def test_budget(mode: str) -> None:
    """While too many calls fail there are no tries; successes bring them back. It is shared by clients."""
    policy = quick(max_attempts=10, max_tokens=4, token_ratio=1)
    assert count(mode, script(BUSY), retries=policy)[1] == 2  # tokens: 3, 2
    assert count(mode, script(BUSY), retries=policy)[1] == 1
    for _ in range(3):
        assert count(mode, script(GOOD), retries=policy) == (MESSAGE, 1)
    assert count(mode, script(BUSY, GOOD), retries=policy) == (MESSAGE, 2)


def test_canceled_while_it_waits() -> None:
    policy = quick(initial_backoff=30, max_backoff=30)

    async def run() -> None:
        task = asyncio.create_task(ConnectClient(server.address, retries=policy).execute_unary(request=MESSAGE, method=SAFE))
        await asyncio.to_thread(answered.wait, 10)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    answered = threading.Event()

    def answer(exchange: Exchange) -> None:
        exchange.send(BUSY)
        answered.set()

    def cancel_soon(cancellation: Cancellation) -> None:
        answered.wait(10)
        time.sleep(0.05)
        cancellation.cancel()

    start = time.monotonic()
    with serving(answer) as server:
        asyncio.run(run())
        answered.clear()
        with Cancellation() as cancellation:
            threading.Thread(target=cancel_soon, args=(cancellation,)).start()
            with pytest.raises(ConnectError) as caught:
                ConnectClientSync(server.address, retries=policy).execute_unary(request=MESSAGE, method=SAFE)
        assert caught.value.code is Code.CANCELED
    assert time.monotonic() - start < 10
    assert open_calls() == 0


MANY = method("Many", StreamType.SERVER_STREAM)
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: application/connect+proto\r\ntransfer-encoding: chunked\r\n\r\n"


def piece(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


ONE = piece(b"\0\0\0\0" + bytes([len(DATA)]) + DATA)
END = piece(b"\2\0\0\0\2{}") + b"0\r\n\r\n"
FAILED = b'{"error": {"code": "unavailable", "message": "busy"}}'
ERROR = piece(b"\2\0\0\0" + bytes([len(FAILED)]) + FAILED) + b"0\r\n\r\n"


def breaks_later(exchange: Exchange) -> bool:
    exchange.send(STREAM + ONE)
    time.sleep(0.05)
    return resets(exchange)


def read(mode: str, address: str, what: MethodInfo[Any, Any] = MANY, *, headers: bool = False, **options: Any) -> list[Any]:
    """The messages of a stream, and the error that ended it, if one did."""
    got: list[Any] = []

    async def run() -> None:
        stream = ConnectClient(address, **options).execute_server_stream(request=MESSAGE, method=what)
        if headers:
            await stream.headers()
        async for message in stream:
            got.append(message)  # noqa: PERF401 - an error leaves those before it

    try:
        if mode == "async":
            asyncio.run(run())
        else:
            stream = ConnectClientSync(address, **options).execute_server_stream(request=MESSAGE, method=what)
            if headers:
                stream.headers()
            got.extend(stream)
    except ConnectError as error:
        got.append(error.code)
    return got


@pytest.mark.parametrize(
    ("answers", "expected", "tries"),
    [
        ([resets, STREAM + ONE + ONE + END], [MESSAGE, MESSAGE], 2),
        ([STREAM + ERROR, STREAM + ONE + END], [MESSAGE], 2),
        ([BUSY, BUSY, STREAM + END], [], 3),
        ([STREAM + ONE + ERROR, STREAM + ONE + END], [MESSAGE, Code.UNAVAILABLE], 1),
        ([breaks_later, STREAM + END], [MESSAGE, Code.UNAVAILABLE], 1),
    ],
    ids=["broken", "failed", "busy", "failed after a message", "broken after a message"],
)
def test_streams(mode: str, answers: Any, expected: list[Any], tries: int) -> None:
    """As long as nothing of the response has reached the application."""
    with serving(script(*answers)) as server:
        assert read(mode, server.address, retries=quick()) == expected
        assert len(server.exchanges) == tries
    assert open_calls() == 0


def test_a_stream_whose_headers_were_shown(mode: str) -> None:
    with serving(script(STREAM + ERROR, STREAM + ONE + END)) as server:
        assert read(mode, server.address, headers=True, retries=quick()) == [Code.UNAVAILABLE]
        assert len(server.exchanges) == 1
    with serving(script(BUSY, STREAM + ONE + END)) as server:
        assert read(mode, server.address, headers=True, retries=quick()) == [MESSAGE]
    assert open_calls() == 0


def test_a_stream_with_side_effects(mode: str) -> None:
    with serving(script(resets, STREAM + END)) as server:
        assert read(mode, server.address, method("Many", StreamType.SERVER_STREAM, safe=False), retries=quick()) == [
            Code.UNAVAILABLE
        ]
        assert len(server.exchanges) == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_attempts": 1}, "max_attempts must be at least 2, not 1"),
        ({"initial_backoff": 0}, "initial_backoff must be more than 0"),
        ({"initial_backoff": float("nan")}, "initial_backoff must be more than 0"),
        ({"max_backoff": 0.01}, "max_backoff must be at least initial_backoff"),
        ({"backoff_multiplier": 0.5}, "backoff_multiplier must be at least 1"),
        ({"jitter": 2}, "jitter must be between 0 and 1"),
        ({"max_tokens": 0}, "max_tokens must be more than 0"),
        ({"token_ratio": 0}, "token_ratio must be more than 0"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        RetryPolicy(**options)
    name = next(iter(options))
    with pytest.raises(TypeError, match=f"{name} must be a number, not '1'"):
        RetryPolicy(**{name: "1"})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="codes must be"):
        RetryPolicy(codes=["unavailable"])  # type: ignore[list-item]


def test_waits_grow_and_differ() -> None:
    policy = RetryPolicy(initial_backoff=1, max_backoff=10, backoff_multiplier=2, jitter=0.5)
    for step, middle in enumerate([1, 2, 4, 8, 10, 10]):
        waits = [policy.backoff(step) for _ in range(200)]
        assert middle * 0.5 <= min(waits) < middle * 0.8
        assert middle * 1.2 < max(waits) <= middle * 1.5
    assert policy.backoff(100_000) <= 15
