"""br and zstd: by every library and by the module, with the same verdicts and limits."""

from __future__ import annotations

import base64
import random
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import module_support
from compression_support import STANDARD
from connectcore.code import Code
from connectcore.compression import brotli, zstd
from connectcore.compression.brotli import BrotliCompression
from connectcore.compression.deflate import DeflateCompression
from connectcore.compression.zstd import ZstdCompression
from connectcore.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectcore.compression import Compression
    from connectcore.compression._ways import Way

TEXT = b"".join(b"%d bottles of beer on the wall, %d bottles of beer. " % (n, n) for n in range(999, 0, -1))
NOISE = random.Random(1).randbytes(200_000)
NAMES = {"br": ("brotli", "brotlicffi", "module"), "zstd": (STANDARD, "zstandard", "module")}
WAYS: dict[str, dict[str, Way]] = {
    "br": {name: brotli._WAYS[name]() for name in NAMES["br"]},
    "zstd": {name: zstd._WAYS[name]() for name in NAMES["zstd"]},
}
ALL = [(coding, name) for coding, names in NAMES.items() for name in names]
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process's memory")


class Case(NamedTuple):
    """A line of the list that everything that decompresses is tested by."""

    coding: str
    verdict: str
    limit: int
    size: str
    check: str
    data: bytes
    name: str


def cases() -> list[Case]:
    path = Path(__file__).resolve().parents[2] / "tests" / "codings" / "verdicts.txt"
    lines = [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]
    return [
        Case(coding, verdict, int(limit), size, check, base64.b64decode(data.replace("-", "")), name)
        for coding, verdict, limit, size, check, data, name in lines
    ]


CASES = cases()


def judge(decompress: Callable[[], bytes]) -> tuple[str, bytes]:
    try:
        return "good", decompress()
    except ConnectError as error:
        return "large" if error.code is Code.RESOURCE_EXHAUSTED else str(error), b""
    except ValueError:
        return "bad", b""


@pytest.mark.parametrize(("coding", "name"), ALL)
def test_verdicts(coding: str, name: str) -> None:
    wrong = []
    for case in CASES:
        if case.coding == coding:
            verdict, result = judge(lambda case=case: WAYS[coding][name].decompress(case.data, case.limit))  # type: ignore[misc]
            if verdict != case.verdict:
                wrong.append((case.name, verdict, case.verdict))
            elif verdict == "good":
                assert (str(len(result)), f"{zlib.crc32(result):08x}") == (case.size, case.check), case.name
    assert not wrong


@pytest.mark.parametrize("message", [b"", b"a", b"the", TEXT, TEXT * 30, NOISE, bytes(3 << 20)], ids=len)
@pytest.mark.parametrize(("coding", "name"), ALL)
def test_what_one_compresses_all_decompress(coding: str, name: str, message: bytes) -> None:
    data = WAYS[coding][name].compress(message, 3)
    assert WAYS[coding][name].compress(message, 3) == data
    assert len(data) < len(message) / 4 or len(message) < 10 or message is NOISE
    for other in WAYS[coding].values():
        assert other.decompress(data, len(message)) == message
        assert other.decompress(data, None) == message
        if message:
            with pytest.raises(ConnectError):
                other.decompress(data, len(message) - 1)


@pytest.mark.parametrize(("coding", "name"), ALL)
def test_every_level(coding: str, name: str) -> None:
    for level in range(12) if coding == "br" else (-100, -1, 0, 1, 6, 9, 10, 12, 19, 20, 22):
        data = WAYS[coding][name].compress(TEXT, level)
        assert {way.decompress(data, len(TEXT)) == TEXT for way in WAYS[coding].values()} == {True}


@pytest.mark.parametrize("name", NAMES["zstd"])
def test_the_smallest_zstd_of_much_needs_no_large_window(name: str) -> None:
    message = bytes(20 << 20)
    data = WAYS["zstd"][name].compress(message, 22)
    for way in WAYS["zstd"].values():
        assert way.decompress(data, len(message)) == message


@pytest.mark.parametrize(("coding", "name"), ALL)
def test_damage(coding: str, name: str) -> None:
    """Damaged data gives a verdict and nothing else; and bytes, if any, no more than may come out."""
    draw = random.Random(2)
    good = [WAYS[coding][other].compress(TEXT[:3000], level) for other in NAMES[coding] for level in (1, 5)]
    for _ in range(300):
        data = bytearray(draw.choice(good))
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        verdict, result = judge(lambda data=data: WAYS[coding][name].decompress(data, 4000))  # type: ignore[misc]
        assert verdict in ("good", "bad", "large")
        assert len(result) <= 4000


