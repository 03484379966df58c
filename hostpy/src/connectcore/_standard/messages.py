"""Message classes and methods of the standard services.

The classes belong to a pool of their own. In the process's default pool they would clash with those of `grpcio-health-checking`
and `grpcio-reflection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

try:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass
except ImportError as error:
    raise ImportError(
        "connectcore.health and connectcore.reflection need Google's protobuf, whatever messages the other services have: "
        "pip install 'connectcore[protobuf]'"
    ) from error

from ..method import IdempotencyLevel, MethodInfo, StreamType
from .descriptors import FILES

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

__all__ = ["FileDescriptorProto", "Named", "message", "method", "service"]

_POOL: Final = DescriptorPool()
for _file in FILES:
    _POOL.AddSerializedFile(_file)

_STREAM_TYPES: Final = {
    (False, False): StreamType.UNARY,
    (True, False): StreamType.CLIENT_STREAM,
    (False, True): StreamType.SERVER_STREAM,
    (True, True): StreamType.BIDI_STREAM,
}


def message(name: str) -> type[Any]:
    """The class of the message with this full name."""
    return GetMessageClass(_POOL.FindMessageTypeByName(name))


def service(name: str) -> ServiceDescriptor:
    """The descriptor of the service with this full name."""
    return _POOL.FindServiceByName(name)


class Named:
    """What an application of a standard service says of itself, whichever interface it serves."""

    _name: str
    """The service's full name."""

    @property
    def path(self) -> str:
        """Where to mount this application beside others."""
        return f"/{self._name}"

    def descriptor(self) -> ServiceDescriptor:
        """The service's descriptor."""
        return service(self._name)


def method(service_name: str, name: str) -> MethodInfo[Any, Any]:
    """What is known about a method."""
    found = service(service_name).methods_by_name[name]
    return MethodInfo(
        name=name,
        service_name=service_name,
        input=message(found.input_type.full_name),
        output=message(found.output_type.full_name),
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=_STREAM_TYPES[found.client_streaming, found.server_streaming],
    )
