"""Messages of 256 MiB that come compressed, in every place of a request and of a response that carries compressed bytes.

They come to `resource_exhausted`, and the process never has more than 24 MiB beside what it had. Each is measured in a process
of its own, because what another one left behind could be used again.
"""

from __future__ import annotations

import base64
import contextlib
import os
import sys
import time
import traceback
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import brotli
import cramjam
import pytest
import zstandard

import module_support
from client_support import MESSAGE
from client_support import call as call_client
from compression_support import CODINGS, WAYS, packed
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from server_support import ALL, CLIENT, CONNECT, GRPC, SERVER, Request, Server, envelope, message
from stream_support import call_any
from test_client_transport import Canned
from test_compression_server import GRPC_WEB, code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE = 256 << 20
SHORT = "snappy, 64 MiB"
"""Snappy makes a message twenty times smaller at most. What is over the limit as it comes is not decompressed: this one is."""
PIECE = 64 << 10
MOST = 24 << 10  # KiB
SMALL = message("small " * 500)
QUERY = 1 << 20
"""The longest bomb that is put into a query: only snappy's is longer, and servers take less."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process's memory")


def pieces(data: bytes) -> list[bytes]:
    return [data[at : at + PIECE] for at in range(0, len(data), PIECE)]


def to_servers(name: str, data: bytes) -> Iterator[tuple[str, Request]]:
    """Every place of a request."""
    plain = [("content-encoding", name)]
    yield "request", Request(chunks=pieces(data), fields=plain)
    yield "request of unknown length", Request(chunks=pieces(data), fields=plain, length=False)
    query = base64.urlsafe_b64encode(data[:QUERY]).decode()
    query = f"connect=v1&encoding=proto&base64=1&compression={name}&message={query}"
    yield "query", Request(http_method="GET", query=query, content_type="", chunks=[])
    enveloped = envelope(data, 1)
    fields = [("connect-content-encoding", name)]
    yield "Connect stream", Request(CLIENT, pieces(enveloped), fields=fields, **CONNECT)
    fields = [("grpc-encoding", name)]
    yield "gRPC", Request(chunks=pieces(enveloped), fields=fields, **GRPC)
    yield "gRPC stream", Request(CLIENT, pieces(enveloped), fields=fields, **GRPC)
    yield "gRPC-Web", Request(chunks=pieces(enveloped), fields=fields, **GRPC_WEB)
    text = {**GRPC_WEB, "content_type": "application/grpc-web-text"}
    yield "gRPC-Web as text", Request(chunks=pieces(base64.b64encode(enveloped)), fields=fields, **text)


def to_clients(name: str, data: bytes) -> Iterator[tuple[str, Code, dict[str, Any]]]:
    """Every place of a response, what a client makes of it, and its options."""

    def said(content_type: str, field: str, content: bytes, status: int = 200, **options: Any) -> dict[str, Any]:
        length = len(content) if options.pop("length", True) else None
        fields = [("content-type", content_type), (field, name)]
        return {"http_client": Canned(*pieces(content), status=status, fields=fields, length=length), **options}

    large = Code.RESOURCE_EXHAUSTED
    proto, json = ("application/proto", "content-encoding"), ("application/json", "content-encoding")
    web = ("application/grpc-web+proto", "grpc-encoding")
    yield "response", large, said(*proto, data)
    yield "response of unknown length", large, said(*proto, data, length=False)
    yield "error", large, said(*json, data, status=503)
    end = envelope(b"grpc-status: 0\r\n", 0x80)
    yield "gRPC-Web message", large, said(*web, envelope(data, 1) + end, protocol=ProtocolType.GRPC_WEB)
    trailers = envelope(MESSAGE.SerializeToString()) + envelope(data, 0x81)
    yield "gRPC-Web trailers", large, said(*web, trailers, protocol=ProtocolType.GRPC_WEB)
    grpc = said("application/grpc+proto", "grpc-encoding", envelope(data, 1), protocol=ProtocolType.GRPC, length=False)
    grpc["http_client"].trailers = [("grpc-status", "0")]
    yield "gRPC message", large, grpc
    connect = ("application/connect+proto", "connect-content-encoding")
    yield "Connect stream", large, said(*connect, envelope(data, 1) + envelope(b"{}", 2), stream=True)
    yield "Connect end marker", large, said(*connect, envelope(data, 3), stream=True)


def play(mode: str, options: dict[str, Any]) -> None:
    """A call of a stream. Raises ConnectError."""
    client = (ConnectClientSync if mode == "sync" else ConnectClient)("http://a", **options)
    outcome = call_any(client, SERVER, ["a"])
    if outcome.error is not None:
        raise outcome.error


def places(way: str, side: str, data: bytes) -> Iterator[tuple[str, Callable[[], object], object]]:
    """Names, what makes the call, and what it must come to."""
    compression = WAYS[way]
    if side in ("asgi", "wsgi"):
        server = Server(side, ALL, {"compressions": [compression]})
        for place, request in to_servers(compression.name(), data):
            yield place, lambda request=request: code(server.call(request)), "resource_exhausted"  # type: ignore[misc]
        return
    for place, verdict, options in to_clients(compression.name(), data):

        def fail(options: dict[str, Any] = options) -> Code:
            options["accept_compression"] = [compression]
            try:
                if options.pop("stream", False):
                    play(side, options)
                else:
                    call_client(side, "http://a", **options)
            except ConnectError as error:
                return error.code
            raise AssertionError("it went well")

        yield place, fail, verdict


def memory(which: str) -> int:
    """KiB that this process has (VmRSS), or had at most (VmHWM)."""
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith(which)]
    return int(line.split()[1])


def measure(way: str, side: str, path: str) -> None:
    """Print by how many KiB the memory grew, and the CPU's ms, for every place: what the tests' child processes do."""
    bomb = Path(path).read_bytes()
    small = packed(WAYS[way].name(), SMALL)
    for number in range(len(list(places(way, side, small)))):
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            continue
        try:
            call = list(places(way, side, small))[number][1]
            with contextlib.suppress(Exception):  # so that all is loaded; what comes of it does not matter
                call()
            place, call, verdict = list(places(way, side, bomb))[number]
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")  # the peak is now what is in use
            before, begun = memory("VmRSS"), time.process_time()
            found = call()
            print(memory("VmHWM") - before, round((time.process_time() - begun) * 1000), place, flush=True)
            assert found == verdict, (place, found)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


@dataclass
class Measured:
    """What one bomb cost: KiB of memory, and milliseconds of the CPU."""

    place: str
    grown: int
    cpu: int


def measured(what: str, side: str, bombs: dict[str, Path]) -> list[Measured]:
    """What a bomb costs in every place, measured in processes of their own. Fails where one comes to anything else."""
    here = str(Path(__file__).parent)
    way = "snappy" if what is SHORT else what
    bomb = str(bombs[SHORT if what is SHORT else WAYS[way].name()])
    said = module_support.run(
        f"import sys; sys.path.insert(0, {here!r}); import test_bombs; test_bombs.measure({way!r}, {side!r}, {bomb!r})",
        cache="",
    )
    parts = [line.split(maxsplit=2) for line in said.splitlines()]
    return [Measured(place, int(grown), int(cpu)) for grown, cpu, place in parts]


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make(tmp_path_factory.mktemp("bombs"), SIZE)


def make(folder: Path, size: int) -> dict[str, Path]:
    """Files of bombs of this size, made piece by piece."""
    zero = bytes(1 << 20)
    gzip, deflate = zlib.compressobj(9, zlib.DEFLATED, 31), zlib.compressobj(9)
    br, zstd, snappy = brotli.Compressor(quality=5), zstandard.ZstdCompressor().compressobj(), cramjam.snappy.Compressor()
    made: dict[str, tuple[Callable[[bytes], Any], Callable[[], Any]]] = {
        "gzip": (gzip.compress, gzip.flush),
        "deflate": (deflate.compress, deflate.flush),
        "br": (br.process, br.finish),
        "zstd": (zstd.compress, zstd.flush),
        "snappy": (lambda data: bytes(snappy.compress(data) and snappy.flush()), lambda: bytes(snappy.finish())),
    }
    for coding, (compress, finish) in made.items():
        with open(folder / coding, "wb") as file:
            file.writelines(compress(zero) for _ in range(size // len(zero)))
            file.write(finish())
    (folder / SHORT).write_bytes(packed("snappy", bytes(64 << 20)))
    return {name: folder / name for name in (*made, SHORT)}


@pytest.mark.parametrize("side", ["asgi", "wsgi", "async", "sync"])
@pytest.mark.parametrize("what", [*WAYS, SHORT])
def test_bomb(what: str, side: str, bombs: dict[str, Path]) -> None:
    grown = {each.place: each.grown for each in measured(what, side, bombs)}
    assert len(grown) == 8
    assert {place: size for place, size in grown.items() if size > MOST} == {}


def test_they_are_bombs(bombs: dict[str, Path]) -> None:
    for coding in CODINGS:
        size = bombs[coding].stat().st_size
        assert size > 4 << 20 if coding == "snappy" else size < 1 << 20
    assert 3 << 20 < bombs[SHORT].stat().st_size < 4 << 20
