"""Requests and responses as `_transport/transport.py` writes them down: the same tests for every transport."""

from __future__ import annotations

import gzip
import os
import threading

import pytest

from connectcore.transport import Gone, TransportError
from transport_peers import PATIENCE, Exchange, peer
from transport_support import Driver, Feed, Kind, OfTheUser, drive, every, gone, http1, kinds, network

# Requests


FRAMING = {b"host", b"content-length", b"transfer-encoding"}


@every
def test_request(kind: Kind) -> None:
    """It goes out as it is given: nothing is added but what HTTP's framing needs."""
    fields = [
        (b"content-type", b"application/proto"),
        (b"user-agent", b"us/1"),
        (b"x-a", b"1"),
        (b"x-empty", b""),
        (b"x-utf8", "ü".encode()),
        (b"te", b"trailers"),
    ]
    target = "/a%2Fb/x%7E~%C3%BC/..%2F?q=%20a+b&r=-_"

    def script(exchange: Exchange) -> None:
        exchange.answer(exchange.content(), [(b"x-b", b"2"), (b"x-c", b"a"), (b"x-c", b"b")], 203)

    async def body(driver: Driver) -> None:
        response, content = await driver.whole(driver.request(b"hello", target=target, fields=fields))
        assert (response.status, content) == (203, b"hello")
        got = [(_bytes(name), _bytes(value)) for name, value in response.fields]
        assert [field for field in got if field[0].startswith(b"x-")] == [(b"x-b", b"2"), (b"x-c", b"a"), (b"x-c", b"b")]
        assert list(response.trailers) == []

    with peer(script, kind.version) as where:
        drive(kind, where, body)
        (exchange,) = where.exchanges
    assert (exchange.method, exchange.target) == ("POST", target)
    assert sorted(field for field in exchange.fields if field[0] not in FRAMING | kind.adds) == sorted(fields)


@every
def test_no_content(kind: Kind) -> None:
    def script(exchange: Exchange) -> None:
        assert exchange.content() == b""
        exchange.respond(end=True)

    async def body(driver: Driver) -> None:
        for method in ("GET", "POST"):
            response, content = await driver.whole(driver.request(method=method, target="/a?b=c"))
            assert (response.status, content) == (200, b"")

    with peer(script, kind.version) as where:
        drive(kind, where, body)
        assert [(e.method, e.target) for e in where.exchanges] == [("GET", "/a?b=c"), ("POST", "/a?b=c")]
        names = {name for name, _ in where.exchanges[0].fields}
    assert names <= FRAMING | kind.adds


@every
def test_large_content(kind: Kind) -> None:
    """More than any window, both ways."""
    data = os.urandom(1 << 10) * 3000

    def script(exchange: Exchange) -> None:
        exchange.answer(exchange.content())

    async def body(driver: Driver) -> None:
        assert (await driver.whole(driver.request(data)))[1] == data
        pieces = [data[i : i + 100_000] for i in range(0, len(data), 100_000)]
        assert (await driver.whole(driver.request(Feed(*pieces))))[1] == data

    with peer(script, kind.version) as where:
        drive(kind, where, body)


@every
def test_content_is_sent_as_it_comes(kind: Kind) -> None:
    """Each chunk at once: the next is made when the peer has the one before."""
    got = [threading.Event() for _ in range(3)]

    def script(exchange: Exchange) -> None:
        for event in got:
            assert exchange.chunk() == b"x" * 10
            event.set()
        assert exchange.chunk() == b""
        exchange.answer(b"ok")

    feed = Feed(b"x" * 10, got[0], b"x" * 10, got[1], b"x" * 10, got[2])

    async def body(driver: Driver) -> None:
        assert (await driver.whole(driver.request(feed)))[1] == b"ok"

    with peer(script, kind.version) as where:
        drive(kind, where, body)
    assert feed.closed.is_set()


@every
def test_no_chunks(kind: Kind) -> None:
    def script(exchange: Exchange) -> None:
        assert exchange.content() == b""
        exchange.answer(b"ok")

    async def body(driver: Driver) -> None:
        assert (await driver.whole(driver.request(Feed())))[1] == b"ok"
        assert (await driver.whole(driver.request(Feed(b"", b""))))[1] == b"ok"

    with peer(script, kind.version) as where:
        drive(kind, where, body)


@kinds(duplex=True)
def test_response_while_content_is_sent(kind: Kind) -> None:
    """`open` returns when the head is there, and both ways go on."""
    more = threading.Event()

    def script(exchange: Exchange) -> None:
        assert exchange.chunk() == b"one"
        exchange.respond()
        exchange.data(b"1")
        assert exchange.chunk() == b"two"
        exchange.data(b"2")
        assert exchange.chunk() == b""
        exchange.end()

    feed = Feed(b"one", more, b"two")

    async def body(driver: Driver) -> None:
        response = await driver.open(driver.request(feed))
        assert await driver.read(response) == b"1"
        assert not feed.closed.is_set()
        more.set()
        assert await driver.rest(response) == b"2"
        await driver.close(response)

    with peer(script, kind.version) as where:
        drive(kind, where, body)
    assert feed.closed.wait(PATIENCE)


@kinds(duplex=True)
def test_response_before_the_content_is_over(kind: Kind) -> None:
    """Sending stops, the iterator is closed, and that is no error."""
    never = threading.Event()

    def script(exchange: Exchange) -> None:
        assert exchange.chunk() == b"one"
        exchange.answer(b"enough")
        exchange.gone()

    feed = Feed(b"one", never, b"two")

    async def body(driver: Driver) -> None:
        response, content = await driver.whole(driver.request(feed))
        assert (response.status, content) == (200, b"enough")
        await gone(feed, driver)

    with peer(script, kind.version) as where:
        drive(kind, where, body)
        never.set()
    assert feed.sent == 1 or kind.mode == "sync"  # a thread that waits in the iterator cannot be told


