"""Messages and methods that are known at run time only, as classes of Google's `protobuf`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ..method import IdempotencyLevel, MethodInfo, StreamType
from .problem import NO_SCHEMA, ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

__all__ = ["Schema", "file_from", "service_of"]

_COMMON: Final = ("any", "api", "duration", "empty", "field_mask", "source_context", "struct", "timestamp", "type", "wrappers")
_STREAMS: Final = {
    (False, False): StreamType.UNARY,
    (True, False): StreamType.CLIENT_STREAM,
    (False, True): StreamType.SERVER_STREAM,
    (True, True): StreamType.BIDI_STREAM,
}
_LEVELS: Final = {
    descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS: IdempotencyLevel.NO_SIDE_EFFECTS,
    descriptor_pb2.MethodOptions.IDEMPOTENT: IdempotencyLevel.IDEMPOTENT,
}


def file_from(data: bytes) -> descriptor_pb2.FileDescriptorProto:
    """A file's descriptor. Raises ProblemError."""
    try:
        return descriptor_pb2.FileDescriptorProto.FromString(data)
    except Exception as error:
        raise ProblemError(f"a file's descriptor does not decode: {error}", NO_SCHEMA) from error


def service_of(method: str) -> str:
    """The service in a method's name; empty where it has none."""
    name = method.strip("/")
    service, mark, _ = name.rpartition("/")
    return service if mark else name.rpartition(".")[0]


class Schema:
    """What a set of `.proto` files defines.

    Args:
        files: their descriptors, imports among them, in any order. The well-known types may be left out.
        source: where they come from, for error texts.

    Raises:
        ProblemError: they do not fit together.

    """

    def __init__(self, files: Iterable[descriptor_pb2.FileDescriptorProto], source: str) -> None:
        self.source = source
        self.pool = descriptor_pool.DescriptorPool()
        self._known = {file.name: file for file in files}
        self._added: set[str] = set()
        for name in list(self._known):
            self._add(name, ())

    def methods(self) -> Iterator[MethodInfo[Any, Any]]:
        """All methods, in the order of the files."""
        for service in self._services():
            for method in service.methods:
                yield self._info(method)

    def method(self, name: str) -> MethodInfo[Any, Any]:
        """A method, by `package.Service/Method`, with dots only, or by an end that only one has. Raises ProblemError."""
        wanted = name.strip("/").replace("/", ".")
        found = {path(method): method for service in self._services() for method in service.methods}
        exact = [method for each, method in found.items() if each.replace("/", ".") == wanted]
        close = [method for each, method in found.items() if each.replace("/", ".").endswith(f".{wanted}")]
        chosen = exact or close
        if len(chosen) == 1:
            return self._info(chosen[0])
        listed = ", ".join(path(each) for each in chosen) if chosen else ", ".join(found) or "no method at all"
        what = "means several methods" if chosen else "is no method that is known"
        raise ProblemError(f"{name!r} {what}; {self.source} has {listed}", NO_SCHEMA)

    def message(self, full_name: str) -> type[Any] | None:
        """The class of a message; None where it is not known."""
        try:
            return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(full_name))
        except KeyError:
            return None

    def _services(self) -> Iterator[ServiceDescriptor]:
        for name in self._known:
            file = self.pool.FindFileByName(name)
            yield from file.services_by_name.values()

    def _info(self, method: MethodDescriptor) -> MethodInfo[Any, Any]:
        stream_type = _STREAMS[bool(method.client_streaming), bool(method.server_streaming)]
        return MethodInfo(
            name=method.name,
            service_name=method.containing_service.full_name,
            input=message_factory.GetMessageClass(method.input_type),
            output=message_factory.GetMessageClass(method.output_type),
            idempotency_level=_LEVELS.get(method.GetOptions().idempotency_level, IdempotencyLevel.UNKNOWN),
            stream_type=stream_type,
        )

    def _add(self, name: str, above: tuple[str, ...]) -> None:
        """Add a file to the pool, after all that it imports."""
        if name in self._added:
            return
        if name in above:
            raise ProblemError(f"{self.source}: {name} imports itself", NO_SCHEMA)
        file = self._known.get(name) or _well_known().get(name)
        if file is None:
            raise ProblemError(
                f"{self.source} lacks {name}, which {above[-1]} imports: make the set with protoc's --include_imports",
                NO_SCHEMA,
            )
        for imported in file.dependency:
            self._add(imported, (*above, name))
        try:
            self.pool.AddSerializedFile(file.SerializeToString())
        except TypeError as error:
            raise ProblemError(f"{self.source}: {name} does not fit: {error}", NO_SCHEMA) from error
        self._added.add(name)


def path(method: MethodDescriptor) -> str:
    """`package.Service/Method`."""
    return f"{method.containing_service.full_name}/{method.name}"


def _well_known() -> Mapping[str, descriptor_pb2.FileDescriptorProto]:
    """The files that Google's runtime carries."""
    if not _FILES:
        for name in (*_COMMON, "descriptor"):
            found: Any = importlib.import_module(f"google.protobuf.{name}_pb2")
            file = descriptor_pb2.FileDescriptorProto()
            found.DESCRIPTOR.CopyToProto(file)
            _FILES[file.name] = file
    return _FILES


_FILES: Final[dict[str, descriptor_pb2.FileDescriptorProto]] = {}
