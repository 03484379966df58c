"""Whatever fails in an application: the peer gets a legal answer, the guest keeps no call open, and the next call is served."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from connectcore._wasm import abi
from connectcore.code import Code
from connectcore.codec import proto_binary_codec
from connectcore.compression import GzipCompression
from connectcore.errors import ConnectError, ErrorDetail
from server_support import (
    ALL,
    ASGI,
    BIDI,
    CLIENT,
    SERVER,
    UNARY,
    Answer,
    Request,
    Server,
    Steps,
    Wire,
    call_wsgi,
    envelope,
    envelopes,
    environ,
    message,
    watched_steps,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from connectcore.request import RequestContext

    Context = RequestContext[Any, Any]
    Fault = Callable[[Context], None]

CONNECT: dict[str, Any] = {"content_type": "application/connect+proto", "http_version": "2"}
GRPC: dict[str, Any] = {"content_type": "application/grpc", "http_version": "2", "trailers": True}
CALLS = {
    "connect unary": Request(),
    "connect unary, gzip": Request(fields=[("accept-encoding", "gzip")]),
    **{f"connect {name}": Request(name, [envelope(message("1"))], **CONNECT) for name in (CLIENT, SERVER, BIDI)},
    **{f"grpc {name}": Request(name, [envelope(message("1"))], **GRPC) for name in (UNARY, CLIENT, SERVER, BIDI)},
}
LONE = "\ud800"


class Odd(BaseException):
    """No Exception, and nothing that Python or a server knows."""


def raising(error: BaseException) -> Fault:
    def fault(ctx: Context) -> None:
        raise error

    return fault


def leading(name: str, value: str) -> Fault:
    return lambda ctx: ctx.response_headers.add(name, value)


def trailing(name: str, value: str) -> Fault:
    return lambda ctx: ctx.response_trailers.add(name, value)


FAULTS: dict[str, Fault] = {
    "Exception": raising(RuntimeError("secret")),
    "CancelledError": raising(asyncio.CancelledError("secret")),
    "BaseException": raising(Odd("secret")),
    "GeneratorExit": raising(GeneratorExit("secret")),
    "StopIteration": raising(StopIteration("secret")),
    "StopAsyncIteration": raising(StopAsyncIteration("secret")),
    "RecursionError": raising(RecursionError("secret")),
    "lone surrogate in leading metadata": leading("x-a", LONE),
    "lone surrogate in a leading name": leading(f"x-{LONE}", "a"),
    "lone surrogate in a leading binary name": lambda ctx: ctx.response_headers.add_bin(f"x{LONE}-bin", b"a"),
    "lone surrogate in trailing metadata": trailing("x-a", LONE),
    "lone surrogate in a trailing name": trailing(f"x-{LONE}", "a"),
    "lone surrogate in a trailing binary name": lambda ctx: ctx.response_trailers.add_bin(f"x{LONE}-bin", b"a"),
    "lone surrogate in an error's metadata": raising(ConnectError(Code.ABORTED, "a", metadata={"x-a": LONE})),
    "lone surrogate in an error's binary name": raising(ConnectError(Code.ABORTED, "a", metadata={f"x{LONE}-bin": "AAAA"})),
    "lone surrogate in a detail's name": raising(ConnectError(Code.ABORTED, "a", [ErrorDetail.from_bytes(LONE, b"")])),
    "detail that is no bytes": raising(ConnectError(Code.ABORTED, "a", [ErrorDetail.from_bytes("a.B", "text")])),  # type: ignore[arg-type]
    "message that is no text": lambda _: ConnectError(Code.ABORTED, 7),  # type: ignore[arg-type, dict-item]
    "line break in leading metadata": leading("x-a", "1\r\nb: 2"),
    "NUL in trailing metadata": trailing("x-a", "1\0b"),
}


def functions(fault: Fault, before: int = 0) -> dict[str, Any]:
    """Handlers, sync, that reply `before` times and then go wrong."""

    def one(request: Any, ctx: Context) -> StringValue:
        fault(ctx)
        return StringValue(value="fine")

    def many(request: Any, ctx: Context) -> Iterator[StringValue]:
        for _ in range(before):
            yield StringValue(value="before")
        fault(ctx)
        yield StringValue(value="fine")

    return {UNARY: one, CLIENT: one, SERVER: many, BIDI: many}


def waiting(fault: Fault) -> dict[str, Any]:
    """Handlers that wait before they go wrong."""

    async def one(request: Any, ctx: Context) -> StringValue:
        await asyncio.sleep(0)
        fault(ctx)
        return StringValue(value="fine")

    async def many(request: Any, ctx: Context) -> AsyncIterator[StringValue]:
        await asyncio.sleep(0)
        fault(ctx)
        yield StringValue(value="fine")

    return {UNARY: one, CLIENT: one, SERVER: many, BIDI: many}


def code_of(request: Request, answer: Answer) -> str:
    """The code of a legal answer in the request's protocol."""
    if request.content_type == "application/grpc":
        assert answer.status == 200
        number = int(dict(answer.trailers)["grpc-status"])
        return "ok" if not number else list(Code)[number - 1].value
    if request.procedure == UNARY:
        return "ok" if answer.status == 200 else str(json.loads(answer.content)["code"])
    assert answer.status == 200
    *_, (flags, end) = envelopes(answer.content)
    assert flags == 2
    return str(json.loads(end).get("error", {}).get("code", "ok"))


