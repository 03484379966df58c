"""Servers that break HTTP or the protocol: in both modes the right code, in time, and a good call afterwards.

The codes are rules 1, 2, 6 and 7 of the core's table: `unavailable` only for connections that fail, `internal` for what cannot
be read, `resource_exhausted` for what is too large.
"""

from __future__ import annotations

import asyncio
import gzip
import resource
import time
import zlib
from contextlib import AsyncExitStack, ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any

import pyqwest
import pytest

from client_support import DATA, GOOD, HEAD, MESSAGE, METHOD, Exchange, call, method, open_calls, response, serving
from connectcore.client import ConnectClient, ConnectClientSync, ResponseMetadata
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.method import StreamType
from connectcore.transport import HTTPTransport, HTTPTransportSync
from server_support import envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = Callable[[Exchange], Any]

PATIENCE = 10.0
"""Seconds in which every call here has to be over; most take milliseconds."""

MEGABYTE = 1 << 20


def says(*pieces: bytes, pause: float = 0.02, close: bool = True) -> Answer:
    def answer(exchange: Exchange) -> bool:
        for piece in pieces:
            exchange.send(piece)
            time.sleep(pause)
        return not close

    return answer


def resets(*pieces: bytes) -> Answer:
    def answer(exchange: Exchange) -> bool:
        for piece in pieces:
            exchange.send(piece)
            time.sleep(0.05)
        exchange.reset()
        return False

    return answer


def endless(head: bytes, piece: bytes) -> Answer:
    def answer(exchange: Exchange) -> bool:
        exchange.send(head)
        while True:  # ends when the client closes
            exchange.send(piece)

    return answer


JSON = "content-type: application/json"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
LONG = HEAD + b"content-length: 100\r\n\r\n"
GZIP = HEAD + b"content-encoding: gzip\r\n"


