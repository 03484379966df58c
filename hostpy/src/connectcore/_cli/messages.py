"""Messages as JSON for people and programs: requests read, responses and errors written."""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import click
from google.protobuf import descriptor_pool, json_format

from .._wasm import abi
from .problem import CALL, NO_SCHEMA, ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..errors import ConnectError, ErrorDetail
    from .schema import Schema

__all__ = ["code_of", "error_json", "lines_of", "message_from", "message_json", "read_all"]


def lines_of(data: str | None) -> Iterator[tuple[str, str]]:
    """The lines of the input that hold anything, as they come, each with what to call it."""
    lines: Iterable[str]
    if data is None or data in ("-", "@-"):
        name, lines = "standard input", _typed()
    elif data.startswith("@"):
        name, lines = data[1:], _opened(data[1:])
    else:
        name, lines = "-d", data.splitlines()
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{name}, line {number}", line


def read_all(data: str) -> tuple[str, str]:
    """The input as a whole, with what to call it."""
    if data in ("-", "@-"):
        return "standard input", sys.stdin.read()
    if data.startswith("@"):
        return data[1:], "".join(_opened(data[1:]))
    return "-d", data


def _typed() -> Iterator[str]:
    """Standard input, line by line. Without Python's lock on it, which a thread that waits here would keep for ever."""
    try:
        descriptor = sys.stdin.fileno()
    except (OSError, ValueError):
        yield from sys.stdin  # a test's
        return
    rest = b""
    while data := os.read(descriptor, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)
    yield rest.decode("utf-8", "replace")


def _opened(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path} cannot be read ({error})") from None


def message_from(name: str, text: str, kind: type[Any], schema: Schema) -> Any:
    """A message from JSON. Raises UsageError, which names the input."""
    try:
        return json_format.Parse(text, kind(), descriptor_pool=schema.pool)
    except (json_format.ParseError, ValueError, RecursionError) as error:
        what = kind.DESCRIPTOR.full_name
        raise click.UsageError(f"{name}: this is no {what} in JSON: {str(error) or type(error).__name__}") from None


def message_json(message: Any, schema: Schema, *, defaults: bool = False) -> Any:
    """A message as JSON's values. Raises ProblemError for one that holds a message of a type that is not known."""
    try:
        return json_format.MessageToDict(message, descriptor_pool=schema.pool, always_print_fields_with_no_presence=defaults)
    except (TypeError, ValueError, json_format.SerializeToJsonError) as error:
        raise ProblemError(f"a {message.DESCRIPTOR.full_name} cannot be shown in JSON: {error}", NO_SCHEMA) from error


def error_json(error: ConnectError, schema: Schema) -> dict[str, Any]:
    """An error as JSON's values. `debug` of a detail is its message, where its type is known."""
    said: dict[str, Any] = {"code": error.code.value, "message": error.message}
    if error.details:
        said["details"] = [_detail(each, schema) for each in error.details]
    return said


def _detail(detail: ErrorDetail, schema: Schema) -> dict[str, Any]:
    said: dict[str, Any] = {"type": detail.type_name, "value": b64encode(detail.message_bytes).decode("ascii")}
    message = detail.value(schema.pool)
    if message is None:
        try:
            from google.rpc import error_details_pb2 as _  # type: ignore[import-untyped]  # noqa: F401 - for the pool
        except ImportError:
            pass
        message = detail.value(descriptor_pool.Default())
    if message is not None:
        try:
            said["debug"] = message_json(message, schema)
        except ProblemError:
            pass  # it holds an Any whose type is not known
    return said


def code_of(error: ConnectError) -> int:
    """The exit code for a call that failed."""
    return CALL + abi.CODES.index(error.code.value)
