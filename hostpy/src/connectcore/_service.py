"""What a server offers, and the short way of a unary call through the module.

A unary call that comes in one piece, which is most of them, takes two steps whose usual events are read at fixed places.
The second is left out where the guest's answer is known beforehand: of a plain reply nothing but the length changes from
call to call (ABI.md, "Replies that repeat"). Whatever is not usual goes to a `ServerCall` (`_server_call.py`), which knows
everything.
"""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from . import _abi, _guest, _pool, _records
from ._codec import default_codecs, resolve_decoder, resolve_encoder
from .code import Code
from .compression.gzip import GzipCompression
from .errors import ConnectError
from .method import IdempotencyLevel, StreamType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ._codec import Codec
    from .compression import Compression

__all__ = [
    "CARRY_FIRST",
    "CARRY_WHOLE",
    "DEFAULT_READ_MAX_BYTES",
    "Compressed",
    "Head",
    "Opened",
    "Procedure",
    "RejectedError",
    "Reply",
    "Service",
    "log",
]

log: Final = logging.getLogger("connectcore.server")

DEFAULT_READ_MAX_BYTES: Final = 4 << 20
"""Bytes in one received message, unless a server is told otherwise."""

CARRY_WHOLE: Final = 16 << 10
"""Content up to this size is given to the guest whole, and of longer content the first `CARRY_FIRST` bytes."""
CARRY_FIRST: Final = 4 << 10

_MOST: Final = (1 << 31) - 1  # longest message that a span can name
_COMPRESS_MIN: Final = 1024  # smaller messages do not get smaller
_CACHED: Final = 512

_ATTRIBUTES: Final = {
    StreamType.UNARY: _abi.UNARY,
    StreamType.CLIENT_STREAM: _abi.CLIENT_STREAM,
    StreamType.SERVER_STREAM: _abi.SERVER_STREAM,
    StreamType.BIDI_STREAM: _abi.BIDI_STREAM,
}

Head: TypeAlias = "tuple[int, bytes, bytes, bytes, int, bytes]"
"""A request's head: capability flags, HTTP method, path, query, number of fields, fields as a column."""

Opened: TypeAlias = "tuple[_guest.Instance, int, Procedure, int, int, int, int, bytes, bytes, Any]"
"""A unary call that is open and has its message: instance, handle, procedure, codec, coding and smallest size for what is
sent back, timeout, mask of hidden fields, what its plain reply depends on, payload (bytes or `Compressed`). Where the handle
is 0 the events were not the usual ones: they stand in the place of the payload, and there are none if the instance failed."""

Reply: TypeAlias = "tuple[int, list[tuple[Any, Any]], bytes, list[tuple[Any, Any]] | None, bytes]"
"""An answer with one message: status, fields, content, trailers. Where the status is 0 the answer is not the usual one: the
content is the payload and the events come last, for a `ServerCall` to go on with."""


class Procedure:
    """One method, with a decoder and an encoder for each codec."""

    __slots__ = ("decoders", "encoders", "function", "many_requests", "many_responses", "method", "path")

    def __init__(self, path: str, method: Any, function: Callable[..., Any], codecs: Sequence[Codec]) -> None:
        self.path = path.encode()
        self.method = method
        self.function = function
        self.many_requests = method.stream_type in (StreamType.CLIENT_STREAM, StreamType.BIDI_STREAM)
        self.many_responses = method.stream_type in (StreamType.SERVER_STREAM, StreamType.BIDI_STREAM)
        self.decoders = tuple(resolve_decoder(codec, method.input) for codec in codecs)
        self.encoders = tuple(resolve_encoder(codec, method.output) for codec in codecs)


