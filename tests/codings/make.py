"""Writes verdicts.txt: compressed data, good and bad, and what everything that decompresses must say of it.

Run it with `brotli` and `zstandard` installed: `python tests/codings/make.py`. What it writes is committed and is what tests
read: the guest natively and as a module under wazero, and in Python the module and every library that may take its place.
"""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, Final

import brotli
import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FILE: Final = Path(__file__).with_name("verdicts.txt")
HEAD: Final = """\
# coding  verdict  limit  bytes and CRC-32 of the result  data in base64  what it is
# (written by make.py; the columns are separated by tabs, and "-" is nothing)
"""

TEXT: Final = b"".join(b"%d bottles of beer on the wall, %d bottles of beer. " % (n, n) for n in range(99, 0, -1))
MIB: Final = 1 << 20
FRAMES: Final = 2048  # in one message, at most (core/RULES.md, rule 13)

Case = tuple[str, bytes | None, int, bytes, str]
"""Verdict, result, limit, data, name."""


def good(name: str, data: bytes, result: bytes, limit: int = MIB) -> Case:
    """Data that decompresses."""
    return "good", result, limit, data, name


def large(name: str, data: bytes, limit: int) -> Case:
    """Data that decompresses to more than the limit."""
    return "large", None, limit, data, name


def bad(name: str, data: bytes, limit: int = MIB) -> Case:
    """Data that does not decompress."""
    return "bad", None, limit, data, name


BOMB: Final = "256 MiB"


def bombs(coding: str, plain: Iterable[tuple[str, bytes]]) -> Iterator[Case]:
    """What decompresses to 256 MiB, at a limit of 4 MiB. Tests find them by their name, and measure the memory, too."""
    for name, data in plain:
        assert len(data) < 20_000, (coding, name, len(data))
        yield large(f"{BOMB} of {name}", data, 4 * MIB)


