"""Descriptors from files: a descriptor set, or `.proto` files by the compiler that is here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from .problem import FAILED, NO_SCHEMA, ProblemError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.descriptor_pb2 import FileDescriptorProto

__all__ = ["compiled", "descriptor_set"]

_SECONDS: Final = 60


def descriptor_set(path: str) -> list[FileDescriptorProto]:
    """The files in a descriptor set (`protoc --descriptor_set_out`, `buf build -o`). Raises ProblemError."""
    try:
        with open(path, "rb") as file:
            return _files(file.read(), path)
    except OSError as error:
        raise ProblemError(f"{path} cannot be read ({error.strerror})", NO_SCHEMA) from error


def compiled(paths: Sequence[str], folders: Sequence[str]) -> list[FileDescriptorProto]:
    """`.proto` files and all that they import.

    Args:
        paths: the files.
        folders: where imports are looked up; if there are none, the working directory for files below it, and else the file's
            own folder.

    Raises:
        ProblemError: no compiler is here, or it refuses a file.

    """
    for path in paths:
        if not os.path.isfile(path):
            raise ProblemError(f"there is no file {path}", NO_SCHEMA)
    roots = list(folders) or sorted({_root(path) for path in paths})
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "set.binpb")
        protoc = ["--include_imports", "--include_source_info", f"--descriptor_set_out={out}", *(f"-I{root}" for root in roots)]
        if find_spec("grpc_tools") is not None:
            command = [sys.executable, "-m", "grpc_tools.protoc", *protoc, *paths]
        elif (found := shutil.which("protoc")) is not None:
            command = [found, *protoc, *paths]
        elif (found := shutil.which("buf")) is not None:
            command = [found, "build", roots[0], *(part for path in paths for part in ("--path", path)), "-o", out]
        else:
            raise ProblemError(
                "nothing here compiles .proto files: pip install grpcio-tools, or put protoc or buf on the PATH, or give a "
                "descriptor set instead",
                FAILED,
            )
        try:
            done = subprocess.run(  # noqa: S603 - the command is made above
                command, capture_output=True, text=True, timeout=_SECONDS, check=False, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ProblemError(f"{command[0]} does not run: {error}") from error
        if done.returncode:
            raise ProblemError(f"the .proto files do not compile:\n{(done.stderr or done.stdout).strip()}", NO_SCHEMA)
        return descriptor_set(out)


def _files(data: bytes, path: str) -> list[FileDescriptorProto]:
    try:
        files = list(FileDescriptorSet.FromString(data).file)
    except DecodeError as error:
        raise ProblemError(f"{path} is no descriptor set: {error}", NO_SCHEMA) from error
    if not files:
        raise ProblemError(f"{path} is no descriptor set, or an empty one", NO_SCHEMA)
    return files


def _root(path: str) -> str:
    inside = os.path.relpath(path)
    return os.path.dirname(path) or "." if inside.startswith(os.pardir) or os.path.isabs(inside) else "."
