"""Traces and metrics of calls, for OpenTelemetry (extra `opentelemetry`), by interceptors of servers and of clients.

    app = GreetServiceASGIApplication(Greeter(), interceptors=[OpenTelemetryServerInterceptor()])
    client = GreetServiceClient(address, interceptors=[OpenTelemetryClientInterceptor()])

What is recorded is what the semantic conventions for Connect RPC, version 1.44, ask for: a span for each call, named after the
procedure, from the call's start to the end of its last stream, and the call's duration in `rpc.server.call.duration` or
`rpc.client.call.duration`. Messages have no events of their own: the conventions no longer want any.
"""

from __future__ import annotations

from functools import lru_cache
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from ._version import __version__
from .code import Code
from .errors import ConnectError

try:
    from opentelemetry import context as contexts
    from opentelemetry.metrics import get_meter
    from opentelemetry.propagate import get_global_textmap
    from opentelemetry.propagators.textmap import Getter, Setter
    from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode, get_current_span, get_tracer, set_span_in_context
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ImportError("connectcore.opentelemetry needs OpenTelemetry: pip install 'connectcore[opentelemetry]'") from error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import Span, TracerProvider
    from opentelemetry.util.types import AttributeValue

    from .request import Headers, RequestContext

    Call = RequestContext[Any, Any]
    Attributes = dict[str, AttributeValue]
    Values = Mapping[str, AttributeValue]

__all__ = ["OpenTelemetryClientInterceptor", "OpenTelemetryServerInterceptor"]

SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"
SYSTEM: Final = "connectrpc"
"""The system is the library, whichever of its protocols a call speaks."""

_SERVED: Final = contexts.create_key("connectcore-served")
"""Where a context has the span of the call that is served in it."""

_BOUNDARIES: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

_SERVERS_FAULTS: Final = frozenset(
    (Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.UNIMPLEMENTED, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS)
)
"""The codes with which a server's span is an error. For a client every code is one."""


class _Metadata(Getter["Headers"], Setter["Headers"]):
    """How a propagator reads and writes a call's metadata."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        return carrier.getall(key) or None

    def keys(self, carrier: Headers) -> list[str]:
        return list(carrier)

    def set(self, carrier: Headers, key: str, value: str) -> None:
        carrier[key] = value


_METADATA: Final = _Metadata()


class _Recording:
    """One call that is measured: its span, and what is said of it at its end.

    As a context manager it makes the span the current one, for a step of the call.
    """

    __slots__ = ("_attributes", "_started", "_token", "began", "context", "span")

    def __init__(self, span: Span, context: Context, attributes: Attributes, began: int) -> None:
        self.span = span
        self.context = context
        self.began = began  # nanoseconds since 1970
        self._attributes = attributes  # of the duration
        self._started = perf_counter_ns()
        self._token: Token[Context] | None = None

    def __enter__(self) -> None:
        self._token = contexts.attach(self.context)

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        # An iterator that nobody closed may be ended somewhere else, where there is nothing to take back.
        if token is not None and contexts.get_current() is self.context:
            contexts.detach(token)

    def end(self) -> tuple[float, Attributes]:
        """End the span. Gives the duration, in seconds, and the duration's attributes."""
        took = max(perf_counter_ns() - self._started, 0)
        self.span.end(self.began + took)
        return took / 1e9, self._attributes

    def failed(self, attributes: Attributes) -> None:
        """Put these on the span and on the duration."""
        self.span.set_attributes(attributes)
        self._attributes.update(attributes)


class _Settings(NamedTuple):
    """How one side records."""

    kind: SpanKind
    duration: str
    description: str


_SERVER: Final = _Settings(SpanKind.SERVER, "rpc.server.call.duration", "Measures the duration of an incoming RPC.")
_CLIENT: Final = _Settings(SpanKind.CLIENT, "rpc.client.call.duration", "Measures the duration of an outgoing RPC.")


