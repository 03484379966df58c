"""The `.proto` files that reflection tells of: found from the services' descriptors, of either message runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .messages import file_proto

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Files"]


class Files:
    """Files with all that they import, found by name, by symbol and by extension.

    Args:
        files: descriptors of files, of Google's `protobuf` or of `protobuf-py`. Where two have the same name, the first counts.

    """

    def __init__(self, files: Iterable[Any]) -> None:
        self._files: dict[str, tuple[bytes, Sequence[str]]] = {}
        self._symbols: dict[str, str] = {}
        self._extensions: dict[str, dict[int, str]] = {}
        for file in files:
            self.add(file)

    def add(self, file: Any) -> None:
        """Know one more file, and what it imports."""
        if file.name in self._files:
            return
        data: bytes = file.serialized_pb if hasattr(file, "serialized_pb") else file.proto.to_binary()
        proto = file_proto(data)
        self._files[file.name] = data, proto.dependency
        for symbol in _symbols(proto):
            self._symbols.setdefault(symbol, file.name)
        for extendee, number in _extensions(proto):
            self._extensions.setdefault(extendee, {}).setdefault(number, file.name)
        for imported in file.dependencies:
            self.add(imported)

    def by_name(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return name in self._files

    def of_symbol(self, symbol: str) -> str | None:
        """The name of the file that defines a symbol, by its full name: a message, its field, a method and so on."""
        return self._symbols.get(symbol)

    def of_extension(self, extendee: str, number: int) -> str | None:
        """The name of the file that defines an extension of a message."""
        return self._extensions.get(extendee, {}).get(number)

    def extension_numbers(self, extendee: str) -> list[int] | None:
        """The numbers of all known extensions of a message; None if it is no message that is known."""
        return sorted(self._extensions.get(extendee, {})) if extendee in self._symbols else None

    def with_imports(self, name: str, sent: set[str]) -> list[bytes]:
        """A file, and all that it imports but what was sent before, serialized. What is given counts as sent."""
        found: list[bytes] = []
        waiting = [name]
        sent.discard(name)
        while waiting:
            each = waiting.pop(0)
            if each not in sent:
                sent.add(each)
                data, imports = self._files[each]
                found.append(data)
                waiting += imports
        return found


def _symbols(file: Any) -> Iterator[str]:
    scope = f"{file.package}." if file.package else ""
    for message in file.message_type:
        yield from _message(scope, message)
    for enum in file.enum_type:
        yield from _enum(scope, enum)
    for service in file.service:
        yield scope + service.name
        yield from (f"{scope}{service.name}.{method.name}" for method in service.method)
    yield from (scope + extension.name for extension in file.extension)


def _message(scope: str, message: Any) -> Iterator[str]:
    yield scope + message.name
    inner = f"{scope}{message.name}."
    for each in (*message.field, *message.oneof_decl, *message.extension):
        yield inner + each.name
    for nested in message.nested_type:
        yield from _message(inner, nested)
    for enum in message.enum_type:
        yield from _enum(inner, enum)


def _enum(scope: str, enum: Any) -> Iterator[str]:
    yield scope + enum.name
    yield from (scope + value.name for value in enum.value)  # a value is a sibling of its enum, not a part of it


def _extensions(scope: Any) -> Iterator[tuple[str, int]]:
    """Extensions in a file or a message."""
    for extension in scope.extension:
        yield extension.extendee.lstrip("."), extension.number
    for message in scope.message_type if hasattr(scope, "message_type") else scope.nested_type:
        yield from _extensions(message)
