"""What a server offers, and the short way of a unary call through the module.

Most calls are plain: unary, in one piece, answered with one message and no metadata. The guest settles these when it reads
the head ("A prepared call", ABI.md section 9): one step, or none where the verdict on an equal head was kept. Other calls
that come in one piece take two steps, whose usual events are read at fixed places. Whatever is not usual goes to a
`ServerCall` (`call.py`), which knows everything.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .._codec.codec import default_codecs, resolve_decoder, resolve_encoder
from .._wasm import abi, records
from .._wasm.columns import join_names, layout, split_fields, split_text_fields
from .._wasm.configuration import Configuration, attributes
from .._wasm.instance import GuestError
from .._wasm.pool import POOL
from ..code import Code
from ..compression.gzip import GzipCompression
from ..errors import ConnectError
from ..method import StreamType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .._codec.codec import Codec
    from .._wasm.instance import Instance
    from ..compression import Compression

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

DEADLINE_GRACE: Final = 0.01
"""Seconds after a deadline before which its answer is not written. A client that keeps the same deadline gives up at that
time; an answer that met it while it does so would reach it cut in two, and look broken."""

CARRY_WHOLE: Final = 16 << 10
"""Content up to this size is given to the guest whole, and of longer content the first `CARRY_FIRST` bytes."""
CARRY_FIRST: Final = 4 << 10

_MOST: Final = (1 << 31) - 1  # longest message that a span can name
_COMPRESS_MIN: Final = 1024  # smaller messages do not get smaller
_CACHED: Final = 512  # heads whose verdict, or response fields, are kept
_CONFIDENT: Final = 16  # after so many prepared calls in a row the content of the next is not shown with its head
_KEPT_BYTES: Final = 4 << 10  # longest head, about, whose verdict is kept

Head: TypeAlias = "tuple[int, bytes, bytes, bytes, int, bytes]"
"""A request's head: capability flags, HTTP method, path, query, number of fields, fields as a column."""

Reply: TypeAlias = "tuple[int, list[tuple[Any, Any]], bytes, list[tuple[Any, Any]] | None, bytes | None]"
"""An answer with one message: status, fields, content, trailers. Where the status is 0 the content is the payload, and a
`ServerCall` goes on: from the events that come last, or, where these are None, by ending the call."""


class Procedure:
    """One method, with a decoder and an encoder for each codec."""

    __slots__ = ("decoders", "encoders", "function", "many_requests", "many_responses", "method", "path", "plain")

    def __init__(self, path: str, method: Any, function: Callable[..., Any], codecs: Sequence[Codec]) -> None:
        self.path = path.encode()
        self.plain = 0  # how many of its last calls in a row were prepared
        self.method = method
        self.function = function
        self.many_requests = method.stream_type in (StreamType.CLIENT_STREAM, StreamType.BIDI_STREAM)
        self.many_responses = method.stream_type in (StreamType.SERVER_STREAM, StreamType.BIDI_STREAM)
        # The first codec is made ready at once, which finds classes that are no messages; the others, which may want large
        # imports, when they are first used.
        self.decoders = [
            _when_used(resolve_decoder, codec, method.input) if index else resolve_decoder(codec, method.input)
            for index, codec in enumerate(codecs)
        ]
        self.encoders = [
            _when_used(resolve_encoder, codec, method.output) if index else resolve_encoder(codec, method.output)
            for index, codec in enumerate(codecs)
        ]


class Opened:
    """A call whose content came in one piece: what the guest says of it.

    It is *prepared* where `status` is not 0: no call is open, and what is here holds for all requests with this head.
    Otherwise `instance` has a call named `handle`, and `payload` is its message; but if the handle is 0, the events were
    not the usual ones and stand in the place of the payload, and there are none if the instance failed. `told` says whether
    the guest knows of the content.
    """

    __slots__ = (
        "binary",
        "codec",
        "coding",
        "fields",
        "handle",
        "hidden",
        "instance",
        "length_name",
        "limit",
        "minimum",
        "payload",
        "procedure",
        "status",
        "timeout",
        "told",
    )

    instance: Instance
    payload: bytes | Compressed
    # prepared: most bytes of content, fields, and the name of the one that gives the reply's length
    limit: int
    fields: list[tuple[Any, Any]]
    length_name: Any

    def __init__(self, procedure: Procedure, codec: int, coding: int, minimum: int, timeout: int) -> None:
        self.procedure = procedure
        self.codec = codec
        self.coding = coding
        self.minimum = minimum
        self.timeout = timeout
        self.hidden = b""
        self.binary: Sequence[tuple[bytes, bytes]] = ()
        self.handle = 0
        self.status = 0
        self.told = False


