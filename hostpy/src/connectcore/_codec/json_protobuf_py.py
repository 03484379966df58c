"""Protobuf's JSON form for messages of `protobuf-py`; imported with the first such message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protobuf import Registry
from protobuf.wkt.google.protobuf import (
    any_pb,
    api_pb,
    descriptor_pb,
    duration_pb,
    empty_pb,
    field_mask_pb,
    source_context_pb,
    struct_pb,
    timestamp_pb,
    type_pb,
    wrappers_pb,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["json_decoder", "json_encoder"]

_WELL_KNOWN = Registry(
    any_pb.desc(),
    api_pb.desc(),
    descriptor_pb.desc(),
    duration_pb.desc(),
    empty_pb.desc(),
    field_mask_pb.desc(),
    source_context_pb.desc(),
    struct_pb.desc(),
    timestamp_pb.desc(),
    type_pb.desc(),
    wrappers_pb.desc(),
)


def json_encoder(message_class: type[Any], registry: Any, *, always_emit_implicit: bool) -> Callable[[Any], bytes]:
    """The function that writes messages of this class, in one line, as UTF-8."""
    types = _types(registry)
    to_json: Callable[..., str] = message_class.to_json

    def encode(message: Any) -> bytes:
        return to_json(message, registry=types, always_emit_implicit=always_emit_implicit).encode()

    return encode


def json_decoder(message_class: type[Any], registry: Any, *, ignore_unknown_fields: bool) -> Callable[[bytes], Any]:
    """The function that reads messages of this class."""
    types = _types(registry)
    from_json: Callable[..., Any] = message_class.from_json

    def decode(data: bytes) -> Any:
        # Decoding first: bytes that are no UTF-8 are bad data before any JSON rule applies.
        try:
            return from_json(bytes(data).decode(), registry=types, ignore_unknown_fields=ignore_unknown_fields)
        except TypeError as error:
            raise ValueError(str(error)) from error

    return decode


def _types(registry: Any) -> Registry:
    if registry is None:
        return _WELL_KNOWN
    if not isinstance(registry, Registry):
        raise TypeError(f"for messages of protobuf-py the registry must be a protobuf.Registry, not {registry!r}")
    return registry