# The events that open a unary call: request without binary metadata, one message, received. A kind and its flags are read
# as one number.
_REQUEST: Final = struct.Struct("<III8xIIIQII4x").unpack_from
_REQUEST_SIZE: Final = 52
_PLAIN: Final = slice(12, 32)  # procedure, protocol, codec, coding, compress_min
_MESSAGE: Final = struct.Struct("<I8xQIIQIII8xQ").unpack_from
_MESSAGE_SIZE: Final = 64
_USUAL_SIZE: Final = _REQUEST_SIZE + _MESSAGE_SIZE
_ONE_SPAN: Final = 2  # two words, and no data
# The commands that answer it: send of one message, end without anything.
_SEND_END: Final = struct.Struct("<8sI8sI8sI32s").pack
_SEND_HEAD: Final = struct.pack("<HHI", _abi.CMD_SEND, 0, 24)
_SEND_FIXED: Final = struct.pack("<II", 1, 0)
_END_HEAD: Final = struct.pack("<HHI", _abi.CMD_END, 0, 44)
_END_FIXED: Final = bytes(32)
# And the events that follow: head, the message as it is, done.
_HEAD: Final = struct.Struct("<II4xI").unpack_from
_HEAD_SIZE: Final = 24
_BODY_DONE: Final = struct.Struct("<I8xQII").unpack_from
_BODY_DONE_SIZE: Final = 36
_LAST_BODY: Final = _abi.EV_HTTP_BODY | _abi.HTTP_END << 16
_USUAL_BODY: Final = (_LAST_BODY, 1, 0, _abi.EV_DONE)  # one payload, no prefix, no data
_BODY: Final = struct.Struct("<II4xIII").unpack_from
_BODY_SIZE: Final = 24
_TRAILERS: Final = struct.Struct("<II4xI").unpack_from
_TRAILERS_SIZE: Final = 20
_HEAD_END: Final = _abi.EV_HTTP_RESPONSE_HEAD | _abi.HTTP_END << 16
_HEAD_TRAILERS: Final = _abi.EV_HTTP_RESPONSE_HEAD | _abi.HTTP_TRAILERS << 16
_DONE_SIZE: Final = 12
_pick: Final = _pool.POOL.pick
_OPEN: Final = struct.Struct("<HHIIIIIII").pack
_CONTENT: Final = struct.Struct("<HHIIII").pack
_CLOSE: Final = struct.Struct("<HHII").pack