# The commands that open a unary call.
_OPEN: Final = layout(
    (abi.LAYOUT_OPEN_SERVER, "kind flags size handle method_size path_size query_size fields_count fields_size")
).pack
_OPEN_SIZE: Final = len(records.open_server(0))
_CONTENT: Final = layout((abi.LAYOUT_CONTENT, "kind flags size length data_size")).pack
_CONTENT_SIZE: Final = len(records.content(0))
# And the events that follow: request without binary metadata, one message, received; or request, prepared, done.
_KIND: Final = layout((abi.LAYOUT_DONE, "kind flags size")).unpack_from
_REQUEST: Final = layout((abi.LAYOUT_REQUEST, "handle codec coding compress_min timeout_us hidden_size binary_count"))
_MESSAGE: Final = layout(
    (abi.LAYOUT_MESSAGES, "kind flags base coding limit spans_count data_size"),
    ("start:I length:I", "start length"),
    (abi.LAYOUT_RECEIVED, "kind code"),
)
_LEAST_SIZE: Final = _REQUEST.size + layout((abi.LAYOUT_PREPARED, "")).size
# The commands that answer it: send of one message, end without anything.
_REPLY: Final = layout(
    (abi.LAYOUT_SEND, "kind size handle lengths_count"), ("length:I", "length"), (abi.LAYOUT_END, "kind size handle")
).pack
_END_SIZE: Final = len(records.end(0))
_SEND_SIZE: Final = len(records.send(0, 0, (0,)))
# And the events that follow: head, the message as it is, trailers perhaps, done.
_HEAD: Final = layout((abi.LAYOUT_HTTP_RESPONSE_HEAD, "kind flags size status"))
_BODY: Final = layout((abi.LAYOUT_HTTP_BODY, "kind flags size count prefix data_size"))
_TRAILERS: Final = layout((abi.LAYOUT_HTTP_TRAILERS, "kind size"))
_pick: Final = POOL.pick


