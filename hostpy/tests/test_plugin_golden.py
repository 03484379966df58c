"""Generated code as it is kept in `golden`, and what holds for all of it, whatever names a `.proto` file has."""

from __future__ import annotations

import ast
import builtins
import keyword
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from connectcore._plugin import _names, _run
from connectcore._plugin._problem import ProblemError
from connectcore._plugin._render import _BUILTINS
from golden import GOLDEN, KEPT, NAME, SOURCES, made
from protoc import SCRIPTS, Protoc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("kept", KEPT)
def test_code_is_what_was_read(kept: str, tmp_path: Path) -> None:
    for path, text in made(kept, tmp_path).items():
        assert text == path.read_text(encoding="utf-8"), f"{path.name}: read the difference, and if it is right run golden.py"
    # Of one kind alone, too, nothing is imported in vain, and nothing is missing.
    quiet = ("--isolated", "--ignore-noqa", "--ignore=I001", "--output-format=concise")
    found = subprocess.run([SCRIPTS / "ruff", "check", *quiet, tmp_path / "out"], capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "All checks passed!"


@pytest.mark.parametrize("kept", KEPT)
def test_either_message_runtime_reads_the_request(kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever is installed beside the plugin: the code is the same."""
    options, _ = KEPT[kept]
    protoc = Protoc(tmp_path, SOURCES)
    request = CodeGeneratorRequest(file_to_generate=list(SOURCES), parameter=options)
    request.proto_file.extend(FileDescriptorSet.FromString(protoc.described()).file)
    answers = []
    for classes in _run._CLASSES:
        monkeypatch.setattr(_run, "_CLASSES", ("not.there", classes))
        answers.append(CodeGeneratorResponse.FromString(_run.run(request.SerializeToString())))
    assert answers[0] == answers[1]
    assert (len(answers[0].file), answers[0].error) == (5, "")


def test_without_a_message_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run, "_CLASSES", ("not.there",))
    with pytest.raises(ProblemError, match=r"pip install 'connectcore\[protobuf\]' for Google's, or "):
        _run.run(b"")


def test_nothing_is_kept_that_is_not_made() -> None:
    kept = {str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.txt")}
    assert kept == {f"{name}/{file}_connectcore.py.txt" for name, (_, files) in KEPT.items() for file in files}


@pytest.mark.parametrize("messages", ["google", "protobuf-py"])
def test_every_syntax_and_edition_is_imported(messages: str, tmp_path: Path) -> None:
    """proto2 with groups and extensions, proto3 with `optional`, editions 2023 and 2024; two packages in one directory."""
    protoc = Protoc(tmp_path, SOURCES)
    protoc.generate(messages, f"{NAME},imports=relative" if messages == "protobuf-py" else NAME)
    directory, package = (protoc.out, "") if messages == "google" else (protoc.out.parent, "out.")
    modules = [name.removesuffix(".proto").replace("/", ".") for name in SOURCES if name != "root.proto"]
    program = "\n".join(f"import {package}{module}_connectcore as m; print(*m.__all__)" for module in modules)
    done = subprocess.run([sys.executable, "-c", program], cwd=directory, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert {"Catalog", "LegacyClient", "StockServiceSync", "IdleWSGIApplication", "OrderServiceClientSync"} <= set(names)


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in GOLDEN.rglob("*.txt"):
        yield path.name, ast.parse(path.read_text(encoding="utf-8"))


def used(tree: ast.AST) -> set[str]:
    """Names without an underscore before them that are looked up, not made here."""
    made_here = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    made_here |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return {name for name in names - made_here if not name.startswith("_")}


def test_no_service_can_hide_what_its_module_uses() -> None:
    """So that no name has to be tried: what a module looks up starts with an underscore, or no service may be called it."""
    everything: set[str] = set()
    for name, tree in trees():
        classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        everything |= (looked_up := used(tree) - classes)
        assert looked_up <= _names.SERVICE_RESERVED, name
        imported = {
            alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        assert {each for each in imported if not each.startswith("_")} <= _names.SERVICE_RESERVED, name
    # Nothing is reserved that is not used: such a service would lose its name for nothing.
    assert _names.SERVICE_RESERVED - set(keyword.kwlist) == everything | {"annotations"}
    assert all(_names.service_name(each) == f"{each}_" for each in _names.SERVICE_RESERVED)


def test_no_method_can_hide_what_its_class_uses() -> None:
    for name, tree in trees():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.endswith("Application"):
                # What is inside of functions does not see the class's names; decorators, types and defaults do.
                outside = ast.Module([statement for statement in node.body if not isinstance(statement, ast.Expr)], [])
                for function in ast.walk(outside):
                    if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        function.body = []
                assert used(outside) <= set(_BUILTINS), f"{name}, {node.name}"
    assert all(hasattr(builtins, each) for each in _BUILTINS)


EVERY_BUILTIN = """
syntax = "proto3";
package {package};
message M {{}}
service S {{
  {methods}
}}
"""


@pytest.mark.parametrize("messages", ["google", "protobuf-py"])
def test_methods_called_as_everything_is(messages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keywords, soft ones too, builtins, and every name in generated code: as methods of one service."""
    names = {*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "match", "case", "cls"}
    for _, tree in trees():
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        names |= {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    named = {_names.method_name(name): name for name in sorted(names)}  # `None` and `none` are one in Python
    package = f"everything_{messages.replace('-', '_')}"
    methods = "\n  ".join(
        f"rpc {name}(M) returns (M) {{ option idempotency_level = NO_SIDE_EFFECTS; }}" for name in named.values()
    )
    protoc = Protoc(tmp_path, {f"{package}/e.proto": EVERY_BUILTIN.format(package=package, methods=methods)})
    protoc.generate(messages)
    module = protoc.load(monkeypatch, f"{package}.e_connectcore")

    class Service(module.S):  # type: ignore[name-defined, misc]
        pass

    assert len(named) > 200
    assert named.keys() <= vars(module.S).keys() & vars(module.SClient).keys() & vars(module.SClientSync).keys()
    assert module.SASGIApplication(Service()).descriptor() is not None
    assert module.SClientSync("http://localhost").close() is None
