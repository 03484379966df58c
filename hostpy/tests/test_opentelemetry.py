"""Spans and durations of calls: real clients, real servers, OpenTelemetry's own SDK."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as contexts
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Histogram, HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.opentelemetry import OpenTelemetryClientInterceptor, OpenTelemetryServerInterceptor
from connectcore.protocol import ProtocolType
from connectcore.transport import ASGITransport, WSGITransport
from server_support import (
    ASGI,
    BIDI,
    CLIENT,
    CONNECT,
    SERVER,
    SERVICE,
    UNARY,
    WSGI,
    Request,
    call_asgi,
    call_wsgi,
    envelope,
    environ,
    message,
    method,
)
from stream_support import KINDS, call_any, new_client, said, under_uvicorn, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from google.protobuf.wrappers_pb2 import StringValue

    from connectcore.request import RequestContext

    Context = RequestContext[Any, Any]


class Recorder:
    """Keeps what one side records."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._meters = MeterProvider([self._reader])
        self.options: dict[str, Any] = {"tracer_provider": self.tracers, "meter_provider": self._meters}

    def spans(self) -> list[ReadableSpan]:
        return list(self._spans.get_finished_spans())

    @property
    def span(self) -> ReadableSpan:
        """The only one."""
        [span] = self.spans()
        return span

    def durations(self) -> tuple[str, str | None, list[HistogramDataPoint]]:
        """The name, the unit and the points of what was measured."""
        data = self._reader.get_metrics_data()
        assert data is not None
        [resource] = data.resource_metrics
        [scope] = resource.scope_metrics
        [metric] = scope.metrics
        assert isinstance(metric.data, Histogram)
        return metric.name, metric.unit, list(metric.data.data_points)


@dataclass
class Sides:
    """Both sides of a call, and what handlers saw."""

    server: Recorder = field(default_factory=Recorder)
    client: Recorder = field(default_factory=Recorder)
    seen: list[tuple[int, int]] = field(default_factory=list)  # the trace and span that were current in handlers
    held: threading.Event = field(default_factory=threading.Event)

    def see(self) -> None:
        found = trace.get_current_span().get_span_context()
        self.seen.append((found.trace_id, found.span_id))

    def answer(self, request: StringValue) -> StringValue:
        self.see()
        if request.value.startswith("fail:"):
            raise ConnectError(Code(request.value[5:]), "it is so")
        if request.value == "break":
            raise KeyError("a secret")
        return said(request.value.upper())

    async def _one(self, request: StringValue) -> StringValue:
        if request.value == "hang":
            self.held.set()
            await asyncio.sleep(60)
        return self.answer(request)

    async def unary(self, request: StringValue, ctx: Context) -> StringValue:
        return await self._one(request)

    async def client_stream(self, requests: AsyncIterator[StringValue], ctx: Context) -> StringValue:
        return said(",".join([(await self._one(request)).value async for request in requests]))

    async def server_stream(self, request: StringValue, ctx: Context) -> AsyncIterator[StringValue]:
        for word in request.value.split():
            yield await self._one(said(word))

    async def bidi_stream(self, requests: AsyncIterator[StringValue], ctx: Context) -> AsyncIterator[StringValue]:
        async for request in requests:
            yield await self._one(request)

    def asgi(self, *more: Any, **options: Any) -> ASGI:
        functions = {UNARY: self.unary, CLIENT: self.client_stream, SERVER: self.server_stream, BIDI: self.bidi_stream}
        own = OpenTelemetryServerInterceptor(**self.server.options, **options)
        return ASGI(functions, interceptors=[own, *more])

    def wsgi(self) -> WSGI:
        def many(request: StringValue, ctx: Context) -> Iterator[StringValue]:
            for word in request.value.split():
                yield self.answer(said(word))

        functions: dict[str, Any] = {
            UNARY: lambda request, ctx: self.answer(request),
            CLIENT: lambda requests, ctx: said(",".join(self.answer(request).value for request in requests)),
            SERVER: many,
            BIDI: lambda requests, ctx: (self.answer(request) for request in requests),
        }
        return WSGI(functions, interceptors=[OpenTelemetryServerInterceptor(**self.server.options)])

    def around(self, **options: Any) -> dict[str, Any]:
        """The client's argument."""
        return {"interceptors": [OpenTelemetryClientInterceptor(**self.client.options, **options)]}

    def check_one_trace(self) -> None:
        ours, theirs = self.client.span, self.server.span
        assert ours.context is not None
        assert theirs.context is not None
        assert theirs.context.trace_id == ours.context.trace_id
        assert theirs.parent is not None
        assert theirs.parent.span_id == ours.context.span_id
        assert set(self.seen) == {(theirs.context.trace_id, theirs.context.span_id)}
        assert not trace.get_current_span().get_span_context().is_valid


