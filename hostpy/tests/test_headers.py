"""Headers: a mapping with several values for a name, bytes under `-bin`, and nothing read before it is looked at."""

from __future__ import annotations

import time

import pytest

from connectcore._headers import headers_from_fields, metadata_columns
from connectcore.request import Headers


def test_names_are_case_insensitive_and_the_first_value_shows() -> None:
    headers = Headers([("X-One", "1"), ("x-one", "2"), ("Two", "3")])
    assert headers["X-ONE"] == "1"
    assert "x-One" in headers
    assert list(headers) == ["x-one", "two"]
    assert len(headers) == 2
    assert dict(headers) == {"x-one": "1", "two": "3"}
    assert headers.getall("x-one") == ["1", "2"]
    assert list(headers.allitems()) == [("x-one", "1"), ("x-one", "2"), ("two", "3")]
    assert len(headers.allitems()) == 3
    assert ("x-one", "2") in headers.allitems()
    assert ("x-one", "3") not in headers.allitems()
    assert repr(headers) == "[('x-one', '1'), ('x-one', '2'), ('two', '3')]"


def test_a_name_that_is_not_there() -> None:
    headers = Headers()
    assert headers.getall("a") == []
    assert headers.get("a") is None
    assert 1 not in headers  # type: ignore[comparison-overlap]
    with pytest.raises(KeyError):
        _ = headers["a"]
    with pytest.raises(KeyError):
        del headers["a"]


def test_all_values_are_in_a_list_of_its_own() -> None:
    """As the official package has it: code that comes from there may change the list, or compare it with one."""
    headers = Headers([("a", "1"), ("a", "2")])
    headers.add_bin("a-bin", b"1")
    headers.getall("a").append("3")
    headers.getallbin("a-bin").clear()
    assert headers.getall("a") == ["1", "2"]
    assert headers.getallbin("a-bin") == [b"1"]


def test_assigning_and_deleting_drop_all_values() -> None:
    headers = Headers([("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")])
    headers["A"] = "3"
    assert headers.getall("a") == ["3"]
    del headers["B"]
    assert headers.getall("b") == []
    headers.clear()
    assert len(headers) == 0
    assert not list(headers.allitems())


def test_it_starts_from_a_mapping_pairs_or_headers() -> None:
    assert Headers({"A": "1"}).getall("a") == ["1"]
    original = Headers([("a", "1"), ("a", "2")])
    copy = Headers(original)
    copy.add("a", "3")
    copy["b"] = "4"
    assert original.getall("a") == ["1", "2"]
    assert "b" not in original
    assert copy.getall("a") == ["1", "2", "3"]
    assert original == {"a": "1"}


@pytest.mark.parametrize("value", [b"1", 1, None])
def test_a_value_that_is_no_text_is_refused(value: object) -> None:
    headers = Headers()
    with pytest.raises(TypeError, match="must be str"):
        headers.add("a", value)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be str"):
        headers["a"] = value  # type: ignore[assignment]


def test_bytes_under_bin_names() -> None:
    headers = Headers()
    headers.add_bin("Trace-Bin", b"\x00\xff")
    headers.add_bin("trace-bin", b"")
    assert headers.getbin("trace-bin") == b"\x00\xff"
    assert headers.getallbin("TRACE-BIN") == [b"\x00\xff", b""]
    assert headers["trace-bin"] == "AP8"
    assert list(headers.allitems()) == [("trace-bin", "AP8"), ("trace-bin", "")]
    headers.set_bin("trace-bin", b"1")
    assert headers.getallbin("trace-bin") == [b"1"]
    assert headers.getbin("no-bin", None) is None
    with pytest.raises(KeyError):
        headers.getbin("no-bin")
    assert headers.getallbin("no-bin") == []


@pytest.mark.parametrize("text", ["AP8", "AP8="])
def test_text_for_a_bin_name_is_base64(text: str) -> None:
    headers = Headers({"a-bin": text})
    assert headers.getbin("a-bin") == b"\x00\xff"
    assert headers["a-bin"] == "AP8"


@pytest.mark.parametrize("text", ["A", "AP8!", "AP 8", "_-8=", "A=P8", "é"])
def test_text_for_a_bin_name_that_is_not_base64(text: str) -> None:
    with pytest.raises(ValueError, match="must be base64"):
        Headers({"a-bin": text})


def test_bytes_under_other_names_are_refused() -> None:
    headers = Headers()
    for call in (lambda: headers.add_bin("a", b""), lambda: headers.set_bin("a", b""), lambda: headers.getallbin("a")):
        with pytest.raises(ValueError, match="'-bin'"):
            call()
    with pytest.raises(ValueError, match="'-bin'"):
        headers.getbin("a")