class _Telemetry:
    """What both sides share: a tracer, a histogram, and how a call's end is recorded."""

    _side: _Settings

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        propagator: TextMapPropagator | None = None,
        request_metadata: Iterable[str] = (),
        response_metadata: Iterable[str] = (),
    ) -> None:
        """Make the interceptor.

        Args:
            tracer_provider: makes the spans; None for the global one.
            meter_provider: measures the durations; None for the global one.
            propagator: carries the trace from process to process, in metadata; None for the global one.
            request_metadata: names of metadata to record on spans, as `rpc.request.metadata.<name>`. None by default, because
                metadata may be secret.
            response_metadata: the same for the response's metadata, leading and trailing.

        """
        side = self._side
        self._propagator = propagator
        self._request_metadata = [name.lower() for name in request_metadata]
        self._response_metadata = [name.lower() for name in response_metadata]
        self._tracer = get_tracer("connectcore", __version__, tracer_provider, SCHEMA)
        self._duration = get_meter("connectcore", __version__, meter_provider, SCHEMA).create_histogram(
            side.duration, "s", side.description, explicit_bucket_boundaries_advisory=_BOUNDARIES
        )

    @property
    def _carrier(self) -> TextMapPropagator:
        return self._propagator or get_global_textmap()

    def _start(self, ctx: Call, parent: Context | None, more: Values, measured: Values) -> _Recording:
        """Start a span. `more` is said of it alone, `measured` of the duration as well."""
        method = f"{ctx.method.service_name}/{ctx.method.name}"
        counted: Attributes = {"rpc.system.name": SYSTEM, "rpc.method": method, **measured}
        attributes = {**counted, **more}
        if self._request_metadata:
            attributes |= _recorded("request", self._request_metadata, ctx.request_headers)
        began = time_ns()
        span = self._tracer.start_span(method, parent, self._side.kind, attributes, start_time=began)
        return _Recording(span, set_span_in_context(span, parent), counted, began)

    def _end(self, call: _Recording, ctx: Call, error: BaseException | None) -> None:
        span = call.span
        if error is not None:
            self._failed(call, error)
        if self._response_metadata:
            for section in (ctx.response_headers, ctx.response_trailers):
                span.set_attributes(_recorded("response", self._response_metadata, section))
        seconds, attributes = call.end()
        self._duration.record(seconds, attributes, call.context)

    def _failed(self, call: _Recording, error: BaseException) -> None:
        raise NotImplementedError


class OpenTelemetryServerInterceptor(_Telemetry):
    """Records the calls that a server answers, under ASGI and WSGI.

    As the first of the interceptors it sees the whole of each call, and what those behind it refuse.

    A call goes on with the trace that its metadata names, unless a span is current already: that of a middleware which records
    HTTP requests. While a handler runs its call's span is current.
    """

    _side = _SERVER

    async def on_start(self, ctx: Call) -> _Recording:
        """Start a span, which stays the current one until `on_end`."""
        return self.on_start_sync(ctx)

    async def on_end(self, token: _Recording, ctx: Call, error: Exception | None, /) -> None:
        """End the span."""
        self.on_end_sync(token, ctx, error)

    def on_start_sync(self, ctx: Call, /) -> _Recording:
        """Start a span, which stays the current one until `on_end_sync`."""
        parent = contexts.get_current()
        span = get_current_span(parent)
        # Another call's may be current where a WSGI server reads a stream of responses in several threads, each of which serves
        # others in between.
        if not span.get_span_context().is_valid or contexts.get_value(_SERVED, parent) is span:
            outside = set_span_in_context(INVALID_SPAN, parent)
            parent = self._carrier.extract(ctx.request_headers, outside, _METADATA)
        more = {**_address("server", ctx.server_address), **_address("network.peer", ctx.client_address)}
        call = self._start(ctx, parent, more, {})
        call.context = contexts.set_value(_SERVED, call.span, call.context)
        call.__enter__()
        return call

    def on_end_sync(self, token: _Recording, ctx: Call, error: Exception | None, /) -> None:
        """End the span."""
        try:
            self._end(token, ctx, error)
        finally:
            token.__exit__()

    def _failed(self, call: _Recording, error: BaseException) -> None:
        # What is no ConnectError reaches the peer as this code, without its text.
        code = error.code if isinstance(error, ConnectError) else Code.UNKNOWN
        said: Attributes = {"rpc.response.status_code": code.value}
        if code in _SERVERS_FAULTS:
            said["error.type"] = code.value
            call.span.set_status(StatusCode.ERROR, str(error))
            if error.__traceback__ is not None:  # else nobody raised it: the deadline has passed, or the like
                call.span.record_exception(error)
        call.failed(said)


