"""CPython's zlib and the guest's own gzip and deflate say the same of any data."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from connectcore._wasm import abi, pool, records
from connectcore._wasm.columns import join_fields
from connectcore.compression.deflate import DeflateCompression
from connectcore.compression.gzip import GzipCompression
from connectcore.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable

Verdict = bytes | str
LIMIT = 2000
KINDS: dict[str, type[GzipCompression | DeflateCompression]] = {"gzip": GzipCompression, "deflate": DeflateCompression}


def here(coding: str, data: bytes, limit: int | None = LIMIT) -> Verdict:
    try:
        return KINDS[coding]().decompress(data, limit)
    except ConnectError:
        return "too large"
    except ValueError:
        return "bad"


@pytest.fixture(scope="module")
def guest() -> Callable[[str, bytes], Verdict]:
    """What the module makes of compressed content where the host leaves it to it."""
    instance = pool.POOL.pick()
    (configured,) = instance.tell(
        records.configure_server(
            read_max=LIMIT,
            codecs=b"proto",
            codings=b"gzip\0deflate",
            native=bytes([False, False]),
            procedures=b"/s/Unary",
            attributes=bytes([abi.UNARY]),
        )
    )

    def verdict(coding: str, data: bytes) -> Verdict:
        head = join_fields([(b"content-type", b"application/proto"), (b"content-encoding", coding.encode())])
        opening = records.open_server(configured.handle, 0, b"POST", b"/s/Unary", b"", 2, head)
        found = instance.tell(opening + records.content(0, abi.CONTENT_END_FLAG, len(data), data))
        if not isinstance(found[-1], records.Done):
            instance.later(records.close(found[0].handle))
        for event in found:
            if isinstance(event, records.Messages):
                return event.data[event.spans[0] :][: event.spans[1]]
            if isinstance(event, records.HttpResponseHead):
                return "too large" if event.status == 429 else "bad"
        raise AssertionError(found)

    return verdict


def samples(coding: str, seed: int) -> list[bytes]:
    """Members of any sizes one after the other, most of them with some damage, in content that the limit lets in.

    deflate has no members: more than one is one more damage.
    """
    dice = random.Random(seed)
    found = []
    for _ in range(400):
        several = dice.randint(1, 8) if coding == "gzip" else dice.choice((1, 1, 1, 2))
        sizes = dice.choices((0, 1, 5, 60, 300, 700, 2500), k=several)
        contents = [dice.choice((bytes, dice.randbytes))(size) for size in sizes]
        data = bytearray().join(KINDS[coding](dice.randint(0, 9)).compress(content) for content in contents)
        for _ in range(dice.choice((0, 0, 1, 1, 3))):
            at = dice.randrange(len(data))
            match dice.randrange(5):
                case 0:
                    data[at] ^= 1 << dice.randrange(8)
                case 1:
                    del data[at:]
                case 2:
                    del data[at : at + dice.randint(1, 30)]
                case 3:
                    data += dice.randbytes(dice.randint(1, 5))
                case _:
                    data[at:at] = dice.randbytes(dice.randint(1, 5))
            data = data or bytearray(b"\x1f")
        found.append(bytes(data[:LIMIT]))
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("coding", KINDS)
def test_the_same_verdict(guest: Callable[[str, bytes], Verdict], coding: str, seed: int) -> None:
    seen = set()
    for data in samples(coding, seed):
        ours, theirs = here(coding, data), guest(coding, data)
        if ours != theirs:
            # What is damaged and too large may be called either: they find out in another order.
            assert {ours, theirs} == {"bad", "too large"}, data.hex()
            assert here(coding, data, None) == "bad", data.hex()
        seen.add(ours if isinstance(ours, str) else "good")
    assert seen == {"good", "bad", "too large"}
