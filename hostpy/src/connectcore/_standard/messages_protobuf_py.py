"""Messages of the standard services by `protobuf-py`."""

from __future__ import annotations

from typing import Any, Final

from protobuf import Registry
from protobuf._codegen import file_desc  # as generated code does  # pyright: ignore[reportUnknownVariableType]
from protobuf.wkt.google.protobuf.descriptor_pb import FileDescriptorProto

from .descriptors import FILES

__all__ = ["FileDescriptorProto", "chosen", "make", "message", "service"]

_REGISTRY: Final = Registry(*(file_desc(data, (), {}) for data in FILES))


def message(name: str) -> type[Any]:
    """The class of the message with this full name."""
    found = _REGISTRY.message(name)
    if found is None:
        raise KeyError(name)
    return found.type


def service(name: str) -> Any:
    """The descriptor of the service with this full name."""
    return _REGISTRY.service(name)


def make(kind: type[Any], /, **fields: Any) -> Any:
    """A message with these fields. Values are numbers, texts, bytes, messages, and lists and dicts of these."""
    made = kind()
    known = {field.name: field for field in kind.desc().fields}
    for name, value in fields.items():
        made[known[name]] = value
    return made


def chosen(message: Any, oneof: str) -> tuple[str, Any] | None:
    """Which field of a oneof is set, and its value."""
    found = getattr(message, oneof)
    return None if found is None else (found.field, found.value)