class OpenTelemetryClientInterceptor(_Telemetry):
    """Records the calls of a client, async or sync, and hands their trace on to the server.

    The work of interceptors that come after it is part of the call's span.
    """

    _side = _CLIENT

    def _begin(self, ctx: Call) -> _Recording:
        call = self._start(ctx, contexts.get_current(), {}, _address("server", ctx.server_address))
        self._carrier.inject(ctx.request_headers, call.context, _METADATA)
        return call

    def _failed(self, call: _Recording, error: BaseException) -> None:
        said: Attributes
        if isinstance(error, ConnectError):
            said = {"rpc.response.status_code": error.code.value, "error.type": error.code.value}
        elif isinstance(error, Exception):  # nothing was sent
            kind = type(error)
            said = {
                "error.type": kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
            }
        else:  # canceled, or a stream that was closed before its end
            said = {"rpc.response.status_code": Code.CANCELED.value, "error.type": Code.CANCELED.value}
        call.span.set_status(StatusCode.ERROR, str(error) or None)
        call.failed(said)

    async def _one(self, call_next: Callable[[Any, Call], Awaitable[Any]], request: Any, ctx: Call) -> Any:
        call, error = self._begin(ctx), None
        try:
            with call:
                return await call_next(request, ctx)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._end(call, ctx, error)

    async def _many(self, call_next: Callable[[Any, Call], AsyncIterator[Any]], request: Any, ctx: Call) -> AsyncIterator[Any]:
        call, error = self._begin(ctx), None
        try:
            responses = call_next(request, ctx)
            steps = aiter(responses)
            try:
                while True:
                    # Between the messages the caller's own span is current.
                    with call:
                        try:
                            response = await anext(steps)
                        except StopAsyncIteration:
                            return
                    yield response
            finally:
                close = getattr(responses, "aclose", None)
                if close is not None:
                    await close()
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._end(call, ctx, error)

    intercept_unary = intercept_client_stream = _one
    intercept_server_stream = intercept_bidi_stream = _many

    def _one_sync(self, call_next: Callable[[Any, Call], Any], request: Any, ctx: Call) -> Any:
        call, error = self._begin(ctx), None
        try:
            with call:
                return call_next(request, ctx)
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._end(call, ctx, error)

    def _many_sync(self, call_next: Callable[[Any, Call], Iterator[Any]], request: Any, ctx: Call) -> Iterator[Any]:
        call, error = self._begin(ctx), None
        try:
            responses = call_next(request, ctx)
            steps = iter(responses)
            try:
                while True:
                    with call:
                        try:
                            response = next(steps)
                        except StopIteration:
                            return
                    yield response
            finally:
                close = getattr(responses, "close", None)
                if close is not None:
                    close()
        except BaseException as raised:
            error = raised
            raise
        finally:
            self._end(call, ctx, error)

    intercept_unary_sync = intercept_client_stream_sync = _one_sync
    intercept_server_stream_sync = intercept_bidi_stream_sync = _many_sync


@lru_cache(1024)  # each call has the same one as others before it
def _address(prefix: str, address: str | None) -> Values:
    """A `host:port` as two attributes."""
    if not address:
        return {}
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:  # a peer may name anything as the host that it calls
        return {}
    said: Attributes = {f"{prefix}.address": host} if host else {}
    if host and port is not None:
        said[f"{prefix}.port"] = port
    return said


def _recorded(which: str, names: list[str], metadata: Headers) -> Attributes:
    values = ((name, metadata.getall(name)) for name in names)
    return {f"rpc.{which}.metadata.{name}": found for name, found in values if found}
