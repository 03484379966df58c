"""Read tapes: the format that README.md describes.

Shares no code with the Go and Node runners: that the three agree is part of
what the tapes prove.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent


class TapeError(Exception):
    """A tape that cannot be read, or that did not go as it says."""


@dataclass
class Text:
    """A value; in a pattern every ``*`` stands for one byte or more."""

    data: bytes
    pattern: bool = False

    def matches(self, other: bytes) -> bool:
        """Compare with bytes that came."""
        if not self.pattern:
            return self.data == other
        parts = [re.escape(part) for part in self.data.split(b"*")]
        return re.fullmatch(b".+".join(parts), other, re.DOTALL) is not None


@dataclass
class Line:
    """An indented line: a field (kind ""), or "binary", "detail", "procedure"."""

    kind: str
    name: bytes
    value: Text


@dataclass
class Entry:
    """A command, or an event in the form in which tapes write it."""

    kind: str
    flags: list[str] = field(default_factory=list)
    args: dict[str, Text] = field(default_factory=dict)
    payloads: list[Text] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    number: int = 0

    def get(self, key: str) -> str | None:
        """Return a column as text."""
        value = self.args.get(key)
        return None if value is None else value.data.decode("latin-1")

    def _leaves_flags_open(self) -> bool:
        return self.kind == "configured" and not self.flags

    def same(self, got: Entry) -> bool:
        """Compare an event of the tape with one that came."""
        return (
            self.kind == got.kind
            and (self._leaves_flags_open() or sorted(self.flags) == sorted(got.flags))
            and self.args.keys() == got.args.keys()
            and all(value.matches(got.args[key].data) for key, value in self.args.items())
            and len(self.payloads) == len(got.payloads)
            and all(a.matches(b.data) for a, b in zip(self.payloads, got.payloads, strict=True))
            and len(self.lines) == len(got.lines)
            and all(
                a.kind == b.kind and a.name == b.name and a.value.matches(b.value.data)
                for a, b in zip(_sorted(self.lines), _sorted(got.lines), strict=True)
            )
        )

    def __str__(self) -> str:
        words = [self.kind, *self.flags]
        words += [f"{key}={value.data.decode('latin-1')}" for key, value in self.args.items()]
        words += [repr(text.data[:400]) for text in self.payloads]
        rows = [f"    {line.kind} {line.name!r}: {line.value.data[:400]!r}" for line in _sorted(self.lines)]
        return "\n".join(["< " + " ".join(words), *rows])


def _sorted(lines: list[Line]) -> list[Line]:
    """Order fields by name; details keep their order."""
    return sorted(lines, key=lambda line: b"\xff" if line.kind == "detail" else line.kind.encode() + b"\0" + line.name)


@dataclass
class Step:
    """What goes in at once and what must come out of it."""

    commands: list[Entry] = field(default_factory=list)
    events: list[Entry] = field(default_factory=list)


@dataclass
class Tape:
    """One file."""

    name: str
    headers: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


def names(contains: str = "") -> list[str]:
    """List the tapes, without those that are there to be used by others."""
    every = (path.relative_to(HERE).with_suffix("").as_posix() for path in HERE.rglob("*.tape"))
    return sorted(name for name in every if not name.startswith(("presets/", "selftest/")) and contains in name)


def load(name: str) -> Tape:
    """Read the tape of this name."""
    tape = Tape(name)
    source = (HERE / f"{name}.tape").read_bytes().decode("latin-1")
    joins = False
    last: Entry | None = None
    for number, full in enumerate(source.split("\n"), 1):
        line = full.rstrip(" \t\r")
        word = line.lstrip(" \t")
        try:
            if not word:
                joins = False
            elif word[0] == "#":
                continue
            elif line[0] in " \t":
                if last is None:
                    raise TapeError("an indented line belongs to no command or event")
                last.lines += _parse_line(word)
            elif line[0] == ">":
                last = _parse_entry(line[1:], number)
                if not joins:
                    tape.steps.append(Step())
                joins = True
                tape.steps[-1].commands.append(last)
            elif line[0] == "<":
                last = _parse_entry(line[1:], number)
                joins = False
                count = 1
                if last.kind == "repeat":
                    count, last.kind, last.flags = int(last.flags[0]), last.flags[1], last.flags[2:]
                tape.steps[-1].events += [last] * count
            elif line.startswith("use "):
                tape.steps += _use(_parse_entry(line[4:], number))
                joins, last = False, None
            else:
                key, colon, value = line.partition(": ")
                if not colon or key not in ("title", "spec", "fails") or tape.steps:
                    raise TapeError(f"neither a command, an event, a header nor a comment: {line!r}")
                tape.headers[key] = value
        except (TapeError, ValueError, IndexError) as error:
            raise TapeError(f"{name}.tape:{number}: {error}") from error
    return tape


def _use(over: Entry) -> list[Step]:
    steps = load(f"presets/{over.kind}").steps
    for command in (command for step in steps for command in step.commands):
        if command.kind.startswith("configure-"):
            command.flags += over.flags
            command.args.update(over.args)
    return steps


_WORD = re.compile(r"[A-Za-z0-9_-]*")
_BARE = re.compile(r"[^ \t]*")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "\\": "\\", '"': '"'}


class _Scanner:
    """The small language of values."""

    def __init__(self, source: str) -> None:
        self.s = source
        self.i = 0

    def space(self) -> None:
        while self.peek() in (" ", "\t"):
            self.i += 1

    def peek(self) -> str:
        return self.s[self.i : self.i + 1]

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.s, self.i)
        assert match is not None
        self.i = match.end()
        return match.group()

    def expect(self, char: str) -> None:
        self.space()
        if self.peek() != char:
            raise TapeError(f"expected {char!r} at {self.s[self.i :]!r}")
        self.i += 1

    def starts(self) -> bool:
        """Whether a value begins here, rather than a bare word."""
        if self.peek() in ('"', "'", "~"):
            return True
        match = _WORD.match(self.s, self.i)
        return match is not None and match.group() in _FUNCTIONS and self.s[match.end() : match.end() + 1] == "("

    def text(self) -> Text:
        pattern = self.peek() == "~"
        if pattern:
            self.i += 1
        return Text(self.sum(), pattern)

    def sum(self) -> bytes:
        out = self.atom()
        while True:
            at = self.i
            self.space()
            if self.peek() != "+":
                self.i = at
                return out
            self.i += 1
            self.space()
            out += self.atom()

    def atom(self) -> bytes:
        if self.peek() == "'":
            end = self.s.index("'", self.i + 1)
            out = self.s[self.i + 1 : end]
            self.i = end + 1
            return out.encode("latin-1")
        if self.peek() == '"':
            return self.quoted()
        name = self.take(_WORD)
        if name not in _FUNCTIONS:
            raise TapeError(f"not a value: {self.s[self.i :]!r}")
        self.expect("(")
        self.space()
        value = self.call(name)
        self.expect(")")
        return value

    def quoted(self) -> bytes:
        out: list[str] = []
        self.i += 1
        while True:
            char = self.s[self.i]
            self.i += 1
            if char == '"':
                return "".join(out).encode("latin-1")
            if char == "\\":
                char = self.s[self.i]
                self.i += 1
                if char == "x":
                    char = chr(int(self.s[self.i : self.i + 2], 16))
                    self.i += 2
                else:
                    char = _ESCAPES[char]
            out.append(char)

    def call(self, name: str) -> bytes:
        if name in ("hex", "file"):
            end = self.s.index(")", self.i)
            inner = self.s[self.i : end]
            self.i = end
            return bytes.fromhex(inner) if name == "hex" else (HERE / "data" / inner).read_bytes()
        if name == "repeat":
            data = self.sum()
            self.expect(",")
            return data * self.number()
        if name == "envelope":
            flags = self.number()
            self.expect(",")
            self.space()
            data = self.sum()
            return struct.pack(">BI", flags, len(data)) + data
        if name == "u32be":
            return struct.pack(">I", self.number())
        return _PACKED[name](self.sum())

    def number(self) -> int:
        self.space()
        return int(self.take(_WORD), 0)


def stored_gzip(data: bytes) -> bytes:
    """Make a gzip member (RFC 1952)."""
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return head + _stored_blocks(data) + struct.pack("<II", zlib.crc32(data), len(data))


def stored_zlib(data: bytes) -> bytes:
    """Make a zlib stream (RFC 1950)."""
    return b"\x78\x01" + _stored_blocks(data) + struct.pack(">I", zlib.adler32(data))


def _stored_blocks(data: bytes) -> bytes:
    """Make stored blocks of DEFLATE (RFC 1951, 3.2.4)."""
    out = bytearray()
    for at in range(0, max(len(data), 1), 65535):
        block = data[at : at + 65535]
        out += struct.pack("<BHH", at + 65535 >= len(data), len(block), len(block) ^ 0xFFFF) + block
    return bytes(out)


def stored_snappy(data: bytes) -> bytes:
    """Make a stream of uncompressed chunks (framing_format.txt of snappy)."""
    out = bytearray(b"\xff\x06\0\0sNaPpY")
    for at in range(0, len(data), 65536):
        block = data[at : at + 65536]
        crc = 0xFFFFFFFF
        for byte in block:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        crc ^= 0xFFFFFFFF
        masked = (crc >> 15 | crc << 17) + 0xA282EAD8
        out += struct.pack("<II", 1 | len(block) + 4 << 8, masked & 0xFFFFFFFF) + block
    return bytes(out)


_PACKED: dict[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64encode,
    "gzip": stored_gzip,
    "deflate": stored_zlib,
    "snappy": stored_snappy,
}
_FUNCTIONS = frozenset({"hex", "repeat", "envelope", "u32be", "file", *_PACKED})


def _parse_entry(source: str, number: int) -> Entry:
    scan = _Scanner(source)
    scan.space()
    entry = Entry(scan.take(_WORD), number=number)
    if not entry.kind:
        raise TapeError(f"no kind in {source!r}")
    while True:
        scan.space()
        if not scan.peek():
            return entry
        if scan.starts():
            entry.payloads.append(scan.text())
            continue
        word = scan.take(_WORD)
        if not word:
            raise TapeError(f"cannot read {source[scan.i :]!r}")
        if scan.peek() != "=":
            entry.flags.append(word)
            continue
        scan.i += 1
        entry.args[word] = scan.text() if scan.starts() else Text(scan.take(_BARE).encode("latin-1"))


def _parse_line(source: str) -> list[Line]:
    if source.startswith("repeat "):
        _, count, rest = source.split(" ", 2)
        return _parse_line(rest) * int(count)
    for kind in ("binary", "detail", "procedure"):
        if source.startswith(kind + " "):
            name, equals, value = source[len(kind) + 1 :].partition(" = ")
            if not equals:
                raise TapeError(f"expected {kind} NAME = VALUE")
            return [Line(kind, name.encode("latin-1"), _field_value("= " + value))]
    scan = _Scanner(source)
    if scan.peek() == '"':
        name_bytes = scan.quoted()
        scan.expect(":")
    else:
        name, colon, _ = source.partition(":")
        if not colon or not name:
            raise TapeError(f"expected name: value in {source!r}")
        name_bytes = name.encode("latin-1")
        scan.i = len(name) + 1
    return [Line("", name_bytes, _field_value(source[scan.i :].lstrip(" \t")))]


def _field_value(source: str) -> Text:
    if not source.startswith("= "):
        return Text(source.encode("latin-1"))
    scan = _Scanner(source[2:])
    scan.space()
    text = scan.text()
    scan.space()
    if scan.peek():
        raise TapeError(f"cannot read {source[scan.i :]!r}")
    return text
