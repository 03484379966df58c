"""Finding, checking and compiling the module."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import TYPE_CHECKING

import pytest

import module_support
from connectcore import _cli
from connectcore._wasm import codings, module
from connectcore._wasm.instance import Instance, new_instance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTCORE_CACHE", "off")


def load(path: Path) -> module.LoadedModule:
    return module._load(str(path), True)


def test_the_package_carries_a_sound_module() -> None:
    assert module.load().where in ("cache", "compiled")
    instance = new_instance()
    assert instance.version >> 16 == 1
    instance.close()


@pytest.mark.usefixtures("no_cache")
class TestRefused:
    """Each fault has an error that names the file, what is wrong, and what to do."""

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(module.ModuleError, match=r"module\.wasm is missing: reinstall connectcore, or run `make wasm`"):
            load(tmp_path / "module.wasm")

    def test_not_readable(self, tmp_path: Path) -> None:
        with pytest.raises(module.ModuleError, match=r"cannot be read \(Is a directory\): check its permissions"):
            load(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"\0as", b"version https://git-lfs.github.com/spec/v1\n"])
    def test_not_a_module(self, tmp_path: Path, content: bytes) -> None:
        with pytest.raises(module.ModuleError, match=rf"not a WebAssembly module \({len(content)} bytes\): reinstall"):
            load(module_support.write(tmp_path, content))

    def test_cut_short(self, tmp_path: Path) -> None:
        with open(module.wasm_path(), "rb") as file:
            wasm = file.read(100_000)
        with pytest.raises(module.ModuleError, match=r"does not compile \(.*\): reinstall connectcore"):
            load(module_support.write(tmp_path, wasm))

    def test_foreign_import(self, tmp_path: Path) -> None:
        wasm = module_support.module(**{"import": '(import "env" "call_home" (func))'})
        with pytest.raises(module.ModuleError, match=r"imports env\.call_home, but only wasi_snapshot_preview1 is served"):
            load(module_support.write(tmp_path, wasm))

    def test_another_module(self, tmp_path: Path) -> None:
        with pytest.raises(module.ModuleError, match="is not a Connectcore module; this package needs connectcore_abi_v1"):
            load(module_support.write(tmp_path, module_support.module(marker="")))

    def test_another_major_version(self, tmp_path: Path) -> None:
        wasm = module_support.module(marker='(func (export "connectcore_abi_v2") (result i32) (i32.const 0))')
        with pytest.raises(module.ModuleError, match=r"speaks another interface \(connectcore_abi_v2\)"):
            load(module_support.write(tmp_path, wasm))

    @pytest.mark.parametrize(
        ("parts", "named"),
        [
            ({"initialize": ""}, r"_initialize\(\) -> \(\)"),
            ({"step": '(func (export "connectcore_step") (param i64) (result i64) (i64.const 0))'}, r"step\(i32\) -> \(i64\)"),
            ({"step": "", "version": ""}, r"connectcore_abi_version\(\) -> \(i32\); connectcore_step\(i32\) -> \(i64\)"),
            ({"step": '(global (export "connectcore_step") i32 (i32.const 0))'}, r"connectcore_step\(i32\) -> \(i64\)"),
        ],
    )
    def test_export_missing_or_of_another_signature(self, tmp_path: Path, parts: dict[str, str], named: str) -> None:
        with pytest.raises(module.ModuleError, match=f"lacks the export .*{named}: reinstall"):
            load(module_support.write(tmp_path, module_support.module(**parts)))

    @pytest.mark.parametrize("version", ["0x20000", "0x00000"])
    def test_version_that_the_module_gives(self, tmp_path: Path, version: str) -> None:
        wasm = module_support.module(version=f'(func (export "connectcore_abi_version") (result i32) (i32.const {version}))')
        with pytest.raises(module.ModuleError, match=r"speaks version [02]\.0 of the interface; this package needs 1\.0 or"):
            Instance(load(module_support.write(tmp_path, wasm)).compiled)

    def test_start_that_traps(self, tmp_path: Path) -> None:
        wasm = module_support.module(initialize='(func (export "_initialize") unreachable)')
        with pytest.raises(module.ModuleError, match=r"the module does not start: .*unreachable"):
            Instance(load(module_support.write(tmp_path, wasm)).compiled)


class TestChosen:
    """A file that the environment names is used with its hash, and only so."""

    @pytest.fixture
    def choose(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
        def choose(wasm: bytes, pin: str | None = None) -> str:
            path = str(module_support.write(tmp_path, wasm))
            monkeypatch.setenv("CONNECTCORE_CACHE", str(tmp_path / "cache"))
            monkeypatch.setenv("CONNECTCORE_MODULE", path)
            monkeypatch.setenv("CONNECTCORE_MODULE_SHA256", hashlib.sha256(wasm).hexdigest().upper() if pin is None else pin)
            return path

        return choose

    def test_it_is_used(self, choose: Callable[..., str]) -> None:
        path = choose(module_support.module())
        assert module.wasm_path() == path
        for where in ("compiled", "cache"):
            loaded = module._load(module.wasm_path(), True)
            assert loaded.where == where
        assert Instance(loaded.compiled).step(b"mine") == b"mine"
        assert module.cached_path() in module.precompile()

    def test_another_hash(self, choose: Callable[..., str]) -> None:
        path = choose(module_support.module(), "0" * 64)
        with pytest.raises(module.ModuleError, match=f"^{path} is not the module .*_SHA256 pins: .* is .{{64}}, 0{{64}} is"):
            module._load(module.wasm_path(), True)

    def test_no_hash(self, choose: Callable[..., str]) -> None:
        wasm = module_support.module()
        choose(wasm, "")
        with pytest.raises(module.ModuleError, match=f"set CONNECTCORE_MODULE_SHA256 to {hashlib.sha256(wasm).hexdigest()} if"):
            module._load(module.wasm_path(), True)

    def test_what_is_compiled_of_another_file_with_the_same_start_is_not_used(self, choose: Callable[..., str]) -> None:
        section = b"\0\xa0\x9c\x01\x02hi" + bytes(19_997)  # one of 20,000 bytes, which means nothing
        wasm = module_support.module() + section
        choose(wasm)
        assert module._load(module.wasm_path(), True).where == "compiled"
        choose(wasm[:-1] + b"!")
        assert module._load(module.wasm_path(), True).where == "compiled"

    def test_another_interface(self, choose: Callable[..., str]) -> None:
        choose(module_support.module(version='(func (export "connectcore_abi_version") (result i32) (i32.const 0x20000))'))
        with pytest.raises(
            module.ModuleError, match=r"version 2\.0 .* needs 1\.0 or .*: CONNECTCORE_MODULE must name another file"
        ):
            Instance(module._load(module.wasm_path(), True).compiled)

    def test_missing(self, choose: Callable[..., str]) -> None:
        os.remove(choose(b""))
        with pytest.raises(module.ModuleError, match="is missing: CONNECTCORE_MODULE must name another file"):
            module._load(module.wasm_path(), True)


STEP = """
from connectcore._wasm.instance import GuestError
from connectcore._wasm.pool import _QUICK_PICKS, POOL
instance = POOL.pick()
assert instance.step(b"hello") == b"hello"
"""


class TestEngines:
    def test_faulthandler_switched_on_later_makes_the_next_instances_careful(self, tmp_path: Path) -> None:
        code = (
            STEP
            + """