@cache
def bomb(size: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(compressor.compress(bytes(MEGABYTE)) for _ in range(size // MEGABYTE)) + compressor.flush()


NOT_HTTP: dict[str, Answer] = {
    "garbage": says(b"\x00\x01\x02 garbage\r\n\r\n"),
    "another protocol": says(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "HTTP/2 preface": says(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)),
    "status of two digits": says(b"HTTP/1.1 99 No\r\ncontent-length: 0\r\n\r\n"),
    "NUL in a field name": says(b"HTTP/1.1 200 OK\r\nx\0y: 1\r\ncontent-length: 0\r\n\r\n"),
    "NUL in a field value": says(b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n"),
    "two content lengths": says(HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"),
    "both lengths": says(CHUNKED[:-2] + b"content-length: 1\r\n\r\n0\r\n\r\n"),
    "chunks twice": says(CHUNKED[:-2] + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    "a transfer coding that nobody knows": says(HEAD + b"transfer-encoding: gzip\r\n\r\n"),
    "negative content length": says(HEAD + b"content-length: -1\r\n\r\n"),
    "content length that is no number": says(HEAD + b"content-length: abc\r\n\r\n"),
    "broken chunk size": says(CHUNKED, b"zz\r\nabc\r\n"),
    "huge chunk size": says(CHUNKED, b"fffffffffffffffffff\r\nabc\r\n"),
}

ENDLESS_HEADS: dict[str, Answer] = {
    "head without an end": endless(b"HTTP/1.1 200 OK\r\n", b"x: " + b"a" * 1000 + b"\r\n"),
    "field without an end": endless(b"HTTP/1.1 200 OK\r\nx: ", b"a" * 1000),
}

CASES: dict[str, tuple[Answer, Code]] = {
    # The connection fails.
    "closes at once": (says(), Code.UNAVAILABLE),
    "resets at once": (resets(), Code.UNAVAILABLE),
    "closes within the head": (says(b"HTTP/1.1 200 OK\r\ncontent-ty"), Code.UNAVAILABLE),
    "resets within the head": (resets(b"HTTP/1.1 200 OK\r\ncontent-ty"), Code.UNAVAILABLE),
    "closes after the head": (says(LONG), Code.UNAVAILABLE),
    "closes within the content": (says(LONG, DATA), Code.UNAVAILABLE),
    "resets within the content": (resets(LONG, DATA), Code.UNAVAILABLE),
    "closes within a chunk": (says(CHUNKED, b"10\r\nabc"), Code.UNAVAILABLE),
    "closes before the last chunk": (says(CHUNKED, b"%x\r\n%b\r\n" % (len(DATA), DATA)), Code.UNAVAILABLE),
    "resets between chunks": (resets(CHUNKED, b"3\r\nabc\r\n"), Code.UNAVAILABLE),
    "closes within an error": (
        says(b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"),
        Code.UNAVAILABLE,
    ),
    # It is HTTP, but not this protocol.
    "no content type": (says(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", close=False), Code.UNKNOWN),
    "a web page": (says(response(b"<html>", "content-type: text/html"), close=False), Code.UNKNOWN),
    "another codec": (says(response(b"{}", JSON), close=False), Code.INTERNAL),
    "a compression not asked for": (says(response(DATA, "content-encoding: br"), close=False), Code.INTERNAL),
    "empty content with 204": (says(b"HTTP/1.1 204 No Content\r\n\r\n", close=False), Code.UNKNOWN),
    "a redirect": (says(response(b"", "location: /elsewhere", status="307 Temporary Redirect"), close=False), Code.UNKNOWN),
    "a proxy's 502": (
        says(response(b"<html>", "content-type: text/html", status="502 Bad Gateway"), close=False),
        Code.UNAVAILABLE,
    ),
    "a proxy's 503": (says(response(b"", status="503 Service Unavailable"), close=False), Code.UNAVAILABLE),
    "401 in plain text": (
        says(response(b"no", "content-type: text/plain", status="401 No"), close=False),
        Code.UNAUTHENTICATED,
    ),
    "404 in plain text": (says(response(b"no", "content-type: text/plain", status="404 No"), close=False), Code.UNIMPLEMENTED),
    "error that is no JSON": (says(response(b"{", JSON, status="403 No"), close=False), Code.PERMISSION_DENIED),
    "error with a made-up code": (says(response(b'{"code": "tired"}', JSON, status="429 No"), close=False), Code.UNAVAILABLE),
    "error that says OK": (says(response(b'{"code": "ok"}', JSON, status="500 No"), close=False), Code.UNKNOWN),
    "deep JSON": (says(response(b"[" * 100_000, JSON, status="500 No"), close=False), Code.UNKNOWN),
    "switching protocols": (says(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabc"), Code.UNKNOWN),
    # Content that cannot be read.
    "no protobuf": (says(response(b"\xff\xff\xff"), close=False), Code.INTERNAL),
    "no gzip": (says(GZIP + b"content-length: 3\r\n\r\nabc", close=False), Code.INTERNAL),
    "gzip cut short": (says(response(gzip.compress(DATA)[:-4], "content-encoding: gzip"), close=False), Code.INTERNAL),
    "gzip with a wrong sum": (
        says(response(gzip.compress(DATA)[:-8] + b"\0" * 8, "content-encoding: gzip"), close=False),
        Code.INTERNAL,
    ),
    "too much metadata": (says(response(DATA, *["y: " + "a" * 8000] * 9), close=False), Code.RESOURCE_EXHAUSTED),
    # Too much.
    "declares too much": (says(HEAD + b"content-length: 4194305\r\n\r\n", close=False), Code.RESOURCE_EXHAUSTED),
    "declares very much": (says(HEAD + b"content-length: 18446744073709551615\r\n\r\n"), Code.INTERNAL),
    "endless chunks": (endless(CHUNKED, b"4000\r\n" + bytes(0x4000) + b"\r\n"), Code.RESOURCE_EXHAUSTED),
    "content to the end of the connection": (endless(HEAD + b"\r\n", bytes(0x4000)), Code.RESOURCE_EXHAUSTED),
    "endless error": (
        endless(b"HTTP/1.1 500 No\r\ncontent-type: application/json\r\n\r\n", b" " * 0x4000),
        Code.RESOURCE_EXHAUSTED,
    ),
    "a bomb": (says(response(bomb(256 * MEGABYTE), "content-encoding: gzip"), close=False), Code.RESOURCE_EXHAUSTED),
}


@pytest.mark.parametrize("name", NOT_HTTP)
def test_not_http(mode: str, name: str) -> None:
    """No stream was reset, and no connection broke: nothing may be tried again."""
    error = fails_once(mode, NOT_HTTP[name])
    assert error.code is Code.INTERNAL
    assert error.message.startswith("the response is not HTTP: ")


@pytest.mark.parametrize("name", ENDLESS_HEADS)
def test_endless_head(mode: str, name: str) -> None:
    """A transport may say that it is no HTTP, or that it is too much."""
    error = fails_once(mode, ENDLESS_HEADS[name])
    assert error.code in (Code.INTERNAL, Code.RESOURCE_EXHAUSTED)
    if error.code is Code.RESOURCE_EXHAUSTED:
        assert error.message.startswith("the response has more metadata than this client accepts: ")


@pytest.mark.parametrize("name", CASES)
def test_hostile(mode: str, name: str) -> None:
    evil, code = CASES[name]
    error = fails_once(mode, evil)
    assert error.code is code, error
    assert error.message


def fails_once(mode: str, evil: Answer) -> ConnectError:
    """The error of a call that is answered so, after which another one is good."""
    turn = iter([evil])

    def answer(exchange: Exchange) -> Any:
        return next(turn, lambda e: e.send(GOOD))(exchange)

    with serving(answer) as server:
        start = time.monotonic()
        error, reply = in_turn(mode, server.address)
        assert time.monotonic() - start < PATIENCE
        assert reply == MESSAGE
        assert len(server.exchanges) == 2  # nothing was sent twice, no redirect followed
    assert open_calls() == 0
    return error


def in_turn(mode: str, address: str) -> tuple[ConnectError, Any]:
    """A call that fails and one that does not, by one client. Without a deadline: what ends them is what comes."""
    if mode == "sync":
        with ConnectClientSync(address) as client:
            with pytest.raises(ConnectError) as caught:
                client.execute_unary(request=MESSAGE, method=METHOD)
            return caught.value, client.execute_unary(request=MESSAGE, method=METHOD)

    async def run() -> tuple[ConnectError, Any]:
        async with asyncio.timeout(PATIENCE), ConnectClient(address) as client:
            with pytest.raises(ConnectError) as caught:
                await client.execute_unary(request=MESSAGE, method=METHOD)
            return caught.value, await client.execute_unary(request=MESSAGE, method=METHOD)

    return asyncio.run(run())


SLOW: dict[str, Answer] = {
    "says nothing": lambda exchange: exchange.wait_for_close(),
    "a head, a byte at a time": says(*[b"%c" % byte for byte in GOOD], pause=0.1),
    "content, a byte at a time": says(LONG, *[b"x"] * 100, pause=0.1),
    "chunks, a byte at a time": says(CHUNKED, *[b"1\r\nx\r\n"] * 100, pause=0.1),
    "nothing after the head": says(LONG, pause=5),
    "an error, a byte at a time": says(
        b"HTTP/1.1 404 No\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n", *[b" "] * 100, pause=0.1
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_slow(mode: str, name: str) -> None:
    with serving(SLOW[name]) as server:
        start = time.monotonic()
        with pytest.raises(ConnectError) as caught:
            call(mode, server.address, timeout=0.3)
        taken = time.monotonic() - start
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert 0.25 < taken < PATIENCE
    assert open_calls() == 0


@pytest.mark.parametrize("timeout", [0.3, 5])
def test_data_without_a_pause(mode: str, timeout: float) -> None:
    """A limit that is never reached, content that never ends: the deadline still holds."""
    evil = endless(CHUNKED, b"100\r\n" + bytes(256) + b"\r\n")
    with serving(evil) as server:
        start = time.monotonic()
        with pytest.raises(ConnectError) as caught:
            call(mode, server.address, timeout=timeout, read_max_bytes=1 << 30 if timeout < 1 else 200_000)
        assert time.monotonic() - start < PATIENCE
    assert caught.value.code is (Code.DEADLINE_EXCEEDED if timeout < 1 else Code.RESOURCE_EXHAUSTED)


def test_content_is_judged_before_what_breaks_it_off(mode: str) -> None:
    with serving(says(CHUNKED + b"c8\r\n" + bytes(200) + b"\r\n")) as server, pytest.raises(ConnectError) as caught:
        call(mode, server.address, read_max_bytes=100)
    assert caught.value.code is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("before", [b"", envelope(DATA)], ids=["the first", "a later one"])
def test_a_stream_with_a_bad_message_frees_its_connection(mode: str, before: bytes) -> None:
    """The server says no more, and the stream is still held: the next call has to wait for neither."""
    content = before + envelope(b"\xff")
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/connect+proto\r\ntransfer-encoding: chunked\r\n\r\n"
    what = method("Many", StreamType.SERVER_STREAM)

    async def run(address: str) -> None:
        async with HTTPTransport(max_connections=1, http_version="1.1") as transport, AsyncExitStack() as held:
            client = ConnectClient(address, http_client=transport)
            for _ in range(2):
                stream = client.execute_server_stream(request=MESSAGE, method=what, timeout=PATIENCE)
                await held.enter_async_context(stream)
                with pytest.raises(ConnectError) as caught:
                    await collect(stream)
                assert caught.value.code is Code.INTERNAL, caught.value

    def run_sync(address: str) -> None:
        with HTTPTransportSync(max_connections=1, http_version="1.1") as transport, ExitStack() as held:
            client = ConnectClientSync(address, http_client=transport)
            for _ in range(2):
                stream = client.execute_server_stream(request=MESSAGE, method=what, timeout=PATIENCE)
                held.enter_context(stream)
                with pytest.raises(ConnectError) as caught:
                    list(stream)
                assert caught.value.code is Code.INTERNAL, caught.value

    with serving(head + b"%x\r\n%b\r\n" % (len(content), content)) as server:
        if mode == "sync":
            run_sync(server.address)
        else:
            asyncio.run(run(server.address))


async def collect(stream: Any) -> list[Any]:
    return [message async for message in stream]


def test_limit_is_exact(mode: str) -> None:
    for content in (DATA, gzip.compress(DATA)):
        fields = ["content-encoding: gzip"] if content is not DATA else []
        limit = max(len(DATA), len(content))
        with serving(response(content, *fields)) as server:
            assert call(mode, server.address, read_max_bytes=limit) == MESSAGE
            with pytest.raises(ConnectError) as caught:
                call(mode, server.address, read_max_bytes=len(DATA) - 1)
            assert caught.value.code is Code.RESOURCE_EXHAUSTED


def test_bomb_takes_no_memory(mode: str) -> None:
    content = bomb(1024 * MEGABYTE)
    with serving(response(content, "content-encoding: gzip")) as server:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ConnectError) as caught:
            call(mode, server.address)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert grown < 64 << 10  # KiB


def test_bomb_through_a_client_that_inflates(mode: str) -> None:
    """A pyqwest client of the user's own decompresses by itself; the limit stops it early all the same."""
    content = bomb(1024 * MEGABYTE)
    client = pyqwest.SyncClient() if mode == "sync" else pyqwest.Client()
    with serving(response(content, "content-encoding: gzip")) as server:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ConnectError) as caught:
            call(mode, server.address, http_client=client)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert grown < 64 << 10  # KiB


def test_inflated_response_of_a_client_that_inflates(mode: str) -> None:
    client = pyqwest.SyncClient() if mode == "sync" else pyqwest.Client()
    with serving(response(gzip.compress(DATA), "content-encoding: gzip")) as server:
        assert call(mode, server.address, http_client=client) == MESSAGE


def test_field_bytes_over_127_fail_no_call(mode: str) -> None:
    said = HEAD + b"x-a: \xff\x80\r\nx-b: \xc3\xbc\r\ncontent-length: %d\r\n\r\n" % len(DATA) + DATA
    with serving(said) as server:
        assert call(mode, server.address) == MESSAGE


def test_informational_responses_are_skipped(mode: str) -> None:
    with serving(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + GOOD) as server:
        assert call(mode, server.address) == MESSAGE


def test_many_at_once_with_hostile_ones_between() -> None:
    """A call's misfortune is its own."""

    def answer(exchange: Exchange) -> Any:
        if exchange.content == DATA:
            exchange.send(GOOD)
            return None
        return resets(LONG, b"x")(exchange)

    async def run() -> None:
        async with ConnectClient(server.address) as client, asyncio.TaskGroup() as tasks:
            good = [tasks.create_task(client.execute_unary(request=MESSAGE, method=METHOD)) for _ in range(40)]
            bad = [tasks.create_task(fails(client)) for _ in range(20)]
        assert all(task.result() == MESSAGE for task in good)
        assert {task.result() for task in bad} == {Code.UNAVAILABLE}

    async def fails(client: ConnectClient) -> Code:
        with pytest.raises(ConnectError) as caught:
            await client.execute_unary(request=type(MESSAGE)(value="evil"), method=METHOD)
        return caught.value.code

    with serving(answer) as server:
        asyncio.run(run())
    assert open_calls() == 0


def test_binary_metadata_that_is_not_base64(mode: str) -> None:
    """It fails no call: it stays text for who looks, and is an error for who wants bytes."""

    async def run() -> ResponseMetadata:
        with ResponseMetadata() as metadata:
            if mode == "sync":
                call(mode, server.address)
            else:
                await ConnectClient(server.address).execute_unary(request=MESSAGE, method=METHOD)
        return metadata

    with serving(response(DATA, "x-a-bin: %%%", "trailer-x-b-bin: AAE, %")) as server:
        metadata = asyncio.run(run())
    for headers, name, text in ((metadata.headers, "x-a-bin", "%%%"), (metadata.trailers, "x-b-bin", "AAE, %")):
        assert headers[name] == text
        with pytest.raises(ValueError, match="is not base64"):
            headers.getbin(name)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (response(b'{"code": "aborted"}', JSON, status="409 No"), "abort"),
        (response(b'{"code": "not_found", "message": ""}', JSON, status="404 No"), "not found"),
        (response(b"", status="503 No"), "503"),
        (response(b"{", JSON, status="500 No"), "500"),
    ],
)
def test_an_error_that_came_without_a_text_has_one(mode: str, said: bytes, text: str) -> None:
    with serving(said) as server, pytest.raises(ConnectError) as caught:
        call(mode, server.address)
    assert text in caught.value.message
