"""Play tapes: the host's side of the contract, written from wasm/ABI.md.

The schemas of the records come from abi.json.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from tape_format import HERE, Entry, Line, Step, Tape, TapeError, Text

ABI: Final[dict[str, Any]] = json.loads((HERE / "abi.json").read_text(encoding="utf-8"))
COMMANDS: Final = {record["name"]: record for record in ABI["records"] if not record["event"]}
EVENTS: Final = {record["kind"]: record for record in ABI["records"] if record["event"]}
NO_TIMEOUT: Final = 2**64 - 1
COMPRESSED: Final = 1 << 31

WORDS: Final[dict[str, list[str]]] = {
    "code": [
        *("ok", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists"),
        *("permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range"),
        *("unimplemented", "internal", "unavailable", "data_loss", "unauthenticated"),
    ],
    "protocol": ["", "connect", "grpc", "grpc-web"],
    "fault": ["", "record", "handle", "state", "config", "busy", "panic", "argument"],
    "stream_type": ["unary", "client", "server", "bidi"],
    "peer-gone": ["", "closed", "refused", "reset", "broken", "large"],
    "reject": ["", "decode", "decompress", "too-large", "encode", "lost", "busy", "kind"],
}


class Guest(Protocol):
    """One fresh instance."""

    def step(self, batch: bytes) -> bytes:
        """Give the guest a batch and return its events."""
        ...


@dataclass(frozen=True)
class Mode:
    """One way to replay: how content is cut, and how much of it is carried."""

    name: str
    cut: str
    carry: str
    number: int


MODES: Final = [
    Mode("whole", "whole", "all", 0),
    Mode("whole-announced", "whole", "none", 1),
    Mode("bytes", "bytes", "all", 2),
    Mode("bytes-announced", "bytes", "none", 3),
    *(Mode(f"random-{n}", "random", "random", n + 3) for n in range(1, 5)),
]


class _Chance:
    """Xorshift32, seeded by the tape's name and the mode."""

    def __init__(self, tape: str, mode: int) -> None:
        x = 0x811C9DC5
        for byte in tape.encode():
            x = (x ^ byte) * 0x01000193 & 0xFFFFFFFF
        self._x = x ^ (mode * 0x9E3779B9 & 0xFFFFFFFF) or 1

    def below(self, n: int) -> int:
        x = self._x
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self._x = x
        return x % n


def _words(kind: str, column: str) -> list[str]:
    return WORDS.get(kind if column == "reason" else column, [])


def _number(kind: str, column: str, text: str) -> int:
    if column == "timeout_us" and text == "none":
        return NO_TIMEOUT
    words = _words(kind, column)
    return words.index(text) if text and text in words else int(text, 0)


def _attributes(text: str) -> int:
    """What a procedure is, in words, as bits."""
    bits = 0
    for word in text.split():
        bits |= 4 if word == "no-side-effects" else _number("", "stream_type", word)
    return bits


def _word(kind: str, column: str, number: int) -> str:
    words = _words(kind, column)
    return words[number] if number < len(words) and words[number] else str(number)


def _list(text: str) -> list[str]:
    return text.split(",") if text else []


def encode(record: dict[str, Any], flags: int, handle: int, columns: dict[str, Any]) -> bytes:
    """Encode a command. Columns that are not given are zero, or empty; a timeout is none."""
    fixed, tail = bytearray(), bytearray()
    for column in record["columns"]:
        name = column["name"]
        match column["type"]:
            case "u32":
                fixed += struct.pack("<I", columns.get(name, 0))
            case "u64":
                fixed += struct.pack("<Q", columns.get(name, NO_TIMEOUT if name == "timeout_us" else 0))
            case "bytes":
                data = columns.get(name, b"")
                fixed += struct.pack("<I", len(data))
                tail += data
            case "fields":
                pairs = columns.get(name, [])
                data = b"\0".join(part for pair in pairs for part in pair)
                fixed += struct.pack("<II", len(pairs), len(data))
                tail += data
            case "pairs":
                pairs = columns.get(name, [])
                data = b"".join(struct.pack("<II", len(a), len(b)) + a + b for a, b in pairs)
                fixed += struct.pack("<II", len(pairs), len(data))
                tail += data
            case _:
                words = columns.get(name, [])
                fixed += struct.pack("<I", len(words))
                tail += struct.pack(f"<{len(words)}I", *words)
    return struct.pack("<HHII", record["kind"], flags, 12 + len(fixed) + len(tail), handle) + fixed + tail


