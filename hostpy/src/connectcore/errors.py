"""The error of an RPC and the typed details that it can carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from ._codec.messages import ANY_TYPE_NAME, decode_binary, encode_binary, find_class, type_name_of
from ._headers import Headers
from .code import Code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["ConnectError", "ErrorDetail"]

M = TypeVar("M")


class _AnyMessage(Protocol):
    """`google.protobuf.Any`, of either message runtime."""

    type_url: str
    value: bytes


class ErrorDetail:
    """A protobuf message attached to a `ConnectError`, with its type's name.

    Args:
        message: a message of Google's `protobuf` or of `protobuf-py`. A `google.protobuf.Any` is taken for what it packs.

    Raises:
        TypeError: it is no message.

    """

    __slots__ = ("_message", "_message_bytes", "_type_name")

    _message: Any

    def __init__(self, message: Any) -> None:
        self._message = message
        message_class: type[Any] = message.__class__
        self._type_name = type_name_of(message_class)
        if self._type_name == ANY_TYPE_NAME:
            packed: _AnyMessage = message
            self._message = None
            self._type_name = packed.type_url.rpartition("/")[2]
            self._message_bytes = packed.value
        else:
            self._message_bytes = encode_binary(message)

    @classmethod
    def from_bytes(cls, type_name: str, message_bytes: bytes) -> ErrorDetail:
        """A detail of which only the serialized form is at hand.

        Args:
            type_name: the message's full name, such as `acme.v1.Reason`, without any prefix.
            message_bytes: the message in protobuf's binary form.

        """
        detail = cls.__new__(cls)
        detail._message = None
        detail._type_name = type_name
        detail._message_bytes = message_bytes
        return detail

    @property
    def type_name(self) -> str:
        """The message's full name, such as `acme.v1.Reason`."""
        return self._type_name

    @property
    def message_bytes(self) -> bytes:
        """The message in protobuf's binary form."""
        return self._message_bytes

    @overload
    def value(self) -> Any: ...

    @overload
    def value(self, desc_or_registry: type[M]) -> M | None: ...

    @overload
    def value(self, desc_or_registry: object) -> Any: ...

    def value(self, desc_or_registry: object = None) -> Any:
        """The message, or None if it is of another type or does not decode.

        Args:
            desc_or_registry: the message class of either runtime; or, for `protobuf-py`, a `DescMessage` or a `Registry`; or,
                for Google's, a `Descriptor` or a `DescriptorPool`. Without it the message is known only where the detail was
                made of one.

        """
        message = self._message
        kind = desc_or_registry
        if kind is None or (isinstance(kind, type) and isinstance(message, kind)):
            return message
        message_class = find_class(kind, self._type_name)
        if message_class is None:
            return None
        if isinstance(message, message_class):
            return message
        try:
            return decode_binary(message_class, self._message_bytes)
        except Exception:  # noqa: BLE001 - the runtimes share no class for "does not decode"
            return None

    def __repr__(self) -> str:
        return f"ErrorDetail({self._type_name!r}, {self._message_bytes!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return ErrorDetail.from_bytes, (self._type_name, self._message_bytes)


class ConnectError(Exception):
    """An RPC failed. A handler raises it for its caller; a client raises it for what the server said or what went wrong.

    Args:
        code: why.
        message: for people to read. It goes to the peer.
        details: messages that say more to programs.
        metadata: raised by a handler: goes to the caller with the error, as trailing metadata where the protocol has any.

    Raises:
        TypeError: `code` is no `Code`, `message` is no text, or a detail is no message.

    """

    def __init__(
        self,
        code: Code,
        message: str = "",
        details: Iterable[Any] = (),
        *,
        metadata: Headers | Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    ) -> None:
        if not isinstance(code, Code):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"code must be a connectcore.code.Code, not {code!r}")
        if not isinstance(message, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"message must be str, not {type(message).__name__}: str(...) makes text of it")
        super().__init__(message)
        self._code = code
        self._message = message
        self._details = [detail if isinstance(detail, ErrorDetail) else ErrorDetail(detail) for detail in details]
        self._metadata = None if metadata is None else metadata if isinstance(metadata, Headers) else Headers(metadata)

    @property
    def code(self) -> Code:
        """Why the RPC failed."""
        return self._code

    @property
    def message(self) -> str:
        """What a person should know; may be empty."""
        return self._message

    @property
    def details(self) -> Sequence[ErrorDetail]:
        """Messages that say more to programs."""
        return self._details

    @property
    def metadata(self) -> Headers:
        """What came, or goes, with the error: on the client the response's leading and trailing metadata together."""
        if self._metadata is None:
            self._metadata = Headers()
        return self._metadata

    def __repr__(self) -> str:
        return f"ConnectError({self._code}, {self._message!r}{f', details={self._details!r}' if self._details else ''})"

    def __reduce__(self) -> tuple[Any, ...]:
        metadata = None if self._metadata is None else list(self._metadata.allitems())
        return _rebuild, (self._code, self._message, self._details, metadata)


def canceled() -> ConnectError:
    """What an interceptor sees of a call that was given up in this process, where there is no error but a cancellation."""
    return ConnectError(Code.CANCELED, "the call was canceled")


def _rebuild(code: Code, message: str, details: list[ErrorDetail], metadata: list[tuple[str, str]] | None) -> ConnectError:
    return ConnectError(code, message, details, metadata=metadata)
