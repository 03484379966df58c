"""What the command line's tests share: a service whose messages are made at run time, on our own server and on grpcio's."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from connectcore._cli import main
from connectcore.code import Code
from connectcore.codec import proto_binary_codec, proto_json_codec
from connectcore.errors import ConnectError, ErrorDetail
from connectcore.method import StreamType
from connectcore.reflection import with_reflection
from connectcore.server import ConnectASGIApplication, ConnectASGIRouter, Endpoint
from stream_support import under_uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    import pytest

    from connectcore._cli.schema import Schema

SERVICE = "cli.v1.TalkService"
TYPES = """
syntax = "proto3";
package cli.v1;
message Say { string text = 1; int32 count = 2; }
message Reason { string why = 1; }
"""
PROTO = """
syntax = "proto3";
package cli.v1;
import "cli/v1/types.proto";
import "google/protobuf/any.proto";
service TalkService {
  rpc Talk(Say) returns (Say) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc TalkMany(Say) returns (stream Say);
  rpc TalkGroup(stream Say) returns (Say);
  rpc Chat(stream Say) returns (stream Say);
  rpc Wrap(Say) returns (google.protobuf.Any);
}
"""


def written(folder: Path) -> Path:
    """The service's files below a folder; the path of the one with the service."""
    (folder / "cli/v1").mkdir(parents=True)
    (folder / "cli/v1/types.proto").write_text(TYPES)
    path = folder / "cli/v1/talk.proto"
    path.write_text(PROTO)
    return path


class Talk(ConnectASGIApplication[Any]):
    """The service. A text `CODE: MESSAGE` fails so, with a detail."""

    path = f"/{SERVICE}"

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._say: Any = schema.message("cli.v1.Say")
        makers: dict[StreamType, tuple[Any, Any]] = {
            StreamType.UNARY: (Endpoint.unary, self._one),
            StreamType.SERVER_STREAM: (Endpoint.server_stream, self._many),
            StreamType.CLIENT_STREAM: (Endpoint.client_stream, self._group),
            StreamType.BIDI_STREAM: (Endpoint.bidi_stream, self._chat),
        }
        endpoints: dict[str, Any] = {}
        for method in schema.methods():
            make, function = makers[method.stream_type]
            if method.name == "Wrap":
                function = self._wrap
            endpoints[f"/{method.service_name}/{method.name}"] = make(method, function)
        codecs = [proto_binary_codec(), proto_json_codec(schema.pool)]
        super().__init__(service=None, endpoints=lambda _: endpoints, codecs=codecs)

    def descriptor(self) -> Any:
        return self._schema.pool.FindServiceByName(SERVICE)

    def _answer(self, request: Any, ctx: Any) -> Any:
        ctx.response_headers["x-lead"] = ctx.request_headers.get("x-sent", "")
        ctx.response_trailers["x-trail"] = "2"
        code, mark, text = request.text.partition(": ")
        if mark:
            reason: Any = self._schema.message("cli.v1.Reason")
            raise ConnectError(Code(code), text, [reason(why="so"), ErrorDetail.from_bytes("un.Known", b"\x01")])
        return self._say(text=request.text.upper(), count=request.count)

    async def _one(self, request: Any, ctx: Any) -> Any:
        return self._answer(request, ctx)

    async def _many(self, request: Any, ctx: Any) -> AsyncIterator[Any]:
        for number in range(request.count):
            yield self._say(text=request.text, count=number)
        self._answer(request, ctx)

    async def _group(self, requests: AsyncIterator[Any], ctx: Any) -> Any:
        return self._say(text=" ".join([request.text async for request in requests]))

    async def _chat(self, requests: AsyncIterator[Any], ctx: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield self._answer(request, ctx)

    async def _wrap(self, request: Any, ctx: Any) -> Any:
        method = self._schema.method("Wrap")
        packed = method.output()
        packed.Pack(request)
        return packed


@contextlib.contextmanager
def serving(application: Any, **options: Any) -> Iterator[str]:
    """An application under uvicorn. Gives host and port."""
    with under_uvicorn(application, **options) as address:
        yield address.removeprefix("http://")


def reflecting(schema: Schema) -> ConnectASGIRouter:
    """The service, which tells about itself."""
    return ConnectASGIRouter(*with_reflection(Talk(schema)))


@contextlib.contextmanager
def serving_grpcio(schema: Schema) -> Iterator[str]:
    """A part of the service on grpcio's server, with its reflection, which is v1alpha only. Gives host and port."""
    import grpc  # type: ignore[import-untyped]
    from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

    say: Any = schema.message("cli.v1.Say")

    def chat(requests: Iterator[Any], _: Any) -> Iterator[Any]:
        for request in requests:
            yield say(text=request.text.upper())

    def talk(request: Any, context: Any) -> Any:
        if request.text == "fail":
            context.abort(grpc.StatusCode.NOT_FOUND, "nothing")
        return say(text=request.text.upper())

    read, write = say.FromString, say.SerializeToString
    handlers: Any = {
        "Talk": grpc.unary_unary_rpc_method_handler(talk, read, write),
        "Chat": grpc.stream_stream_rpc_method_handler(chat, read, write),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    reflection.enable_server_reflection((SERVICE,), server, pool=schema.pool)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


class Ran:
    """What a command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> Ran:
    """Run a command in this process."""
    arguments: Sequence[str] = [str(word) for word in words]
    code = main(arguments)
    said = capsys.readouterr()
    return Ran(code, said.out, said.err)


def press_ctrl_c(process: subprocess.Popen[str]) -> int:
    """The exit code of a process that gets SIGINT, again if it did not hear it: so it is just before a wait in the system."""
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(10)
    raise AssertionError("it goes on")
