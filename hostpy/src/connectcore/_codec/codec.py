"""Protobuf's two forms, binary and JSON, for messages of both runtimes.

A codec that a user writes has `name`, `encode` and `decode`. Ours have `encoder_for` and `decoder_for` too: they look at a
message class once and give the function that does the work, so that a server pays nothing per call for serving two runtimes.
`resolve_encoder` and `resolve_decoder` use them where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .._typing import T, T_contra
from .messages import binary_decoder, binary_encoder, is_google, is_protobuf_py, not_a_message

if TYPE_CHECKING:
    from collections.abc import Callable

    Encoder = Callable[[Any], bytes]
    Decoder = Callable[[bytes], Any]

__all__ = [
    "Codec",
    "checked_codec",
    "default_codecs",
    "proto_binary_codec",
    "proto_json_codec",
    "resolve_decoder",
    "resolve_encoder",
    "writes_protobuf",
]


class Codec(Protocol[T_contra, T]):
    """How messages become bytes and back. Any object with these methods is one."""

    def name(self) -> str:
        """The codec's name on the wire, such as `proto` or `json`."""
        ...

    def encode(self, message: T_contra) -> bytes:
        """Serialize a message."""
        ...

    def decode(self, data: bytes | bytearray, message_class: type[T]) -> T:
        """Parse a message; any exception means that the data is bad.

        A server logs it (`connectcore.server`, at debug). What a ValueError of the codec `json` says, up to 200 bytes of its
        first line, the peer reads, too: it should be about the data alone.
        """
        ...


class _ProtoCodec:
    """What the two protobuf codecs share: one function per message class, looked up once."""

    def __init__(self) -> None:
        self._encoders: dict[type[Any], Encoder] = {}
        self._decoders: dict[type[Any], Decoder] = {}

    def encode(self, message: Any) -> bytes:
        return self.encoder_for(message.__class__)(message)

    def decode(self, data: bytes | bytearray, message_class: type[Any]) -> Any:
        return self.decoder_for(message_class)(bytes(data) if isinstance(data, bytearray) else data)

    def encoder_for(self, message_class: type[Any]) -> Encoder:
        """The function that serializes messages of this class."""
        encoder = self._encoders.get(message_class)
        if encoder is None:
            encoder = self._encoders[message_class] = self._make_encoder(message_class)
        return encoder

    def decoder_for(self, message_class: type[Any]) -> Decoder:
        """The function that parses messages of this class."""
        decoder = self._decoders.get(message_class)
        if decoder is None:
            decoder = self._decoders[message_class] = self._make_decoder(message_class)
        return decoder

    def _make_encoder(self, message_class: type[Any]) -> Encoder:
        raise NotImplementedError

    def _make_decoder(self, message_class: type[Any]) -> Decoder:
        raise NotImplementedError


class _ProtoBinaryCodec(_ProtoCodec):
    """Protobuf's binary form."""

    def name(self) -> str:
        return "proto"

    def _make_encoder(self, message_class: type[Any]) -> Encoder:
        return binary_encoder(message_class)

    def _make_decoder(self, message_class: type[Any]) -> Decoder:
        return binary_decoder(message_class)


class _ProtoJSONCodec(_ProtoCodec):
    """Protobuf's JSON form."""

    def __init__(self, registry: Any, *, ignore_unknown_fields: bool, always_emit_implicit: bool) -> None:
        super().__init__()
        self._registry = registry
        self._ignore_unknown_fields = ignore_unknown_fields
        self._always_emit_implicit = always_emit_implicit

    def name(self) -> str:
        return "json"

    def _make_encoder(self, message_class: type[Any]) -> Encoder:
        if is_google(message_class):
            from .json_google import json_encoder
        elif is_protobuf_py(message_class):
            from .json_protobuf_py import json_encoder
        else:
            raise not_a_message(message_class)
        return json_encoder(message_class, self._registry, always_emit_implicit=self._always_emit_implicit)

    def _make_decoder(self, message_class: type[Any]) -> Decoder:
        if is_google(message_class):
            from .json_google import json_decoder
        elif is_protobuf_py(message_class):
            from .json_protobuf_py import json_decoder
        else:
            raise not_a_message(message_class)
        return json_decoder(message_class, self._registry, ignore_unknown_fields=self._ignore_unknown_fields)


_binary = _ProtoBinaryCodec()
_json = _ProtoJSONCodec(None, ignore_unknown_fields=True, always_emit_implicit=False)


def proto_binary_codec() -> Codec:
    """The codec `proto`: protobuf's binary form, for messages of either runtime."""
    return _binary


def proto_json_codec(
    registry: object = None, *, ignore_unknown_fields: bool = True, always_emit_implicit: bool = False
) -> Codec:
    """The codec `json`: protobuf's JSON form (ProtoJSON), for messages of either runtime.

    A message is read from exactly one JSON value (RFC 8259) in UTF-8: an object, or what a well-known type has in its place,
    such as text for a `Timestamp`. The same holds for messages in messages. Anything else is bad data, with either runtime:
    other values, something before or after the value, `NaN` and `Infinity` without quotes. Where an object has a name twice,
    Google's classes take it for bad data, and those of `protobuf-py` take the last of them.

    Args:
        registry: where the types inside `google.protobuf.Any`, and extensions, are looked up: a `Registry` of `protobuf-py` or
            a `DescriptorPool` of Google's. Without it: the well-known types for `protobuf-py`, all imported ones for Google's.
        ignore_unknown_fields: whether fields that the message does not have are skipped; if not, they are bad data.
        always_emit_implicit: whether fields without presence are written where they have their default value, such as an empty
            text, list or map. Fields that can be told to be unset, such as `optional` ones, are then left out as ever.

    """
    if registry is None and ignore_unknown_fields and not always_emit_implicit:
        return _json
    return _ProtoJSONCodec(registry, ignore_unknown_fields=ignore_unknown_fields, always_emit_implicit=always_emit_implicit)


def writes_protobuf(codec: object) -> bool:
    """Whether a codec is one of these two: then what it writes is a message of the method's class, and nothing else."""
    return isinstance(codec, _ProtoCodec)


def checked_codec(codec: Any) -> Any:
    """A codec as it is given. Raises TypeError for what is none."""
    if isinstance(codec, type) or not all(callable(getattr(codec, name, None)) for name in ("name", "encode", "decode")):
        raise TypeError(f"{codec!r} is no codec: one is an object such as connectcore.codec.proto_json_codec() gives")
    return codec


def default_codecs() -> tuple[Codec, ...]:
    """What a server speaks if it is not told: `proto` and `json`."""
    return (_binary, _json)


def resolve_encoder(codec: Codec, message_class: type[Any]) -> Encoder:
    """The quickest function that serializes messages of this class by this codec."""
    if isinstance(codec, _ProtoCodec):
        return codec.encoder_for(message_class)
    encode = codec.encode
    return lambda message: b"".join((encode(message),))  # a user's codec: it may give other bytes, or none


def resolve_decoder(codec: Codec, message_class: type[Any]) -> Decoder:
    """The quickest function that parses messages of this class by this codec."""
    if isinstance(codec, _ProtoCodec):
        return codec.decoder_for(message_class)
    decode = codec.decode
    return lambda data: decode(data, message_class)
