"""Protobuf's JSON form for messages of Google's `protobuf`; imported with the first such message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToJson, Parse

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["json_decoder", "json_encoder"]


def json_encoder(message_class: type[Any], registry: Any) -> Callable[[Any], bytes]:  # noqa: ARG001
    """The function that writes messages of this class, in one line, as UTF-8."""
    pool = _pool(registry)

    def encode(message: Any) -> bytes:
        return MessageToJson(message, indent=None, ensure_ascii=False, descriptor_pool=pool).encode()

    return encode


def json_decoder(message_class: type[Any], registry: Any, *, ignore_unknown_fields: bool) -> Callable[[bytes], Any]:
    """The function that reads messages of this class."""
    pool = _pool(registry)

    def decode(data: bytes) -> Any:
        # Decoding first: the parser would take UTF-16 as well, which is no ProtoJSON.
        text = bytes(data).decode()
        return Parse(text, message_class(), ignore_unknown_fields=ignore_unknown_fields, descriptor_pool=pool)

    return decode


def _pool(registry: Any) -> Any:
    if registry is not None and not hasattr(registry, "FindMessageTypeByName"):
        raise TypeError(f"for Google's messages the registry must be a DescriptorPool, not {registry!r}")
    return registry
