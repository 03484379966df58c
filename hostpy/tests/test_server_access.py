"""The access log: what it tells of each request, by whatever way that is answered, in process and under servers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from connectcore.client import ConnectClientSync
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from server_support import (
    ALL,
    ASGI,
    BIDI,
    CLIENT,
    CONNECT,
    GRPC,
    SERVER,
    SERVICE,
    UNARY,
    Request,
    Server,
    Wire,
    echo,
    envelope,
    environ,
    message,
    method,
)
from stream_support import Service, call_any, new_client, under_uvicorn, until

if TYPE_CHECKING:
    from collections.abc import Iterator


NAMES = ("procedure", "protocol", "code", "http_status", "milliseconds", "received_bytes", "sent_bytes", "peer")
PEER = "127.0.0.2:1234"
DUPLEX = {"http_version": "2"}


class Records(logging.Handler):
    """Keeps what a record tells beside its text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert record.levelno == logging.INFO
        self.found.append({name: getattr(record, name) for name in NAMES})
        self.texts.append(record.getMessage())

    def told(self) -> list[tuple[Any, ...]]:
        """All but the time, whose sense is checked; the records are then forgotten."""
        found, self.found = self.found, []
        assert all(0 <= each["milliseconds"] < 60_000 for each in found)
        return [tuple(each[name] for name in NAMES if name != "milliseconds") for each in found]


@pytest.fixture
def log() -> Iterator[Records]:
    logger = logging.getLogger("connectcore.access")
    records = Records()
    logger.addHandler(records)
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield records
    logger.removeHandler(records)
    logger.setLevel(level)
    logger.propagate = propagate


def refusing(request: Any, ctx: Any) -> Any:
    raise ConnectError(Code.NOT_FOUND, "none")


def failing(request: Any, ctx: Any) -> Any:
    raise RuntimeError("secret")


def serving(interface: str, functions: Any = ALL, **options: Any) -> Server:
    return Server(interface, functions, {"access_log": True, **options})


def path(kind: str) -> str:
    return f"/{SERVICE}/{kind}"


def test_off_by_default(interface: str, log: Records) -> None:
    server = Server(interface, ALL)
    for _ in range(3):
        server.call()
    server.call(path="/nothing")
    assert not log.found


def test_a_plain_call(interface: str, log: Records) -> None:
    """The same ten times: the general way and the remembered one tell the same."""
    server = serving(interface)
    content = message("hello")
    for _ in range(10):
        assert server.call(chunks=[content[:3], content[3:]]).content == content
    assert log.told() == [(path(UNARY), "connect", "ok", 200, len(content), len(content), PEER)] * 10
    assert log.texts[-1].startswith(f"connect {path(UNARY)} ok, HTTP 200, in ")
    assert log.texts[-1].endswith(f" ms, {len(content)} bytes received, {len(content)} sent, from {PEER}")


@pytest.mark.parametrize("protocol", ["connect", "grpc", "grpc_web"])
@pytest.mark.parametrize("kind", [UNARY, CLIENT, SERVER, BIDI])
def test_every_protocol_and_stream_type(interface: str, log: Records, kind: str, protocol: str) -> None:
    form = {
        "connect": CONNECT | DUPLEX if kind != UNARY else DUPLEX,
        "grpc": GRPC,
        "grpc_web": {"content_type": "application/grpc-web", "length": False, **DUPLEX},
    }[protocol]
    content = message("3") if kind == UNARY and protocol == "connect" else envelope(message("3"))
    server = serving(interface)
    for _ in range(3):
        answer = server.call(Request(kind, [content], **form))
        assert log.told() == [(path(kind), protocol, "ok", 200, len(content), len(answer.content), PEER)]
        assert answer.content