@pytest.fixture
def sides() -> Sides:
    return Sides()


@pytest.fixture
def in_process(sides: Sides) -> Any:
    """A client of the service in this process."""
    return ConnectClientSync("http://acme.example:8080", http_client=WSGITransport(sides.wsgi()), **sides.around())


WORDS = ["a", "b"]


@pytest.mark.parametrize("protocol", [ProtocolType.CONNECT, ProtocolType.GRPC])
@pytest.mark.parametrize("kind", KINDS)
def test_one_trace_goes_through_a_network(mode: str, kind: str, protocol: ProtocolType, sides: Sides) -> None:
    with under_uvicorn(sides.asgi()) as address:
        client = new_client(mode, address, protocol=protocol, **sides.around())
        outcome = call_any(client, kind, WORDS)
        assert outcome.error is None
        sides.check_one_trace()
        port = int(address.rpartition(":")[2])
    shared = {"rpc.system.name": "connectrpc", "rpc.method": f"{SERVICE}/{kind}"}
    where = {"server.address": "127.0.0.1", "server.port": port}
    ours, theirs = sides.client.span, sides.server.span
    assert ours.name == theirs.name == f"{SERVICE}/{kind}"
    assert (ours.kind, theirs.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
    assert dict(ours.attributes or {}) == {**shared, **where}
    found = dict(theirs.attributes or {})
    assert isinstance(found.pop("network.peer.port"), int)
    assert found == {**shared, **where, "network.peer.address": "127.0.0.1"}
    for span in (ours, theirs):
        assert span.status.status_code is StatusCode.UNSET
        assert not span.events
        assert span.instrumentation_scope is not None
        assert span.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"


@pytest.mark.parametrize("kind", KINDS)
def test_one_trace_under_wsgi(kind: str, sides: Sides, in_process: Any) -> None:
    assert call_any(in_process, kind, WORDS).error is None
    sides.check_one_trace()


def test_durations_are_the_spans(sides: Sides, in_process: Any) -> None:
    call_any(in_process, UNARY, ["a"])
    shared = {"rpc.system.name": "connectrpc", "rpc.method": f"{SERVICE}/Unary"}
    where = {"server.address": "acme.example", "server.port": 8080}
    for recorder, name, attributes in (
        (sides.client, "rpc.client.call.duration", {**shared, **where}),
        (sides.server, "rpc.server.call.duration", shared),
    ):
        span = recorder.span
        assert span.start_time is not None
        assert span.end_time is not None
        found, unit, [point] = recorder.durations()
        assert (found, unit, point.count) == (name, "s", 1)
        assert dict(point.attributes or {}) == attributes
        assert point.sum == pytest.approx((span.end_time - span.start_time) / 1e9)
        assert list(point.explicit_bounds) == [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]


# Connect RPC conventions, "Spans": for a client every code is an error, for a server these.
FAULTS = {"unknown", "deadline_exceeded", "unimplemented", "internal", "unavailable", "data_loss"}


@pytest.mark.parametrize("kind", [UNARY, BIDI])
@pytest.mark.parametrize("code", [code.value for code in Code])
def test_which_codes_are_errors(kind: str, code: str, sides: Sides, in_process: Any) -> None:
    assert call_any(in_process, kind, [f"fail:{code}"]).error is not None
    for recorder, failed in ((sides.client, True), (sides.server, code in FAULTS)):
        span = recorder.span
        _, _, [point] = recorder.durations()
        for attributes in (dict(span.attributes or {}), dict(point.attributes or {})):
            assert attributes["rpc.response.status_code"] == code
            assert attributes.get("error.type") == (code if failed else None)
        assert span.status.status_code is (StatusCode.ERROR if failed else StatusCode.UNSET)
        assert span.status.description == ("it is so" if failed else None)
    # An exception is recorded once, where it was raised.
    assert [event.name for event in sides.server.span.events] == (["exception"] if code in FAULTS else [])
    assert not sides.client.span.events


def test_an_unexpected_exception_is_the_servers(sides: Sides, in_process: Any) -> None:
    error = call_any(in_process, UNARY, ["break"]).error
    assert error is not None
    assert error.code is Code.UNKNOWN
    [event] = sides.server.span.events
    assert event.attributes
    assert event.attributes["exception.type"] == "KeyError"
    assert (sides.server.span.attributes or {})["error.type"] == "unknown"
    assert "secret" not in str(sides.client.span.to_json())


def test_a_call_that_is_never_sent(sides: Sides, in_process: Any) -> None:
    with pytest.raises(TypeError):
        in_process.execute_unary(request=object(), method=method(UNARY))
    attributes = sides.client.span.attributes or {}
    assert attributes["error.type"] == "TypeError"
    assert "rpc.response.status_code" not in attributes
    assert not sides.server.spans()


def canceled(recorder: Recorder, code: str = "canceled") -> bool:
    return (recorder.span.attributes or {})["rpc.response.status_code"] == code


@pytest.mark.parametrize("kind", [SERVER, BIDI])
async def test_a_stream_that_is_left_early(kind: str, sides: Sides) -> None:
    with under_uvicorn(sides.asgi()) as address:
        client = new_client("async", address, **sides.around())

        async def requests() -> AsyncIterator[StringValue]:
            yield said("a")
            await asyncio.sleep(60)

        options: Any = {"method": method(kind)}
        if kind == SERVER:
            stream = client.execute_server_stream(request=said("a hang"), **options)
        else:
            stream = client.execute_bidi_stream(request=requests(), **options)
        async with stream:
            async for _ in stream:
                assert not sides.client.spans()
                assert not trace.get_current_span().get_span_context().is_valid
                break
        assert canceled(sides.client)
        await asyncio.to_thread(until, lambda: len(sides.server.spans()) == 1)
        assert canceled(sides.server)
        assert sides.server.span.status.status_code is StatusCode.UNSET  # that it was left is no fault of its own


def test_a_stream_that_is_left_early_sync(sides: Sides, in_process: Any) -> None:
    with in_process.execute_server_stream(request=said("a b c"), method=method(SERVER)) as stream:
        next(stream)
        assert not trace.get_current_span().get_span_context().is_valid
        assert not sides.client.spans()
    assert canceled(sides.client)
    assert canceled(sides.server)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_is_canceled(kind: str, sides: Sides) -> None:
    with under_uvicorn(sides.asgi()) as address:
        client = new_client("async", address, **sides.around())
        task = asyncio.create_task(_call(client, kind))
        await asyncio.to_thread(sides.held.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert canceled(sides.client)
        await asyncio.to_thread(until, lambda: len(sides.server.spans()) == 1)
        assert canceled(sides.server)


async def _call(client: ConnectClient, kind: str, **options: Any) -> None:
    async def requests() -> AsyncIterator[StringValue]:
        yield said("hang")

    options["method"] = method(kind)
    if kind == UNARY:
        await client.execute_unary(request=said("hang"), **options)
    elif kind == CLIENT:
        await client.execute_client_stream(request=requests(), **options)
    else:
        call: Any = client.execute_server_stream if kind == SERVER else client.execute_bidi_stream
        async for _ in call(request=said("hang") if kind == SERVER else requests(), **options):
            pass


@pytest.mark.parametrize("kind", [UNARY, BIDI])
async def test_a_deadline_that_passes(kind: str, sides: Sides) -> None:
    async with ConnectClient("http://acme", http_client=ASGITransport(sides.asgi()), **sides.around()) as client:
        with pytest.raises(ConnectError):
            await _call(client, kind, timeout=0.05)
    assert canceled(sides.client, "deadline_exceeded")


def test_a_deadline_that_passes_on_the_server(sides: Sides) -> None:
    call_asgi(sides.asgi(), Request(chunks=[message("hang")], fields=[("connect-timeout-ms", "50")]))
    assert canceled(sides.server, "deadline_exceeded")
    assert sides.server.span.status.status_code is StatusCode.ERROR


class Refuses:
    async def on_start(self, ctx: Context) -> None:
        raise ConnectError(Code.UNAUTHENTICATED, "who are you?")


async def test_what_the_handler_never_sees_is_recorded(sides: Sides) -> None:
    async with ConnectClient("http://acme", http_client=ASGITransport(sides.asgi(Refuses())), **sides.around()) as client:
        with pytest.raises(ConnectError):
            await client.execute_unary(request=said("a"), method=method(UNARY))
    assert canceled(sides.server, "unauthenticated")
    assert not sides.seen


def test_content_that_does_not_decode_is_recorded(interface: str, sides: Sides) -> None:
    request = Request(chunks=[b"\xff\xff"])
    answer = call_asgi(sides.asgi(), request) if interface == "asgi" else call_wsgi(sides.wsgi(), request)
    assert answer.status == 400
    assert canceled(sides.server, "invalid_argument")
    assert sides.server.span.parent is None


def test_a_current_span_is_the_parent(sides: Sides) -> None:
    """That of a middleware which records HTTP requests. What the caller says of its trace is that middleware's to read."""
    tracer = sides.server.tracers.get_tracer("middleware")
    request = Request(fields=[("traceparent", f"00-{'1' * 32}-{'2' * 16}-01")])
    with tracer.start_as_current_span("POST") as outer:
        assert call_wsgi(sides.wsgi(), request).status == 200
    inner = sides.server.spans()[0]
    assert inner.parent == outer.get_span_context()
    call_wsgi(sides.wsgi(), request)
    parent = sides.server.spans()[-1].parent
    assert parent is not None
    assert (parent.trace_id, parent.span_id) == (int("1" * 32, 16), int("2" * 16, 16))


def test_a_thread_that_is_left_with_a_call_serves_others(sides: Sides) -> None:
    """Nobody says that a WSGI server reads a response where it has asked for it."""
    app = sides.wsgi()
    found: list[bytes] = []

    def begun() -> None:
        response = iter(app(environ(Request(SERVER, [envelope(message("a b c"))], **CONNECT)), lambda *_: print))
        found.append(next(response))
        rest.append(response)
        call_wsgi(app, Request())

    rest: list[Any] = []
    thread = threading.Thread(target=begun)
    thread.start()
    thread.join()
    found.extend(rest[0])
    assert len(found) == 4
    unary, stream = sides.server.spans()
    assert (unary.name, stream.name) == (f"{SERVICE}/Unary", f"{SERVICE}/ServerStream")
    assert unary.parent is None
    assert stream.parent is None


def test_baggage_and_recorded_metadata(sides: Sides) -> None:
    found: list[object] = []

    def answer(request: StringValue, ctx: Context) -> StringValue:
        found.append(baggage.get_baggage("tenant"))
        ctx.response_trailers["x-answer"] = "c"
        return request

    names: dict[str, Any] = {"request_metadata": ["X-Asked", "x-none"], "response_metadata": ["x-answer"]}
    app = WSGI({UNARY: answer}, interceptors=[OpenTelemetryServerInterceptor(**sides.server.options, **names)])
    client = ConnectClientSync("http://acme", http_client=WSGITransport(app), **sides.around(**names))
    headers = {"x-asked": "a", "authorization": "secret"}
    token = contexts.attach(baggage.set_baggage("tenant", "acme"))
    try:
        client.execute_unary(request=said("a"), method=method(UNARY), headers=headers)
    finally:
        contexts.detach(token)
    assert found == ["acme"]
    for recorder in (sides.client, sides.server):
        attributes = {k: v for k, v in (recorder.span.attributes or {}).items() if "metadata" in k}
        assert attributes == {"rpc.request.metadata.x-asked": ("a",), "rpc.response.metadata.x-answer": ("c",)}


@pytest.mark.parametrize("host", ["[::1]:70", "acme.example", "acme.example:no", "[", "a:b:c", "host:99999"])
def test_any_host_may_be_named(host: str, sides: Sides) -> None:
    request = Request(host=host)
    assert call_asgi(sides.asgi(), request).status == 200
    attributes = sides.server.span.attributes or {}
    expected = {"[::1]:70": ("::1", 70), "acme.example": ("acme.example", 80)}.get(host, (None, None))
    assert (attributes.get("server.address"), attributes.get("server.port")) == expected


def test_nothing_is_imported_that_is_not_asked_for() -> None:
    program = (
        "import sys, connectcore.client, connectcore.server, connectcore.interceptor\n"
        "assert not [name for name in sys.modules if name.startswith(('opentelemetry', 'connectcore.opentelemetry'))]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_missing_library_is_named() -> None:
    program = "import sys; sys.modules['opentelemetry'] = None; import connectcore.opentelemetry"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert "pip install 'connectcore[opentelemetry]'" in done.stderr
