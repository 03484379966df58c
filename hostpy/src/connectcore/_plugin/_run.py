"""From a request to a response, both in protobuf's binary form, as protoc and buf have them."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Final

from .._codec.messages import decode_binary, encode_binary
from ._options import Options
from ._problem import ProblemError
from ._render import render
from ._schema import read_request

if TYPE_CHECKING:
    from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest

__all__ = ["run"]

# The same classes, of either message runtime: which one is at hand has nothing to do with whose messages the output uses.
_CLASSES: Final = ("google.protobuf.compiler.plugin_pb2", "protobuf.wkt.google.protobuf.compiler.plugin_pb")
# Numbers in descriptor.proto.
_EDITION_PROTO2: Final = 998
_EDITION_2024: Final = 1001


def run(data: bytes, *, official: bool = False) -> bytes:
    """Generate what the request asks for, or say in `error` why not. What is to be noted goes to standard error.

    Args:
        data: what protoc or buf ask for, a `CodeGeneratorRequest`.
        official: whether defaults and files' names are those of `protoc-gen-connectrpc`.

    Raises:
        ProblemError: there is nothing to read the request with, or it is none.

    """
    classes = _classes()
    try:
        request: CodeGeneratorRequest = decode_binary(classes.CodeGeneratorRequest, data)
    except Exception as error:  # the runtimes share no class for "does not decode"
        raise ProblemError("standard input is not what protoc or buf send to a plugin") from error
    response: Any = classes.CodeGeneratorResponse
    # Presence and editions' features concern fields; services and methods are alike in all of them.
    said = {
        "supported_features": _feature(response, "PROTO3_OPTIONAL") | _feature(response, "SUPPORTS_EDITIONS"),
        "minimum_edition": _EDITION_PROTO2,
        "maximum_edition": _EDITION_2024,
    }
    try:
        options = Options.parse(request.parameter, official=official)
        files = read_request(request, options)
        outputs = [response.File(name=file.path, content=render(file, options)) for file in files]
    except ProblemError as problem:
        return encode_binary(response(**said, error=str(problem)))
    for file in files:
        if file.note:
            print(f"protoc-gen-connectcore: note: {file.note}", file=sys.stderr)
    return encode_binary(response(**said, file=outputs))


def _feature(response: Any, name: str) -> int:
    google: int | None = getattr(response, f"FEATURE_{name}", None)
    return google if google is not None else int(response.Feature[name])


def _classes() -> Any:
    for name in _CLASSES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ProblemError(
        "generating code needs one of the message runtimes: pip install 'connectcore[protobuf]' for Google's, or "
        "'connectcore[protobuf-py]'"
    )