class Service:
    """What a server offers, and how the guest is told.

    With `text` fields are given and taken as text, a character per byte, as WSGI has them; else as bytes.
    """

    __slots__ = (
        "_answers",
        "_configuration",
        "_digits",
        "_fields_of",
        "_heads",
        "_verdicts",
        "codings",
        "procedures",
        "routes",
    )

    def __init__(
        self,
        endpoints: Mapping[str, tuple[Any, Callable[..., Any]]],
        *,
        codecs: Iterable[Codec] | None,
        compressions: Iterable[Compression] | None,
        read_max_bytes: int | None,
        text: bool,
    ) -> None:
        known = list(default_codecs() if codecs is None else codecs)
        self.codings: list[Compression] = [GzipCompression()] if compressions is None else list(compressions)
        self.codings = [coding for coding in self.codings if coding.name() != "identity"]
        self.procedures = [Procedure(path, *endpoint, known) for path, endpoint in endpoints.items()]
        self.routes = {procedure.path.decode(): procedure for procedure in self.procedures}
        if read_max_bytes is not None and not 0 < read_max_bytes <= _MOST:
            raise ValueError(f"read_max_bytes must be from 1 to {_MOST}, or None for no limit, not {read_max_bytes}")
        record = records.configure_server(
            read_max=_MOST if read_max_bytes is None else read_max_bytes,
            send_max=0,
            compress_min=_COMPRESS_MIN,
            codecs=join_names(codec.name() for codec in known),
            codings=join_names(coding.name() for coding in self.codings),
            native=bytes([True] * len(self.codings)),
            procedures=join_names(self.routes),
            attributes=bytes([attributes(procedure.method) for procedure in self.procedures]),
        )
        self._configuration = Configuration.of(record)
        self._fields_of: Callable[[bytes], list[tuple[Any, Any]]] = split_text_fields if text else split_fields
        self._digits: Callable[[int], Any] = str if text else b"%d".__mod__
        self._heads: dict[bytes, tuple[list[tuple[Any, Any]], Any]] = {}
        self._verdicts: dict[Head, Opened] = {}
        self._answers: dict[tuple[bytes, bytes], Opened] = {}

    def configured(self, instance: Instance) -> int:
        """The handle of this service's configuration in an instance, made if it is not there."""
        return self._configuration.handle_in(instance)

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

    def open_unary(self, head: Head, procedure: Procedure, content: bytes | None) -> Opened:
        """Open a call whose content is all there, or, where it is None, has not come. Raises ModuleError."""
        opened = self._verdicts.get(head)
        if opened is None:
            opened = self._open(head, procedure, content, abi.OPEN_PREPARE)
        if content is not None and opened.status and len(content) > opened.limit:
            return self._open(head, procedure, content, 0)
        return opened

    def _open(self, head: Head, procedure: Procedure, content: bytes | None, flags: int) -> Opened:
        own, method, path, query, count, fields = head
        flags |= own
        instance = _pick()
        config = instance.handles.get(self._configuration.key)
        if config is None:
            config = self.configured(instance)
        path_size = len(path)
        fields_size = len(fields)
        query_size = len(query)
        method_size = len(method)
        size = _OPEN_SIZE + method_size + path_size + query_size + fields_size
        opening = _OPEN(abi.CMD_OPEN_SERVER, flags, size, config, method_size, path_size, query_size, count, fields_size)
        told = content is not None and procedure.plain < _CONFIDENT
        if content is None or not told:
            batch = b"".join((opening, method, path, query, fields))
        elif (length := len(content)) <= CARRY_WHOLE:
            carried = _CONTENT(abi.CMD_CONTENT, abi.CONTENT_END_FLAG, _CONTENT_SIZE + length, length, length)
            batch = b"".join((opening, method, path, query, fields, carried, content))
        else:
            carried = _CONTENT(abi.CMD_CONTENT, abi.CONTENT_END_FLAG, _CONTENT_SIZE + CARRY_FIRST, length, CARRY_FIRST)
            batch = b"".join((opening, method, path, query, fields, carried, content[:CARRY_FIRST]))
        try:
            events = instance.step(batch)
        except GuestError as error:
            POOL.discard(instance, error)
            events = b""
        if len(events) > _LEAST_SIZE:
            kind, kind_flags, size = _KIND(events)
            if kind == abi.EV_REQUEST and not kind_flags:
                # Of a prepared call all but the handles is the same as of many calls before.
                if _KIND(events, size)[0] == abi.EV_PREPARED:
                    answer = (events[abi.HEADER_SIZE : size], events[size + abi.HEADER_SIZE : -abi.HEADER_SIZE])
                    opened = self._answers.get(answer)
                    if opened is None:
                        opened = self._prepared(procedure, events, answer)
                    procedure.plain += 1
                    if query_size + fields_size <= _KEPT_BYTES:
                        if len(self._verdicts) >= _CACHED:
                            self._verdicts.clear()
                        self._verdicts[head] = opened
                    return opened
                procedure.plain = 0
                if told:
                    assert content is not None
                    opened = self._usual(procedure, content, events, size)
                    if opened is not None:
                        opened.instance = instance
                        return opened
        opened = Opened(procedure, 0, 0, 0, 0)
        opened.instance, opened.payload, opened.told = instance, events, told
        return opened

    def _prepared(self, procedure: Procedure, events: bytes, answer: tuple[bytes, bytes]) -> Opened:
        """Read the events of a prepared call, and remember what they came to."""
        request, prepared, *_ = records.decode(events)
        assert isinstance(request, records.Request)
        assert isinstance(prepared, records.Prepared)
        opened = Opened(procedure, request.codec, request.coding, request.compress_min, request.timeout_us)
        opened.hidden, opened.binary = request.hidden, request.binary
        opened.limit = prepared.limit
        opened.status = prepared.status
        opened.fields = self._fields_of(prepared.fields)
        opened.length_name = prepared.length if self._digits is not str else prepared.length.decode("latin-1")
        if not request.binary:
            if len(self._answers) >= _CACHED:
                self._answers.clear()
            self._answers[answer] = opened
        return opened

    def _usual(self, procedure: Procedure, content: bytes, events: bytes, size: int) -> Opened | None:
        """Read the events of a call that is open and has its one message, if that is what they are."""
        handle, codec, coding, minimum, timeout, hidden, binary = _REQUEST.unpack_from(events)
        if binary or len(events) != size + _MESSAGE.size:
            return None
        kind, inline, base, packing, limit, words, data, start, length, after, fault = _MESSAGE.unpack_from(events, size)
        if kind != abi.EV_MESSAGES or inline or words != 2 or data or after != abi.EV_RECEIVED or fault:
            return None
        opened = Opened(procedure, codec, coding, minimum, timeout)
        opened.hidden = events[_REQUEST.size : _REQUEST.size + hidden]
        opened.handle = handle
        start += base
        if length < abi.COMPRESSED:
            opened.payload = content[start : start + length]
        else:
            opened.payload = Compressed(content[start : start + length - abi.COMPRESSED], packing, limit)
        return opened

    def plain_fields(self, opened: Opened, payload: bytes) -> list[tuple[Any, Any]] | None:
        """The response's fields for a prepared call that ended well, without metadata and in time, with this payload; None
        where it is to be compressed, which is the guest's to decide."""
        length = len(payload)
        if opened.coding and length >= opened.minimum:
            return None
        return [*opened.fields, (opened.length_name, self._digits(length))]

    def finish_unary(self, opened: Opened, message: Any) -> Reply:
        """Answer a call with its one message. Raises whatever the encoder raises."""
        reply = opened.procedure.encoders[opened.codec](message)
        if opened.status:
            fields = self.plain_fields(opened, reply)
            if fields is None:
                return 0, [], reply, None, None
            return opened.status, fields, reply, None, None
        length = len(reply)
        if opened.coding and length >= opened.minimum:
            reply = self.codings[opened.coding - 1].compress(reply)
            length = len(reply) | abi.COMPRESSED
        instance, handle = opened.instance, opened.handle
        try:
            events = instance.step(_REPLY(abi.CMD_SEND, _SEND_SIZE, handle, 1, length, abi.CMD_END, _END_SIZE, handle))
        except GuestError as error:
            POOL.discard(instance, error)
            return 0, [], reply, None, b""
        total = len(events)
        if total > _HEAD.size + abi.HEADER_SIZE:
            kind, flags, size, status = _HEAD.unpack_from(events)
            if kind != abi.EV_HTTP_RESPONSE_HEAD:
                pass
            elif flags == abi.HTTP_END:
                if total == size + abi.HEADER_SIZE:
                    return status, self.response_fields(events[_HEAD.size : size]), b"", None, None
            elif flags != abi.HTTP_TRAILERS:
                if total == size + _BODY.size + abi.HEADER_SIZE:
                    kind, end, _, payloads, prefix, data = _BODY.unpack_from(events, size)
                    if kind == abi.EV_HTTP_BODY and end and payloads == 1 and not prefix and not data:
                        return status, self.response_fields(events[_HEAD.size : size]), reply, None, None
            elif total > size + _BODY.size + _TRAILERS.size + abi.HEADER_SIZE:
                kind, _, body_size, payloads, prefix, data = _BODY.unpack_from(events, size)
                if kind == abi.EV_HTTP_BODY and payloads == 1 and prefix == data:
                    at = size + body_size
                    kind, trailers_size = _TRAILERS.unpack_from(events, at)
                    if kind == abi.EV_HTTP_TRAILERS and total == at + trailers_size + abi.HEADER_SIZE:
                        trailers = self.response_fields(events[at + _TRAILERS.size : at + trailers_size])
                        content = events[size + _BODY.size : at] + reply
                        return status, self.response_fields(events[_HEAD.size : size]), content, trailers, None
        return 0, [], reply, None, events

    def unpacked(self, payload: Compressed) -> bytes:
        """A payload decompressed. Raises RejectedError."""
        try:
            return self.codings[payload.coding - 1].decompress(payload.data, payload.limit)
        except ConnectError as error:
            too_large = error.code is Code.RESOURCE_EXHAUSTED
            raise RejectedError(abi.REJECT_TOO_LARGE if too_large else abi.REJECT_DECOMPRESS) from None
        except Exception:  # noqa: BLE001 - whatever a compression raises: the peer's data is bad
            raise RejectedError(abi.REJECT_DECOMPRESS) from None


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


def _when_used(
    resolve: Callable[[Codec, type[Any]], Callable[[Any], Any]], codec: Codec, kind: type[Any]
) -> Callable[[Any], Any]:
    """The function that `resolve` gives, which is asked for at the first call."""
    function: Callable[[Any], Any] | None = None

    def call(argument: Any) -> Any:
        nonlocal function
        if function is None:
            function = resolve(codec, kind)
        return function(argument)

    return call
