"""The two message runtimes, told apart by their classes' shape: neither is imported before one of its classes is at hand.

Google's `protobuf` has `DESCRIPTOR`, `SerializeToString` and `FromString`; `protobuf-py` has `desc`, `to_binary` and
`from_binary`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "ANY_TYPE_NAME",
    "binary_decoder",
    "binary_encoder",
    "decode_binary",
    "described",
    "encode_binary",
    "find_class",
    "is_google",
    "is_protobuf_py",
    "not_a_message",
    "runtime_of",
    "type_name_of",
]

ANY_TYPE_NAME = "google.protobuf.Any"


def is_google(message_class: type[Any]) -> bool:
    """Whether this is a message class of Google's `protobuf`."""
    return hasattr(message_class, "SerializeToString") and hasattr(message_class, "DESCRIPTOR")


def is_protobuf_py(message_class: type[Any]) -> bool:
    """Whether this is a message class of `protobuf-py`."""
    return hasattr(message_class, "to_binary") and hasattr(message_class, "desc")


def runtime_of(message_class: type[Any]) -> str | None:
    """What a message class's runtime is called, for people; None where it is no message class."""
    return "Google's protobuf" if is_google(message_class) else "protobuf-py" if is_protobuf_py(message_class) else None


def described(kind: type[Any]) -> str:
    """A class's full name, for people."""
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def not_a_message(message_class: type[Any]) -> TypeError:
    """The error for a class of neither runtime."""
    return TypeError(f"{described(message_class)} is a message of neither Google's protobuf nor protobuf-py")


def type_name_of(message_class: type[Any]) -> str:
    """The message's full name in its `.proto` file.

    Raises:
        TypeError: it is no message class.

    """
    name: str
    if is_google(message_class):
        name = message_class.DESCRIPTOR.full_name
    elif is_protobuf_py(message_class):
        name = message_class.desc().type_name
    else:
        raise not_a_message(message_class)
    return name


def binary_encoder(message_class: type[Any]) -> Callable[[Any], bytes]:
    """The function that serializes messages of this class; nothing stands between it and the runtime."""
    encoder: Callable[[Any], bytes]
    if is_google(message_class):
        encoder = message_class.SerializeToString
    elif is_protobuf_py(message_class):
        encoder = message_class.to_binary
    else:
        raise not_a_message(message_class)
    return encoder


def binary_decoder(message_class: type[Any]) -> Callable[[bytes | bytearray | memoryview], Any]:
    """The function that parses messages of this class."""
    decoder: Callable[[bytes | bytearray | memoryview], Any]
    if is_google(message_class):
        decoder = message_class.FromString
    elif is_protobuf_py(message_class):
        decoder = message_class.from_binary
    else:
        raise not_a_message(message_class)
    return decoder


def encode_binary(message: Any) -> bytes:
    """Serialize one message."""
    message_class: type[Any] = message.__class__
    return binary_encoder(message_class)(message)


def decode_binary(message_class: type[Any], data: bytes | bytearray | memoryview) -> Any:
    """Parse one message."""
    return binary_decoder(message_class)(data)


def find_class(kind: Any, type_name: str) -> type[Any] | None:
    """The message class for `type_name` that `kind` leads to, or None.

    `kind` is a message class, or a descriptor of one, or a registry of them, of either runtime.

    Raises:
        TypeError: it is none of these.

    """
    if isinstance(kind, type):
        return kind if type_name_of(kind) == type_name else None
    if hasattr(kind, "FindMessageTypeByName"):  # Google's DescriptorPool
        try:
            kind = kind.FindMessageTypeByName(type_name)
        except KeyError:
            return None
    if hasattr(kind, "fields_by_number") and hasattr(kind, "full_name"):  # Google's Descriptor
        if kind.full_name != type_name:
            return None
        from google.protobuf.message_factory import GetMessageClass

        return GetMessageClass(kind)
    if hasattr(kind, "message") and hasattr(kind, "extension_for"):  # protobuf-py's Registry
        kind = kind.message(type_name)
        if kind is None:
            return None
    if hasattr(kind, "type_name") and hasattr(kind, "members"):  # protobuf-py's DescMessage
        return kind.type if kind.type_name == type_name else None
    raise TypeError(f"a message class, descriptor or registry is wanted, not {kind!r}")
