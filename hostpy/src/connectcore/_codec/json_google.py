"""Protobuf's JSON form for messages of Google's `protobuf`; imported with the first such message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

from google.protobuf import descriptor_pool
from google.protobuf.json_format import MessageToJson, ParseDict, ParseError

from .messages import ANY_TYPE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    _Holder = tuple[Any, Callable[[Any], Iterable[Any]]]

__all__ = ["json_decoder", "json_encoder"]

_OTHER_FORMS: Final = frozenset(
    f"google.protobuf.{name}"
    for name in (
        *("Duration", "FieldMask", "ListValue", "Struct", "Timestamp", "Value"),
        *("BoolValue", "BytesValue", "DoubleValue", "FloatValue", "StringValue"),
        *("Int32Value", "Int64Value", "UInt32Value", "UInt64Value"),
    )
)
"""Messages with a JSON form of their own, which Google's parser checks. Inside of `Any` it stands under the name `value`."""


def json_encoder(
    message_class: type[Any],  # noqa: ARG001
    registry: Any,
    *,
    always_emit_implicit: bool,
) -> Callable[[Any], bytes]:
    """The function that writes messages of this class, in one line, as UTF-8."""
    pool = _pool(registry)

    def encode(message: Any) -> bytes:
        return MessageToJson(
            message,
            indent=None,
            ensure_ascii=False,
            descriptor_pool=pool,
            always_print_fields_with_no_presence=always_emit_implicit,
        ).encode()

    return encode


def json_decoder(message_class: type[Any], registry: Any, *, ignore_unknown_fields: bool) -> Callable[[bytes], Any]:
    """The function that reads messages of this class."""
    pool = _pool(registry)
    check = _Objects(pool or descriptor_pool.Default()).check
    kind = message_class.DESCRIPTOR

    def decode(data: bytes) -> Any:
        # Decoding first: the parser would take UTF-16 as well, which is no ProtoJSON.
        value = json.loads(bytes(data).decode(), object_pairs_hook=_object, parse_constant=_no_number)
        check(value, kind)
        try:
            return ParseDict(value, message_class(), ignore_unknown_fields=ignore_unknown_fields, descriptor_pool=pool)
        except (ParseError, TypeError) as error:  # of a field that has a wrapper's type, a bare TypeError
            raise ValueError(str(error)) from error

    return decode


class _Objects:
    """Finds an array or a text where a message is an object.

    Google's parser looks for the names of fields in whatever it gets. So it takes an empty array, and where unknown fields are
    ignored any text and any array of texts, for a message without fields.
    """

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._kinds: dict[Any, dict[str, _Holder]] = {}

    def check(self, value: Any, kind: Any) -> None:
        """Look at the JSON of a message of this kind and of the messages in it. Raises ValueError."""
        if kind.full_name in _OTHER_FORMS:
            return
        if value.__class__ is not dict:
            raise ValueError(f"{kind.full_name} is an object in JSON, not {type(value).__name__}")
        if kind.full_name == ANY_TYPE_NAME:
            self._check_any(value)
            return
        holders = self._kinds.get(kind)
        if holders is None:
            found = [(field, holder) for field in kind.fields if (holder := _holder(field)) is not None]
            holders = self._kinds[kind] = {name: holder for field, holder in found for name in (field.name, field.json_name)}
        if not holders and not kind.is_extendable:
            return
        for name, part in value.items():
            holder = holders.get(name) or self._extension(kind, name)
            if holder is not None and part is not None:
                inner, parts = holder
                for each in parts(part):
                    self.check(each, inner)

    def _check_any(self, value: dict[str, Any]) -> None:
        try:
            kind = self._pool.FindMessageTypeByName(value.get("@type", "").rpartition("/")[2])
        except (AttributeError, KeyError):
            return  # the parser refuses it, unless it is empty
        apart = kind.full_name in _OTHER_FORMS or kind.full_name == ANY_TYPE_NAME
        self.check(value.get("value") if apart else value, kind)

    def _extension(self, kind: Any, name: str) -> _Holder | None:
        if not (kind.is_extendable and name.startswith("[")):
            return None
        try:
            return _holder(kind.file.pool.FindExtensionByName(name[1:-1]))
        except KeyError:
            return None


def _holder(field: Any) -> _Holder | None:
    """What messages a field holds, if any, and what gives their JSON out of the field's."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        kind = kind.fields_by_name["value"].message_type
        return None if kind is None else (kind, _values)
    # Only the default of repeated fields is something: an empty list.
    return None if kind is None else (kind, _alone if field.default_value is None else _elements)


# What is no array, or no object, although the field wants one, is found by the parser.


def _alone(value: Any) -> Iterable[Any]:
    return (value,)


def _elements(value: Any) -> Iterable[Any]:
    return value if value.__class__ is list else ()


def _values(value: Any) -> Iterable[Any]:
    return value.values() if value.__class__ is dict else ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in an object")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _pool(registry: Any) -> Any:
    if registry is not None and not hasattr(registry, "FindMessageTypeByName"):
        raise TypeError(f"for Google's messages the registry must be a DescriptorPool, not {registry!r}")
    return registry
