"""Message classes and methods of the standard services, of the message runtime that is there; of Google's, where both are.

The classes are made from `descriptors` and belong to this package alone: what `grpcio-health-checking` and `grpcio-reflection`
register in the process's default pool does not clash with them.
"""

from __future__ import annotations

from typing import Any, Final

from .._codec.messages import decode_binary
from ..method import IdempotencyLevel, MethodInfo, StreamType
from .descriptors import FILES

try:
    from . import messages_google as _runtime
except ImportError:
    try:
        from . import messages_protobuf_py as _runtime  # type: ignore[no-redef]
    except ImportError as error:
        raise ImportError(
            "connectcore.health and connectcore.reflection need a message runtime, either of them: "
            "pip install 'connectcore[protobuf]' for Google's, or 'connectcore[protobuf-py]'"
        ) from error

__all__ = ["Named", "chosen", "file_proto", "make", "message", "method", "service"]

# Each runtime's own way to do these.
message = _runtime.message
service = _runtime.service
make = _runtime.make
chosen = _runtime.chosen

_STREAM_TYPES: Final = {
    (False, False): StreamType.UNARY,
    (True, False): StreamType.CLIENT_STREAM,
    (False, True): StreamType.SERVER_STREAM,
    (True, True): StreamType.BIDI_STREAM,
}


def file_proto(data: bytes) -> Any:
    """A `.proto` file's descriptor, as the message that it is. Both runtimes call its fields by the same names."""
    return decode_binary(_runtime.FileDescriptorProto, data)


_METHODS: Final = {
    f"{file.package}.{each.name}/{method.name}": method
    for file in map(file_proto, FILES)
    for each in file.service
    for method in each.method
}


class Named:
    """What an application of a standard service says of itself, whichever interface it serves."""

    _name: str
    """The service's full name."""

    @property
    def path(self) -> str:
        """Where to mount this application beside others."""
        return f"/{self._name}"

    def descriptor(self) -> object:
        """The service's descriptor."""
        return service(self._name)


def method(service_name: str, name: str) -> MethodInfo[Any, Any]:
    """What is known about a method."""
    found = _METHODS[f"{service_name}/{name}"]
    return MethodInfo(
        name=name,
        service_name=service_name,
        input=message(found.input_type[1:]),
        output=message(found.output_type[1:]),
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=_STREAM_TYPES[found.client_streaming, found.server_streaming],
    )