import faulthandler
assert module.load().compiled.engine.quick
faulthandler.enable()
for _ in range(_QUICK_PICKS + 1):
    instance = POOL.pick()
assert not module.load().compiled.engine.quick
try:
    instance.step(b"x" * 13)
except GuestError as error:
    print(error)
assert POOL.pick().step(b"again") == b"again"
"""
        )
        assert "unreachable" in module_support.run(code, str(module_support.write(tmp_path)))

    def test_a_trap_is_an_error_where_faulthandler_was_on_before(self, tmp_path: Path) -> None:
        code = (
            "import faulthandler; faulthandler.enable()\n"
            + STEP
            + """
assert module.load().compiled.engine.quick
try:
    instance.step(b"x" * 13)
except GuestError as error:
    print(error)
"""
        )
        assert "unreachable" in module_support.run(code, str(module_support.write(tmp_path)))

    @fork
    def test_a_child_of_a_process_that_switched_it_on_is_careful(self, tmp_path: Path) -> None:
        code = (
            STEP
            + """
import faulthandler, os
faulthandler.enable()
child = os.fork()
if not child:
    instance = POOL.pick()
    try:
        instance.step(b"x" * 13)
    except GuestError:
        os._exit(0)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
        )
        module_support.run(code, str(module_support.write(tmp_path)))

    @pytest.mark.skipif(sys.platform != "linux", reason="address space is limited by a Linux call")
    def test_little_address_space_makes_instances_careful(self, tmp_path: Path) -> None:
        code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n" + STEP
        code += "print(module.load().compiled.engine.quick)"
        assert module_support.run(code, str(module_support.write(tmp_path))) == "False"


