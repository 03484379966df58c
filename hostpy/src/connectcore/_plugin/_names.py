"""From names in `.proto` files to names in Python.

Methods and services are named as the official generator of `connectrpc` names them, so that code moves without renaming;
message classes and modules as each runtime's own generator names them, so that they are found.
"""

from __future__ import annotations

import hashlib
import keyword
import re
from typing import TYPE_CHECKING

from ._options import Messages

if TYPE_CHECKING:
    from ._options import Options

__all__ = [
    "CLIENT_ATTRIBUTES",
    "SERVICE_RESERVED",
    "ModulePath",
    "google_class",
    "method_name",
    "module",
    "protobuf_py_class",
    "service_name",
    "unwritable",
]

ModulePath = tuple[str, ...]
"""A module's path from the root of the generator's output: packages, then the module itself."""

CLIENT_ATTRIBUTES = frozenset(
    {
        "close",
        "desc",
        "execute_bidi_stream",
        "execute_client_stream",
        "execute_server_stream",
        "execute_unary",
    }
)
"""What clients and service protocols have of their own: a method of that name gets an underscore at its end."""

_KEYWORDS = frozenset(keyword.kwlist)
SERVICE_RESERVED = _KEYWORDS | {
    "TYPE_CHECKING",
    "annotations",
    "bool",
    "classmethod",
    "float",
    "int",
    "property",
    "str",
    "super",
}
"""Names that generated code uses as they are, at module level."""
_SPLIT_BEFORE_WORD = re.compile(r"([^_])([A-Z][a-z]+)")
_SPLIT_CASES = re.compile(r"([a-z])([A-Z])")


def _escape(name: str, reserved: frozenset[str]) -> str:
    # Names that already look escaped are escaped once more, so that two names never become one.
    if name.rstrip("_") in reserved:
        name += "_"
    if name.startswith(("_", "pb_")):
        name = "pb_" + name
    return name


def snake_case(name: str) -> str:
    """`GetHTTPInfo` as `get_http_info`."""
    name = _SPLIT_BEFORE_WORD.sub(r"\1_\2", name)
    return _SPLIT_CASES.sub(r"\1_\2", name).lower()


def method_name(name: str) -> str:
    """The Python name of a method."""
    return _escape(snake_case(name), _KEYWORDS | CLIENT_ATTRIBUTES)


def service_name(name: str) -> str:
    """The Python name of a service; its application's and clients' names are made from it."""
    return _escape(name, SERVICE_RESERVED)


def unwritable(name: str) -> bool:
    """Whether Python source cannot have this name in an import or after a dot, also not inside a class."""
    return not name.isidentifier() or keyword.iskeyword(name)


def module(proto_file: str, options: Options) -> ModulePath:
    """Where the messages' generator puts the code of a file, without the suffix `_pb2` or `_pb`."""
    if options.messages is Messages.GOOGLE:
        return _google_module(proto_file)
    parts = proto_file.removesuffix(".proto").split("/")
    return tuple(_protobuf_py_component(part, hashed=options.hashed_modules) for part in parts)


def _google_module(proto_file: str) -> ModulePath:
    # Dashes become underscores, dots directories.
    return tuple(proto_file.removesuffix(".proto").replace("-", "_").replace("/", ".").split("."))


def google_class(path: list[str]) -> str | None:
    """The expression for a message after its module, from its names outermost first; None if Python cannot write it."""
    # Inside a class, Python mangles names that start with two underscores.
    if any(unwritable(name) or name.startswith("__") for name in path):
        return None
    return ".".join(path)


def _protobuf_py_component(part: str, *, hashed: bool) -> str:
    name = re.sub(r"[^a-zA-Z0-9_]", "_", part)
    if hashed and name != part:
        name += f"_{hashlib.sha256(part.encode()).hexdigest()[:8]}"
    if name[:1].isdigit():
        name = "_" + name
    name = _escape(name, _KEYWORDS)
    return name + "_" if name.rstrip("_").endswith("_pb") else name


_PROTOBUF_PY_RESERVED = _KEYWORDS | {
    "bool",
    "bytes",
    "clear_field",
    "desc",
    "dict",
    "float",
    "from_binary",
    "from_json",
    "has_field",
    "int",
    "list",
    "self",
    "str",
    "to_binary",
    "to_json",
}


def protobuf_py_class(path: list[str]) -> str:
    """The expression for a message after its module, from its names outermost first."""
    names = (_escape(name, _PROTOBUF_PY_RESERVED) for name in path)
    return ".".join("pb_" + name if name.startswith("ext_") else name for name in names)
