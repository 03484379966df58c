"""The codings' module: how it is found and compiled, and what becomes of its instances."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import module_support
from connectcore._wasm import codings, codings_abi, module
from connectcore._wasm.codings import _CODINGS, TooLargeError, compress, decompress
from connectcore._wasm.instance import GuestError
from connectcore._wasm.pool import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = b"a text that is to be compressed, " * 100
GOOD = f"""
from connectcore._wasm import codings, module
TEXT = {TEXT!r}
def good():
    for coding in ("br", "zstd"):
        assert codings.decompress(coding, codings.compress(coding, 3, TEXT), len(TEXT)) == TEXT
"""


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """No instance is there before a test, and none is left by it."""
    while _CODINGS._idle:
        _CODINGS._idle.pop().close()
    yield
    while _CODINGS._idle:
        _CODINGS._idle.pop().close()


def good() -> None:
    for coding in ("br", "zstd"):
        assert decompress(coding, compress(coding, 3, TEXT), len(TEXT)) == TEXT


class TestInstances:
    def test_one_serves_one_thread(self) -> None:
        for _ in range(5):
            good()
            with pytest.raises(TooLargeError):
                decompress("br", compress("br", 3, TEXT), 10)
            with pytest.raises(ValueError, match="malformed"):
                decompress("zstd", TEXT, 10)
        assert len(_CODINGS._idle) == 1

    def test_threads_use_several_and_no_more_than_the_limit(self) -> None:
        wrong: list[BaseException] = []

        def work() -> None:
            try:
                for _ in range(10):
                    good()
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work) for _ in range(2 * LIMIT)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert 1 <= len(_CODINGS._idle) <= LIMIT

    def test_one_that_fails_is_dropped(self, caplog: pytest.LogCaptureFixture) -> None:
        good()
        (machine,) = _CODINGS._idle
        machine.write(b"\xff" * (machine.memory_size - (1 << 16)), 1 << 16)
        with caplog.at_level(logging.ERROR, "connectcore"), pytest.raises(GuestError):
            compress("br", 3, TEXT)
        assert "An instance of the codings' module failed and was dropped" in caplog.text
        assert _CODINGS._idle == []
        good()
        assert machine not in _CODINGS._idle

    def test_one_that_has_grown_too_large_is_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        good()
        monkeypatch.setattr(codings, "WATERMARK", _CODINGS._idle[0].memory_size + (8 << 20))
        compress("br", 3, bytes(16 << 20))
        assert _CODINGS._idle == []
        good()
        assert len(_CODINGS._idle) == 1

    def test_too_much_for_the_interface(self) -> None:
        class Long(bytes):
            def __len__(self) -> int:
                return 1 << 31

        with pytest.raises(GuestError, match="a message of 2147483648 bytes"):
            compress("br", 3, Long())


class TestLoading:
    def test_it_is_not_loaded_before_it_is_used(self) -> None:
        code = (
            "import connectcore.compression.zstd as zstd, connectcore.server, sys\n"
            "zstd.ZstdCompression()\n"
            "assert 'connectcore._wasm.codings' not in sys.modules\n"
        )
        module_support.run(code)

    def test_the_cache_keeps_it(self, tmp_path: Path) -> None:
        code = GOOD + "good(); print(codings._CODINGS._loaded.where)"
        assert module_support.run(code, cache=str(tmp_path)) == "compiled"
        assert module_support.run(code, cache=str(tmp_path)) == "cache"

    def test_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_CODINGS, "_loaded", None)
        monkeypatch.setattr(codings, "wasm_path", lambda: str(tmp_path / "module.wasm"))
        with pytest.raises(module.ModuleError, match=r"module\.wasm is missing: reinstall connectcore"):
            good()

    def test_another_module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_CODINGS, "_loaded", None)
        monkeypatch.setattr(codings, "wasm_path", lambda: str(module_support.write(tmp_path)))
        with pytest.raises(module.ModuleError, match="is not a Connectcore module; this package needs connectcore_codings_v1"):
            good()

    def test_another_version(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(codings_abi, "MINOR", 7)
        with pytest.raises(module.ModuleError, match=r"speaks version 1\.0 of its interface; this package needs 1\.7"):
            good()

    def test_faulthandler_is_switched_on_meanwhile(self) -> None:
        code = (
            "import faulthandler\n"
            "good()\n"
            "assert codings._CODINGS._loaded.compiled.engine.quick\n"
            "faulthandler.enable()\n"
            "good()\n"
            "assert not codings._CODINGS._loaded.compiled.engine.quick\n"
            "machine = codings._CODINGS._idle[0]\n"
            "machine.write(b'\\xff' * (machine.memory_size - (1 << 16)), 1 << 16)\n"
            "try:\n"
            "    good()\n"
            "except codings.GuestError:\n"
            "    good()\n"
            "    print('survived')\n"
        )
        assert module_support.run(GOOD + code, cache="") == "survived"

    @pytest.mark.skipif(sys.platform != "linux", reason="address space is limited by a Linux call")
    def test_little_address_space(self) -> None:
        code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n" + GOOD
        assert module_support.run(code + "good(); print(module.quick())", cache="") == "False"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    @pytest.mark.parametrize("cache", ["", "off"], ids=["with a cache", "without one"])
    def test_a_forked_process_goes_on(self, cache: str) -> None:
        code = (
            "import os\n"
            "good()\n"
            "child = os.fork()\n"
            "assert len(codings._CODINGS._idle) == (1 if child else 0)\n"
            "good()\n"
            "if child:\n"
            "    assert os.waitpid(child, 0)[1] == 0\n"
        )
        module_support.run(GOOD + code, cache=cache)

    def test_the_end_of_the_process_while_a_thread_is_at_it(self) -> None:
        code = (
            "import threading\n"
            "good()\n"
            "running = threading.Event()\n"
            "def work():\n"
            "    running.set()\n"
            "    while True:\n"
            "        codings.compress('br', 9, TEXT * 100)\n"
            "threading.Thread(target=work, daemon=True).start()\n"
            "running.wait()\n"
        )
        for _ in range(3):
            assert module_support.run(GOOD + code, cache="") == ""
