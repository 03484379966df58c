"""Messages of the standard services by Google's `protobuf`."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from .descriptors import FILES

__all__ = ["FileDescriptorProto", "chosen", "make", "message", "service"]

_POOL: Final = DescriptorPool()
for _file in FILES:
    _POOL.AddSerializedFile(_file)


def message(name: str) -> type[Any]:
    """The class of the message with this full name."""
    return GetMessageClass(_POOL.FindMessageTypeByName(name))


def service(name: str) -> Any:
    """The descriptor of the service with this full name."""
    return _POOL.FindServiceByName(name)


def make(kind: type[Any], /, **fields: Any) -> Any:
    """A message with these fields. Values are numbers, texts, bytes, messages, and lists and dicts of these."""
    return kind(**fields)


def chosen(message: Any, oneof: str) -> tuple[str, Any] | None:
    """Which field of a oneof is set, and its value."""
    field: str | None = message.WhichOneof(oneof)
    return None if field is None else (field, getattr(message, field))
