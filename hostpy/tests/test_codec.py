"""Both protobuf codecs, for messages of both runtimes, and codecs that users write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import any_pb2, descriptor_pool, struct_pb2, type_pb2, wrappers_pb2
from protobuf import Registry, wkt
from protobuf.wkt.google.protobuf import type_pb

from connectcore._codec.codec import default_codecs, resolve_decoder, resolve_encoder
from connectcore.codec import Codec, proto_binary_codec, proto_json_codec
from connectcore.compat import google_protobuf_binary_codec, google_protobuf_codecs, google_protobuf_json_codec

CLASSES = [wrappers_pb2.StringValue, wkt.StringValue]
# A message without a form of its own in JSON.
API = ["google", "protobuf-py"]


def option(runtime: str) -> Any:
    return type_pb2.Option if runtime == "google" else type_pb.Option


@pytest.mark.parametrize("message_class", CLASSES)
@pytest.mark.parametrize("codec", [proto_binary_codec(), proto_json_codec()])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_round_trip(codec: Codec, message_class: Any, kind: Any) -> None:
    data = codec.encode(message_class(value="grüße"))
    assert isinstance(data, bytes)
    again = codec.decode(kind(data), message_class)
    assert isinstance(again, message_class)
    assert again.value == "grüße"


@pytest.mark.parametrize("message_class", CLASSES)
def test_what_is_on_the_wire(message_class: Any) -> None:
    message = message_class(value="grüße")
    assert proto_binary_codec().encode(message) == b"\n\x07gr\xc3\xbc\xc3\x9fe"
    assert proto_json_codec().encode(message) == '"grüße"'.encode()
    assert (proto_binary_codec().name(), proto_json_codec().name()) == ("proto", "json")


@pytest.mark.parametrize("message_class", CLASSES)
@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (proto_binary_codec(), b"\xff"),
        (proto_binary_codec(), b"\n\x05hi"),
        (proto_json_codec(), b"{"),
        (proto_json_codec(), b""),
        (proto_json_codec(), b'"\xff"'),
        (proto_json_codec(), '"x"'.encode("utf-16")),
        (proto_json_codec(), b"1 2"),
    ],
)
def test_bad_data_raises(codec: Codec, message_class: Any, data: bytes) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - the runtimes have no class in common
        codec.decode(data, message_class)


@pytest.mark.parametrize("runtime", API)
def test_unknown_fields_in_json(runtime: str) -> None:
    message_class = option(runtime)
    data = b'{"name": "a", "nope": 1}'
    assert proto_json_codec().decode(data, message_class).name == "a"
    with pytest.raises(Exception, match="nope"):
        proto_json_codec(ignore_unknown_fields=False).decode(data, message_class)


@pytest.mark.parametrize("runtime", API)
def test_default_values_in_json(runtime: str) -> None:
    """Of fields without presence; `source_context` can be told to be unset, and is left out."""
    kind = type_pb2.Type if runtime == "google" else type_pb.Type
    assert proto_json_codec().encode(kind()) == b"{}"
    for codec in (proto_json_codec(always_emit_implicit=True), google_protobuf_json_codec(always_emit_implicit=True)):
        assert json.loads(codec.encode(kind(name="a", fields=[]))) == {
            "name": "a",
            "edition": "",
            "syntax": "SYNTAX_PROTO2",
            "fields": [],
            "oneofs": [],
            "options": [],
        }


@pytest.mark.parametrize("runtime", API)
def test_json_is_one_line(runtime: str) -> None:
    message_class = option(runtime)
    data = proto_json_codec().encode(message_class(name="a\nb"))
    assert b"\n" not in data
    assert json.loads(data) == {"name": "a\nb"}


def test_well_known_types_in_any_need_no_registry() -> None:
    packed = any_pb2.Any()
    packed.Pack(wrappers_pb2.StringValue(value="x"))
    for message in (packed, wkt.Any.pack(wkt.StringValue(value="x"))):
        assert json.loads(proto_json_codec().encode(message)) == {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": "x",
        }


def test_a_registry_is_used() -> None:
    message = wkt.Any.pack(wkt.StringValue(value="x"))
    with pytest.raises(ValueError, match="StringValue"):
        proto_json_codec(Registry()).encode(message)
    packed = any_pb2.Any()
    packed.Pack(wrappers_pb2.StringValue(value="x"))
    with pytest.raises(TypeError, match="StringValue"):
        proto_json_codec(descriptor_pool.DescriptorPool()).encode(packed)


def test_a_registry_of_the_other_runtime_is_refused() -> None:
    with pytest.raises(TypeError, match="DescriptorPool"):
        proto_json_codec(Registry()).encode(wrappers_pb2.StringValue())
    with pytest.raises(TypeError, match=r"protobuf\.Registry"):
        proto_json_codec(descriptor_pool.Default()).encode(wkt.StringValue())


@pytest.mark.parametrize("codec", [proto_binary_codec(), proto_json_codec()])
def test_what_is_no_message_is_a_type_error(codec: Codec) -> None:
    with pytest.raises(TypeError, match=r"^dict is a message of neither"):
        codec.encode({})
    with pytest.raises(TypeError, match=r"^dict is a message of neither"):
        codec.decode(b"", dict)


class Repr:
    """A codec as a user writes it."""

    def name(self) -> str:
        return "repr"

    def encode(self, message: Any) -> bytes:
        return repr(message).encode()

    def decode(self, data: bytes | bytearray, message_class: type[Any]) -> Any:
        return message_class(data.decode())


def test_functions_for_a_class_by_any_codec() -> None:
    binary, own = proto_binary_codec(), Repr()
    assert resolve_encoder(binary, wrappers_pb2.StringValue)(wrappers_pb2.StringValue(value="hi")) == b"\n\x02hi"
    assert resolve_decoder(binary, wkt.StringValue)(b"\n\x02hi") == wkt.StringValue(value="hi")
    # Nothing of ours is called per message.
    assert resolve_encoder(binary, wrappers_pb2.StringValue) == wrappers_pb2.StringValue.SerializeToString
    assert resolve_decoder(binary, struct_pb2.Struct) == struct_pb2.Struct.FromString
    assert resolve_encoder(own, int)(7) == b"7"
    assert resolve_decoder(own, int)(b"7") == 7


def test_the_official_packages_names() -> None:
    assert [codec.name() for codec in default_codecs()] == ["proto", "json"]
    assert google_protobuf_codecs() == list(default_codecs())
    assert google_protobuf_binary_codec() is proto_binary_codec()
    assert google_protobuf_json_codec() is proto_json_codec()
    assert google_protobuf_json_codec(ignore_unknown_fields=False) is not proto_json_codec()