class Service:
    """What a server offers, and how the guest is told.

    `fields_of` turns a column of response fields into what the server's interface takes; results are remembered.
    """

    __slots__ = ("_fields_of", "_heads", "_plain", "_record", "codings", "procedures", "routes")

    def __init__(
        self,
        endpoints: Mapping[str, tuple[Any, Callable[..., Any]]],
        *,
        codecs: Iterable[Codec] | None,
        compressions: Iterable[Compression] | None,
        read_max_bytes: int | None,
        fields_of: Callable[[bytes], list[tuple[Any, Any]]],
    ) -> None:
        known = list(default_codecs() if codecs is None else codecs)
        self.codings: list[Compression] = [GzipCompression()] if compressions is None else list(compressions)
        self.codings = [coding for coding in self.codings if coding.name() != "identity"]
        self.procedures = [Procedure(path, *endpoint, known) for path, endpoint in endpoints.items()]
        self.routes = {procedure.path.decode(): procedure for procedure in self.procedures}
        if read_max_bytes is not None and not 0 < read_max_bytes <= _MOST:
            raise ValueError(f"read_max_bytes must be from 1 to {_MOST}, or None for no limit, not {read_max_bytes}")
        self._record = _records.configure_server(
            read_max=_MOST if read_max_bytes is None else read_max_bytes,
            send_max=0,
            compress_min=_COMPRESS_MIN,
            codecs=[codec.name() for codec in known],
            codings=[coding.name() for coding in self.codings],
            native=[True] * len(self.codings),
            procedures=list(self.routes),
            attributes=[_attributes(procedure.method) for procedure in self.procedures],
        )
        self._fields_of = fields_of
        self._heads: dict[bytes, tuple[list[tuple[Any, Any]], Any]] = {}
        self._plain: dict[bytes, tuple[int, list[tuple[Any, Any]], Callable[[int], tuple[Any, Any]]]] = {}

    def configured(self, instance: _guest.Instance) -> int:
        """The handle of this service's configuration in an instance, made if it is not there."""
        handle = instance.handles.get(self)
        if handle is None:
            (event,) = _records.decode(instance.step(self._record))
            if not isinstance(event, _records.Configured):
                raise ValueError(f"the module refuses the configuration: {getattr(event, 'text', b'').decode()}")
            handle = instance.handles[self] = event.handle
        return handle

    def response_fields(self, column: bytes) -> list[tuple[Any, Any]]:
        """A response's fields as the server's interface takes them. The list must not be changed."""
        # The last value is most often a length: what stands before it repeats, and is remembered.
        before, separator, last = column.rpartition(b"\0")
        if not separator:
            return []
        known = self._heads.get(before)
        if known is None:
            if len(self._heads) >= _CACHED:
                self._heads.clear()
            fields = self._fields_of(column)
            known = self._heads[before] = (fields[:-1], fields[-1])
        first, (name, value) = known
        return [*first, (name, last if isinstance(value, bytes) else last.decode("latin-1"))]

    def open_unary(self, head: Head, procedure: Procedure, content: bytes) -> Opened:
        """Open a call whose content is all there. Raises ModuleError."""
        flags, method, path, query, count, fields = head
        instance = _pick()
        config = instance.handles.get(self)
        if config is None:
            config = self.configured(instance)
        path_size = len(path)
        fields_size = len(fields)
        query_size = len(query)
        method_size = len(method)
        size = 32 + method_size + path_size + query_size + fields_size
        opening = _OPEN(4, flags, size, config, method_size, path_size, query_size, count, fields_size)
        length = len(content)
        if length <= CARRY_WHOLE:
            carried = _CONTENT(7, 1, 20 + length, 0, length, length)
            batch = b"".join((opening, method, path, query, fields, carried, content))
        else:
            carried = _CONTENT(7, 1, 20 + CARRY_FIRST, 0, length, CARRY_FIRST)
            batch = b"".join((opening, method, path, query, fields, carried, content[:CARRY_FIRST]))
        if instance.ended:
            batch = _closing(instance.ended) + batch
        try:
            events = instance.step(batch)
        except _guest.GuestError as error:
            _pool.POOL.discard(instance, error)
            events = b""
        if len(events) > _USUAL_SIZE:
            kind, size, handle, codec, coding, minimum, timeout, hidden, binary = _REQUEST(events)
            if kind == 130 and not binary and len(events) == size + _MESSAGE_SIZE:
                kind, base, packing, limit, columns, start, length, after, fault = _MESSAGE(events, size)
                if kind == 131 and columns == _ONE_SPAN and after == 132 and not fault:
                    start += base
                    mask = events[_REQUEST_SIZE : _REQUEST_SIZE + hidden]
                    payload: bytes | Compressed
                    if length < _abi.COMPRESSED:
                        payload = content[start : start + length]
                    else:
                        payload = Compressed(content[start : start + length - _abi.COMPRESSED], packing, limit)
                    plain = events[_PLAIN]
                    return instance, handle, procedure, codec, coding, minimum, timeout, mask, plain, payload
        return instance, 0, procedure, 0, 0, 0, 0, b"", b"", events

    def finish_unary(self, opened: Opened, message: Any) -> Reply:
        """Answer such a call with its one message. Raises whatever the encoder raises."""
        instance, handle, procedure, codec, coding, minimum, _, _, plain, _ = opened
        reply = procedure.encoders[codec](message)
        length = len(reply)
        if coding and length >= minimum:
            reply = self.codings[coding - 1].compress(reply)
            length = len(reply) | _abi.COMPRESSED
        else:
            known = self._plain.get(plain)
            if known is not None and length:
                instance.ended.append(handle)
                status, fields, lengthy = known
                return status, [*fields, lengthy(length)], reply, None, b""
        try:
            events = instance.step(_SEND_END(_SEND_HEAD, handle, _SEND_FIXED, length, _END_HEAD, handle, _END_FIXED))
        except _guest.GuestError as error:
            _pool.POOL.discard(instance, error)
            return 0, [], reply, None, b""
        total = len(events)
        if total > _HEAD_SIZE + _DONE_SIZE:
            kind, size, status = _HEAD(events)
            if kind == _abi.EV_HTTP_RESPONSE_HEAD:
                if total == size + _BODY_DONE_SIZE and _BODY_DONE(events, size) == _USUAL_BODY:
                    fields = self.response_fields(events[_HEAD_SIZE:size])
                    if length < _abi.COMPRESSED:
                        self._remember(plain, status, fields, length)
                    return status, fields, reply, None, b""
            elif kind == _HEAD_TRAILERS and total > size + _BODY_SIZE + _TRAILERS_SIZE + _DONE_SIZE:
                kind, body_size, payloads, prefix, data = _BODY(events, size)
                if kind == _abi.EV_HTTP_BODY and payloads == 1 and prefix == data:
                    at = size + body_size
                    kind, trailers_size, _ = _TRAILERS(events, at)
                    if kind == _abi.EV_HTTP_TRAILERS and total == at + trailers_size + _DONE_SIZE:
                        trailers = self.response_fields(events[at + _TRAILERS_SIZE : at + trailers_size])
                        content = events[size + _BODY_SIZE : at] + reply
                        return status, self.response_fields(events[_HEAD_SIZE:size]), content, trailers, b""
            elif kind == _HEAD_END and total == size + _DONE_SIZE:
                return status, self.response_fields(events[_HEAD_SIZE:size]), b"", None, b""
        return 0, [], reply, None, events

    def _remember(self, plain: bytes, status: int, fields: list[tuple[Any, Any]], length: int) -> None:
        """Keep the head of a plain reply, if its length stands in it once and where it should."""
        for lengthy in (_length_field, _length_text_field):
            own = lengthy(length)
            if fields.count(own) == 1:
                if len(self._plain) >= _CACHED:
                    self._plain.clear()
                self._plain[plain] = (status, [field for field in fields if field != own], lengthy)

    def unpacked(self, payload: Compressed) -> bytes:
        """A payload decompressed. Raises RejectedError."""
        try:
            return self.codings[payload.coding - 1].decompress(payload.data, payload.limit)
        except ConnectError as error:
            too_large = error.code is Code.RESOURCE_EXHAUSTED
            raise RejectedError(_abi.REJECT_TOO_LARGE if too_large else _abi.REJECT_DECOMPRESS) from None
        except Exception:  # noqa: BLE001 - whatever a compression raises: the peer's data is bad
            raise RejectedError(_abi.REJECT_DECOMPRESS) from None


def _closing(ended: list[int]) -> bytes:
    """Records that close calls, taken off the list one by one: another thread may be adding to it."""
    records: list[bytes] = []
    try:
        while ended:
            records.append(_CLOSE(_abi.CMD_CLOSE, 0, 12, ended.pop()))
    except IndexError:  # another thread took the last
        pass
    return b"".join(records)


def _length_field(length: int) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % length)


def _length_text_field(length: int) -> tuple[str, str]:
    return ("content-length", str(length))


class Compressed:
    """A payload as it came, with what decompresses it and to how many bytes at most."""

    __slots__ = ("coding", "data", "limit")

    def __init__(self, data: bytes, coding: int, limit: int) -> None:
        self.data = data
        self.coding = coding
        self.limit = limit


class RejectedError(Exception):
    """A payload is bad, for a reason that the guest knows by number."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


def _attributes(method: Any) -> int:
    safe = method.idempotency_level is IdempotencyLevel.NO_SIDE_EFFECTS
    return _ATTRIBUTES[method.stream_type] | (_abi.NO_SIDE_EFFECTS if safe else 0)