@pytest.fixture(params=CALLS)
def request_(request: pytest.FixtureRequest) -> Request:
    return CALLS[request.param]


@pytest.fixture
def steps() -> Iterator[Steps]:
    with watched_steps() as seen:
        yield seen


def check(server: Server, request: Request, steps: Steps, wanted: tuple[str, ...] = ("internal", "unknown")) -> Answer:
    answer = server.call(request)
    assert code_of(request, answer) in wanted
    said = repr((answer, answer.content))
    assert "secret" not in said
    assert "'x-a'" not in said  # as a field; what is wrong with it names it
    assert not steps.open
    return answer


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
class TestHandler:
    def test_at_once(self, interface: str, request_: Request, fault: Fault, steps: Steps) -> None:
        check(Server(interface, functions(fault)), request_, steps)

    @pytest.mark.parametrize("before", [1, 3])
    @pytest.mark.parametrize("protocol", ["connect", "grpc"])
    def test_after_replies(self, interface: str, fault: Fault, steps: Steps, protocol: str, before: int) -> None:
        if "leading" in next(name for name in FAULTS if FAULTS[name] is fault):
            pytest.skip("leading metadata has gone by then")
        request = CALLS[f"{protocol} {SERVER}"]
        answer = check(Server(interface, functions(fault, before)), request, steps)
        assert [flags for flags, _ in envelopes(answer.content)][:before] == [0] * before

    def test_after_waiting(self, request_: Request, fault: Fault, steps: Steps) -> None:
        server = Server("asgi", ALL)
        server.application = ASGI(waiting(fault))
        check(server, request_, steps)

    def test_unary_interceptor(self, interface: str, fault: Fault, steps: Steps) -> None:
        class Sync:
            def intercept_unary_sync(self, call_next: Any, request: Any, ctx: Any) -> Any:
                fault(ctx)
                return call_next(request, ctx)

        class Async:
            async def intercept_unary(self, call_next: Any, request: Any, ctx: Any) -> Any:
                fault(ctx)
                return await call_next(request, ctx)

        server = Server(interface, ALL, {"interceptors": [Sync() if interface == "wsgi" else Async()]})
        for name in ("connect unary", f"grpc {UNARY}"):
            check(server, CALLS[name], steps)

    @pytest.mark.parametrize("when", ["start", "end"])
    def test_metadata_interceptor(self, interface: str, request_: Request, fault: Fault, steps: Steps, when: str) -> None:
        class Sync:
            def on_start_sync(self, ctx: Any) -> None:
                if when == "start":
                    fault(ctx)

            def on_end_sync(self, token: Any, ctx: Any, error: Any) -> None:
                if when == "end" and error is None:
                    fault(ctx)

        class Async:
            async def on_start(self, ctx: Any) -> None:
                Sync().on_start_sync(ctx)

            async def on_end(self, token: Any, ctx: Any, error: Any) -> None:
                Sync().on_end_sync(token, ctx, error)

        late = when == "end" and request_.procedure in (SERVER, BIDI)
        server = Server(interface, ALL, {"interceptors": [Sync() if interface == "wsgi" else Async()]})
        check(server, request_, steps, ("internal", "unknown", "ok") if late else ("internal", "unknown"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_goes_through(
    interface: str, request_: Request, error: type[BaseException], steps: Steps
) -> None:
    server = Server(interface, functions(raising(error())))
    with pytest.raises(error):
        server.call(request_)
    assert not steps.open


@pytest.mark.parametrize("text", [LONE, "\udc80", "a\0b\r\n\x7f"])
def test_text_of_an_error(interface: str, request_: Request, text: str, steps: Steps) -> None:
    """A message for people is never a reason to lose the code."""
    server = Server(interface, functions(raising(ConnectError(Code.ABORTED, text))))
    check(server, request_, steps, ("aborted",))


class Codec:
    """Protobuf's binary form, with something wrong."""

    def __init__(self, *, decode: Any = None, encode: Any = None) -> None:
        self._real = proto_binary_codec()
        self._decode, self._encode = decode, encode

    def name(self) -> str:
        return "proto"

    def encode(self, message: Any) -> Any:
        return self._encode() if self._encode else self._real.encode(message)

    def decode(self, data: Any, message_class: Any) -> Any:
        return self._decode() if self._decode else self._real.decode(data, message_class)


def fail(error: BaseException) -> Any:
    raise error


ERRORS = [ValueError("secret"), asyncio.CancelledError("secret"), Odd("secret"), StopIteration("secret"), MemoryError("secret")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
class TestCodec:
    def test_decoder(self, interface: str, request_: Request, error: BaseException, steps: Steps) -> None:
        server = Server(interface, ALL, {"codecs": [Codec(decode=lambda: fail(error))]})
        check(server, request_, steps, ("invalid_argument", "unknown", "internal"))

    def test_encoder(self, interface: str, request_: Request, error: BaseException, steps: Steps) -> None:
        server = Server(interface, ALL, {"codecs": [Codec(encode=lambda: fail(error))]})
        check(server, request_, steps)

    @pytest.mark.parametrize("name", ["connect unary, gzip", f"connect {SERVER}"])
    def test_compression(self, interface: str, name: str, error: BaseException, steps: Steps) -> None:
        class Broken(GzipCompression):
            def compress(self, data: Any) -> bytes:
                return fail(error)  # type: ignore[no-any-return]

            def decompress(self, data: Any, read_max_bytes: int | None = None) -> bytes:
                return fail(error)  # type: ignore[no-any-return]

        def long(request: Any, ctx: Context) -> StringValue:
            return StringValue(value="x" * 5000)

        def longs(request: Any, ctx: Context) -> Iterator[StringValue]:
            yield StringValue(value="x" * 5000)

        stream = "connect-" if name.endswith(SERVER) else ""
        server = Server(interface, {UNARY: long, SERVER: longs}, {"compressions": [Broken()]})
        asked = CALLS[name]
        sent = Request(asked.procedure, asked.chunks, asked.content_type, [(f"{stream}accept-encoding", "gzip")])
        check(server, sent, steps)
        packed = [envelope(b"abc", 1)] if stream else [b"abc"]
        sent = Request(asked.procedure, packed, asked.content_type, [(f"{stream}content-encoding", "gzip")])
        check(server, sent, steps, ("invalid_argument", "unknown", "internal"))


@pytest.mark.parametrize("reply", [None, "text", 7, object()], ids=repr)
def test_encoder_that_gives_no_bytes(interface: str, request_: Request, reply: Any, steps: Steps) -> None:
    check(Server(interface, ALL, {"codecs": [Codec(encode=lambda: reply)]}), request_, steps, ("internal",))


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_encoder_that_gives_other_bytes(interface: str, request_: Request, kind: Any, steps: Steps) -> None:
    server = Server(interface, ALL, {"codecs": [Codec(encode=lambda: kind(message("1")))]})
    assert message("1") in check(server, request_, steps, ("ok",)).content


@pytest.mark.parametrize("name", CALLS)
async def test_canceled_from_outside(name: str, steps: Steps) -> None:
    """The server cancels the request's task: that goes through, and nothing is left open."""
    started = asyncio.Event()

    async def one(request: Any, ctx: Context) -> StringValue:
        started.set()
        await asyncio.sleep(60)
        return StringValue()

    async def many(request: Any, ctx: Context) -> AsyncIterator[StringValue]:
        started.set()
        await asyncio.sleep(60)
        yield StringValue()

    wire = Wire(CALLS[name])
    application = ASGI({UNARY: one, CLIENT: one, SERVER: many, BIDI: many})
    task = asyncio.create_task(application(wire.scope, wire.receive, wire.send))
    await asyncio.wait_for(started.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not steps.open


@pytest.mark.parametrize("name", CALLS)
async def test_coroutine_that_is_closed(name: str, steps: Steps) -> None:
    """What a server does that drops its work without a loop."""

    async def one(request: Any, ctx: Context) -> StringValue:
        await asyncio.sleep(60)
        return StringValue()

    async def many(request: Any, ctx: Context) -> AsyncIterator[StringValue]:
        await asyncio.sleep(60)
        yield StringValue()

    wire = Wire(CALLS[name])
    work = ASGI({UNARY: one, CLIENT: one, SERVER: many, BIDI: many})(wire.scope, wire.receive, wire.send)
    work.send(None)
    work.close()
    assert not steps.open
    assert not wire.sent


def test_wsgi_response_that_nobody_holds(steps: Steps) -> None:
    """A server that forgets a response without closing it: no step is made from within the garbage collector."""
    ended: list[Any] = []

    class Watch:
        def on_start_sync(self, ctx: Any) -> None:
            """Nothing."""

        def on_end_sync(self, token: Any, ctx: Any, error: Any) -> None:
            ended.append(error.code)

    server = Server("wsgi", ALL, {"interceptors": [Watch()]})
    written = server.application(environ(CALLS[f"connect {SERVER}"]), lambda status, fields: None)
    next(iter(written))
    count = len(steps.batches)
    del written
    gc.collect()
    assert len(steps.batches) == count
    assert not steps.open
    assert ended == [Code.CANCELED]


def test_wsgi_response_that_nobody_reads(steps: Steps) -> None:
    """A server that closes a response before it has taken any of it."""
    steps_of_handler: list[str] = []

    def many(request: Any, ctx: Context) -> Iterator[StringValue]:
        try:
            yield request
            steps_of_handler.append("on")
        finally:
            steps_of_handler.append("closed")

    server = Server("wsgi", {SERVER: many})
    written = server.application(environ(CALLS[f"connect {SERVER}"]), lambda status, fields: None)
    assert steps.open
    written.close()
    assert not steps.open
    assert steps_of_handler == ["closed"]
    assert call_wsgi(server.application, CALLS[f"connect {SERVER}"]).status == 200


def test_handler_that_fails_while_its_stream_is_closed(steps: Steps) -> None:
    def many(request: Any, ctx: Context) -> Iterator[StringValue]:
        try:
            for _ in range(3):
                yield StringValue(value="x")
        finally:
            raise RuntimeError("secret")

    check(Server("wsgi", {SERVER: many}), CALLS[f"connect {SERVER}"], steps)


def test_instance_that_is_full(interface: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """65,535 calls are open: a new one is refused in its protocol's form, and later ones are served again."""
    from connectcore._wasm import records
    from connectcore._wasm.pool import POOL

    server = Server(interface, ALL)
    monkeypatch.setattr(POOL, "_instances", [])
    monkeypatch.setattr(POOL, "_quick_picks", 0)
    instance = POOL.pick()
    service = server.application._service
    content_type = ("content-type", "application/connect+proto")
    name, value = content_type if interface == "wsgi" else (each.encode() for each in content_type)
    head = (0, b"POST", f"/acme.v1.Service/{CLIENT}".encode(), b"", (name,)), (value,)
    handles: list[int] = []
    while len(handles) < abi.MAX_CALLS:
        (event,) = records.decode(instance.step(service.opening(instance, head, 0, None, end=False)))
        assert isinstance(event, records.Request), event
        handles.append(event.handle)
    for name, request in CALLS.items():
        assert code_of(request, server.call(request)) == "resource_exhausted", name
    instance.step(b"".join(map(records.close, handles)))
    for request in CALLS.values():
        assert code_of(request, server.call(request)) == "ok"