class Watched(list[tuple[bytes, bytes]]):
    """Fields that tell whether anybody read them."""

    reads = 0

    def __iter__(self):  # type: ignore[no-untyped-def]
        self.reads += 1
        return super().__iter__()


def test_received_fields_are_read_when_first_looked_at_and_once() -> None:
    fields = Watched([(b"content-type", b"x"), (b"A", b"1"), (b"a", b"2"), (b"a-bin", b"AAA"), (b"b", b"3")])
    headers = headers_from_fields(fields, bytes([0b01001]), [("a-bin", b"\x00\x01"), (b"a-bin", b"")])
    assert fields.reads == 0
    assert headers.getall("a") == ["1", "2"]
    assert fields.reads == 1
    assert "content-type" not in headers
    assert headers.getallbin("a-bin") == [b"\x00\x01", b""]
    assert headers["a-bin"] == "AAE"
    headers["b"] = "4"
    assert list(headers.allitems()) == [("a", "1"), ("a", "2"), ("b", "4"), ("a-bin", "AAE"), ("a-bin", "")]
    assert fields.reads == 1


@pytest.mark.parametrize(
    "touch",
    [
        lambda h: h.add("x", "1"),
        lambda h: h.getall("x"),
        lambda h: len(h),
        lambda h: "x" in h,
        lambda h: list(h.allitems()),
        lambda h: h.add_bin("x-bin", b""),
        lambda h: h.__setitem__("x", "1"),
        lambda h: repr(h),
        metadata_columns,
        Headers,
    ],
)
def test_any_first_access_reads_received_fields(touch) -> None:  # type: ignore[no-untyped-def]
    headers = headers_from_fields([(b"a", b"1")])
    touch(headers)
    assert headers["a"] == "1"


def test_clearing_unread_fields_clears_them() -> None:
    headers = headers_from_fields([(b"a", b"1")])
    headers.clear()
    assert dict(headers) == {}


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = Headers().nope  # type: ignore[attr-defined]


def test_a_field_mask_longer_than_a_byte() -> None:
    fields = [(b"h%d" % i, b"") for i in range(20)]
    mask = (1 << 3 | 1 << 9 | 1 << 19).to_bytes(3, "little")
    assert set(headers_from_fields(fields, mask)) == {f"h{i}" for i in range(20)} - {"h3", "h9", "h19"}


def test_many_fields_cost_what_they_are_many() -> None:
    count = 2_000_000
    headers = headers_from_fields([(b"a", b"")] * count, b"\xff" * (count // 8 - 1) + b"\x7f")
    start = time.process_time()
    assert list(headers.allitems()) == [("a", "")]
    assert time.process_time() - start < 5


def test_bytes_that_are_not_utf8_come_back_as_they_were() -> None:
    raw = bytes(range(0x80, 0x100))
    headers = headers_from_fields([(b"a", raw), (b"b", "grüße".encode())])
    assert headers["b"] == "grüße"
    assert metadata_columns(headers) == (2, b"a\0" + raw + b"\0b\0" + "grüße".encode(), [])


def test_what_goes_to_the_module() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("a", "3"), ("c-bin", "AP8"), ("c-bin", "")])
    binary = [(b"c-bin", b"\x00\xff"), (b"c-bin", b"")]
    assert metadata_columns(headers) == (3, b"a\x001\0a\x003\0b\x002", binary)
    assert metadata_columns(Headers(), None, headers) == metadata_columns(headers)
    assert metadata_columns() == (0, b"", [])


@pytest.mark.parametrize("code_point", [0xD800, 0xDBFF, 0xDC00, 0xDC7F, 0xDD00, 0xDFFF])
def test_what_has_no_bytes_becomes_what_the_module_refuses(code_point: int) -> None:
    character = chr(code_point)
    headers = Headers([("a", f"é{character}"), (character, "1")])
    headers.add_bin(f"{character}-bin", b"1")
    assert metadata_columns(headers) == (2, "a\0é\1\0\1\x001".encode(), [(b"\1-bin", b"1")])


def test_received_text_under_a_binary_name_is_not_bytes() -> None:
    fields = [(b"a-bin", b"%%%"), (b"a-bin", b"AAE"), (b"b-bin", b"%")]
    headers = headers_from_fields(fields, bytes([0b010]), [(b"a-bin", b"\0\1")])
    assert headers["a-bin"] == "%%%"
    assert list(headers.allitems()) == [("a-bin", "%%%"), ("a-bin", "AAE"), ("b-bin", "%")]
    for read in (headers.getbin, headers.getallbin):
        for name in ("a-bin", "b-bin"):
            with pytest.raises(ValueError, match=f"the value of '{name}' that came is not base64: '%"):
                read(name)
    assert metadata_columns(headers) == (2, b"a-bin\0%%%\0b-bin\0%", [(b"a-bin", b"\0\1")])
