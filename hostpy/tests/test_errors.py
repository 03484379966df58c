"""The error, its details of either message runtime, and its metadata."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from google.protobuf import any_pb2, descriptor_pool, duration_pb2, struct_pb2, wrappers_pb2
from protobuf import Registry, wkt

from connectcore.code import Code
from connectcore.errors import ConnectError, ErrorDetail
from connectcore.request import Headers


def google_any(message: Any) -> Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


STRING = b"\n\x02hi"
MESSAGES = {
    "google": wrappers_pb2.StringValue(value="hi"),
    "google any": google_any(wrappers_pb2.StringValue(value="hi")),
    "protobuf-py": wkt.StringValue(value="hi"),
    "protobuf-py any": wkt.Any.pack(wkt.StringValue(value="hi")),
}


def test_a_plain_error() -> None:
    error = ConnectError(Code.NOT_FOUND, "no such thing")
    assert (error.code, error.message, list(error.details)) == (Code.NOT_FOUND, "no such thing", [])
    assert str(error) == "no such thing"
    assert repr(error) == "ConnectError(Code.NOT_FOUND, 'no such thing')"
    assert dict(error.metadata) == {}
    error.metadata["retry"] = "1"
    assert error.metadata["retry"] == "1"


def test_a_code_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match=r"must be a connectcore\.code\.Code, not 'not_found'"):
        ConnectError("not_found", "x")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [None, 5, b"x", ValueError("x")])
def test_a_text_that_is_none_is_refused(wrong: Any) -> None:
    """A handler's `raise ConnectError(code, error)` would reach the peer as a failure without its code."""
    with pytest.raises(TypeError, match=rf"message must be str, not {type(wrong).__name__}: str\(\.\.\.\) makes text of it"):
        ConnectError(Code.NOT_FOUND, wrong)


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_detail_of_each_runtime(kind: str) -> None:
    error = ConnectError(Code.INTERNAL, "x", [MESSAGES[kind]])
    (detail,) = error.details
    assert detail.type_name == "google.protobuf.StringValue"
    assert detail.message_bytes == STRING
    google = detail.value(wrappers_pb2.StringValue)
    assert isinstance(google, wrappers_pb2.StringValue)
    assert google.value == "hi"
    other = detail.value(wkt.StringValue)
    assert isinstance(other, wkt.StringValue)
    assert other.value == "hi"
    assert detail.value(duration_pb2.Duration) is None
    assert detail.value(wkt.Duration) is None
    assert (detail.value() is None) == kind.endswith("any")


@pytest.mark.parametrize(
    "kind",
    [
        descriptor_pool.Default(),
        wrappers_pb2.StringValue.DESCRIPTOR,
        wkt.StringValue.desc(),
        Registry(wkt.StringValue.desc().file),
    ],
)
def test_a_detail_by_descriptor_or_registry(kind: object) -> None:
    assert ErrorDetail.from_bytes("google.protobuf.StringValue", STRING).value(kind).value == "hi"
    assert ErrorDetail.from_bytes("acme.Unknown", STRING).value(kind) is None


def test_a_detail_that_does_not_decode_is_none() -> None:
    detail = ErrorDetail.from_bytes("google.protobuf.StringValue", b"\xff")
    assert detail.value(wrappers_pb2.StringValue) is None
    assert detail.value(wkt.StringValue) is None
    assert detail.value() is None


@pytest.mark.parametrize("wrong", ["text", 1, object(), b"bytes"])
def test_a_detail_that_is_no_message_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="message of neither"):
        ErrorDetail(wrong)
    with pytest.raises(TypeError):
        ErrorDetail.from_bytes("a.B", b"").value(wrong)


def test_a_detail_keeps_an_empty_message() -> None:
    empty = wrappers_pb2.StringValue()
    assert ErrorDetail(empty).value() is empty
    assert ErrorDetail(struct_pb2.Struct()).message_bytes == b""


def test_details_and_detail_objects_mix() -> None:
    detail = ErrorDetail.from_bytes("a.B", b"1")
    error = ConnectError(Code.ABORTED, "x", (each for each in (detail, wkt.StringValue(value="hi"))))
    assert [each.type_name for each in error.details] == ["a.B", "google.protobuf.StringValue"]
    assert error.details[0] is detail
    assert "details=[ErrorDetail('a.B', b'1')" in repr(error)


@pytest.mark.parametrize("metadata", [{"a": "1"}, [("a", "1")], Headers({"a": "1"})])
def test_metadata_given(metadata: Any) -> None:
    error = ConnectError(Code.ABORTED, "x", metadata=metadata)
    assert dict(error.metadata) == {"a": "1"}
    assert (error.metadata is metadata) == isinstance(metadata, Headers)


@pytest.mark.parametrize("through", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_an_error_survives_pickle_and_copy(through: Any) -> None:
    metadata = Headers([("a", "1"), ("a", "2")])
    metadata.add_bin("b-bin", b"\xff")
    again = through(ConnectError(Code.DATA_LOSS, "x", [wkt.StringValue(value="hi")], metadata=metadata))
    assert (again.code, again.message) == (Code.DATA_LOSS, "x")
    assert again.details[0].message_bytes == STRING
    assert list(again.metadata.allitems()) == list(metadata.allitems())
    assert again.metadata.getbin("b-bin") == b"\xff"


def test_codes_are_the_sixteen_of_the_protocols() -> None:
    assert [code.value for code in Code] == [
        "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied",
        "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable",
        "data_loss", "unauthenticated",
    ]  # fmt: skip
    assert all(code.name == code.value.upper() for code in Code)