@pytest.mark.parametrize("kind", [UNARY, CLIENT, SERVER, BIDI])
@pytest.mark.parametrize(("function", "code", "status"), [(refusing, "not_found", 404), (failing, "unknown", 500)])
def test_errors(interface: str, log: Records, kind: str, function: Any, code: str, status: int) -> None:
    def many(request: Any, ctx: Any) -> Iterator[Any]:
        yield function(request, ctx)

    server = serving(interface, {kind: many if kind in (SERVER, BIDI) else function})
    content = message("1") if kind == UNARY else envelope(message("1"))
    request = Request(kind, [content], **(CONNECT | DUPLEX if kind != UNARY else {}))
    for _ in range(3):
        answer = server.call(request)
        received = 0 if interface == "wsgi" and kind in (CLIENT, BIDI) else len(content)  # the handler has not read it
        assert log.told() == [
            (path(kind), "connect", code, status if kind == UNARY else 200, received, len(answer.content), PEER)
        ]


def test_what_is_refused(interface: str, log: Records) -> None:
    server = serving(interface, read_max_bytes=20, protocols=None, require_protocol_version=False)

    def told(**parts: Any) -> tuple[Any, ...]:
        server.call(**parts)
        (found,) = log.told()
        return tuple(found[:4])

    for _ in range(3):
        assert told(path="/acme.v1.Service/../x") == (None, None, "unimplemented", 404)
        assert told(content_type="application/xml") == (path(UNARY), None, "unknown", 415)
        assert told(http_method="PUT") == (path(UNARY), None, "unknown", 405)
        assert told(fields=[("connect-timeout-ms", "-1")]) == (path(UNARY), "connect", "invalid_argument", 400)
        assert told(chunks=[message("x" * 30)]) == (path(UNARY), "connect", "resource_exhausted", 429)
        assert told(chunks=[b"\xff\xff"]) == (path(UNARY), "connect", "invalid_argument", 400)
        assert told(fields=[("content-encoding", "br")]) == (path(UNARY), "connect", "unimplemented", 501)
        grpc = {"content_type": "application/grpc", "chunks": [envelope(message("a"))]}
        assert told(**grpc) == (path(UNARY), "grpc", "unimplemented", 200)


def test_at_a_prefix(interface: str, log: Records) -> None:
    """It is the procedure that is told, never the path."""
    serving(interface).call(path=path(UNARY) if interface == "wsgi" else f"/api{path(UNARY)}", root="/api")
    serving(interface).call(Request(path="/api/secret?token=1\nforged line"))
    (well, ill) = log.told()
    assert (well[0], ill[0]) == (path(UNARY), None)
    assert "secret" not in "".join(log.texts)


def test_sizes_are_those_that_travel(interface: str, log: Records) -> None:
    server = serving(interface)
    answer = server.call(Request(UNARY, [message("x" * 5000)], fields=[("accept-encoding", "gzip")]))
    assert len(answer.content) < 100
    assert log.told() == [(path(UNARY), "connect", "ok", 200, 5003, len(answer.content), PEER)]


def test_a_filter_that_fails_breaks_nothing(interface: str, log: Records, caplog: pytest.LogCaptureFixture) -> None:
    def filter_(record: logging.LogRecord) -> bool:
        raise RuntimeError("no filter")

    logger = logging.getLogger("connectcore.access")
    logger.addFilter(filter_)
    try:
        assert serving(interface).call().status == 200
    finally:
        logger.removeFilter(filter_)
    assert [record.getMessage() for record in caplog.records] == ["A request cannot be logged"]


async def test_a_peer_that_goes_away_asgi(log: Records) -> None:
    """While a handler waits, of a prepared call and of a stream, it is canceled. Before the content came there is no call."""
    started = asyncio.Event()

    async def waits(request: StringValue, ctx: Any) -> StringValue:
        started.set()
        await asyncio.sleep(60)
        return request

    async def streams(request: StringValue, ctx: Any) -> Any:
        yield await waits(request, ctx)

    application = ASGI({UNARY: waits, SERVER: streams}, access_log=True)
    unary = Request()
    for request in (unary, unary, unary, Request(SERVER, [envelope(message("1"))], **CONNECT)):
        started.clear()
        wire = Wire(request)
        task = asyncio.create_task(application(wire.scope, wire.receive, wire.send))
        await started.wait()
        wire.disconnect()
        await task
        assert log.told() == [(path(request.procedure), "connect", "canceled", None, sum(map(len, request.chunks)), 0, PEER)]
    wire = Wire(unary, hold=True)
    wire.disconnect()
    await application(wire.scope, wire.receive, wire.send)
    assert log.told() == [(path(UNARY), None, None, None, 0, 0, PEER)]