@fork
class TestFork:
    CHILD = """
import os
child = os.fork()
if not child:
    try:
        instance = POOL.pick()
        os._exit(0 if instance.step(b"child") == b"child" and module.load().where == {where!r} else 1)
    finally:
        os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert POOL.pick().step(b"parent") == b"parent"
"""

    def test_child_loads_what_is_cached(self, tmp_path: Path) -> None:
        path = module_support.write(tmp_path)
        module_support.run(STEP + self.CHILD.format(where="cache"), str(path), cache=str(tmp_path / "cache"))

    def test_child_without_a_cache_uses_what_the_parent_compiled(self, tmp_path: Path) -> None:
        module_support.run(STEP + self.CHILD.format(where="compiled"), str(module_support.write(tmp_path)))

    def test_child_compiles_where_the_parent_did_not(self, tmp_path: Path) -> None:
        code = "from connectcore._wasm.pool import POOL\n" + self.CHILD.format(where="compiled")
        module_support.run(code, str(module_support.write(tmp_path)))

    def test_child_compiles_although_the_parent_compiled(self, tmp_path: Path) -> None:
        forget = "module._loaded = None\n"  # as if the fork came in the middle of the parent's compilation
        module_support.run(STEP + forget + self.CHILD.format(where="compiled"), str(module_support.write(tmp_path)))


class TestCommandLine:
    def test_precompile_then_load(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = module_support.write(tmp_path)
        monkeypatch.setattr(module, "wasm_path", lambda: str(path))
        monkeypatch.setattr(codings, "wasm_path", lambda: str(path))
        monkeypatch.setattr(codings, "_CONTRACT", module._CONTRACT)
        monkeypatch.setenv("CONNECTCORE_CACHE", str(tmp_path / "cache"))
        assert _cli.main(["precompile", "--shared"]) == 0
        files = capsys.readouterr().out.split()
        assert len(files) == 4
        assert [oct(os.stat(file).st_mode & 0o777) for file in files] == ["0o644"] * 4
        for quick in (True, False):
            assert module._load(str(path), quick).where == "cache"

    def test_precompile_says_why_it_cannot(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setenv("CONNECTCORE_CACHE", "off")
        assert _cli.main(["precompile"]) == 1
        assert "the cache is off (CONNECTCORE_CACHE=off)" in capsys.readouterr().err

    def test_info(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert _cli.main(["info"]) == 0
        said = capsys.readouterr().out
        for name in ("wasmtime", "interface", "engine", "cache"):
            assert f"\n{name} " in said
