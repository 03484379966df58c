"""From a request to a response."""

from __future__ import annotations

import sys

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import Edition

from ._options import Options
from ._problem import ProblemError
from ._render import render
from ._schema import read_request

__all__ = ["run"]


def run(request: CodeGeneratorRequest, *, official: bool = False) -> CodeGeneratorResponse:
    """Generate what the request asks for, or say in `error` why not. What is to be noted goes to standard error.

    Args:
        request: what protoc or buf ask for.
        official: whether defaults and files' names are those of `protoc-gen-connectrpc`.

    """
    response = CodeGeneratorResponse()
    # Presence and editions' features concern fields; services and methods are alike in all of them.
    response.supported_features = (
        CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL | CodeGeneratorResponse.FEATURE_SUPPORTS_EDITIONS
    )
    response.minimum_edition = Edition.EDITION_PROTO2
    response.maximum_edition = Edition.EDITION_2024
    try:
        options = Options.parse(request.parameter, official=official)
        for file in read_request(request, options):
            response.file.add(name=file.path, content=render(file, options))
            if file.note:
                print(f"protoc-gen-connectcore: note: {file.note}", file=sys.stderr)
    except ProblemError as problem:
        del response.file[:]
        response.error = str(problem)
    return response
