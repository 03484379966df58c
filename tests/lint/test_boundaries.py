"""Who may know what: the hosts no protocol, the core no outside world, the module nothing but WASI."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP = {"core", "wasm", "hostpy", "hostgo", "tests", "go.mod", "go.sum", "Makefile", "README.md"}
PROTOCOL = re.compile(
    r"\b(grpc|connect|trailer|proxy)-|\bapplication/|\b(content|accept)-encoding|\bcontent-type"
    r"|\+(proto|json)\b|\bx-(grpc|user-agent)|connectrpc\.com|google\.rpc|type\.googleapis",
    re.IGNORECASE,
)
IMPURE = {"net", "os", "time", "log", "math/rand", "math/rand/v2", "crypto/rand", "sync", "context", "syscall", "runtime"}
# Each costs the module hundreds of kilobytes.
HEAVY = {"fmt", "encoding/json", "net/http", "text/template"}
# What an HTTP library must be told so that it leaves the core's fields alone.
LIBRARY_FIELDS = {
    ("hostgo/write.go", "Content-Type"),  # net/http guesses one unless the key is there
    # HTTP's own, and what the client that speaks it has to know.
    ("hostpy/src/connectcore/_transport/http/message.py", "proxy-connection"),
    ("hostpy/src/connectcore/_transport/http/message.py", "proxy-authorization"),
    # Held against that of the response before, and never read.
    ("hostpy/src/connectcore/_transport/transport.py", "content-type"),
}
FIELDS = "hostpy/src/connectcore/_standard/fields.py"  # what core says, generated
WASM_NAMES = ("connectcore.wasm", "connectcore-codings.wasm")
WASM_PLACES = ("hostgo", "hostpy/src/connectcore")
MOST_CODINGS = 5_000_000


def tracked(pattern: str = "") -> list[str]:
    command = ["git", "-c", "core.quotepath=off", "ls-files", *([pattern] if pattern else [])]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


def go_list(*arguments: str, **environment: str) -> list[str]:
    command = ["go", "list", *arguments]
    settings = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=settings).stdout.split()


# --- no protocol outside the core ---------------------------------------------------------------------------------


def python_strings(source: str) -> list[tuple[int, str]]:
    """The string constants that a program runs with: docstrings may explain a protocol, code may not speak it."""
    tree = ast.parse(source)
    documentation = set()
    for node in ast.walk(tree):
        for body in (getattr(node, "body", None),):
            if isinstance(body, list):
                documentation |= {id(s.value) for s in body if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documentation:
            value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(value, str):
                found.append((node.lineno, value))
    return found


GO_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|`[^`]*`', re.DOTALL)


IMPORTS = re.compile(r"^import \(.*?^\)|^import [^\n]*", re.MULTILINE | re.DOTALL)


def go_strings(source: str) -> list[tuple[int, str]]:
    """The string constants of a Go file, import paths left out."""
    blank = IMPORTS.sub(lambda found: "\n" * found[0].count("\n"), source, count=1)
    return [
        (blank.count("\n", 0, match.start()) + 1, match[0][1:-1]) for match in GO_TOKEN.finditer(blank) if match[0][0] in '"`'
    ]


def spoken(path: str) -> list[str]:
    source = (ROOT / path).read_text()
    strings = python_strings(source) if path.endswith(".py") else go_strings(source)
    return [
        f"{path}:{line}: {text!r}" for line, text in strings if PROTOCOL.search(text) and (path, text) not in LIBRARY_FIELDS
    ]


def test_hosts_speak_no_protocol() -> None:
    files = [path for path in tracked("hostpy/src/*.py") + tracked("hostgo/*.go") if not path.endswith("_test.go")]
    assert len(files) > 20, "the hosts' files were not found"
    said = [line for path in files if path != FIELDS for line in spoken(path)]
    assert not said, "protocol constants belong into core:\n" + "\n".join(said)


def test_one_file_touches_zttp() -> None:
    source = "hostpy/src/connectcore"
    imports = re.compile(r"^\s*(import|from) zttp\b", re.MULTILINE)
    found = [path for path in tracked(f"{source}/*.py") if imports.search((ROOT / path).read_text())]
    assert found == [f"{source}/_transport/http/parser.py"]


# What the interface's table has once (wasm/abi) stands in no host again: the binary names' suffix, the coding that is none,
# the kinds of records.
SHARED = re.compile(r"^-bin$|^identity$")
GENERATED = {f"hostpy/src/connectcore/_wasm/{name}.py" for name in ("abi", "codings_abi", "records")}
# Codes are the guest's to choose: a host names one only where it defines them, where a user's own coding raises one, or where a
# service or an interceptor that comes with the package, or a fake one in tests, does what any user's does.
CODES_OF = re.compile(
    r"hostpy/src/connectcore/(code|errors|opentelemetry|protovalidate)\.py|hostpy/src/connectcore/(compression|_standard|testing)/\w+\.py|hostgo/(code|error)\.go"
)
GO_CODE = re.compile(
    r"\bCode(?:Canceled|Unknown|InvalidArgument|DeadlineExceeded|NotFound|AlreadyExists|PermissionDenied|ResourceExhausted"
    r"|FailedPrecondition|Aborted|OutOfRange|Unimplemented|Internal|Unavailable|DataLoss|Unauthenticated)\b"
)


def host_files() -> list[str]:
    return [path for path in tracked("hostpy/src/*.py") + tracked("hostgo/*.go") if not path.endswith("_test.go")]


def test_hosts_state_no_shared_constant() -> None:
    said = []
    for path in host_files():
        if path in GENERATED:
            continue
        source = (ROOT / path).read_text()
        strings = python_strings(source) if path.endswith(".py") else go_strings(source)
        said += [f"{path}:{line}: {text!r}" for line, text in strings if SHARED.search(text)]
        if path.endswith(".py") and "/_plugin/" not in path:
            said += [
                f"{path}:{node.lineno}: {node.value}"
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Constant) and type(node.value) is int and 128 < node.value < 160
            ]
    assert not said, "these stand in wasm/abi:\n" + "\n".join(said)


def chosen_codes(path: str) -> list[str]:
    source = (ROOT / path).read_text()
    if path.endswith(".go"):
        lines = enumerate(source.splitlines(), 1)
        return [f"{path}:{number}: {line.strip()}" for number, line in lines if GO_CODE.search(line.split("//")[0])]
    return [
        f"{path}:{node.lineno}: Code.{node.attr}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Code"
        and node.attr.isupper()
    ]


def test_hosts_choose_no_codes() -> None:
    chosen = [line for path in host_files() if not CODES_OF.fullmatch(path) for line in chosen_codes(path)]
    assert not chosen, "which code a failure gets is the guest's to say:\n" + "\n".join(chosen)


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('"""grpc-status in a docstring"""\n', 0),
        ('x = "grpc-status"\n', 1),
        ('x = f"{y}connect-timeout-ms"\n', 1),
        ('x = b"application/json"\n', 1),
        ('x = "protoc-gen-connectcore"  # grpc-status\n', 0),
    ],
)
def test_python_strings_are_found(source: str, count: int) -> None:
    assert sum(bool(PROTOCOL.search(text)) for _, text in python_strings(source)) == count


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('import (\n\t"connectrpc.com/connect"\n)\n// grpc-status\n', 0),
        ('x := "grpc-status"\n', 1),
        ("x := `a\nContent-Encoding`\n", 1),
        ('/* "grpc-status" */ x := "a"\n', 0),
    ],
)
def test_go_strings_are_found(source: str, count: int) -> None:
    assert sum(bool(PROTOCOL.search(text)) for _, text in go_strings(source)) == count


# --- one direction ------------------------------------------------------------------------------------------------


def test_core_is_pure() -> None:
    imports = set(go_list("-f", '{{join .Imports "\\n"}}', "./core"))
    assert imports, "core has no imports at all?"
    roots = {path for path in imports if path in IMPURE or path.split("/")[0] == "net"}
    assert not roots, f"core must know no outside world: {sorted(roots)}"
    assert not imports & HEAVY, f"these make the module heavy: {sorted(imports & HEAVY)}"


def test_the_module_is_light() -> None:
    linked = set(go_list("-deps", "./wasm", GOOS="wasip1", GOARCH="wasm"))
    assert "github.com/connectcore/connectcore/core" in linked
    assert not linked & HEAVY, f"the module links {sorted(linked & HEAVY)}"


def test_hostgo_uses_the_module_alone() -> None:
    ours = [path for path in go_list("-deps", "./hostgo/...") if "/connectcore/" in path]
    known = ("/wasm/abi", "/wasm/codings/abi")
    wrong = [path for path in ours if not path.endswith(known) and "/connectcore/hostgo" not in path]
    assert not wrong, f"hostgo drives the module and imports only its numbers: {wrong}"


# --- the module ---------------------------------------------------------------------------------------------------


def sections(module: bytes) -> dict[int, bytes]:
    """The sections of a wasm file by their id, custom ones left out."""
    found, at = {}, 8
    while at < len(module):
        kind = module[at]
        size, at = leb128(module, at + 1)
        if kind:
            found[kind] = module[at : at + size]
        at += size
    return found


def leb128(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def imported(section: bytes) -> list[str]:
    """The functions that are imported, as "module.name"; any other kind of import is named as it is."""
    count, at = leb128(section, 0)
    found = []
    for _ in range(count):
        names = []
        for _ in range(2):
            size, at = leb128(section, at)
            names.append(section[at : at + size].decode())
            at += size
        found.append(".".join(names) if section[at] == 0 else f"{names} is no function")
        _, at = leb128(section, at + 1)
    return found


def listed_imports(name: str) -> set[str]:
    """The functions of WASI that ABI.md lets a module import, so that a host knows all that it must serve."""
    page = (ROOT / "wasm/ABI.md").read_text()
    functions = r"(?:`[a-z]+_[a-z_]+`(?:,\s|\sand\s)?)+"
    lists = [re.search(f"{text}\\s({functions})", page) for text in ("of that only", "It imports the same functions, and")]
    assert all(lists), "ABI.md lists what each module imports"
    listed = [set(re.findall(r"`(\w+)`", found[1])) for found in lists if found]
    return listed[0] if name == WASM_NAMES[0] else listed[0] | listed[1]


@pytest.mark.parametrize("name", WASM_NAMES)
def test_a_module_imports_what_is_listed(name: str) -> None:
    found = imported(sections((ROOT / WASM_PLACES[0] / name).read_bytes())[2])
    assert set(found) == {f"wasi_snapshot_preview1.{function}" for function in listed_imports(name)}


@pytest.mark.parametrize("name", WASM_NAMES)
@pytest.mark.parametrize("place", WASM_PLACES)
def test_module_file(place: str, name: str) -> None:
    module = (ROOT / place / name).read_bytes()
    assert module[:8] == b"\0asm\1\0\0\0"
    assert {each.partition(".")[0] for each in imported(sections(module)[2])} == {"wasi_snapshot_preview1"}
    for path in (b"/root/", b"/home/", str(ROOT).encode()):
        assert path not in module, f"a path of the machine that built it: {path!r}"


@pytest.mark.parametrize("name", WASM_NAMES)
def test_both_hosts_have_one_module(name: str) -> None:
    first, second = ((ROOT / place / name).read_bytes() for place in WASM_PLACES)
    assert first == second


def test_the_codings_module_stays_small() -> None:
    size = (ROOT / WASM_PLACES[0] / WASM_NAMES[1]).stat().st_size
    assert size <= MOST_CODINGS, f"{size} bytes: what does it link that is new?"


# --- the tree -----------------------------------------------------------------------------------------------------


def test_top_level_is_fixed() -> None:
    names = {path.split("/")[0] for path in tracked()}
    wrong = {name for name in names - TOP if not name.startswith(".")}
    assert not wrong, f"the top level is fixed: {sorted(wrong)}"


def test_no_machine_paths() -> None:
    """Files must make sense on every machine."""
    pattern = re.compile(r"/(work|root)/")
    wrong = []
    for name in tracked():
        path = ROOT / name
        if path.suffix in {".wasm", ".sum"} or not path.is_file() or path == Path(__file__).resolve():
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        wrong += [f"{name}: {match[0]}" for match in pattern.finditer(text)]
    assert not wrong, wrong


def test_numbers_for_tapes_name_every_record() -> None:
    """The tape runners' table is the generated one, so it must at least be what Python's module says."""
    table = json.dumps(json.loads((ROOT / "tests/tapes/abi.json").read_text()))
    module = (ROOT / "hostpy/src/connectcore/_wasm/abi.py").read_text()
    names = re.findall(r"^(?:CMD|EV)_(\w+): Final", module, re.MULTILINE)
    assert len(names) >= 30
    missing = [name for name in names if f'"{name.lower().replace("_", "-")}"' not in table]
    assert not missing