def common(pack_: dict[str, bytes]) -> Iterator[Case]:
    """What goes for every coding. `pack_` is nothing, one byte and TEXT compressed."""
    nothing, one, text = pack_["nothing"], pack_["one"], pack_["text"]
    yield good("nothing", nothing, b"")
    yield good("nothing at a limit of nothing", nothing, b"", 0)
    yield good("one byte", one, b"a")
    yield large("one byte at a limit of nothing", one, 0)
    yield good("text", text, TEXT)
    yield good("exactly the limit", text, TEXT, len(TEXT))
    yield good("a byte below the limit", text, TEXT, len(TEXT) + 1)
    yield large("a byte above the limit", text, len(TEXT) - 1)
    yield large("far above the limit", text, 10)
    yield bad("empty", b"")
    yield bad("not compressed", TEXT)
    yield bad("a zero byte", b"\0")
    yield bad("a byte after it", text + b"\0")
    yield bad("zero bytes after it", text + bytes(8))
    yield bad("text after it", text + TEXT)
    yield bad("a byte after nothing", nothing + b"\0")
    for cut in sorted({1, 2, 3, 4, 5, 6, 8, 10, len(text) // 2, len(text) - 5, len(text) - 2, len(text) - 1}):
        yield bad(f"cut short after {cut} bytes", text[:cut])


def br() -> Iterator[Case]:
    """Cases of br."""
    text = brotli.compress(TEXT, quality=9)
    yield from common({"nothing": brotli.compress(b""), "one": brotli.compress(b"a"), "text": text})
    for quality in range(12):
        yield good(f"quality {quality}", brotli.compress(TEXT, quality=quality), TEXT)
    for window in (10, 16, 17, 18, 22, 24):
        yield good(f"window of 2^{window}", brotli.compress(TEXT, lgwin=window), TEXT)
    yield good(
        "words of the dictionary",
        brotli.compress(b"the time of the people and the world"),
        b"the time of the people and the world",
    )
    yield good("the shortest stream", b"\x06", b"")
    yield good("the shortest stream, another window", b"\x3b", b"")
    yield good("blocks of no bytes", b"\x0c" + b"\x06" * 1000 + b"\x03", b"")
    yield good("metadata", metadata(b"hello"), b"")
    yield bad("metadata that is cut short", metadata(b"hello")[:-3])
    yield bad("large window", b"\x11\x16\x03")
    yield bad("large window of 2^22", bytes([0x11, 22 | 0xC0]))
    yield bad("padding that is not zero", b"\x0e")
    yield bad("two streams", text + text)
    for at in (2, 5, 20, 40):
        yield bad(f"damaged at {at}", damaged(text, at, brotli.decompress))
    yield good("many codes, then blocks of no bytes", many_codes() + b"\x06" * 1000 + b"\x03", b"a")
    for window in (22, 24):
        for name, content in (("zeros", bytes(MIB)), ("text", TEXT * 200)):
            compressor = brotli.Compressor(quality=5, lgwin=window)
            parts = [compressor.process(content) for _ in range((256 * MIB) // len(content) + 1)]
            yield from bombs("br", [(f"{name}, window of 2^{window}", b"".join((*parts, compressor.finish())))])


class Bits:
    """Writes numbers of some bits, the lowest first."""

    def __init__(self) -> None:
        self.number = self.size = 0

    def put(self, *pairs: tuple[int, int]) -> Bits:
        """Numbers, each after its width."""
        for width, value in pairs:
            self.number |= value << self.size
            self.size += width
        return self

    def done(self) -> bytes:
        """All of them, with zeros up to the end of the last byte."""
        return self.number.to_bytes((self.size + 7) // 8, "little")


def metadata(content: bytes) -> bytes:
    """A stream of a block of metadata and nothing else."""
    # A window of 2^16; not the last block, no nibbles, reserved, one byte of length.
    return Bits().put((1, 0), (1, 0), (2, 3), (1, 0), (2, 1), (8, len(content) - 1)).done() + content + b"\x03"


def many_codes() -> bytes:
    """The start of a stream that stands for "a", whose only block has as many codes of commands as there can be."""
    bits = Bits().put((1, 0), (1, 0), (2, 0), (16, 0), (1, 0))  # a window of 2^16; not the last block, of one byte, compressed
    bits.put((1, 0))  # one type of literals
    bits.put((1, 1), (3, 7), (7, 127), (2, 1), (2, 0), (9, 0), (2, 1), (2, 0), (5, 25), (24, 0))  # 256 types of commands
    bits.put((1, 0))  # one type of distances
    bits.put((2, 0), (4, 0), (2, 0), (1, 0), (1, 0))  # parameters of distances, context mode, one tree each
    bits.put((2, 1), (2, 0), (8, ord("a")))  # the only literal
    for _ in range(256):
        bits.put((2, 1), (2, 0), (10, 8))  # the only command: insert one, copy two
    bits.put((2, 1), (2, 0), (6, 0))  # the only distance
    return bits.put((1, 0), (2, 3), (1, 0), (2, 0)).done()  # a block of no bytes, which ends with a byte


def damaged(data: bytes, at: int, decompress: Callable[[bytes], object]) -> bytes:
    """Data with the byte from `at` on changed that makes it malformed."""
    for place in range(at, len(data)):
        for value in (0xFF, 0, 0x55, 0xAA):
            changed = data[:place] + bytes([value]) + data[place + 1 :]
            try:
                decompress(changed)
            except (brotli.error, zstandard.ZstdError):
                return changed
    raise AssertionError


MAGIC: Final = b"\x28\xb5\x2f\xfd"
SINGLE, CHECKSUM = 0x20, 4


def block(content: bytes, *, last: bool = True, kind: int = 0, size: int | None = None) -> bytes:
    """A block of zstd: 0 as it is, 1 one byte many times, 2 compressed."""
    return pack("<I", int(last) | kind << 1 | (len(content) if size is None else size) << 3)[:3] + content


def frame(*blocks: bytes, flags: int = 0, window: int | None = 0, fields: bytes = b"") -> bytes:
    """A frame of zstd; `window` is the descriptor's byte, 0 for 1 KiB."""
    return MAGIC + bytes([flags]) + (b"" if window is None else bytes([window])) + fields + b"".join(blocks)


def skippable(content: bytes, number: int = 0) -> bytes:
    """A frame that decompresses to nothing."""
    return pack("<II", 0x184D2A50 + number, len(content)) + content


def zstd() -> Iterator[Case]:
    """Cases of zstd."""
    compress = zstandard.ZstdCompressor(level=3).compress
    text = compress(TEXT)
    summed = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(TEXT)
    streamed = stream(TEXT)
    yield from common({"nothing": compress(b""), "one": compress(b"a"), "text": text})
    for level in (-5, 1, 5, 9, 15, 19, 22):
        yield good(f"level {level}", zstandard.ZstdCompressor(level=level).compress(TEXT), TEXT)
    yield good("a checksum", summed, TEXT)
    yield good("no size in its head", streamed, TEXT)
    yield good("no size in its head, exactly the limit", streamed, TEXT, len(TEXT))
    yield large("no size in its head, a byte above the limit", streamed, len(TEXT) - 1)
    yield bad("no size in its head, cut short", streamed[:-4])
    yield bad("a checksum that is cut short", summed[:-1])
    yield bad("a checksum that is missing", summed[:-4])
    yield bad("a wrong checksum", summed[:-1] + bytes([summed[-1] ^ 1]))
    yield good("two frames", text + summed, TEXT + TEXT)
    yield good("many frames", compress(b"") * 50 + compress(b"a") * 50 + text, b"a" * 50 + TEXT)
    yield good("2,048 frames", compress(b"") * (FRAMES - 1) + text, TEXT)
    yield bad("2,049 frames", compress(b"") * FRAMES + text)
    yield good("2,048 frames to skip", skippable(b"") * FRAMES, b"")
    yield bad("2,049 frames to skip", skippable(b"") * (FRAMES + 1))
    yield good("two frames, exactly the limit", text + text, TEXT + TEXT, 2 * len(TEXT))
    yield large("two frames, the second above the limit", text + streamed, 2 * len(TEXT) - 1)
    yield large("two frames, the second declares too much", text + text, 2 * len(TEXT) - 1)
    yield bad("two frames, the second cut short", text + text[:-1])
    yield bad("two frames, a byte in between", text + b"\0" + text)
    yield bad("two frames, only the second one's magic", text + MAGIC)
    yield good("a frame to skip, first", skippable(b"12345") + text, TEXT)
    yield good("a frame to skip, in between and last", text + skippable(b"", 7) + text + skippable(b"x", 15), TEXT + TEXT)
    yield good("only frames to skip", skippable(b"one") + skippable(b"two"), b"")
    yield bad("a frame to skip, cut short", text + skippable(b"12345")[:-1])
    yield bad("a frame to skip, its size cut short", text + skippable(b"12345")[:6])
    yield bad("a magic next to those to skip", pack("<II", 0x184D2A60, 0))
    yield bad("an old version's magic", b"\x27\xb5\x2f\xfd" + text[4:])
    yield good("as it is", frame(block(b"hello")), b"hello")
    yield good("one byte, many times", frame(block(b"a", kind=1, size=1000)), b"a" * 1000)
    yield good("a block of nothing", frame(block(b"a", last=False), block(b"")), b"a")
    yield good("a dictionary of number 0", frame(block(b"hello"), flags=1, fields=b"\0"), b"hello")
    yield bad("a dictionary", frame(block(b"hello"), flags=1, fields=b"\7"))
    yield bad("the reserved flag", frame(block(b"hello"), flags=8))
    yield bad("a block of the reserved kind", frame(block(b"hello", kind=3)))
    yield bad("a block above the window", frame(block(b"a", kind=1, size=1025)))
    yield bad("a block above 128 KiB", frame(block(b"a", kind=1, size=(128 << 10) + 1), window=0x60))
    yield good("a block of 128 KiB", frame(block(b"a", kind=1, size=128 << 10), window=0x60), b"a" * (128 << 10))
    yield bad("no last block", frame(block(b"hello", last=False)))
    yield bad("only a head", frame())
    window = 13 << 3
    yield good("a window of 8 MiB", frame(block(b"hello"), window=window), b"hello")
    yield bad("a window above 8 MiB", frame(block(b"hello"), window=window | 1))
    yield bad("a window of 128 MiB", frame(block(b"hello"), window=17 << 3))
    yield bad("the largest window", frame(block(b"hello"), window=255))
    declare = SINGLE | 2 << 6  # a size of 4 bytes
    yield good("it declares its size", frame(block(b"hello"), flags=SINGLE, window=None, fields=b"\5"), b"hello")
    yield bad("it declares too little", frame(block(b"hello"), flags=SINGLE, window=None, fields=b"\4"))
    yield bad("it declares too much", frame(block(b"hello"), flags=SINGLE, window=None, fields=b"\6"))
    yield large(
        "it declares more than the limit", frame(block(b"hello"), flags=declare, window=None, fields=pack("<I", MIB + 1)), MIB
    )
    yield large("it declares 2^64-1 bytes", frame(block(b"hello"), flags=SINGLE | 3 << 6, window=None, fields=b"\xff" * 8), MIB)
    yield large(
        "it declares more than the limit, and is cut short", frame(flags=declare, window=None, fields=pack("<I", MIB + 1)), MIB
    )
    yield bad(
        "one segment above 8 MiB", frame(block(b"hello"), flags=declare, window=None, fields=pack("<I", 9 * MIB)), 16 * MIB
    )
    blocks = (256 * MIB) // (128 << 10)
    zeros = [block(b"\0", kind=1, size=128 << 10, last=number == blocks) for number in range(1, blocks + 1)]
    yield from bombs(
        "zstd",
        [
            ("zeros, as blocks of one byte", frame(*zeros, window=window)),
            ("zeros, declared", frame(*zeros, flags=2 << 6, window=window, fields=pack("<I", 256 * MIB))),
            ("zeros, compressed", stream(bytes(256 * MIB))),
            ("zeros, in many frames", compress(bytes(MIB)) * 256),
        ],
    )
    for at in (8, 12, 20, 60):
        yield bad(f"damaged at {at}", damaged(text, at, zstandard.ZstdDecompressor().decompress))


def stream(data: bytes) -> bytes:
    """Data compressed by something that does not know how much there will be."""
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    return compressor.compress(data) + compressor.flush()


def main() -> None:
    """Write the file."""
    lines: list[str] = []
    for coding, cases in (("br", br()), ("zstd", zstd())):
        for verdict, result, limit, data, name in cases:
            size, check = ("-", "-") if result is None else (str(len(result)), f"{zlib.crc32(result):08x}")
            text = base64.b64encode(data).decode() or "-"
            lines.append("\t".join((coding, verdict, str(limit), size, check, text, name)))
    FILE.write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
