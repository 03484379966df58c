"""The wheel and the sdist: what is in them, and that one tree gives one wheel, whichever way it is built."""

from __future__ import annotations

import email
import hashlib
import importlib.util
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from environments import HOSTPY, build

MODULES = {"connectcore/connectcore.wasm", "connectcore/connectcore-codings.wasm"}


@pytest.fixture(scope="module")
def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name.partition(".dist-info/")[2] or name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def bill(contents: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(contents["sboms/connectcore.cdx.json"])
    return found


def tracked(folder: str) -> set[str]:
    command = ["git", "-C", str(HOSTPY / folder), "ls-files"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines())


def test_the_wheel_is_for_every_platform(wheel: Path, contents: dict[str, bytes]) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    assert "Root-Is-Purelib: true" in contents["WHEEL"].decode().splitlines()


def test_a_wheel_from_the_tree_is_the_one_from_the_sdist(wheel: Path, tmp_path: Path) -> None:
    build(tmp_path, "--wheel")
    (other,) = tmp_path.glob("*.whl")
    assert (other.name, other.read_bytes()) == (wheel.name, wheel.read_bytes())


def test_the_wheel_holds_the_package_and_nothing_else(contents: dict[str, bytes]) -> None:
    package = {name for name in contents if name.startswith("connectcore/")}
    assert package == tracked("src")
    assert package > MODULES
    assert contents.keys() - package == {
        "METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "licenses/sbom/licenses.txt",
        "sboms/connectcore.cdx.json",
    }  # fmt: skip


def test_the_sdist_holds_what_the_wheel_is_made_of(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in tracked("src")} <= names
    assert {f"tests/{name}" for name in tracked("tests")} <= names
    assert {"PKG-INFO", "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md"} <= names
    others = {name for name in names if not (HOSTPY / name).exists()}
    assert others == {"PKG-INFO", ".gitignore"}


def test_the_licenses_of_all_parts_are_there(contents: dict[str, bytes], bill: dict[str, Any]) -> None:
    metadata = email.message_from_bytes(contents["METADATA"])
    parts = [component for component in bill["components"] if component["type"] == "library"]
    wanted = {name for part in parts for each in part["licenses"] for name in each["expression"].split(" AND ")}
    assert metadata["License-Expression"].split(" AND ") == sorted({"Apache-2.0", *wanted})
    texts = contents["licenses/sbom/licenses.txt"].decode()
    titles = {f"{part['name']} {part['version']}" for part in parts if part["name"] not in ("connectcore", "std")}
    assert titles <= set(texts.splitlines())
    assert "The Go standard library" in texts


def test_the_bill_of_materials_is_of_these_modules(contents: dict[str, bytes], bill: dict[str, Any]) -> None:
    """That its other half is what they link is what `make lint` says (hostpy/sbom/generate.py --check)."""
    files = {each["name"]: each["hashes"][0]["content"] for each in bill["components"] if each["type"] == "file"}
    assert files == {name: hashlib.sha256(contents[name]).hexdigest() for name in MODULES}
    assert bill["metadata"]["component"]["version"] == email.message_from_bytes(contents["METADATA"])["Version"]
    known = {each["bom-ref"] for each in (bill["metadata"]["component"], *bill["components"])}
    used = {name for each in bill["dependencies"] for name in (each["ref"], *each["dependsOn"])}
    assert used == known


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("sbom", HOSTPY / "sbom/generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_stale_bill_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a module that nobody has looked at yet."""
    generate = generator()
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    generate.main()
    old = tmp_path / "old.json"
    old.write_text(generate.BILL.read_text().replace("brotli@v1.", "brotli@v0."))
    monkeypatch.setattr(generate, "BILL", old)
    with pytest.raises(SystemExit, match=r"old\.json is stale: run 'make generate'"):
        generate.main()
    with pytest.raises(SystemExit, match=r"example\.com/new is new in the modules: read its license"):
        generate.component("example.com/new", "v1.0.0")
