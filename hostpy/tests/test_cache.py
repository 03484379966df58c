"""The compile cache: who may have written what is loaded, and what happens where there is none."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import pytest

import module_support
from connectcore._wasm import cache, module

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes and owners of this kind")
root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's directory, which does not exist yet; and the one warning is still to come."""
    path = tmp_path / "cache"
    monkeypatch.setenv("CONNECTCORE_CACHE", str(path))
    monkeypatch.setattr(cache, "_warned", False)
    return path


def found(key: str) -> bytes | None:
    descriptor = cache.find(key)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def test_what_is_stored_is_found(place: Path) -> None:
    assert found("key") is None
    assert cache.store("key", b"code") == str(place / "key.cwasm")
    assert found("key") == b"code"
    assert found("other") is None
    assert list(cache.entries()) == [(str(place / "key.cwasm"), 4)]
    assert os.listdir(place) == ["key.cwasm"]


def test_what_old_versions_left_behind_goes(place: Path) -> None:
    for number in range(cache.KEPT + 3):
        path = cache.store(f"key{number}", b"code")
        os.utime(path, (1000 + number, 1000 + number))
    assert sorted(os.listdir(place)) == sorted(f"key{number}.cwasm" for number in range(3, cache.KEPT + 3))


@posix
def test_modes(place: Path) -> None:
    cache.store("own", b"code")
    assert os.stat(place).st_mode & 0o777 == 0o700
    assert os.stat(place / "own.cwasm").st_mode & 0o777 == 0o600
    cache.store("shared", b"code", shared=True)
    assert os.stat(place).st_mode & 0o777 == 0o755
    assert os.stat(place / "shared.cwasm").st_mode & 0o777 == 0o644


def warned(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    text = record.getMessage()
    assert "Point CONNECTCORE_CACHE to a directory that this user owns" in text
    return text


@posix
class TestNotTrusted:
    """Native code that somebody else can have written is not loaded; one warning says so."""

    @pytest.mark.parametrize("mode", [0o620, 0o602])
    def test_file_that_others_may_write(self, place: Path, caplog: pytest.LogCaptureFixture, mode: int) -> None:
        cache.store("key", b"code")
        os.chmod(place / "key.cwasm", mode)
        assert found("key") is None
        assert found("key") is None
        assert "can be written by others" in warned(caplog)

    def test_directory_that_others_may_write(self, place: Path, caplog: pytest.LogCaptureFixture) -> None:
        cache.store("key", b"code")
        os.chmod(place, 0o777)
        assert found("key") is None
        with pytest.raises(OSError, match="can be written by others"):
            cache.store("key", b"new")
        assert "can be written by others" in warned(caplog)

    def test_link(self, place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        cache.store("key", b"code")
        (tmp_path / "elsewhere").write_bytes(b"foreign")
        os.symlink(tmp_path / "elsewhere", place / "link.cwasm")
        assert found("link") is None
        assert "cannot be opened" in warned(caplog)

    @root
    def test_foreign_file(self, place: Path, caplog: pytest.LogCaptureFixture) -> None:
        cache.store("key", b"code")
        os.chown(place / "key.cwasm", 12345, 12345)
        assert found("key") is None
        assert "belongs to another user (12345)" in warned(caplog)

    @root
    def test_foreign_directory(self, place: Path, caplog: pytest.LogCaptureFixture) -> None:
        cache.store("key", b"code")
        os.chown(place, 12345, 12345)
        assert found("key") is None
        with pytest.raises(OSError, match=r"belongs to another user \(12345\)"):
            cache.store("key", b"new")
        assert "belongs to another user (12345)" in warned(caplog)


class TestModule:
    """What the loader makes of the cache."""

    def load(self, tmp_path: Path) -> str:
        return module._load(str(module_support.write(tmp_path)), True).where

    @pytest.mark.usefixtures("place")
    def test_second_load(self, tmp_path: Path) -> None:
        assert [self.load(tmp_path) for _ in range(2)] == ["compiled", "cache"]

    @pytest.mark.parametrize("keep", [0, 100, -1])
    def test_file_cut_short_is_replaced(self, place: Path, tmp_path: Path, keep: int) -> None:
        self.load(tmp_path)
        (name,) = os.listdir(place)
        whole = (place / name).read_bytes()
        (place / name).write_bytes(whole[:keep])
        assert self.load(tmp_path) == "compiled"
        assert (place / name).read_bytes() == whole
        assert self.load(tmp_path) == "cache"

    def test_place_that_cannot_be_written_only_costs_time(
        self, place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        place.write_text("a file where the directory should be")
        assert [self.load(tmp_path) for _ in range(2)] == ["compiled", "compiled"]
        assert str(place) in warned(caplog)

    def test_off(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        monkeypatch.setenv("CONNECTCORE_CACHE", "off")
        assert [self.load(tmp_path) for _ in range(2)] == ["compiled", "compiled"]
        assert not caplog.records

    @pytest.mark.usefixtures("place")
    def test_other_module_other_key(self, tmp_path: Path) -> None:
        self.load(tmp_path)
        path = module_support.write(
            tmp_path, module_support.module(**{"import": '(import "wasi_snapshot_preview1" "x" (func))'})
        )
        assert module._key(path.read_bytes(), module._engine(True)) != module._key(module_support.ECHO, module._engine(True))
        assert module._key(module_support.ECHO, module._engine(False)) != module._key(module_support.ECHO, module._engine(True))


class TestPlace:
    """Where the cache lies if nobody says."""

    @pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the XDG rules are not theirs")
    def test_xdg(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CONNECTCORE_CACHE", raising=False)
        monkeypatch.setenv("HOME", "/home/ada")
        monkeypatch.setenv("XDG_CACHE_HOME", "/var/ada")
        assert cache.directory() == "/var/ada/connectcore"
        monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
        assert cache.directory() == "/home/ada/.cache/connectcore"

    @pytest.mark.parametrize("value", ["off", "OFF"])
    def test_off(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("CONNECTCORE_CACHE", value)
        assert cache.directory() is None
        assert cache.path_of("key") is None
        assert list(cache.entries()) == []
