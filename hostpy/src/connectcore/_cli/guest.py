"""Bytes played to the module, in either role. What is right, and what anything is called, the module says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .._codec.codec import proto_binary_codec, proto_json_codec, resolve_decoder
from .._codec.payload import RejectedError, decoded, decompressed
from .._wasm import abi, records
from .._wasm.columns import join_text_fields
from .._wasm.configuration import attributes
from .._wasm.pool import POOL
from .assumed import NUMBERS, UNKNOWN, assumed_request, calling, serving, texts
from .connection import CODECS, COMPRESSIONS, PROTOCOLS
from .recorder import Captured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..method import MethodInfo
    from .schema import Schema

__all__ = ["KINDS", "Message", "Play", "as_client", "as_server", "spoken"]

KINDS: Final = (abi.UNARY | abi.NO_SIDE_EFFECTS, abi.CLIENT_STREAM, abi.SERVER_STREAM, abi.BIDI_STREAM)
_NAMES: Final = ("unary", "client stream", "server stream", "bidi stream")
_GOOD: Final = abi.CODES[0]


@dataclass
class Message:
    """A message as the module found it: its payload as it is, and where it stood in the content, if that can be said."""

    payload: bytes
    place: tuple[int, int] | None
    coding: str | None
    value: Any = None


@dataclass
class Play:
    """What the module said of bytes.

    `code` is `ok`, or that of the error, whose text is `text`. `known` holds protocol, codec and so on. `own` has the places of
    the fields that belong to the protocol; None where the head was refused. `refused` is the status of the answer that a
    server gives at once. `prefix`: see `prefix_of`. `foreign`: the module says of it what it says of a response that is of no
    protocol at all.
    """

    kind: int = 0
    known: dict[str, Any] = field(default_factory=dict[str, Any])
    own: set[int] | None = None
    messages: list[Message] = field(default_factory=list[Message])
    code: str = _GOOD
    text: str = ""
    details: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    refused: int | None = None
    prefix: int = 0
    foreign: bool = False

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return self.code == _GOOD

    @property
    def rank(self) -> tuple[bool, bool, bool, bool]:
        """How much of it the module could make sense of."""
        return self.good, self.own is not None, bool(self.messages), not self.foreign


def as_server(
    captured: Captured, schema: Schema | None, method: MethodInfo[Any, Any] | None, kinds: Iterable[int] | None = None
) -> Play:
    """What a server makes of a request. Without a method every stream type is tried, and the one that fits best taken."""
    path, _, query = captured.target.partition("?")
    plays = [_server(captured, path, query, schema, method, kind) for kind in kinds or _kinds(method)]
    return max(plays, key=lambda play: play.rank)


def as_client(
    captured: Captured,
    path: str,
    schema: Schema | None,
    method: MethodInfo[Any, Any] | None,
    protocols: Iterable[str] = PROTOCOLS,
    codecs: Iterable[str] = CODECS,
    kinds: Iterable[int] | None = None,
) -> Play:
    """What a client makes of a response. What is not known is tried, and what fits best taken."""
    plays: list[Play] = []
    foreign = Captured()
    foreign.status, foreign.trailers = captured.status, []
    for protocol in protocols:
        for codec in codecs:
            for kind in kinds or _kinds(method):
                play = _client(captured, path, schema, method, protocol, codec, kind)
                other = _client(foreign, path, None, None, protocol, codec, kind)
                play.foreign = (play.code, play.text) == (other.code, other.text)
                plays.append(play)
    return max(plays, key=lambda play: play.rank)


def spoken(protocol: str) -> list[str]:
    """The names of a protocol: it may have a text form, too."""
    return [name for name, each in PROTOCOLS.items() if NUMBERS[each] == NUMBERS[PROTOCOLS[protocol]]]


def _kinds(method: MethodInfo[Any, Any] | None) -> tuple[int, ...]:
    return KINDS if method is None else (attributes(method),)


def _server(
    captured: Captured, path: str, query: str, schema: Schema | None, method: MethodInfo[Any, Any] | None, kind: int
) -> Play:
    codings = [make() for make in COMPRESSIONS.values()]
    run = _Run(codings, captured.content, Play(kind=kind))
    fields = captured.request_fields
    head = (captured.method.encode("latin-1"), path.encode("latin-1"), query.encode("latin-1"))
    content, complete = captured.content, captured.complete
    flags = abi.OPEN_TRAILERS | abi.OPEN_DUPLEX | (abi.OPEN_END if complete and not content else 0)
    configuration = serving(path, kind, CODECS)
    try:
        config = configuration.handle_in(run.instance)
    except ValueError:  # no procedure can have such a path, and so the server has another
        configuration = serving(UNKNOWN, kind, CODECS)
        config = configuration.handle_in(run.instance)
    batch = records.open_server(config, flags, *head, len(fields), join_text_fields(fields))
    if content:
        batch += records.content(0, abi.CONTENT_END_FLAG if complete else 0, len(content), content)
    run.tell(batch)
    if not complete:
        run.tell(records.peer_gone(run.handle, abi.GONE_CLOSED))
    play = run.play
    request = next((event for event in run.events if isinstance(event, records.Request)), None)
    if request is None:
        _refused(run, path)
        return run.closed()
    codec = CODECS[request.codec]
    protocol = next(name for name, each in PROTOCOLS.items() if NUMBERS[each] == request.protocol)
    play.known = {
        "procedure": path.removeprefix("/"),
        "protocol": protocol,
        "codec": codec,
        "stream_type": _NAMES[kind & abi.BIDI_STREAM],
    }
    if request.timeout_us != abi.NO_TIMEOUT:
        play.known["timeout"] = request.timeout_us / 1e6
    play.own = _bits(request.hidden)
    play.prefix = assumed_request(protocol, codec, kind, path)[1]
    run.decode(codec, schema, None if method is None else method.input)
    for event in run.events:
        if isinstance(event, records.Received | records.Stop) and play.good:
            play.code, play.text = abi.CODES[event.code], _text(event.message)
    if play.good:
        names = spoken(protocol)
        # Content that the module reads whole is text, most likely.
        _refused(run, path, names[::-1] if request.flags & abi.CONTENT_INLINE else names, [codec])
    return run.closed()


def _refused(run: _Run, path: str, protocols: Iterable[str] = PROTOCOLS, codecs: Iterable[str] = CODECS) -> None:
    """The server answers at once: that answer is played to a client, who knows what it means."""
    answer = Captured()
    answer.trailers = []
    for event in run.events:
        match event:
            case records.HttpResponseHead():
                answer.status, answer.fields = event.status, texts(event.fields)
            case records.HttpBody():
                answer.answer += event.data
            case records.HttpTrailers():
                answer.trailers = texts(event.fields)
            case _:
                pass
    if answer.status is None:
        return
    told = as_client(answer, path, None, None, protocols, codecs, (run.play.kind,))
    play = run.play
    play.refused, play.code, play.text, play.foreign = answer.status, told.code, told.text, told.foreign


def _client(
    captured: Captured,
    path: str,
    schema: Schema | None,
    method: MethodInfo[Any, Any] | None,
    protocol: str,
    codec: str,
    kind: int,
) -> Play:
    config = calling(protocol, codec)
    codings = config.codings
    run = _Run(codings, captured.answer, Play(kind=kind))
    batch = records.open_client(config.handle_in(run.instance), 0, kind, 0, abi.NO_TIMEOUT, path.encode("latin-1"))
    inline = abi.SEND_INLINE if config.inline(0) else 0
    run.tell(batch + records.send(0, inline, [0]) + records.end(0))
    fields, trailers = captured.fields, captured.trailers
    batch = records.response_head(run.handle, 0, captured.status or 0, len(fields), join_text_fields(fields))
    if captured.answer:
        batch += records.content(run.handle, 0, len(captured.answer), captured.answer)
    if trailers is None:
        batch += records.peer_gone(run.handle, abi.GONE_CLOSED)
    else:
        batch += records.content_end(run.handle, len(trailers), join_text_fields(trailers))
    run.tell(batch)
    play = run.play
    play.prefix = max((event.prefix for event in run.events if isinstance(event, records.HttpBody)), default=0)
    play.known = {
        "protocol": protocol,
        "codec": codec,
        "stream_type": _NAMES[kind & abi.BIDI_STREAM],
    }
    run.decode(codec, schema, None if method is None else method.output)
    for event in run.events:
        if isinstance(event, records.Response):
            play.own = _bits(event.hidden)
        elif isinstance(event, records.EndOfCall):  # the last holds
            play.code, play.text, play.details = abi.CODES[event.code], _text(event.message), event.details
    return run.closed()


class _Run:
    """One call in an instance: what it says is kept, what it asks for is answered."""

    def __init__(self, codings: list[Any], content: bytes, play: Play) -> None:
        self.instance = POOL.pick()
        self.events: list[records.Event] = []
        self.handle = 0
        self.play = play
        self._codings = codings
        self._content = content

    def tell(self, batch: bytes) -> None:
        """Give commands, and go on until nothing more is asked."""
        while batch:
            events, batch = self.instance.tell(batch), b""
            if events and not self.handle:
                self.handle = events[0].handle
            for event in events:
                self.events.append(event)
                match event:
                    case records.More():
                        data = self._content[event.offset :]
                        batch = records.content(self.handle, abi.CONTENT_RESUME, len(data), data)
                    case records.Decompress():
                        batch = self._unpacked(event)
                    case records.Messages():
                        batch += self._messages(event)
                    case _:
                        pass

    def decode(self, codec: str, schema: Schema | None, kind: type[Any] | None) -> None:
        """Read the messages, if it is known what they are. The module hears of one that cannot be read."""
        if kind is None or schema is None:
            return
        form = proto_json_codec(schema.pool) if codec == "json" else proto_binary_codec()
        read: Callable[[bytes], Any] = resolve_decoder(form, kind)
        for each in self.play.messages:
            try:
                each.value = decoded(read, each.payload)
            except RejectedError as rejected:
                self.tell(records.reject(self.handle, rejected.reason, str(rejected.why).encode("utf-8", "replace")))
                return

    def closed(self) -> Play:
        """The call is over; what was said of it."""
        self.instance.later(records.close(self.handle))
        return self.play

    def _unpacked(self, event: records.Decompress) -> bytes:
        try:
            return records.decompressed(self.handle, decompressed(self._codings[event.coding - 1], event.data, event.limit))
        except RejectedError as rejected:
            return records.reject(self.handle, rejected.reason)

    def _messages(self, event: records.Messages) -> bytes:
        """Keep the messages; gives what the module should hear about them."""
        inline = bool(event.flags & abi.MESSAGES_INLINE)
        source, base = (event.data, 0) if inline else (self._content, event.base)
        for start, length in zip(event.spans[0::2], event.spans[1::2], strict=True):
            size = length & ~abi.COMPRESSED
            payload = source[base + start : base + start + size]
            coding = None
            if length & abi.COMPRESSED:
                by = self._codings[event.coding - 1]
                coding = by.name()
                try:
                    payload = decompressed(by, payload, event.limit)
                except RejectedError as rejected:
                    return records.reject(self.handle, rejected.reason)
            self.play.messages.append(Message(payload, None if inline else (base + start, size), coding))
        return b""


def _bits(hidden: bytes) -> set[int]:
    return {index for index in range(8 * len(hidden)) if hidden[index // 8] >> index % 8 & 1}


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