async def test_a_deadline_asgi(log: Records) -> None:
    async def late(request: StringValue, ctx: Any) -> StringValue:
        await asyncio.sleep(60)
        return request

    application = ASGI({UNARY: late}, access_log=True)
    for _ in range(3):
        wire = Wire(Request(fields=[("connect-timeout-ms", "20")]))
        await application(wire.scope, wire.receive, wire.send)
        assert log.told() == [
            (path(UNARY), "connect", "deadline_exceeded", 504, len(message("hello")), len(wire.answer.content), PEER)
        ]


async def test_a_reply_that_waited_asgi(log: Records) -> None:
    async def echo(request: StringValue, ctx: Any) -> StringValue:
        await asyncio.sleep(0)
        return request

    application = ASGI({UNARY: echo}, access_log=True)
    for _ in range(10):
        wire = Wire(Request())
        await application(wire.scope, wire.receive, wire.send)
        assert log.told() == [(path(UNARY), "connect", "ok", 200, len(message("hello")), len(message("hello")), PEER)]


def test_a_response_that_the_server_closes_wsgi(log: Records) -> None:
    server = serving("wsgi")
    written = server.application(environ(Request(SERVER, [envelope(message("9"))], **CONNECT)), lambda status, fields: None)
    first = next(iter(written))
    assert not log.found
    written.close()
    written.close()
    assert log.told() == [(path(SERVER), None, None, 200, len(envelope(message("9"))), len(first), PEER)]


# --- under real servers -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def under_wsgiref(application: Any) -> Iterator[str]:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)
        assert not thread.is_alive()


def told_by_real_server(log: Records) -> dict[str, Any]:
    """The next record, which is written when the response is out."""
    until(lambda: bool(log.found))
    (record,) = log.found
    log.found = []
    host, port = record["peer"].rsplit(":", 1)
    assert (host, port.isdecimal()) == ("127.0.0.1", True)
    assert 0 < record["milliseconds"] < 60_000
    return record


@pytest.mark.parametrize("protocol", list(ProtocolType))
def test_under_uvicorn(log: Records, protocol: ProtocolType) -> None:
    service = Service()
    name = "grpc_web" if "WEB" in protocol.name else protocol.name.lower()
    with under_uvicorn(ASGI(service.functions, access_log=True)) as address:
        client = new_client("sync", address, protocol=protocol)
        for kind in (UNARY, CLIENT, SERVER, BIDI):
            for texts, code in ((["a"], "ok"), (["fail"], None)):
                outcome = call_any(client, kind, texts)
                record = told_by_real_server(log)
                assert (record["procedure"], record["protocol"]) == (path(kind), name)
                assert record["code"] == (code or outcome.error.code.value)  # type: ignore[union-attr]
                assert record["received_bytes"] > 0
                assert record["sent_bytes"] > 0 or protocol is ProtocolType.GRPC


def test_under_wsgiref(log: Records) -> None:
    application = serving("wsgi", {**ALL, UNARY: echo}).application
    with under_wsgiref(application) as address, ConnectClientSync(address) as client:
        for _ in range(3):
            client.execute_unary(request=StringValue(value="a"), method=method(UNARY))
            record = told_by_real_server(log)
            assert [record[name] for name in ("procedure", "code", "http_status", "received_bytes", "sent_bytes")] == [
                path(UNARY),
                "ok",
                200,
                3,
                3,
            ]
            assert [each.value for each in client.execute_server_stream(request=StringValue(value="2"), method=method(SERVER))]
            record = told_by_real_server(log)
            assert (record["procedure"], record["code"], record["received_bytes"]) == (path(SERVER), "ok", 8)