BOMB = """
import os, sys
sys.path.insert(0, {tests!r})
from test_compression_ways import CASES, WAYS
from connectcore.errors import ConnectError

way = WAYS[{coding!r}][{name!r}]

def memory(which):
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith(which)]
    return int(line.split()[1])

for case in CASES:
    if case.coding != {coding!r} or not case.name.startswith("256 MiB"):
        continue
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        continue
    assert way.decompress(way.compress(bytes(100), 3), 100) == bytes(100)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak is now what is in use
    before = memory("VmRSS")
    for _ in range(3):
        try:
            way.decompress(case.data, case.limit)
        except ConnectError:
            continue
        raise AssertionError(case.name)
    print(memory("VmHWM") - before, case.name, flush=True)
    os._exit(0)
"""


@linux
@pytest.mark.parametrize(("coding", "name"), ALL)
def test_bombs(coding: str, name: str) -> None:
    """256 MiB that come from little, at a limit of 4 MiB."""
    said = module_support.run(BOMB.format(coding=coding, name=name, tests=str(Path(__file__).parent)), cache="")
    grown = {line.partition(" ")[2]: int(line.partition(" ")[0]) for line in said.splitlines()}
    assert len(grown) == 4
    assert {what: size for what, size in grown.items() if size > 24 << 10} == {}


@pytest.mark.parametrize("name", NAMES["br"])
def test_many_blocks_take_time_in_proportion(name: str) -> None:
    (case,) = [case for case in CASES if case.name == "many codes, then blocks of no bytes"]
    start = time.process_time()
    assert WAYS["br"][name].decompress(case.data[:-1] + b"\6" * (2 << 20) + b"\3", 1) == b"a"
    assert time.process_time() - start < 20


class TestCompression:
    """The public classes."""

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    @pytest.mark.parametrize(
        "compression", [BrotliCompression(), ZstdCompression(), DeflateCompression()], ids=lambda c: c.name()
    )
    def test_round_trip(self, compression: Compression, kind: type) -> None:
        data = compression.compress(kind(TEXT))
        assert len(data) < len(TEXT) / 4
        assert compression.decompress(kind(data)) == TEXT
        assert compression.decompress(kind(data), len(TEXT)) == TEXT
        with pytest.raises(ConnectError, match="limit of 10 bytes"):
            compression.decompress(kind(data), 10)
        with pytest.raises(ValueError, match=f"not {compression.name()} data"):
            compression.decompress(kind(data + b"x"))
        with pytest.raises(ValueError, match=f"not {compression.name()} data"):
            compression.decompress(kind(b""))

    def test_levels_differ(self) -> None:
        assert len(BrotliCompression(quality=9).compress(TEXT)) < len(BrotliCompression(quality=0).compress(TEXT))
        assert len(ZstdCompression(level=19).compress(TEXT)) < len(ZstdCompression(level=1).compress(TEXT))
        source = Path(__file__).read_bytes()
        assert len(DeflateCompression(level=9).compress(source)) < len(DeflateCompression(level=1).compress(source))

    def test_levels_that_there_are_not(self) -> None:
        for quality in (-1, 12):
            with pytest.raises(ValueError, match="qualities 0 to 11"):
                BrotliCompression(quality)
        with pytest.raises(ValueError, match="levels up to 22"):
            ZstdCompression(23)
        for level in (-1, 10):
            with pytest.raises(ValueError, match="levels 0 to 9"):
                DeflateCompression(level)

    def test_deflate_by_another_zlib(self) -> None:
        assert zlib.decompress(DeflateCompression().compress(TEXT)) == TEXT
        for data in (
            zlib.compress(TEXT)[:-1],
            zlib.compress(TEXT)[:20],
            zlib.compress(TEXT) * 2,
            zlib.compress(TEXT, wbits=-15),
        ):
            with pytest.raises(ValueError, match="not deflate data"):
                DeflateCompression().decompress(data, 1 << 20)


class TestChoice:
    """Which way is gone."""

    @pytest.mark.parametrize("coding", NAMES)
    def test_the_first_library_that_there_is_else_the_module(self, coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
        where = {"br": brotli, "zstd": zstd}[coding]
        monkeypatch.setattr(where, "_way", lambda: where.best(where._WAYS))
        compression: Compression = BrotliCompression() if coding == "br" else ZstdCompression()
        for name in NAMES[coding]:
            found = where._way()
            assert type(found) is type(WAYS[coding][name])
            assert getattr(getattr(found, "_library", None), "__name__", "module") == name
            assert compression.decompress(compression.compress(TEXT)) == TEXT
            monkeypatch.setitem(sys.modules, name, None)

    def test_libraries_that_are_too_old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Old:
            Decompressor = ZstdDecompressor = decompressobj = classmethod(lambda cls: cls)

        for name in ("brotli", "zstandard"):
            monkeypatch.setitem(sys.modules, name, Old)
        with pytest.raises(ImportError, match="this brotli cannot be told how much may come out"):
            brotli._WAYS["brotli"]()
        with pytest.raises(ImportError, match="this zstandard cannot tell where a frame ends"):
            zstd._WAYS["zstandard"]()