@dataclass
class Event:
    """One decoded event."""

    record: dict[str, Any]
    flags: list[str]
    handle: int
    columns: dict[str, Any]


def decode(batch: bytes) -> list[Event]:
    """Take a batch of events apart; complain of what the contract does not allow."""
    events: list[Event] = []
    at = 0
    while at < len(batch):
        kind, bits, size, handle = struct.unpack_from("<HHII", batch, at)
        record = EVENTS.get(kind)
        if record is None or size < 12 or at + size > len(batch):
            raise TapeError(f"no event: kind {kind}, size {size}")
        if bits >> len(record["flags"]):
            raise TapeError(f"{record['name']} has unnamed flags {bits:#x}")
        sizes = {"u32": 4, "u64": 8, "bytes": 4, "fields": 8, "pairs": 8, "words": 4}
        fixed = at + 12
        tail = fixed + sum(sizes[column["type"]] for column in record["columns"])
        columns: dict[str, Any] = {}
        for column in record["columns"]:
            value: Any
            match column["type"]:
                case "u32":
                    (value,) = struct.unpack_from("<I", batch, fixed)
                case "u64":
                    (value,) = struct.unpack_from("<Q", batch, fixed)
                case "bytes":
                    (length,) = struct.unpack_from("<I", batch, fixed)
                    value = batch[tail : tail + length]
                    tail += length
                case "words":
                    (count,) = struct.unpack_from("<I", batch, fixed)
                    value = struct.unpack_from(f"<{count}I", batch, tail)
                    tail += 4 * count
                case "fields":
                    count, length = struct.unpack_from("<II", batch, fixed)
                    parts = batch[tail : tail + length].split(b"\0") if count else []
                    if len(parts) != 2 * count or not count and length:
                        raise TapeError(f"{record['name']}: {count} fields announced, {len(parts)} parts")
                    value = list(zip(parts[::2], parts[1::2], strict=True))
                    tail += length
                case _:
                    count, length = struct.unpack_from("<II", batch, fixed)
                    value, here = [], tail
                    for _ in range(count):
                        a, b = struct.unpack_from("<II", batch, here)
                        value.append((batch[here + 8 : here + 8 + a], batch[here + 8 + a : here + 8 + a + b]))
                        here += 8 + a + b
                    tail += length
                    if here != tail:
                        raise TapeError(f"{record['name']}: {column['name']} has the wrong size")
            fixed += sizes[column["type"]]
            columns[column["name"]] = value
        if tail != at + size:
            raise TapeError(f"{record['name']} does not hold exactly its columns")
        flags = [name for i, name in enumerate(record["flags"]) if bits >> i & 1]
        events.append(Event(record, flags, handle, columns))
        at += size
    return events


@dataclass
class _Config:
    procedures: list[str]
    codecs: list[str]
    codings: list[str]
    handle: int = 0


@dataclass
class _Call:
    name: str
    config: _Config | None
    head: list[Line]
    handle: int = 0
    content: bytearray = field(default_factory=bytearray)
    released: int = 0
    inline: bool = False
    sends: list[bytes] = field(default_factory=list)
    done: bool = False

    def word(self, kind: str, column: str, number: int) -> str:
        """Name a number by what the call's configuration calls it."""
        if self.config is not None:
            named = {"procedure": self.config.procedures, "codec": self.config.codecs}.get(column)
            if column == "coding" and 0 < number <= len(self.config.codings):
                return self.config.codings[number - 1]
            if named is not None and number < len(named):
                return named[number]
        return _word(kind, column, number)


