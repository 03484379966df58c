"""Records against the contract's tables: commands as this host writes them, events as it reads them."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest

from connectcore._wasm import abi, columns, records

TABLE = json.loads((Path(__file__).parents[2] / "tests/tapes/abi.json").read_bytes())["records"]
SCHEMAS = {schema["kind"]: schema for schema in TABLE}
EVENTS = records._EVENTS


def columns_of(kind: int) -> list[tuple[str, str]]:
    return [(column["name"], column["type"]) for column in SCHEMAS[kind]["columns"]]


def parts(kind: int, record: bytes) -> dict[str, Any]:
    """A record's parts, read column by column as section 2 of ABI.md says."""
    got_kind, flags, size, handle = struct.unpack_from("<HHII", record)
    assert (got_kind, size) == (kind, len(record))
    at = 12
    numbers: list[tuple[str, str, tuple[int, ...]]] = []
    for name, column in columns_of(kind):
        layout = {"u32": "<I", "u64": "<Q", "bytes": "<I", "words": "<I", "fields": "<II", "pairs": "<II"}[column]
        numbers.append((name, column, struct.unpack_from(layout, record, at)))
        at += struct.calcsize(layout)
    found: dict[str, Any] = {"flags": flags, "handle": handle}
    for name, column, values in numbers:
        if column in ("u32", "u64"):
            found[name] = values[0]
            continue
        length = 4 * values[0] if column == "words" else values[-1]
        part, at = record[at : at + length], at + length
        assert len(part) == length
        if column == "words":
            found[name] = list(struct.unpack(f"<{values[0]}I", part))
        elif column == "pairs":
            found[name] = (values[0], part)
        else:
            found[name] = (values[0], part) if column == "fields" else part
    assert at == len(record)
    return found


PAIRS = [(b"x-bin", b"\0\1"), (b"y-bin", b"")]
PAIR_BYTES = b"\x05\0\0\0\x02\0\0\0x-bin\0\1\x05\0\0\0\0\0\0\0y-bin"

COMMANDS: list[tuple[int, bytes, dict[str, Any]]] = [
    (
        abi.CMD_CONFIGURE_SERVER,
        records.configure_server(
            flags=1,
            read_max=1,
            send_max=2,
            compress_min=3,
            timeout_max=4 << 32,
            codecs=columns.join_names(["proto", "json"]),
            codings=b"gzip",
            native=b"\1",
            procedures=b"/a.B/C\0/a.B/D",
            attributes=b"\4\3",
        ),
        {
            "flags": 1,
            "handle": 0,
            "read_max": 1,
            "send_max": 2,
            "compress_min": 3,
            "timeout_max": 4 << 32,
            "codecs": b"proto\0json",
            "codings": b"gzip",
            "native": b"\1",
            "procedures": b"/a.B/C\0/a.B/D",
            "attributes": b"\4\3",
        },
    ),
    (
        abi.CMD_CONFIGURE_CLIENT,
        records.configure_client(
            protocol=1,
            read_max=2,
            send_max=3,
            compress_min=4,
            send_coding=5,
            get_max=6,
            codec=b"json",
            codings=b"gzip\0br",
            native=b"\0\1",
            prefix=b"/p",
            user_agent=b"u",
        ),
        {
            "protocol": 1,
            "send_coding": 5,
            "get_max": 6,
            "codec": b"json",
            "codings": b"gzip\0br",
            "native": b"\0\1",
            "prefix": b"/p",
            "user_agent": b"u",
        },
    ),
    (abi.CMD_CLOSE_CONFIG, records.close_config(7), {"handle": 7}),
    (
        abi.CMD_OPEN_SERVER,
        records.open_server(7, 5, b"POST", b"/a.B/C", b"q=1", 1, b"a\0b"),
        {"handle": 7, "flags": 5, "method": b"POST", "path": b"/a.B/C", "query": b"q=1", "fields": (1, b"a\0b")},
    ),
    (
        abi.CMD_OPEN_CLIENT,
        records.open_client(7, 1, 2, 3, 1 << 40, b"/a.B/C", 1, b"a\0b", PAIRS),
        {
            "attributes": 2,
            "tries": 3,
            "timeout_us": 1 << 40,
            "procedure": b"/a.B/C",
            "fields": (1, b"a\0b"),
            "binary": (2, PAIR_BYTES),
        },
    ),
    (
        abi.CMD_RESPONSE_HEAD,
        records.response_head(7, 1, 404, 1, b"a\0b"),
        {"flags": 1, "status": 404, "fields": (1, b"a\0b")},
    ),
    (abi.CMD_CONTENT_END, records.content_end(7, 1, b"a\0b"), {"fields": (1, b"a\0b")}),
    (abi.CMD_PEER_GONE, records.peer_gone(7, 3, 8, b"why"), {"reason": 3, "reset_code": 8, "text": b"why"}),
    (
        abi.CMD_HEADERS,
        records.headers(7, 1, 1, b"a\0b", PAIRS),
        {"flags": 1, "fields": (1, b"a\0b"), "binary": (2, PAIR_BYTES)},
    ),
    (abi.CMD_SEND, records.send(7, 0, [1, 1 << 31]), {"flags": 0, "lengths": [1, 1 << 31], "data": b""}),
    (abi.CMD_SEND, records.send(7, 1, (2, 0, 1), b"abc"), {"flags": 1, "lengths": [2, 0, 1], "data": b"abc"}),
    (
        abi.CMD_END,
        records.end(7, 1, 5, b"no", PAIRS, 1, b"a\0b", PAIRS[:1]),
        {
            "flags": 1,
            "code": 5,
            "message": b"no",
            "details": (2, PAIR_BYTES),
            "fields": (1, b"a\0b"),
            "binary": (1, PAIR_BYTES[:15]),
        },
    ),
    (abi.CMD_REJECT, records.reject(7, 2, b"why"), {"reason": 2, "text": b"why"}),
    (abi.CMD_DEADLINE, records.deadline(7), {"handle": 7}),
    (abi.CMD_CANCEL, records.cancel(7), {"handle": 7}),
    (abi.CMD_CLOSE, records.close(7), {"handle": 7}),
    (abi.CMD_DECOMPRESSED, records.decompressed(7, b"ab"), {"handle": 7, "data": b"ab"}),
]