@every
@pytest.mark.parametrize("error", [OfTheUser("bug"), ConnectionResetError("of a file"), TransportError(Gone.RESET, "theirs")])
@pytest.mark.parametrize("at", [0, 1])
def test_content_that_raises(kind: Kind, error: Exception, at: int) -> None:
    """The exchange is aborted, and that very exception comes out."""

    def script(exchange: Exchange) -> None:
        exchange.content()

    feed = Feed(*[b"one"] * at, error)

    async def body(driver: Driver) -> None:
        with pytest.raises(type(error)) as caught:
            await driver.whole(driver.request(feed))
        assert caught.value is error

    with peer(script, kind.version) as where:
        drive(kind, where, body)
    assert feed.closed.wait(PATIENCE)


@kinds(duplex=True)
def test_content_that_raises_while_the_response_is_read(kind: Kind) -> None:
    late = threading.Event()
    error = OfTheUser("late")

    def script(exchange: Exchange) -> None:
        exchange.chunk()
        exchange.respond()
        exchange.data(b"1")
        exchange.gone()

    async def body(driver: Driver) -> None:
        response = await driver.open(driver.request(Feed(b"one", late, error)))
        try:
            assert await driver.read(response) == b"1"
            late.set()
            with pytest.raises(OfTheUser) as caught:
                await driver.rest(response)
            assert caught.value is error
        finally:
            await driver.close(response)

    with peer(script, kind.version) as where:
        drive(kind, where, body)


# Responses


@every
def test_content_is_given_as_it_comes(kind: Kind) -> None:
    got = [threading.Event() for _ in range(3)]

    def script(exchange: Exchange) -> None:
        exchange.content()
        exchange.respond()
        for event in got:
            exchange.data(b"x" * 10)
            assert event.wait(PATIENCE)
        exchange.end()

    async def body(driver: Driver) -> None:
        response = await driver.open(driver.request(b"hello"))
        for event in got:
            assert await driver.read(response) == b"x" * 10
            event.set()
        assert await driver.read(response) == b""
        assert await driver.read(response) == b""
        await driver.close(response)

    with peer(script, kind.version) as where:
        drive(kind, where, body)


@kinds(trailers=True)
def test_trailers(kind: Kind) -> None:
    trailers = [(b"x-status", b"0"), (b"x-a", b"1"), (b"x-a", b"2")]

    def script(exchange: Exchange) -> None:
        exchange.content()
        exchange.answer(b"ok", trailers=trailers)

    async def body(driver: Driver) -> None:
        response, content = await driver.whole(driver.request(b"hello"))
        assert (content, response.length) == (b"ok", None)
        assert [(_bytes(name), _bytes(value)) for name, value in response.trailers] == trailers

    with peer(script, kind.version) as where:
        drive(kind, where, body)


@http1
@pytest.mark.parametrize("length", [0, 5])
def test_declared_length(kind: Kind, length: int) -> None:
    def script(exchange: Exchange) -> None:
        exchange.content()
        exchange.answer(b"x" * length, [(b"content-length", b"%d" % length)])

    async def body(driver: Driver) -> None:
        for _ in range(2):
            response, content = await driver.whole(driver.request(b"hello"))
            assert (response.length, content) == (length, b"x" * length)

    with peer(script, kind.version) as where:
        drive(kind, where, body)
        assert where.connections == 1


@every
def test_nothing_is_decompressed(kind: Kind) -> None:
    data = gzip.compress(b"hello")

    def script(exchange: Exchange) -> None:
        exchange.content()
        exchange.answer(data, [(b"content-encoding", b"gzip")])

    async def body(driver: Driver) -> None:
        response, content = await driver.whole(driver.request(b"hello", fields=[(b"accept-encoding", b"gzip")]))
        assert content == data
        assert (b"content-encoding", b"gzip") in [(_bytes(name), _bytes(value)) for name, value in response.fields]

    with peer(script, kind.version) as where:
        drive(kind, where, body)


@every
def test_no_redirect_is_followed(kind: Kind) -> None:
    def script(exchange: Exchange) -> None:
        exchange.content()
        exchange.answer(b"there", [(b"location", b"/elsewhere")], 307)

    async def body(driver: Driver) -> None:
        response, content = await driver.whole(driver.request(b"hello"))
        assert (response.status, content) == (307, b"there")

    with peer(script, kind.version) as where:
        drive(kind, where, body)
        assert len(where.exchanges) == 1


@network
def test_informational_responses_are_not_shown(kind: Kind) -> None:
    def script(exchange: Exchange) -> None:
        exchange.content()
        exchange.respond(103, [(b"link", b"</a>")])
        exchange.answer(b"ok")

    async def body(driver: Driver) -> None:
        response, content = await driver.whole(driver.request(b"hello"))
        assert (response.status, content) == (200, b"ok")

    with peer(script, kind.version) as where:
        drive(kind, where, body)


@network
def test_field_bytes_over_127(kind: Kind) -> None:
    def script(exchange: Exchange) -> None:
        exchange.content()
        exchange.answer(b"ok", [(b"x-a", b"\xff\x80")])

    async def body(driver: Driver) -> None:
        response, content = await driver.whole(driver.request(b"hello"))
        assert (response.status, content) == (200, b"ok")

    with peer(script, kind.version) as where:
        drive(kind, where, body)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
