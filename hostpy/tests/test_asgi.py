"""What only an event loop has: waiting handlers, deadlines, peers that go away, backpressure, a lifespan."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import math
import time
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from connectcore._batch import MESSAGES
from connectcore._server import asgi_peer
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.server import ConnectASGIRouter
from server_support import (
    ASGI,
    BIDI,
    CLIENT,
    SERVER,
    UNARY,
    Request,
    Wire,
    call_asgi,
    envelope,
    envelopes,
    message,
    text,
    watched_steps,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from connectcore.request import RequestContext

    Context = RequestContext[Any, Any]

CONNECT: dict[str, Any] = {"content_type": "application/connect+proto", "length": False, "http_version": "2"}


def serve(functions: dict[str, Any], wire: Wire, **options: Any) -> asyncio.Task[None]:
    return asyncio.create_task(ASGI(functions, **options)(wire.scope, wire.receive, wire.send))


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def messages(wire: Wire) -> list[str]:
    content = b"".join(event.get("body", b"") for event in wire.sent)
    return [text(data) for flags, data in envelopes(content) if flags == 0]


class Handler:
    """Handlers that wait until they are told to go on, and that tell how they ended."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        self.ended: str | None = None

    async def unary(self, request: StringValue, ctx: Context) -> StringValue:
        async with self:
            await self.go.wait()
            return request

    async def server_stream(self, request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
        async with self:
            yield StringValue(value="before")
            await self.go.wait()
            yield StringValue(value="after")

    async def client_stream(self, requests: AsyncIterator[StringValue], ctx: Context) -> StringValue:
        async with self:
            return StringValue(value="+".join([each.value async for each in requests]))

    async def bidi_stream(self, requests: AsyncIterator[StringValue], ctx: Context) -> AsyncIterator[StringValue]:
        async with self:
            async for each in requests:
                yield each
            await self.go.wait()

    async def __aenter__(self) -> None:
        self.started.set()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await asyncio.sleep(0)  # a handler may wait while it cleans up
        self.ended = kind.__name__ if kind else "well"

    @property
    def functions(self) -> dict[str, Any]:
        return {UNARY: self.unary, SERVER: self.server_stream, CLIENT: self.client_stream, BIDI: self.bidi_stream}


STREAMED = (SERVER, CLIENT, BIDI)


def request(procedure: str, **parts: Any) -> Request:
    if procedure == UNARY:
        return Request(**parts)
    return Request(procedure, chunks=[envelope(message("a"))], **{**CONNECT, **parts})


class TestWaiting:
    @pytest.mark.parametrize("prepared", [True, False])
    async def test_unary(self, prepared: bool) -> None:
        handler = Handler()
        wire = Wire(Request(fields=[] if prepared else [("connect-timeout-ms", "9000")]))
        task = serve(handler.functions, wire)
        await handler.started.wait()
        await settle()
        assert not wire.sent
        handler.go.set()
        await task
        assert (wire.answer.status, wire.answer.content, handler.ended) == (200, message("hello"), "well")

    async def test_error_after_waiting(self) -> None:
        async def fail(request: StringValue, ctx: Context) -> StringValue:
            await asyncio.sleep(0)
            ctx.response_headers["x-lead"] = "1"
            raise ConnectError(Code.NOT_FOUND, "none")

        wire = Wire(Request())
        await serve({UNARY: fail}, wire)
        assert (wire.answer.status, wire.answer.values("x-lead")) == (404, ["1"])

    async def test_handler_that_is_no_coroutine_function(self) -> None:
        def later(request: StringValue, ctx: Context) -> asyncio.Future[StringValue]:
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(0.001, future.set_result, request)
            return future

        wire = Wire(Request())
        await serve({UNARY: later}, wire)
        assert wire.answer.content == message("hello")

    async def test_handler_of_a_service_for_threads(self, caplog: pytest.LogCaptureFixture) -> None:
        wire = Wire(Request())
        await serve({UNARY: lambda request, ctx: request}, wire)
        assert wire.answer.status == 500
        assert caplog.records[0].exc_info is not None
        assert "'async def'; this one returned StringValue" in str(caplog.records[0].exc_info[1])

    async def test_handler_runs_in_the_request_s_task(self) -> None:
        tasks: list[Any] = []

        async def look(request: StringValue, ctx: Context) -> StringValue:
            tasks.append(asyncio.current_task())
            async with asyncio.timeout(5):
                await asyncio.sleep(0)
            tasks.append(asyncio.current_task())
            return request

        wire = Wire(Request())
        task = serve({UNARY: look}, wire)
        await task
        assert tasks == [task, task]

    async def test_stream_s_messages_are_written_before_its_handler_waits(self) -> None:
        handler = Handler()
        wire = Wire(request(SERVER))
        task = serve(handler.functions, wire)
        await handler.started.wait()
        await settle()
        assert messages(wire) == ["before"]
        handler.go.set()
        await task
        assert (messages(wire), handler.ended) == (["before", "after"], "well")

    async def test_messages_made_without_waiting_are_written_together(self) -> None:
        async def many(request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
            for number in range(1000):
                yield StringValue(value=str(number))

        wire = Wire(request(SERVER))
        await serve({SERVER: many}, wire)
        assert messages(wire) == [str(number) for number in range(1000)]
        assert len(wire.answer.writes) < 50

    async def test_slow_messages_are_not_held_back(self) -> None:
        async def slow(request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
            for number in range(6):
                time.sleep(0.005)  # noqa: ASYNC251 - work that does not wait
                yield StringValue(value=str(number))

        wire = Wire(request(SERVER))
        await serve({SERVER: slow}, wire)
        assert len(wire.answer.writes) >= 6

    async def test_large_messages_are_not_collected(self) -> None:
        async def large(request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
            for _ in range(8):
                yield StringValue(value="x" * 100_000)

        wire = Wire(request(SERVER))
        await serve({SERVER: large}, wire)
        assert max(map(len, wire.answer.writes)) < 250_000

    @pytest.mark.parametrize("futures", [False, True], ids=["coroutines", "futures"])
    async def test_conversation(self, futures: bool) -> None:
        async def talk(requests: AsyncIterator[StringValue], ctx: Context) -> AsyncIterator[StringValue]:
            yield StringValue(value="hello")
            async for each in requests:
                yield StringValue(value=each.value.upper())

        wire = Wire(request(BIDI), hold=True, futures=futures)
        task = serve({BIDI: talk}, wire)
        await settle()
        assert messages(wire) == ["hello"]  # the server may speak first
        for number, word in enumerate(("a", "b"), 2):
            wire.content(envelope(message(word)))
            await settle()
            assert len(messages(wire)) == number
        wire.content(b"", more=False)
        await task
        assert messages(wire) == ["hello", "A", "B"]


class TestDeadline:
    @pytest.mark.parametrize("procedure", [UNARY, SERVER, CLIENT, BIDI])
    async def test_waiting_handler_is_canceled_at_once(self, procedure: str) -> None:
        handler = Handler()
        wire = Wire(request(procedure, fields=[("connect-timeout-ms", "40")]), hold=True)
        data = message("hello") if procedure == UNARY else envelope(message("a"))
        wire.content(data, more=procedure in (CLIENT, BIDI))
        start = time.monotonic()
        await serve(handler.functions, wire)
        assert 0.03 < time.monotonic() - start < 10
        assert handler.ended == "CancelledError"
        said = json.loads(wire.answer.content if procedure == UNARY else envelopes(wire.answer.content)[-1][1])
        assert (said if procedure == UNARY else said["error"])["code"] == "deadline_exceeded"

    @pytest.mark.parametrize("pieces", [0, 1, 2])
    @pytest.mark.parametrize("procedure", [UNARY, SERVER])
    @pytest.mark.parametrize("futures", [False, True], ids=["coroutines", "futures"])
    async def test_content_that_does_not_come(self, procedure: str, pieces: int, futures: bool) -> None:
        """Whether the module was asked about such a head before or not."""
        application = ASGI(Handler().functions)
        for _ in range(3):
            wire = Wire(request(procedure, fields=[("connect-timeout-ms", "40")]), hold=True, futures=futures)
            for _ in range(pieces):
                wire.content(b"\0")
            async with asyncio.timeout(20):
                await application(wire.scope, wire.receive, wire.send)
            said = json.loads(wire.answer.content if procedure == UNARY else envelopes(wire.answer.content)[-1][1])
            assert (said if procedure == UNARY else said["error"])["code"] == "deadline_exceeded"

    async def test_handler_may_clean_up_and_swallow(self) -> None:
        async def stubborn(request: StringValue, ctx: Context) -> StringValue:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            await asyncio.sleep(0.001)
            return request

        wire = Wire(request(UNARY, fields=[("connect-timeout-ms", "10")]))
        task = serve({UNARY: stubborn}, wire)
        await task
        assert json.loads(wire.answer.content)["code"] == "deadline_exceeded"
        assert task.cancelling() == 0

    async def test_a_write_is_not_cut_short(self) -> None:
        async def one(request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
            yield StringValue(value="first")
            await asyncio.sleep(0)
            yield StringValue(value="second")

        wire = Wire(request(SERVER, fields=[("connect-timeout-ms", "500")]))
        wire.gate = asyncio.Event()
        task = serve({SERVER: one}, wire)
        await asyncio.sleep(0.6)
        assert not task.done()
        wire.gate.set()
        await task
        assert messages(wire) == ["first"]
        assert json.loads(envelopes(wire.answer.content)[-1][1])["error"]["code"] == "deadline_exceeded"


class TestPeerGone:
    @pytest.mark.parametrize("procedure", [UNARY, SERVER, CLIENT, BIDI])
    @pytest.mark.parametrize("fields", [(), (("connect-timeout-ms", "9000"),)])
    @pytest.mark.parametrize("futures", [False, True], ids=["coroutines", "futures"])
    async def test_waiting_handler_is_canceled_at_once(self, procedure: str, fields: Any, futures: bool) -> None:
        handler = Handler()
        wire = Wire(request(procedure, fields=fields), hold=True, futures=futures)
        data = message("hello") if procedure == UNARY else envelope(message("a"))
        wire.content(data, more=procedure in (CLIENT, BIDI))
        task = serve(handler.functions, wire)
        await handler.started.wait()
        await settle()
        written = len(wire.sent)
        assert handler.ended is None
        listening = [task for task in asyncio.all_tasks() if "listens" in task.get_name()]
        assert len(listening) == (not futures and procedure in (UNARY, SERVER))  # the others' handlers read
        wire.disconnect()
        await asyncio.wait_for(task, 5)
        assert handler.ended == "CancelledError"
        assert len(wire.sent) == written
        assert task.cancelling() == 0

    @pytest.mark.parametrize("procedure", [UNARY, *STREAMED])
    @pytest.mark.parametrize("how", ["event", "exception", "future"])
    async def test_at_once(self, procedure: str, how: str) -> None:
        """A peer that opens and resets costs next to nothing: the module is not asked, and there is no call."""

        class Raising(Wire):
            async def _receive(self) -> dict[str, Any]:
                raise OSError("connection lost")

        handler = Handler()
        wire = (Raising if how == "exception" else Wire)(request(procedure), hold=True, futures=how == "future")
        wire.disconnect()
        with watched_steps() as steps:
            task = serve(handler.functions, wire)
            if how == "exception" and procedure in (UNARY, SERVER):
                with pytest.raises(OSError, match="connection lost"):
                    await task
            else:
                await task
        assert not steps.batches
        assert not handler.started.is_set()
        assert not wire.sent

    @pytest.mark.parametrize("first", [b"", message("hello")[:3]])
    async def test_before_the_content_has_come(self, first: bytes) -> None:
        handler = Handler()
        wire = Wire(request(UNARY), hold=True)
        wire.content(first)
        wire.disconnect()
        await serve(handler.functions, wire)
        assert not handler.started.is_set()
        assert not wire.sent

    @pytest.mark.parametrize("last", [b"", envelope(message("b"))], ids=["no content", "content"])
    @pytest.mark.parametrize("more", [False, True], ids=["end", "more to come"])
    @pytest.mark.parametrize("futures", [False, True], ids=["coroutines", "futures"])
    async def test_behind_content_that_the_handler_has_not_read(self, last: bytes, more: bool, futures: bool) -> None:
        handler = Handler()

        async def bidi(requests: AsyncIterator[StringValue], ctx: Context) -> AsyncIterator[StringValue]:
            async with handler:
                yield await anext(requests)
                await handler.go.wait()

        wire = Wire(request(BIDI), hold=True, futures=futures)
        wire.content(envelope(message("a")))
        task = serve({BIDI: bidi}, wire)
        await handler.started.wait()
        await settle()
        wire.content(last, more=more)
        await settle()
        wire.disconnect()
        await asyncio.wait_for(task, 5)
        assert handler.ended == "CancelledError"

    @pytest.mark.parametrize("futures", [False, True], ids=["coroutines", "futures"])
    async def test_handler_that_reads_in_another_task(self, futures: bool) -> None:
        seen: list[str] = []

        async def read(requests: AsyncIterator[StringValue], ctx: Context) -> AsyncIterator[StringValue]:
            async def reader() -> None:
                try:
                    async for each in requests:
                        seen.append(each.value)  # noqa: PERF401 - what came before an error counts
                except ConnectError as error:
                    seen.append(error.code.value)

            reading = asyncio.create_task(reader())
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.wait_for(reading, 5)
            yield StringValue()

        wire = Wire(request(BIDI), hold=True, futures=futures)
        wire.content(envelope(message("a")))
        task = serve({BIDI: read}, wire)
        await settle()
        wire.disconnect()
        await asyncio.wait_for(task, 5)
        assert seen == ["a", "canceled"]

    @pytest.mark.parametrize("procedure", [UNARY, *STREAMED])
    @pytest.mark.parametrize("futures", [False, True], ids=["coroutines", "futures"])
    async def test_server_that_does_not_wait_with_its_answer(self, procedure: str, futures: bool) -> None:
        """pyvoy says at once, whenever it is asked, that no content came. To ask on and on took a processor."""
        gone = False

        class Hasty(Wire):
            async def _receive(self) -> dict[str, Any]:
                self.received += 1
                if not self.incoming.empty():
                    return self.incoming.get_nowait()
                return {"type": "http.disconnect"} if gone else {"type": "http.request", "body": b"", "more_body": False}

        handler = Handler()
        wire = Hasty(request(procedure), futures=futures)
        waits = {UNARY: handler.unary, CLIENT: handler.unary, SERVER: handler.server_stream, BIDI: handler.server_stream}
        task = serve(waits, wire)
        await handler.started.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert handler.ended is None
        assert wire.received < 10
        gone = True
        await asyncio.wait_for(task, 20)
        assert handler.ended == "CancelledError"

    async def test_server_that_tells_the_end_of_content_once_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """granian does. What it is asked then waits for the peer, and is asked at once."""
        monkeypatch.setattr(asgi_peer, "_POLL", 60.0)
        handler = Handler()
        wire = Wire(request(UNARY))
        wire.content(b"", more=False)
        task = serve(handler.functions, wire)
        await handler.started.wait()
        wire.disconnect()
        await asyncio.wait_for(task, 20)
        assert handler.ended == "CancelledError"

    async def test_handler_that_never_waits(self) -> None:
        most, made = 3_000_000, 0

        async def many(request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
            nonlocal made
            for made in range(most):  # noqa: B007
                yield request

        class Forgetful(Wire):
            async def send(self, event: dict[str, Any]) -> None:
                self.sent[1:] = [event] if self.sent else []
                self.sent = self.sent or [event]

        wire = Forgetful(request(SERVER), hold=True)
        wire.content(envelope(message("a")), more=False)
        task = serve({SERVER: many}, wire)
        asyncio.get_running_loop().call_later(0.05, wire.disconnect)
        await task
        assert made < most - 1

    async def test_write_that_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        handler = Handler()

        class Broken(Wire):
            async def send(self, event: dict[str, Any]) -> None:
                if event["type"] == "http.response.body":
                    raise OSError("connection lost")

        wire = Broken(request(SERVER))
        with pytest.raises(OSError, match="connection lost"):
            await serve(handler.functions, wire)
        assert handler.ended
        assert not caplog.records  # the handler did nothing wrong


class TestCanceledFromOutside:
    @pytest.mark.parametrize("procedure", [UNARY, SERVER, CLIENT, BIDI])
    async def test_cancellation_goes_through(self, procedure: str) -> None:
        handler = Handler()
        wire = Wire(request(procedure), hold=True)
        wire.content(message("hello") if procedure == UNARY else envelope(message("a")), more=procedure in (CLIENT, BIDI))
        task = serve(handler.functions, wire)
        await handler.started.wait()
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert handler.ended == "CancelledError"


class TestBackpressure:
    @pytest.mark.parametrize(("size", "count", "most"), [(20_000, 50, 5), (1, 1000, 140)])
    async def test_content_is_read_as_the_handler_asks(self, size: int, count: int, most: int) -> None:
        handler_may_read = asyncio.Event()

        async def slow(requests: AsyncIterator[StringValue], ctx: Context) -> StringValue:
            count = 0
            async for _ in requests:
                count += 1
                await handler_may_read.wait()
            return StringValue(value=str(count))

        wire = Wire(Request(CLIENT, chunks=[envelope(message("a" * size))] * count, **CONNECT))
        task = serve({CLIENT: slow}, wire)
        for _ in range(count):
            await settle()
        assert wire.received <= most  # what the handler has, and what is read ahead to hear of the peer's going
        handler_may_read.set()
        await task
        assert messages(wire) == [str(count)]

    async def test_messages_of_one_chunk_come_as_the_handler_asks(self) -> None:
        """However many messages a peer puts into few bytes, a step brings a part of them, and no more is read meanwhile."""
        many = 20_000
        counts: list[int] = []
        with watched_steps() as steps:

            async def count(requests: AsyncIterator[StringValue], ctx: Context) -> StringValue:
                seen = 0
                async for _ in requests:
                    if not seen % 1000:
                        await settle()
                        counts.append(wire.received)
                    seen += 1
                return StringValue(value=str(seen))

            wire = Wire(Request(CLIENT, chunks=[envelope(b"") * many] * 3, **CONNECT))
            await serve({CLIENT: count}, wire)
            assert messages(wire) == [str(3 * many)]
            assert len(steps.batches) > 3 * many // 5000
        assert counts[0] == 2  # one is read while the handler waits, to notice that the peer goes
        assert counts[19] == 2
        assert counts[-1] == 3

    async def test_handler_waits_while_the_peer_does_not_read(self) -> None:
        made = 0

        async def many(request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
            nonlocal made
            for _ in range(10_000):
                made += 1
                yield StringValue(value="x")

        wire = Wire(request(SERVER))
        wire.gate = asyncio.Event()
        task = serve({SERVER: many}, wire)
        await asyncio.sleep(0.05)
        assert 0 < made <= MESSAGES + 100
        wire.gate.set()
        await task
        assert made == 10_000


class TestLifespan:
    async def run(self, application: Any) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> dict[str, Any]:
            return next(events)

        async def send(event: dict[str, Any]) -> None:
            sent.append(event)
            if event["type"] == "lifespan.startup.complete":
                wire = Wire(Request())
                await application(wire.scope, wire.receive, wire.send)
                sent.append({"type": text(wire.answer.content)})

        await application({"type": "lifespan"}, receive, send)
        return sent

    @staticmethod
    async def answer(service: str, request: StringValue, ctx: Context) -> StringValue:
        return StringValue(value=service)

    async def test_service_of_a_generator(self) -> None:
        log: list[str] = []

        async def service() -> AsyncGenerator[str]:
            log.append("start")
            yield "the service"
            log.append("stop")

        sent = await self.run(ASGI({UNARY: self.answer}, service()))
        assert [event["type"] for event in sent] == ["lifespan.startup.complete", "the service", "lifespan.shutdown.complete"]
        assert log == ["start", "stop"]

    async def test_service_as_it_is(self) -> None:
        sent = await self.run(ASGI({UNARY: self.answer}, "plain"))
        assert [event["type"] for event in sent] == ["lifespan.startup.complete", "plain", "lifespan.shutdown.complete"]

    def test_class_in_the_place_of_a_service(self) -> None:
        with pytest.raises(TypeError, match="Handler is a class: pass an instance"):
            ASGI({UNARY: self.answer}, Handler)

    async def test_generators_that_fail(self) -> None:
        async def no_start() -> AsyncGenerator[str]:
            raise ValueError("no database")
            yield ""

        async def nothing() -> AsyncGenerator[str]:
            return
            yield ""

        async def no_stop() -> AsyncGenerator[str]:
            yield "the service"
            raise ValueError("still busy")

        assert await self.run(ASGI({UNARY: self.answer}, no_start())) == [
            {"type": "lifespan.startup.failed", "message": "no database"}
        ]
        (failed,) = await self.run(ASGI({UNARY: self.answer}, nothing()))
        assert failed["message"] == "the service's generator yields no service"
        assert (await self.run(ASGI({UNARY: self.answer}, no_stop())))[-1] == {
            "type": "lifespan.shutdown.failed",
            "message": "still busy",
        }

    async def test_server_without_lifespan(self) -> None:
        async def service() -> AsyncGenerator[str]:
            yield "the service"

        wire = Wire(Request())
        with pytest.raises(RuntimeError, match="turn its lifespan on"):
            await ASGI({UNARY: self.answer}, service())(wire.scope, wire.receive, wire.send)

    async def test_websocket_is_refused(self) -> None:
        wire = Wire(Request())
        wire.incoming.put_nowait({"type": "websocket.connect"})
        await ASGI({UNARY: self.answer}, "s")({"type": "websocket"}, wire.receive, wire.send)
        assert wire.sent == [{"type": "websocket.close"}]


class TestInterceptors:
    async def test_one_that_refuses_before_the_content_is_read(self) -> None:
        class Door:
            ended: Any = None

            async def on_start(self, ctx: Context) -> str:
                ctx.response_headers["x-door"] = "closed"
                if ctx.request_headers.get("authorization") != "yes":
                    raise ConnectError(Code.UNAUTHENTICATED, "who are you?")
                return "token"

            async def on_end(self, token: str, ctx: Context, error: Exception | None) -> None:
                self.ended = (token, error)

        door: Any = Door()
        wire = Wire(request(UNARY), hold=True)
        await serve({UNARY: Handler().unary}, wire, interceptors=[door])
        assert (wire.answer.status, wire.received, wire.answer.values("x-door")) == (401, 0, ["closed"])
        assert door.ended is None

        async def echo(request: StringValue, ctx: Context) -> StringValue:
            return request

        wire = Wire(request(UNARY, fields=[("authorization", "yes")]))
        await serve({UNARY: echo}, wire, interceptors=[door])
        assert wire.answer.status == 200
        assert door.ended == ("token", None)

    async def test_end_hears_of_a_deadline(self) -> None:
        seen: list[Any] = []

        class Watch:
            async def on_start(self, ctx: Context) -> None:
                return None

            async def on_end(self, token: None, ctx: Context, error: Exception | None) -> None:
                seen.append(error)

        wire = Wire(request(UNARY, fields=[("connect-timeout-ms", "20")]))
        await serve(Handler().functions, wire, interceptors=[Watch()])
        assert [error.code for error in seen] == [Code.DEADLINE_EXCEEDED]


class TestRouter:
    def test_several_services(self) -> None:
        class Other(ASGI):
            path = "/acme.v1.Other"

            def __init__(self, functions: dict[str, Any]) -> None:
                super().__init__(functions)

        async def one(request: StringValue, ctx: Context) -> StringValue:
            return StringValue(value="one")

        router = ConnectASGIRouter(ASGI({UNARY: one}), Other({UNARY: one}))
        assert call_asgi(router, Request()).content == message("one")
        assert call_asgi(router, Request(path="/api/acme.v1.Service/Unary", root="/api")).content == message("one")
        assert call_asgi(router, Request(path="/acme.v1.None/Unary")).status == 404
        with pytest.raises(ValueError, match=r"two applications serve /acme\.v1\.Service"):
            ConnectASGIRouter(ASGI({UNARY: one}), ASGI({UNARY: one}))
        with pytest.raises(ValueError, match="at least one"):
            ConnectASGIRouter()

    async def test_services_start_in_order_and_stop_in_reverse(self) -> None:
        log: list[str] = []

        def service(name: str, *, fail: bool = False) -> Any:
            async def generator() -> AsyncGenerator[str]:
                if fail:
                    raise ValueError(name)
                log.append(f"start {name}")
                yield name
                log.append(f"stop {name}")

            application = ASGI({}, generator())
            application.path = f"/{name}"
            return application

        router = ConnectASGIRouter(service("a"), service("b"))
        await router.start()
        await router.stop()
        assert log == ["start a", "start b", "stop b", "stop a"]
        log.clear()
        with pytest.raises(ValueError, match="c"):
            await ConnectASGIRouter(service("a"), service("c", fail=True)).start()
        assert log == ["start a", "stop a"]


async def test_content_that_comes_as_the_handler_goes_on() -> None:
    """It is read once, whoever of the two that wait for it is first."""
    go_on = asyncio.Event()

    async def bidi(requests: AsyncIterator[StringValue], ctx: Context) -> AsyncIterator[StringValue]:
        async for each in requests:
            await go_on.wait()
            yield each

    wire = Wire(request(BIDI), hold=True)
    wire.content(envelope(message("a")))
    task = serve({BIDI: bidi}, wire)
    await settle()
    wire.content(envelope(message("b")))
    go_on.set()
    await settle()
    wire.content(b"", more=False)
    await asyncio.wait_for(task, 5)
    assert messages(wire) == ["a", "b"]


async def read_before_each_message(application: Any, wire: Wire, *extensions: str) -> list[int]:
    """Serve a request, under a server with more extensions: how many pieces of its content had been read when each message of
    the answer was sent."""
    scope = wire.scope
    for name in extensions:
        scope["extensions"][name] = {}
    received: list[int] = []

    async def sent(event: Any) -> None:
        received.append(wire.received)
        await wire.send(event)

    async with asyncio.timeout(20):
        await application(scope, wire.receive, sent)
    return received


@pytest.mark.parametrize("size", [1000, 1_000_000], ids=["to its end", "within bounds"])
@pytest.mark.parametrize(
    ("target", "version", "method", "held"),
    [
        ("/none", "1.1", "POST", 2),
        ("/none", "2", "POST", 2),
        ("/none", "1.1", "PUT", 2),
        ("type", "1.1", "POST", 2),
        ("type", "2", "POST", 0),
        ("version", "1.1", "POST", 1),
        ("version", "2", "POST", 1),
        ("grpc", "2", "POST", 1),
    ],
)
async def test_content_that_the_answer_did_not_want_is_read(
    target: str, version: str, method: str, held: int, size: int
) -> None:
    """hypercorn closes an HTTP/1 connection over it at the answer's end, granian when as much is written as the answer's head
    says, or the application is done; either maybe before the answer has arrived. Over HTTP/2 a client of a stream may want the
    end before it sends more. `held` is how many of the answer's messages wait for it."""
    chunks = [bytes(size)] * 20
    asked = Request(
        path="", procedure=UNARY, http_method=method, http_version=version, chunks=chunks, length=False, trailers=True
    )
    chunked = [("transfer-encoding", "chunked")]
    if target == "grpc":
        chunks[0] = b"\0\x7f" + chunks[0]  # a message that is too large: answered by trailers
    asked = {
        "/none": replace(asked, path="/none", fields=chunked),
        "type": replace(asked, path="", procedure=BIDI, content_type="text/plain", fields=chunked),
        "version": replace(asked, fields=[*chunked, ("connect-protocol-version", "9")]),
        "grpc": replace(asked, content_type="application/grpc+proto", fields=chunked),
    }[target]

    async def never(request: Any, ctx: Context) -> Any:
        raise AssertionError("called")

    wire = Wire(asked, unread=True)
    received = await read_before_each_message(ASGI({BIDI: never, UNARY: never}), wire)
    assert wire.answer.status == {"/none": 404, "type": 415, "version": 400, "grpc": 200}[target]
    # What the call itself has read: what came with the head, or with a stream's head over HTTP/2; of a message, to the limit.
    begun = {"type": int(version == "2"), "version": 1, "grpc": min(20, math.ceil((4 << 20) / size))}.get(target, 0)
    at_once = len(received) - held
    assert received[:at_once] == [begun] * at_once
    assert received[at_once:] == [wire.received] * held
    expected = min(20, math.ceil((8 << 20) / (size + 512)))
    assert expected <= wire.received <= expected + begun


async def test_unwanted_content_that_was_asked_for_is_waited_for() -> None:
    """It would be lost if its future were given up, and its end waited for in vain then."""
    wire = Wire(request(BIDI, content_type="text/plain"), hold=True)
    asked: list[asyncio.Future[dict[str, Any]]] = []

    def receive() -> asyncio.Future[dict[str, Any]]:
        asked.append(asyncio.get_running_loop().create_future())
        return asked[-1]

    task = asyncio.create_task(ASGI({BIDI: Handler().bidi_stream})(wire.scope, receive, wire.send))
    await settle()
    assert wire.answer.status == 415
    asked[0].set_result({"type": "http.request", "body": b"x", "more_body": False})
    await asyncio.wait_for(task, 20)
    assert len(asked) == 1


@pytest.mark.parametrize("target", ["none", "type", "fails", "grpc"])
async def test_nothing_comes_after_an_answer_under_hypercorn(target: str) -> None:
    """There it would fail an HTTP/2 connection with all its calls: the end waits for it, and only trailers do not. It is known
    by its offer to push."""
    chunks = [envelope(message("x" * 1_000_000))] * 20
    asked = Request(http_version="2", chunks=chunks, length=False)
    asked = {
        "none": replace(asked, path="/none", http_method="DELETE"),
        "type": replace(asked, path="", procedure=BIDI, content_type="text/plain"),
        "fails": replace(asked, path="", procedure=BIDI, content_type="application/connect+proto"),
        "grpc": replace(asked, path="", procedure=BIDI, content_type="application/grpc+proto", trailers=True),
    }[target]

    async def fails(request: Any, ctx: Context) -> AsyncIterator[Any]:
        raise ConnectError(Code.ABORTED, "no")
        yield

    wire = Wire(asked, unread=True)
    received = await read_before_each_message(ASGI({BIDI: fails}), wire, "http.response.push")
    last = wire.sent[-1]
    assert received[-1] == 20
    assert max(received[:-1]) < 2
    if target == "grpc":
        assert wire.sent[-2]["more_trailers"]
        assert (b"grpc-status", b"10") in wire.sent[-2]["headers"]
        assert last == {"type": "http.response.trailers", "headers": []}
    else:
        assert last == {"type": "http.response.body", "body": b""}
        assert wire.answer.status == {"none": 404, "type": 415, "fails": 200}[target]


async def test_a_get_is_asked_for_no_content() -> None:
    wire = Wire(Request(path="/none", http_method="GET"))
    await ASGI({})(wire.scope, wire.receive, wire.send)
    assert wire.answer.status
    assert wire.received == 0


@pytest.mark.parametrize("procedure", [SERVER, BIDI])
async def test_a_stream_that_waits_holds_little(procedure: str) -> None:
    """None of its messages, no content, and not many coroutines."""
    loop, count, large = asyncio.get_running_loop(), 50, "x" * 50_000
    application = ASGI({SERVER: _waits, BIDI: _waits_for_more})

    def start() -> asyncio.Task[None]:
        content = [envelope(message(large))]
        wire = Wire(request(procedure))

        async def receive() -> dict[str, Any]:
            if content:
                return {"type": "http.request", "body": content.pop(), "more_body": procedure == BIDI}
            await loop.create_future()
            raise AssertionError

        async def send(_: Any) -> None:
            """Forget it."""

        return loop.create_task(application(wire.scope, receive, send))

    tasks = [start()]
    await settle()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tasks += [start() for _ in range(count)]
        await settle()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert (after - before) / count < 10_000


async def _waits(request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
    yield StringValue(value=request.value)
    del request
    await asyncio.get_running_loop().create_future()


async def _waits_for_more(requests: AsyncIterator[StringValue], ctx: Context) -> AsyncIterator[StringValue]:
    async for request in requests:
        yield StringValue(value=request.value)
        del request


@pytest.mark.parametrize("procedure", [UNARY, *STREAMED])
async def test_a_call_that_waited_leaves_no_garbage(procedure: str) -> None:
    """For the collector of cycles: it would run more often, and each time stop all calls."""
    count = 20

    async def waits(request: Any, ctx: Context) -> StringValue:
        await asyncio.sleep(0)
        return StringValue()

    async def stream(request: Any, ctx: Context) -> AsyncIterator[StringValue]:
        await asyncio.sleep(0)
        yield StringValue()

    application = ASGI({UNARY: waits, CLIENT: waits, SERVER: stream, BIDI: stream})

    async def serve_all() -> int:
        for _ in range(count):
            wire = Wire(request(procedure))
            await asyncio.create_task(application(wire.scope, wire.receive, wire.send))
            assert wire.sent[0]["status"] == 200
        return gc.collect()

    await serve_all()
    gc.disable()
    try:
        assert await serve_all() < count
    finally:
        gc.enable()