@pytest.mark.parametrize(("kind", "record", "wanted"), COMMANDS, ids=[SCHEMAS[kind]["name"] for kind, _, _ in COMMANDS])
def test_command(kind: int, record: bytes, wanted: dict[str, Any]) -> None:
    found = parts(kind, record)
    assert {name: found[name] for name in wanted} == wanted


def test_the_contract_s_own_example() -> None:
    wanted = bytes.fromhex("0700 0100 16000000 01000100 02000000 02000000 0801".replace(" ", "")) + b""
    assert len(wanted) == 22
    assert records.content(0x00010001, abi.CONTENT_END_FLAG, 2, b"\x08\x01") == wanted


def test_every_command_is_tried() -> None:
    tried = {kind for kind, _, _ in COMMANDS} | {abi.CMD_CONTENT}
    assert tried == {kind for kind in SCHEMAS if kind < abi.EV_CONFIGURED}


def event(kind: int, numbers: random.Random) -> tuple[bytes, list[Any]]:
    """An event of random parts: its bytes, and the values that a reader should find."""
    fixed, tail = b"", b""
    handle = numbers.randrange(1 << 32)
    flags = numbers.randrange(4) if SCHEMAS[kind]["flags"] else 0
    values: list[Any] = [handle, flags] if SCHEMAS[kind]["flags"] else [handle]
    for _, column in columns_of(kind):
        data = numbers.randbytes(numbers.randrange(40))
        count = numbers.randrange(4)
        if column in ("u32", "u64"):
            value = numbers.randrange(1 << (32 if column == "u32" else 64))
            fixed += struct.pack("<I" if column == "u32" else "<Q", value)
            values.append(value)
        elif column == "bytes":
            fixed += struct.pack("<I", len(data))
            tail += data
            values.append(data)
        elif column == "fields":
            data = b"\0".join([b"a"] * 2 * count)
            fixed += struct.pack("<II", count, len(data))
            tail += data
            values.append(data)
        elif column == "pairs":
            pairs = [(b"n" * index, data[:index]) for index in range(count)]
            packed = b"".join(struct.pack("<II", len(a), len(b)) + a + b for a, b in pairs)
            fixed += struct.pack("<II", count, len(packed))
            tail += packed
            values.append(pairs)
        else:
            words = tuple(numbers.randrange(1 << 32) for _ in range(count))
            fixed += struct.pack("<I", count)
            tail += struct.pack(f"<{count}I", *words)
            values.append(words)
    return struct.pack("<HHII", kind, flags, 12 + len(fixed) + len(tail), handle) + fixed + tail, values


@pytest.mark.parametrize("seed", range(20))
def test_events(seed: int) -> None:
    numbers = random.Random(seed)
    kinds = [numbers.choice(list(EVENTS)) for _ in range(30)] if seed else list(EVENTS)
    made = [event(kind, numbers) for kind in kinds]
    unknown = struct.pack("<HHII", 999, 0, 15, 1) + b"new"
    found = records.decode(unknown.join(data for data, _ in made))
    assert len(found) == len(made)
    for kind, (_, values), got in zip(kinds, made, found, strict=True):
        assert type(got) is EVENTS[kind]
        names = ["handle", *(["flags"] if SCHEMAS[kind]["flags"] else []), *(name for name, _ in columns_of(kind))]
        assert set(names) == set(type(got).__slots__)
        assert [getattr(got, name) for name in names] == values


def test_every_event_is_known() -> None:
    assert set(EVENTS) == {kind for kind in SCHEMAS if kind >= abi.EV_CONFIGURED}


def test_fields() -> None:
    pairs = [(b"a", b"1"), (b"b", b""), (b"a", b"\xff")]
    column = columns.join_fields(pairs)
    assert column == b"a\x001\0b\0\0a\0\xff"
    assert columns.split_fields(column) == pairs
    assert columns.split_text_fields(column) == [("a", "1"), ("b", ""), ("a", "\xff")]
    assert columns.join_fields([]) == b""
    assert columns.split_fields(b"") == []
    assert columns.split_text_fields(b"") == []


def test_layout() -> None:
    reader = columns.layout((abi.LAYOUT_FAULT, "kind fault"), ("a:I b:Q", "b"))
    assert reader.unpack(struct.pack("<HHIIIIIQ", 1, 2, 3, 4, 5, 6, 7, 8)) == (1, 5, 8)
    assert reader.pack(1, 5, 8) == struct.pack("<HHIIIIIQ", 1, 0, 0, 0, 5, 0, 0, 8)
    for wrong in ("fault kind", "kind fauIt"):
        with pytest.raises(ValueError, match="is not in its place"):
            columns.layout((abi.LAYOUT_FAULT, wrong))
