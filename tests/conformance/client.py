"""The suite's client under test: `client.py --mode async|sync`.

The runner writes ClientCompatRequests to standard input, each behind its size, and reads ClientCompatResponses from standard
output, in any order. Many calls are under way at the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import struct
import sys
import tempfile
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import setup

setup.ensure()

import httpx  # noqa: E402
import httpx2  # noqa: E402
import pyqwest  # noqa: E402
from connectcore.client import ConnectClient, ConnectClientSync  # noqa: E402
from connectcore.code import Code  # noqa: E402
from connectcore.codec import proto_binary_codec, proto_json_codec  # noqa: E402
from connectcore.method import IdempotencyLevel, MethodInfo, StreamType  # noqa: E402
from connectcore.protocol import ProtocolType  # noqa: E402
from connectcore.request import Headers  # noqa: E402
from connectcore.transport import HTTPTransport, HTTPTransportSync, PyqwestTransport, PyqwestTransportSync  # noqa: E402
from connectrpc.conformance.v1 import client_compat_pb2, config_pb2, service_pb2  # type: ignore[import-not-found]  # noqa: E402
from google.protobuf.any_pb2 import Any as AnyMessage  # noqa: E402

from client_calls import Call, call_async, call_sync  # noqa: E402
from codings import codings  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connectcore.errors import ConnectError

AT_ONCE = 16

VERSIONS = {
    config_pb2.HTTP_VERSION_1: pyqwest.HTTPVersion.HTTP1,
    config_pb2.HTTP_VERSION_2: pyqwest.HTTPVersion.HTTP2,
    config_pb2.HTTP_VERSION_3: pyqwest.HTTPVersion.HTTP3,
}
OWN_VERSIONS = {config_pb2.HTTP_VERSION_1: "1.1", config_pb2.HTTP_VERSION_2: "2"}
PROTOCOLS = {
    config_pb2.PROTOCOL_CONNECT: ProtocolType.CONNECT,
    config_pb2.PROTOCOL_GRPC: ProtocolType.GRPC,
    config_pb2.PROTOCOL_GRPC_WEB: ProtocolType.GRPC_WEB,
}
CODECS = {config_pb2.CODEC_PROTO: proto_binary_codec, config_pb2.CODEC_JSON: proto_json_codec}
known_codings: dict[Any, Any] = {}
CODES = {code: number for number, code in enumerate(Code, 1)}


STREAM_TYPES = {
    config_pb2.STREAM_TYPE_UNARY: StreamType.UNARY,
    config_pb2.STREAM_TYPE_CLIENT_STREAM: StreamType.CLIENT_STREAM,
    config_pb2.STREAM_TYPE_SERVER_STREAM: StreamType.SERVER_STREAM,
    config_pb2.STREAM_TYPE_HALF_DUPLEX_BIDI_STREAM: StreamType.BIDI_STREAM,
    config_pb2.STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM: StreamType.BIDI_STREAM,
}


def method_of(request: client_compat_pb2.ClientCompatRequest) -> MethodInfo[Any, Any]:
    """The method that a request names."""
    described = service_pb2.DESCRIPTOR.services_by_name["ConformanceService"].methods_by_name[request.method]
    safe = described.GetOptions().idempotency_level == 1
    return MethodInfo(
        name=request.method,
        service_name=request.service,
        input=getattr(service_pb2, described.input_type.name),
        output=getattr(service_pb2, described.output_type.name),
        idempotency_level=IdempotencyLevel.NO_SIDE_EFFECTS if safe else IdempotencyLevel.UNKNOWN,
        stream_type=STREAM_TYPES[request.stream_type],
    )


def client_options(request: client_compat_pb2.ClientCompatRequest) -> dict[str, Any]:
    """What both kinds of client are made with."""
    coding = None if request.compression == config_pb2.COMPRESSION_IDENTITY else known_codings[request.compression]
    return {
        "address": f"{'https' if request.server_tls_cert else 'http'}://{request.host}:{request.port}",
        "protocol": PROTOCOLS[request.protocol],
        "codec": CODECS[request.codec](),
        "accept_compression": () if coding is None else (coding,),
        "send_compression": coding,
        "read_max_bytes": request.message_receive_limit or None,
    }


def tls(authority: bytes, certificate: bytes, key: bytes) -> ssl.SSLContext | None:
    """How TLS is done, where it is."""
    context = ssl.create_default_context(cadata=authority.decode()) if authority else None
    if context is not None and certificate:
        with tempfile.NamedTemporaryFile() as chain:
            chain.write(certificate + b"\n" + key)
            chain.flush()
            context.load_cert_chain(chain.name)
    return context


def by_httpx(version: int, authority: bytes, certificate: bytes, key: bytes) -> Any:
    """A client of `httpx2` for asyncio, of `httpx` for threads."""
    http2 = version == config_pb2.HTTP_VERSION_2
    options: Any = {"http1": not http2, "http2": http2, "timeout": None, "trust_env": False}
    context = tls(authority, certificate, key)
    options["verify"] = True if context is None else context
    options["limits"] = library.Limits(max_connections=None)
    return library.AsyncClient(**options) if library is httpx2 else library.Client(**options)


library: Any = httpx2


def own(make: Callable[..., Any], version: int, authority: bytes, certificate: bytes, key: bytes) -> Any:
    """A transport of this package's own."""
    context = tls(authority, certificate, key)
    http_version: Any = OWN_VERSIONS[version]
    return make(http_version=http_version, ssl_context=context)


