"""Methods, endpoints, contexts; and that importing them is cheap."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

import pytest

from connectcore import __version__
from connectcore._server.endpoint import (
    Endpoint,
    EndpointBidiStream,
    EndpointBidiStreamSync,
    EndpointClientStream,
    EndpointClientStreamSync,
    EndpointServerStream,
    EndpointServerStreamSync,
    EndpointSync,
    EndpointUnary,
    EndpointUnarySync,
)
from connectcore.method import IdempotencyLevel, MethodInfo, StreamType
from connectcore.protocol import ProtocolType
from connectcore.request import Headers, Reader, RequestContext, ServerContext, response_metadata, set_response_metadata

METHOD = MethodInfo(
    name="Greet",
    service_name="greet.v1.GreetService",
    input=str,
    output=bytes,
    idempotency_level=IdempotencyLevel.NO_SIDE_EFFECTS,
    stream_type=StreamType.UNARY,
)


def context(**more: Any) -> RequestContext[str, bytes]:
    return RequestContext(method=METHOD, http_method="POST", request_headers=Headers({"a": "1"}), **more)


def test_a_method_is_a_value() -> None:
    assert dataclasses.replace(METHOD) == METHOD
    assert len({METHOD, dataclasses.replace(METHOD)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        METHOD.name = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        MethodInfo("Greet")  # type: ignore[call-arg]


def test_the_kinds() -> None:
    assert [kind.name for kind in IdempotencyLevel] == ["UNKNOWN", "NO_SIDE_EFFECTS", "IDEMPOTENT"]
    assert [kind.name for kind in StreamType] == ["UNARY", "CLIENT_STREAM", "SERVER_STREAM", "BIDI_STREAM"]
    assert [(kind.name, kind.value) for kind in ProtocolType] == [
        ("CONNECT", 1),
        ("GRPC", 2),
        ("GRPC_WEB", 3),
        ("GRPC_WEB_TEXT", 4),
    ]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (Endpoint.unary, EndpointUnary),
        (Endpoint.client_stream, EndpointClientStream),
        (Endpoint.server_stream, EndpointServerStream),
        (Endpoint.bidi_stream, EndpointBidiStream),
        (EndpointSync.unary, EndpointUnarySync),
        (EndpointSync.client_stream, EndpointClientStreamSync),
        (EndpointSync.server_stream, EndpointServerStreamSync),
        (EndpointSync.bidi_stream, EndpointBidiStreamSync),
    ],
)
def test_endpoints(make: Any, kind: type) -> None:
    endpoint: Any = make(method=METHOD, function=len)
    assert issubclass(kind, Endpoint) != issubclass(kind, EndpointSync)
    assert (endpoint.method, endpoint.function) == (METHOD, len)
    assert type(endpoint) is type(make(METHOD, len)) is kind
    assert repr(endpoint).startswith(f"{kind.__name__}(method=MethodInfo(")
    with pytest.raises(AttributeError):
        make(METHOD, len).other = 1


def test_a_context() -> None:
    ctx = context()
    assert (ctx.method, ctx.http_method, dict(ctx.request_headers)) == (METHOD, "POST", {"a": "1"})
    assert (ctx.timeout_ms, ctx.server_address, ctx.client_address) == (None, None, None)
    assert response_metadata(ctx) == (None, None)
    ctx.response_headers["b"] = "2"
    ctx.response_trailers["c"] = "3"
    headers, trailers = response_metadata(ctx)
    assert headers is ctx.response_headers
    assert trailers is ctx.response_trailers
    assert (dict(headers), dict(trailers)) == ({"b": "2"}, {"c": "3"})
    with pytest.raises(AttributeError):
        ctx.other = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        RequestContext(METHOD, "POST", Headers())  # type: ignore[call-arg]


def test_the_time_left_runs_down() -> None:
    first = context(timeout_ms=60_000).timeout_ms
    assert first is not None
    assert 0 < first <= 60_000
    ctx = context(timeout_ms=50, server_address="a:1", client_address="b:2")
    time.sleep(0.06)
    left = ctx.timeout_ms
    assert left is not None
    assert left < 0
    assert context(timeout_ms=0).timeout_ms is not None
    assert (ctx.server_address, ctx.client_address) == ("a:1", "b:2")


def test_what_a_client_received_takes_its_place() -> None:
    ctx = context()
    ctx.response_headers["old"] = "1"
    set_response_metadata(ctx, None, Headers({"t": "1"}))
    assert dict(ctx.response_headers) == {"old": "1"}
    set_response_metadata(ctx, Headers({"h": "1"}), None)
    assert (dict(ctx.response_headers), dict(ctx.response_trailers)) == ({"h": "1"}, {"t": "1"})


SCOPE: dict[str, Any] = {"type": "http", "method": "GET"}


def test_a_servers_context_makes_its_parts_when_asked() -> None:
    asked: list[object] = []

    def addresses(source: object) -> tuple[str | None, str | None]:
        asked.append(source)
        return "host:80", "peer:1"

    reader = Reader(itemgetter("method"), addresses, lambda fields: fields)
    request: Any = SimpleNamespace(timeout_us=1_000_000, hidden=b"\x01", binary=[(b"b-bin", b"\xff")])
    fields = [(b"hide", b""), (b"a", b"1")]
    ctx: ServerContext[str, bytes] = ServerContext(METHOD, request, reader, SCOPE, fields)
    assert isinstance(ctx, RequestContext)
    assert not asked
    assert ctx.request_headers is ctx.request_headers
    assert dict(ctx.request_headers) == {"a": "1", "b-bin": "/w"}
    assert ctx.request_headers.getbin("b-bin") == b"\xff"
    assert ctx.method is METHOD
    assert ctx.http_method == "GET"
    assert 0 < (ctx.timeout_ms or 0) <= 1000
    assert response_metadata(ctx) == (None, None)
    assert (ctx.server_address, ctx.client_address) == ("host:80", "peer:1")
    assert asked == [SCOPE, SCOPE]
    assert ctx.scope is SCOPE
    assert context().scope is None
    left = ctx.timeout_ms
    assert left is not None
    assert 0 < left <= 1000


TYPES = "code codec compat compression errors interceptor method protocol request"


def run(source: str) -> str:
    return subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True).stdout


def test_importing_the_types_imports_no_message_runtime() -> None:
    loaded = run(
        "import sys\n"
        + "\n".join(f"import connectcore.{name}" for name in TYPES.split())
        + "\nimport connectcore._interceptors, connectcore._server.endpoint\nprint(*sys.modules)"
    ).split()
    assert "connectcore.errors" in loaded
    heavy = {"asyncio", "google.protobuf", "inspect", "json", "protobuf", "pyqwest", "typing_extensions", "wasmtime", "logging"}
    # dataclasses brings inspect; the loader of the module needs it anyway.
    assert not heavy - {"inspect"} & set(loaded)


def test_the_version_is_written_once() -> None:
    assert __version__
    assert run("import connectcore; print(connectcore.__version__)").strip() == __version__