class Player:
    """Plays to one guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._digest = hashlib.sha256()
        self._batch = bytearray()
        self._pending: list[_Config] = []
        self._opens: list[_Call] = []
        self._opened: _Call | None = None

    def digest(self) -> str:
        """Return the digest of all event bytes so far."""
        return self._digest.hexdigest()

    def play(self, tape: Tape, mode: Mode) -> None:
        """Play a whole tape; raise TapeError where it does not go as it says."""
        self._mode = mode
        self._chance = _Chance(tape.name, mode.number)
        self._configs: list[_Config] = []
        self._names: dict[str, _Call] = {}
        self._handles: dict[int, _Call] = {}
        self._current: _Call | None = None
        for step in tape.steps:
            self._got: list[Entry] = []
            try:
                self._step(step)
                self._unzip()
                self._compare(step.events)
            except TapeError as error:
                raise TapeError(f"{tape.name}.tape:{step.commands[0].number}: {mode.name}: {error}") from error

    def _compare(self, want: list[Entry]) -> None:
        for i in range(max(len(want), len(self._got))):
            if i >= len(want):
                raise TapeError(f"event {i} is not in the tape:\n{self._got[i]}")
            if i >= len(self._got):
                raise TapeError(f"event {i} did not come:\n{want[i]}")
            if not want[i].same(self._got[i]):
                raise TapeError(f"event {i} is not as in the tape:\nwant {want[i]}\ngot  {self._got[i]}")

    def _unzip(self) -> None:
        for entry in self._got:
            if entry.kind == "http-body" and entry.payloads[0].data[:3] == b"\x1f\x8b\x08":
                unzip = zlib.decompressobj(31)
                try:
                    plain = unzip.decompress(entry.payloads[0].data)
                except zlib.error:
                    continue
                if unzip.eof and not unzip.unused_data:
                    entry.payloads[0].data = plain
                    entry.flags.append("gzip")

    # --- commands ---

    def _step(self, step: Step) -> None:
        for i, command in enumerate(step.commands):
            if command.kind == "raw":
                self._batch += b"".join(text.data for text in command.payloads)
            elif command.kind == "content" and "resume" not in command.flags and self._call_of(command) is not None:
                follows = step.commands[i + 1].kind if i + 1 < len(step.commands) else ""
                self._content(command, follows)
            elif command.kind == "content-end" and (call := self._call_of(command)) is not None and call.done:
                continue
            else:
                self._command(command)
        self._flush()

    def _call_of(self, command: Entry) -> _Call | None:
        if "handle" in command.args:
            return None
        name = command.get("call")
        return self._current if name is None else self._names[name]

    def _handle_of(self, call: _Call) -> int:
        if call is self._opened:
            return 0
        if not call.handle:
            raise TapeError("the guest has not told this call's handle yet")
        return call.handle

    def _chunks(self, data: bytes) -> list[bytes]:
        if self._mode.cut == "whole" or not data:
            return [data]
        out: list[bytes] = []
        while data:
            n = 1
            if len(out) >= 1024:
                n = len(data) // 8 + 1
            elif self._mode.cut == "random":
                whole = self._chance.below(2) == 0
                n = 1 + self._chance.below(len(data) if whole else min(len(data), 16))
            out.append(data[:n])
            data = data[n:]
        return out

    def _carried(self, length: int, inline: bool) -> int:
        if self._mode.carry == "all" or inline:
            return length
        if self._mode.carry == "none":
            return 0
        match self._chance.below(3):
            case 0:
                return length
            case 1:
                return 0
            case _:
                return self._chance.below(length + 1)

    def _content(self, command: Entry, follows: str) -> None:
        call = self._call_of(command)
        assert call is not None
        chunks = self._chunks(b"".join(text.data for text in command.payloads))
        end = "end" in command.flags
        if end and (self._mode.cut == "bytes" or self._mode.cut == "random" and self._chance.below(2) == 1):
            chunks.append(b"")
        for i, chunk in enumerate(chunks):
            if call.done:
                return
            last = i == len(chunks) - 1
            carried = self._carried(len(chunk), call.inline)
            call.content += chunk
            columns = {"length": len(chunk), "data": chunk[:carried]}
            self._batch += encode(COMMANDS["content"], int(end and last), self._handle_of(call), columns)
            if not last or self._mode.name != "whole" and follows != "content-end":
                self._flush()

    def _command(self, command: Entry) -> None:
        record = COMMANDS.get(command.kind)
        if record is None:
            raise TapeError(f"line {command.number}: unknown command {command.kind!r}")
        flags, mark = 0, 0
        for name in command.flags:
            if name in record["flags"]:
                flags |= 1 << record["flags"].index(name)
            elif name == "compressed" and command.kind == "send":
                mark = COMPRESSED
            else:
                raise TapeError(f"line {command.number}: {command.kind} has no flag {name!r}")
        columns = self._columns(command, record)
        payloads = [text.data for text in command.payloads]
        if command.kind == "send":
            columns["lengths"] = [len(payload) | mark for payload in payloads]
            if "inline" in command.flags:
                columns["data"] = b"".join(payloads)
        elif command.kind == "content":
            columns.setdefault("length", sum(map(len, payloads)))
            columns["data"] = b"".join(payloads)
        elif command.kind == "decompressed":
            columns["data"] = b"".join(payloads)
        elif payloads:
            raise TapeError(f"line {command.number}: {command.kind} takes no payload")
        handle = self._target(command)
        call = self._call_of(command)
        if call is not None:
            if command.kind == "send" and "inline" not in command.flags:
                call.sends += payloads
            elif command.kind == "response-head":
                call.head = command.lines
            elif command.kind == "close":
                call.done = True
        self._batch += encode(record, flags, handle, columns)

    def _columns(self, command: Entry, record: dict[str, Any]) -> dict[str, Any]:
        types = {column["name"]: column["type"] for column in record["columns"]}
        out: dict[str, Any] = {}
        for key, text in command.args.items():
            if key in ("config", "call", "as", "handle"):
                continue
            value = text.data.decode("latin-1")
            if key == "attributes" and types.get(key) == "u32":
                out[key] = _attributes(value)
            elif types.get(key) in ("u32", "u64"):
                out[key] = _number(command.kind, key, value)
            elif key in ("codecs", "codings"):
                out[key] = "\0".join(_list(value)).encode("latin-1")
            elif key == "native":
                out[key] = bytes(int(one, 0) for one in _list(value))
            elif types.get(key) == "bytes":
                out[key] = text.data
            else:
                raise TapeError(f"line {command.number}: {command.kind} has no column {key!r} to give like this")
        attributes = bytearray()
        for line in command.lines:
            if line.kind == "procedure":
                attributes.append(_attributes(line.value.data.decode()))
                continue
            name = {"": "fields", "binary": "binary", "detail": "details"}[line.kind]
            if name not in types:
                raise TapeError(f"line {command.number}: {command.kind} has no {name}")
            out.setdefault(name, []).append((line.name, line.value.data))
        if attributes:
            out["procedures"] = b"\0".join(line.name for line in command.lines)
            out.setdefault("attributes", bytes(attributes))
        return out

    def _target(self, command: Entry) -> int:
        explicit = command.get("handle")
        chosen = command.get("config")
        if command.kind.startswith("configure-"):
            procedures = [line.name.decode("latin-1") for line in command.lines]
            codecs, codings = _list(command.get("codecs") or ""), _list(command.get("codings") or "")
            self._pending.append(_Config(procedures, codecs, codings))
            return int(explicit or "0", 0)
        config = self._configs[-1] if self._configs else None
        if chosen is not None:
            config = self._configs[int(chosen)]
        if command.kind in ("open-server", "open-client"):
            call = _Call(command.get("as") or "", config, command.lines)
            self._names[call.name] = self._current = self._opened = call
            self._opens.append(call)
        if explicit is not None:
            return int(explicit, 0)
        if command.kind in ("open-server", "open-client", "close-config") or chosen is not None:
            if config is None:
                raise TapeError(f"line {command.number}: no configuration")
            return config.handle
        target = self._call_of(command)
        if target is None:
            raise TapeError(f"line {command.number}: no call is open")
        return self._handle_of(target)

    def _flush(self) -> None:
        for _ in range(1000):
            if not self._batch:
                return
            out = self._guest.step(bytes(self._batch))
            self._digest.update(struct.pack("<I", len(out)))
            self._digest.update(out)
            self._batch.clear()
            self._more: list[Event] = []
            opens = self._opens
            for event in decode(out):
                try:
                    self._event(event)
                except TapeError as error:
                    raise TapeError(f"{event.record['name']}: {error}") from error
            self._opens, self._opened, self._pending = [], None, []
            for call in [*self._handles.values(), *opens]:
                call.sends.clear()
            for event in self._more:
                self._resume(event)
        raise TapeError("the guest asks for more without an end")

    def _resume(self, event: Event) -> None:
        call = self._handles[event.handle]
        start = event.columns["offset"]
        if call.done:
            return
        if not call.released <= start <= len(call.content):
            raise TapeError(f"more: asks for offset {start} of {call.released}..{len(call.content)}")
        data = bytes(call.content[start : start + event.columns["want"]])
        if data:
            self._batch += encode(COMMANDS["content"], 2, call.handle, {"length": len(data), "data": data})

    # --- events ---

    def _event(self, event: Event) -> None:
        name: str = event.record["name"]
        if name == "configured":
            if not self._pending:
                raise TapeError("nothing was configured")
            config = self._pending.pop(0)
            config.handle = event.handle
            self._configs.append(config)
            self._got.append(Entry(name, flags=event.flags))
            return
        call = self._handles.get(event.handle)
        if name == "fault":
            self._fault(event, call)
            return
        if call is None or call.done:
            if not self._opens:
                raise TapeError(f"for handle {event.handle:#x}, which is no open call")
            call = self._opens.pop(0)
            call.handle = event.handle
            self._handles[event.handle] = call
        match name:
            case "more":
                self._more.append(event)
            case "messages":
                self._messages(event, call)
            case "http-body":
                self._body(event, call)
            case _:
                if name == "done":
                    call.done = True
                elif name in ("request", "response"):
                    call.inline = "content-inline" in event.flags
                self._plain(event, call)

    def _plain(self, event: Event, call: _Call) -> None:
        out = Entry(event.record["name"], flags=event.flags)
        for column in event.record["columns"]:
            name, kind = column["name"], column["type"]
            value = event.columns[name]
            if kind in ("u32", "u64"):
                absent = NO_TIMEOUT if name == "timeout_us" else -1 if name in ("procedure", "codec") else 0
                if value != absent:
                    out.args[name] = Text(call.word(out.kind, name, value).encode("latin-1"))
            elif name == "hidden":
                out.lines += self._visible(call.head, value)
            elif kind == "bytes":
                if value:
                    out.args[name] = Text(value)
            else:
                kinds = {"binary": "binary", "details": "detail"}
                out.lines += [Line(kinds.get(name, ""), a, Text(b)) for a, b in value]
        self._note(call, out)

    def _visible(self, head: list[Line], hidden: bytes) -> list[Line]:
        bits = int.from_bytes(hidden, "little")
        if len(hidden) != (len(head) + 7) // 8 or bits >> len(head):
            raise TapeError(f"hidden has {len(hidden)} bytes, {bits:#x}, for {len(head)} fields")
        return [line for i, line in enumerate(head) if not bits >> i & 1]

    def _messages(self, event: Event, call: _Call) -> None:
        inline = "inline" in event.flags
        data = event.columns["data"] if inline else call.content
        base = 0 if inline else event.columns["base"]
        spans = event.columns["spans"]
        if len(spans) % 2 or not inline and event.columns["data"]:
            raise TapeError("an odd number of words in spans, or data without the flag inline")
        for start, word in zip(spans[::2], spans[1::2], strict=True):
            first, size = base + start, word & ~COMPRESSED
            if first + size > len(data):
                raise TapeError(f"span {first}+{size} in content of {len(data)}")
            if not inline:
                if first < call.released:
                    raise TapeError(f"span at {first}, and {call.released} were given up")
                call.released = first + size
            out = Entry("message", payloads=[Text(bytes(data[first : first + size]))])
            if word & COMPRESSED:
                out.flags.append("compressed")
                out.args["coding"] = Text(call.word("message", "coding", event.columns["coding"]).encode())
                out.args["limit"] = Text(str(event.columns["limit"]).encode())
            self._note(call, out)

    def _body(self, event: Event, call: _Call) -> None:
        count, prefix, data = event.columns["count"], event.columns["prefix"], event.columns["data"]
        if count > len(call.sends) or count * prefix > len(data):
            raise TapeError(f"{count} payloads of {len(call.sends)} with prefixes of {prefix} in {len(data)} bytes")
        body = b"".join(data[i * prefix : (i + 1) * prefix] + call.sends[i] for i in range(count))
        body += data[count * prefix :]
        del call.sends[:count]
        self._note(call, Entry("http-body", flags=event.flags, payloads=[Text(body)]))

    def _fault(self, event: Event, call: _Call | None) -> None:
        out = Entry("fault", args={"fault": Text(_word("", "fault", event.columns["fault"]).encode())})
        if call is None and event.handle:
            out.args["handle"] = Text(str(event.handle).encode())
        if not event.columns["text"]:
            raise TapeError("without a text")
        out.args["text"] = Text(event.columns["text"])
        self._pending.clear()  # what a fault answers has configured nothing
        if call is None:
            self._got.append(out)
        else:
            self._note(call, out)

    def _note(self, call: _Call, entry: Entry) -> None:
        if call.name:
            entry.args = {"call": Text(call.name.encode()), **entry.args}
        if entry.kind == "http-body" and self._got:
            last = self._got[-1]
            if last.kind == "http-body" and "end" not in last.flags and (last.get("call") or "") == call.name:
                last.payloads[0].data += entry.payloads[0].data
                last.flags = entry.flags
                return
        self._got.append(entry)