@cache
def transport(make: Callable[..., Any], version: int, authority: bytes, certificate: bytes, key: bytes) -> Any:
    """A transport for all calls to servers that are trusted, and shown a certificate, in the same way."""
    if make is by_httpx:
        return by_httpx(version, authority, certificate, key)
    if make in (HTTPTransport, HTTPTransportSync):
        return own(make, version, authority, certificate, key)
    return make(
        http_version=VERSIONS[version],
        tls_ca_cert=authority or None,
        tls_cert=certificate or None,
        tls_key=key or None,
    )


transports: dict[str, Any] = {"async": HTTPTransport, "sync": HTTPTransportSync}


def transport_of(make: Callable[..., Any], request: client_compat_pb2.ClientCompatRequest) -> Any:
    """The transport for a request."""
    creds = request.client_tls_creds
    return transport(make, request.http_version, request.server_tls_cert, creds.cert, creds.key)


def call_of(request: client_compat_pb2.ClientCompatRequest) -> Call:
    """The call that is asked for."""
    full_duplex = request.stream_type == config_pb2.STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM
    return Call(request, method_of(request), full_duplex)


def to_headers(target: Any, headers: Headers) -> None:
    """Metadata as the suite's messages."""
    for name in headers:
        target.add(name=name, value=headers.getall(name))


def describe(target: service_pb2.Error, error: ConnectError) -> None:
    """An error as the suite's message."""
    target.code = CODES[error.code]
    target.message = error.message
    for detail in error.details:
        target.details.append(AnyMessage(type_url=f"type.googleapis.com/{detail.type_name}", value=detail.message_bytes))


def outcome(result: client_compat_pb2.ClientResponseResult, call: Call) -> None:
    """What came of a call."""
    to_headers(result.response_headers, call.metadata.headers)
    to_headers(result.response_trailers, call.metadata.trailers)
    if call.error is not None:
        describe(result.error, call.error)
    for response in call.responses:
        if response.DESCRIPTOR.fields_by_name.get("payload") is not None:
            result.payloads.append(response.payload)
    result.num_unsent_requests = call.unsent


async def one_async(request: client_compat_pb2.ClientCompatRequest, result: client_compat_pb2.ClientResponseResult) -> None:
    """Make a call by the async client."""
    call = call_of(request)
    async with ConnectClient(**client_options(request), http_client=transport_of(transports["async"], request)) as client:
        await call_async(client, call)
    outcome(result, call)


def one_sync(request: client_compat_pb2.ClientCompatRequest, result: client_compat_pb2.ClientResponseResult) -> None:
    """Make a call by the sync client."""
    call = call_of(request)
    with ConnectClientSync(**client_options(request), http_client=transport_of(transports["sync"], request)) as client:
        call_sync(client, call)
    outcome(result, call)


def requests() -> Iterable[client_compat_pb2.ClientCompatRequest]:
    """What the runner asks for, until it closes its end."""
    stream = sys.stdin.buffer
    while size := stream.read(4):
        yield client_compat_pb2.ClientCompatRequest.FromString(stream.read(struct.unpack(">I", size)[0]))


_output = threading.Lock()


def answer(response: client_compat_pb2.ClientCompatResponse) -> None:
    """Give the runner a response."""
    data = response.SerializeToString()
    with _output:
        sys.stdout.buffer.write(struct.pack(">I", len(data)) + data)
        sys.stdout.buffer.flush()


def failed(response: client_compat_pb2.ClientCompatResponse) -> None:
    """Say that a call could not be made as asked: the exception that is being handled."""
    response.ClearField("response")
    response.error.message = traceback.format_exc()


async def run_async(at_once: int) -> None:
    loop = asyncio.get_running_loop()
    places = asyncio.Semaphore(at_once)

    async def one(request: client_compat_pb2.ClientCompatRequest) -> None:
        response = client_compat_pb2.ClientCompatResponse(test_name=request.test_name)
        response.response.SetInParent()
        try:
            await one_async(request, response.response)
        except Exception:
            failed(response)
        finally:
            places.release()
        answer(response)

    incoming = iter(requests())
    async with asyncio.TaskGroup() as tasks:
        while (request := await loop.run_in_executor(None, next, incoming, None)) is not None:
            await places.acquire()
            tasks.create_task(one(request))


def run_sync(at_once: int) -> None:
    def one(request: client_compat_pb2.ClientCompatRequest) -> None:
        response = client_compat_pb2.ClientCompatResponse(test_name=request.test_name)
        response.response.SetInParent()
        try:
            one_sync(request, response.response)
        except Exception:
            failed(response)
        answer(response)

    with ThreadPoolExecutor(at_once) as threads:
        for request in requests():
            threads.submit(one, request)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=("async", "sync"), required=True)
    parser.add_argument("--modules", action="store_true", help="compress in this package's modules, whatever is installed")
    parser.add_argument("--pyqwest", action="store_true", help="send by pyqwest")
    parser.add_argument("--httpx", action="store_true", help="send by httpx2, or in threads by httpx")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="how many calls to make at a time")
    options = parser.parse_args()
    if options.pyqwest:
        transports.update({"async": PyqwestTransport, "sync": PyqwestTransportSync})
    if options.httpx:
        global library
        library = httpx2 if options.mode == "async" else httpx
        transports.update({"async": by_httpx, "sync": by_httpx})
    known_codings.update(codings(modules=options.modules))
    if options.mode == "async":
        asyncio.run(run_async(options.at_once))
    else:
        run_sync(options.at_once)


if __name__ == "__main__":
    main()
