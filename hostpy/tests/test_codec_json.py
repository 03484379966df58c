"""What JSON a message is read from, and what not, with both runtimes."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from protobuf.wkt.google.protobuf import type_pb

from connectcore.client import ConnectClientSync
from connectcore.code import Code
from connectcore.codec import proto_json_codec
from connectcore.errors import ConnectError
from connectcore.method import IdempotencyLevel, MethodInfo, StreamType
from connectcore.server import ConnectWSGIApplication, EndpointSync
from connectcore.transport import WSGITransport
from server_support import Request, call_wsgi

if TYPE_CHECKING:
    from collections.abc import Callable

RUNTIMES = ["google", "protobuf-py"]
CODECS = [proto_json_codec(), proto_json_codec(ignore_unknown_fields=False)]
ANY = '{"@type": "type.googleapis.com/google.protobuf.%s", %s}'


@pytest.fixture(params=RUNTIMES)
def kind(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    """Finds classes of `google.protobuf` by file and name."""
    package, suffix = ("google.protobuf", "_pb2") if request.param == "google" else ("protobuf.wkt.google.protobuf", "_pb")

    def find(path: str) -> Any:
        file, _, name = path.partition(".")
        return getattr(importlib.import_module(f"{package}.{file}{suffix}"), name)

    return find


NO_OBJECTS = ["[]", '""', '"x"', '"name"', "[[]]", "[{}]", '["x"]', '["name"]', "null", "0", "1", "1.5", "true", "false"]


@pytest.mark.parametrize("codec", CODECS, ids=["unknown fields ignored", "unknown fields refused"])
@pytest.mark.parametrize("data", NO_OBJECTS)
@pytest.mark.parametrize("path", ["type.Option", "empty.Empty", "any.Any", "struct.Struct"])
def test_a_message_is_an_object(kind: Callable[[str], Any], path: str, data: str, codec: Any) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - the runtimes have no class in common
        codec.decode(data.encode(), kind(path))


@pytest.mark.parametrize("data", [data for data in NO_OBJECTS if data != "null"])
@pytest.mark.parametrize(
    ("path", "around"),
    [
        ("type.Type", '{"sourceContext": %s}'),
        ("type.Type", '{"source_context": %s}'),
        ("type.Type", '{"fields": [{}, %s]}'),
        ("type.Type", '{"fields": [{"options": [%s]}]}'),
        ("type.Option", '{"value": %s}'),
        ("any.Any", ANY % ("Type", '"sourceContext": %s')),
        ("any.Any", ANY % ("Any", '"value": %s')),
        ("any.Any", ANY % ("Any", '"value": ' + ANY % ("Type", '"fields": [%s]'))),
        ("type.Option", '{"value": ' + ANY % ("Type", '"sourceContext": %s') + "}"),
    ],
)
def test_a_message_in_a_message_is_an_object(kind: Callable[[str], Any], path: str, around: str, data: str) -> None:
    assert proto_json_codec().decode((around % "{}").encode(), kind(path)) is not None
    with pytest.raises(Exception):  # noqa: B017, PT011
        proto_json_codec().decode((around % data).encode(), kind(path))


GOOD = {
    "struct.Value": ["{}", "[]", '""', '"x"', "null", "0", "1.5", "true", '["x"]', '{"a": []}'],
    "struct.ListValue": ["[]", '["x"]', "[[]]", "[{}, null]"],
    "struct.Struct": ["{}", '{"a": []}', '{"a": "x", "b": null}'],
    "timestamp.Timestamp": ['"1972-01-01T10:00:20.021Z"'],
    "duration.Duration": ['"1.500s"'],
    "field_mask.FieldMask": ['""', '"a,bC"'],
    "wrappers.StringValue": ['""', '"x"'],
    "wrappers.BytesValue": ['""', '"eA=="'],
    "wrappers.BoolValue": ["false", "true"],
    "wrappers.Int32Value": ["0", "1"],
    "wrappers.Int64Value": ['"1"'],
    "wrappers.UInt32Value": ["1"],
    "wrappers.UInt64Value": ['"1"'],
    "wrappers.FloatValue": ["1.5", '"NaN"'],
    "wrappers.DoubleValue": ["1.5", '"Infinity"'],
    "empty.Empty": ["{}"],
    "any.Any": ["{}", ANY % ("Value", '"value": []'), ANY % ("Duration", '"value": "1s"'), ANY % ("Option", '"name": "x"')],
    "type.Type": ['{"sourceContext": null, "fields": null, "name": "x"}'],
}


@pytest.mark.parametrize(("path", "data"), [(path, data) for path, all_data in GOOD.items() for data in all_data])
def test_what_a_message_is_read_from(kind: Callable[[str], Any], path: str, data: str) -> None:
    for codec in CODECS:
        message = codec.decode(f" {data}\n".encode(), kind(path))
        again = codec.encode(message)
        if "null" not in data or path.startswith("struct"):
            assert json.loads(again) == json.loads(data)


@pytest.mark.parametrize(
    "data",
    [
        *("", " ", "{} {}", "{}x", "{},", "x{}", "\0{}", "\ufeff{}", "{'a': 1}", "{a: 1}", '{"a": 1,}', '{"a": 01}', "//\n{}"),
        *('{"a": NaN}', '{"a": [-Infinity]}', '{"a": "\n"}', '{"a": "\\x"}'),
    ],
)
@pytest.mark.parametrize("path", ["type.Option", "struct.Struct"])
def test_what_is_no_json_value(kind: Callable[[str], Any], path: str, data: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011
        proto_json_codec().decode(data.encode(), kind(path))


@pytest.mark.parametrize("data", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("path", ["struct.Value", "wrappers.DoubleValue"])
def test_numbers_that_json_has_not(kind: Callable[[str], Any], path: str, data: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011
        proto_json_codec().decode(data.encode(), kind(path))


def test_a_name_that_occurs_twice() -> None:
    """The docstring of `proto_json_codec` says so."""
    from google.protobuf import type_pb2

    data = b'{"name": "a", "name": "b"}'
    with pytest.raises(ValueError, match="twice"):
        proto_json_codec().decode(data, type_pb2.Option)
    assert proto_json_codec().decode(data, type_pb.Option).name == "b"


def test_maps_and_extensions_of_google() -> None:
    """Messages in them are objects too. Nothing in the well-known types has either."""
    file = descriptor_pb2.FileDescriptorProto(name="json_test.proto", package="json_test")
    field = descriptor_pb2.FieldDescriptorProto
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="text", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    outer = file.message_type.add(name="Outer")
    outer.extension_range.add(start=10, end=20)
    for number, name in enumerate(("by_name", "texts"), 1):
        entry = outer.nested_type.add(name={"by_name": "ByNameEntry", "texts": "TextsEntry"}[name])
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
        value = entry.field.add(name="value", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
        if name == "by_name":
            value.type, value.type_name = field.TYPE_MESSAGE, ".json_test.Inner"
        full_name = f".json_test.Outer.{entry.name}"
        outer.field.add(name=name, number=number, type=field.TYPE_MESSAGE, label=field.LABEL_REPEATED, type_name=full_name)
    for number, (name, label) in enumerate({"one": field.LABEL_OPTIONAL, "many": field.LABEL_REPEATED}.items(), 10):
        extension = file.extension.add(
            name=name, number=number, type=field.TYPE_MESSAGE, label=label, extendee=".json_test.Outer"
        )
        extension.type_name = ".json_test.Inner"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    message_class = message_factory.GetMessageClass(pool.FindMessageTypeByName("json_test.Outer"))
    codec = proto_json_codec(pool)
    around = ['{"byName": {"a": %s}}', '{"[json_test.one]": %s}', '{"[json_test.many]": [{}, %s]}']
    for each in around:
        data = each % '{"text": "x"}'
        assert json.loads(codec.encode(codec.decode(data.encode(), message_class))) == json.loads(data)
        for bad in ("[]", '""', '"x"', '["x"]'):
            with pytest.raises(ValueError, match="is an object"):
                codec.decode((each % bad).encode(), message_class)
    assert codec.decode(b'{"texts": {"a": "x"}, "[json_test.unknown]": []}', message_class).texts == {"a": "x"}


def method(kind: Callable[[str], Any]) -> MethodInfo[Any, Any]:
    option = kind("type.Option")
    return MethodInfo(
        name="Unary",
        service_name="acme.v1.Service",
        input=option,
        output=option,
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=StreamType.UNARY,
    )


class App(ConnectWSGIApplication):
    path = "/acme.v1.Service"

    def __init__(self, what: MethodInfo[Any, Any]) -> None:
        super().__init__(endpoints={f"{self.path}/Unary": EndpointSync.unary(what, lambda request, ctx: request)})


@pytest.mark.parametrize("data", ["[]", '""', '"x"', "null", '{"value": []}'])
def test_a_server_calls_it_an_invalid_argument(kind: Callable[[str], Any], data: str) -> None:
    application = App(method(kind))
    answer = call_wsgi(application, Request(chunks=[b'{"name": "a"}'], content_type="application/json"))
    assert (answer.status, json.loads(answer.content)) == (200, {"name": "a"})
    answer = call_wsgi(application, Request(chunks=[data.encode()], content_type="application/json"))
    assert (answer.status, json.loads(answer.content)["code"]) == (400, "invalid_argument")


@pytest.mark.parametrize("data", ["[]", '""', '"x"', "null", '{"value": []}'])
def test_a_client_calls_it_internal(kind: Callable[[str], Any], data: str) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("content-type", "application/json")])
        return [data.encode()]

    what = method(kind)
    client = ConnectClientSync("http://test", codec=proto_json_codec(), http_client=WSGITransport(application))
    with client, pytest.raises(ConnectError) as caught:
        client.execute_unary(request=what.input(), method=what)
    assert caught.value.code is Code.INTERNAL
