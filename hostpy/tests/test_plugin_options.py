"""What the options of protoc-gen-connectcore do, those of the official plugin included; where its output can lie."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse

from connectcore._plugin._options import Options
from connectcore._plugin._problem import ProblemError
from connectcore._plugin._run import run
from protoc import GREET, Protoc

if TYPE_CHECKING:
    from pathlib import Path

BOTH = pytest.mark.parametrize("messages", ["google", "protobuf-py"])

HEAD = 'syntax = "proto3";\npackage {0};\n'

ALIKE = HEAD + "message M {{}} service S {{ rpc GetURL(M) returns (M); rpc GetUrl(M) returns (stream M); }}"


def python(directory: Path, program: str) -> str:
    """Run a program in a process whose path has this directory; gives the last line that it wrote."""
    done = subprocess.run([sys.executable, "-c", program], cwd=directory, capture_output=True, text=True, timeout=60)
    return (done.stdout + done.stderr).strip().rpartition("\n")[2]


# Names


@BOTH
def test_methods_that_become_one_are_told_apart_by_a_name(
    messages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = f"names_{messages.replace('-', '_')}"
    protoc = Protoc(tmp_path, {f"{package}/a.proto": ALIKE.format(package)})
    refused = protoc.run(f"messages={messages}")
    assert refused.returncode != 0
    advice = f"{package}.S.GetUrl="
    assert f"by the option name={advice}<name>" in refused.stderr
    protoc.generate(messages, f"name={advice}watch_url")
    module = protoc.load(monkeypatch, f"{package}.a_connectcore")
    for kind in (module.S, module.SSync, module.SClient, module.SClientSync):
        assert {"get_url", "watch_url"} <= vars(kind).keys()
    assert (module._S_get_url_method.name, module._S_watch_url_method.name) == ("GetURL", "GetUrl")


def test_services_whose_classes_become_one_are_told_apart_by_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        HEAD.format("names2")
        + "message M {} service Foo { rpc Do(M) returns (M); } service FooClient { rpc Do(M) returns (M); }"
    )
    protoc = Protoc(tmp_path, {"names2/a.proto": text})
    assert "by the option name=names2.FooClient=<name>" in protoc.run().stderr
    protoc.generate("google", "name=names2.FooClient=FooCustomer,name=names2.FooClient.Do=do_it")
    module = protoc.load(monkeypatch, "names2.a_connectcore")
    assert {"Foo", "FooClient", "FooCustomer", "FooCustomerClient"} <= set(module.__all__)
    assert (module._FooCustomer_do_it_method.service_name, module._FooCustomer_do_it_method.name) == ("names2.FooClient", "Do")


NAMES = {
    "a misspelt method": ("name=a.S.GetUri=x", "option 'name': there is no service or method a.S.GetUri in what is to be"),
    "a misspelt service": ("name=a.T=x", "option 'name': there is no service or method a.T in what is to be generated"),
    "a name that clients have": (
        "name=a.S.GetUrl=close",
        "option 'name' cannot call a.S.GetUrl 'close': clients have that name",
    ),
    "a name that the code needs": (
        "name=a.S=str",
        "option 'name' cannot call a.S 'str': generated code needs that name itself",
    ),
    "a keyword": ("name=a.S.GetUrl=import", "is no keyword"),
    "a hidden name": ("name=a.S.GetUrl=_x", "a name in Python starts with no underscore here"),
    "a name that is none": ("name=a.S.GetUrl=get-url", "option 'name' has the form name=<full name of a service or method>="),
    "no name": ("name=a.S.GetUrl", "not 'a.S.GetUrl'"),
    "two names": ("name=a.S.GetUrl=x,name=a.S.GetUrl=y", "option 'name' gives a.S.GetUrl two names, 'x' and 'y'"),
    "a name that is taken": (
        "name=a.S.GetUrl=x,name=a.S.GetURL=x",
        "the methods GetURL and GetUrl of service S would both be called x",
    ),
}


def alike_request(options: str) -> CodeGeneratorRequest:
    request = CodeGeneratorRequest(file_to_generate=["a.proto"], parameter=options)
    file = request.proto_file.add(name="a.proto", package="a")
    file.message_type.add(name="M")
    service = file.service.add(name="S")
    for name in ("GetURL", "GetUrl"):
        service.method.add(name=name, input_type=".a.M", output_type=".a.M")
    return request


def answer(request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    return CodeGeneratorResponse.FromString(run(request.SerializeToString()))


@pytest.mark.parametrize("case", NAMES)
def test_a_wrong_name_is_told(case: str) -> None:
    option, text = NAMES[case]
    response = answer(alike_request(option))
    assert text in response.error
    assert not response.file


def test_a_name_for_another_run_is_none_of_this_ones_business() -> None:
    """buf starts the plugin once for each directory, with the same options."""
    response = answer(alike_request("name=a.S.GetUrl=x,name=a.b.S=T,name=b.S.Do=y,name=Do=z"))
    assert (response.error, len(response.file)) == ("", 1)


# Where output lies

SHOW = "import {0}.root_connectcore as m; print(m.RClient.do.__name__, m._R_do_method.input.__module__)"


@BOTH
@pytest.mark.parametrize("layout", ["on the path", "in a package"])
def test_a_file_at_the_root_works_in_every_layout(layout: str, messages: str, tmp_path: Path) -> None:
    protoc = Protoc(tmp_path, {"root.proto": HEAD.format("r") + "message M {} service R { rpc Do(M) returns (M); }"})
    assert protoc.generate(messages) == ""
    name = "root_pb2" if messages == "google" else "root_pb"
    if layout == "on the path":
        assert python(protoc.out, SHOW.replace("{0}.", "")) == f"do {name}"
    else:
        assert python(protoc.out.parent, SHOW.format("out")) == f"do {name if messages == 'google' else f'out.{name}'}"


ACROSS = {
    "a/v1/a.proto": HEAD.format("a.v1") + "message A {}",
    "b/v1/b.proto": HEAD.format("b.v1") + 'import "a/v1/a.proto"; service B { rpc Do(a.v1.A) returns (a.v1.A); }',
}
SHOW_ACROSS = "import {0}b.v1.b_connectcore as m; print(m._B_do_method.input.__module__)"


def test_messages_of_another_directory_need_a_package_and_that_is_said(tmp_path: Path) -> None:
    """`protoc-gen-py` imports relatively through the root of the output; its own modules do not work otherwise."""
    protoc = Protoc(tmp_path, ACROSS)
    note = protoc.generate("protobuf-py")
    assert note == (
        "protoc-gen-connectcore: note: b/v1/b_connectcore.py finds the code of a/v1/a.proto by way of the output's directory, "
        "as the code of b/v1/b.proto by protoc-gen-py does: that directory must be a package. To put it on sys.path itself, "
        "give map_imports=**: to both plugins. imports=relative silences this\n"
    )
    assert python(protoc.out.parent, SHOW_ACROSS.format("out.")) == "out.a.v1.a_pb"
    assert python(protoc.out, "import b.v1.b_pb") == "ImportError: attempted relative import beyond top-level package"
    assert protoc.generate("protobuf-py", "imports=relative") == ""


def test_the_advice_about_directories_is_right(tmp_path: Path) -> None:
    protoc = Protoc(tmp_path, ACROSS)
    assert protoc.generate("protobuf-py", "map_imports=**:", message_options="map_imports=**:") == ""
    assert python(protoc.out, SHOW_ACROSS.format("")) == "a.v1.a_pb"


def test_directories_beside_each_other_need_no_package(tmp_path: Path) -> None:
    protoc = Protoc(tmp_path, {name.replace("b/", "a/").replace("a/v1/b", "a/v2/b"): text for name, text in ACROSS.items()})
    assert protoc.generate("protobuf-py") == ""
    assert python(protoc.out, "import a.v2.b_connectcore as m; print(m._B_do_method.input.__module__)") == "a.v1.a_pb"


@pytest.mark.parametrize(("top", "owner"), [("calendar", "Python's standard library"), ("connectcore", "this package")])
def test_a_directory_that_python_has_already_is_told(top: str, owner: str, tmp_path: Path) -> None:
    text = HEAD.format("c") + "message M {} service S { rpc Do(M) returns (M); }"
    protoc = Protoc(tmp_path, {f"{top}/v1/c.proto": text})
    note = protoc.generate("google")
    assert note == (
        f"protoc-gen-connectcore: note: {top}/v1/c_connectcore.py cannot be imported while its directory {top} is at the top "
        f"of the output, because {owner} has that name; move the .proto files below a directory of another name, as "
        f"acme/{top}/v1/c.proto\n"
    )
    assert "ModuleNotFoundError" in python(protoc.out, f"import {top}.v1.c_connectcore")
    # As advised, and where all of the output is in a package anyway.
    assert Protoc(tmp_path / "acme", {f"acme/{top}/v1/c.proto": text}).generate("google") == ""
    assert protoc.generate("protobuf-py") == ""
    assert python(protoc.out.parent, f"import out.{top}.v1.c_connectcore as m; print(m.S.__name__)") == "S"


# Kinds of code


@BOTH
@pytest.mark.parametrize("io", ["async", "sync"])
def test_one_kind_of_code_alone(io: str, messages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = f"{io}_{messages.replace('-', '_')}"
    protoc = Protoc(tmp_path, {f"{package}/greet.proto": GREET.replace("greet.v1", package)})
    protoc.generate(messages, "io=both")
    both = protoc.text(f"{package}/greet_connectcore.py")
    protoc.generate(messages, f"io={io}")
    text = protoc.text(f"{package}/greet_connectcore.py")
    assert len(text) < 0.7 * len(both)
    module = protoc.load(monkeypatch, f"{package}.greet_connectcore")
    names = {
        "async": ["GreetService", "GreetServiceASGIApplication", "GreetServiceClient"],
        "sync": ["GreetServiceClientSync", "GreetServiceSync", "GreetServiceWSGIApplication"],
    }
    assert module.__all__ == names[io]
    assert not [word for word in ({"async": ["Sync", "WSGI"], "sync": ["Async", "ASGI", "async "]}[io]) if word in text]


def test_names_of_code_that_is_not_generated_are_free(tmp_path: Path) -> None:
    protoc = Protoc(tmp_path, {"a.proto": HEAD.format("a") + "service Foo {} service FooSync {}"})
    assert "would have the same name" in protoc.run("io=both").stderr
    assert protoc.run("io=async").returncode == 0


# The official plugin's options


def test_the_official_plugins_words_for_messages(tmp_path: Path) -> None:
    texts = {}
    for number, options in enumerate(
        ("messages=protobuf-py", "protobuf=py", "protobuf=PY,messages=protobuf-py", "protobuf=google", "")
    ):
        protoc = Protoc(tmp_path / str(number), {"a/greet.proto": GREET})
        assert protoc.run(options).returncode == 0
        texts[options] = protoc.text("a/greet_connectcore.py")
    first = texts["messages=protobuf-py"]
    assert first == texts["protobuf=py"] == texts["protobuf=PY,messages=protobuf-py"] != texts["protobuf=google"] == texts[""]


@pytest.mark.parametrize(
    ("options", "module"), [("", "greet_pb"), ("protobuf=google", "greet_pb2"), ("protobuf=py,io=async", "greet_pb")]
)
def test_another_plugins_name_is_all_that_has_to_change(options: str, module: str, tmp_path: Path) -> None:
    """Where the official plugin was, `protoc-gen-connectcore-py` makes what it made, under the name of its files."""
    protoc = Protoc(tmp_path, {"a/greet.proto": GREET})
    protoc.make_messages("google")
    protoc.make_messages("protobuf-py")
    assert protoc.run(options, plugin="connectcore-py").returncode == 0
    shown = python(
        protoc.out,
        "from a.greet_connect import *; import sys; print([m for m in ('a.greet_pb', 'a.greet_pb2') if m in sys.modules])",
    )
    assert shown == f"['a.{module}']"


def test_formatters_may_be_let_in(tmp_path: Path) -> None:
    protoc = Protoc(tmp_path, {"a/greet.proto": GREET})
    lines = {}
    for options in ("", "no_fmt_off", "no_fmt_off=true", "no_fmt_off=false"):
        assert protoc.run(options).returncode == 0
        lines[options] = protoc.text("a/greet_connectcore.py").splitlines()
    assert lines[""] == lines["no_fmt_off=false"]
    assert lines["no_fmt_off"] == lines["no_fmt_off=true"] == [line for line in lines[""] if line != "# fmt: off"] != lines[""]


def test_modules_with_a_hash_in_their_name_are_found(tmp_path: Path) -> None:
    files = {
        "hash-es/a-b.proto": HEAD.format("h") + "message A {} service S { rpc Do(A) returns (A); }",
        "hash-es/a_b.proto": HEAD.format("h2") + 'import "hash-es/a-b.proto"; service T { rpc Do(h.A) returns (h.A); }',
    }
    protoc = Protoc(tmp_path, files)
    assert "would both be generated as hash_es/a_b_connectcore.py" in protoc.run("messages=protobuf-py").stderr
    protoc.generate("protobuf-py", "escape_module_with_hash", message_options="escape_module_with_hash")
    (generated,) = [path for path in protoc.out.rglob("a_b_connectcore.py") if path.is_file()]
    folder = generated.parent.name
    assert folder.startswith("hash_es_")
    assert python(protoc.out, f"import {folder}.a_b_connectcore as m; print(m._T_do_method.input.__name__)") == "A"


@pytest.mark.parametrize(
    ("pattern", "file", "matches"),
    [
        ("a/b.proto", "a/b.proto", True),
        ("a/b.proto", "a/bxproto", False),
        ("a/", "a/b/c.proto", True),
        ("a/", "ab/c.proto", False),
        ("a/*.proto", "a/b.proto", True),
        ("a/*.proto", "a/b/c.proto", False),
        ("a/**.proto", "a/b/c.proto", True),
        ("**/c.proto", "c.proto", True),
        ("**/c.proto", "a/b/c.proto", True),
        ("**/c.proto", "a/bc.proto", False),
        ("**", "a/b.proto", True),
        ("a[b].proto", "ab.proto", False),
    ],
)
def test_patterns_of_map_imports(pattern: str, file: str, matches: bool) -> None:
    (place,) = Options.parse(f"map_imports={pattern}:gen.x").places
    assert (place.package, place.files.fullmatch(file) is not None) == ("gen.x", matches)


def test_where_imports_are_mapped_to(tmp_path: Path) -> None:
    files = {
        **ACROSS,
        "b/v1/c.proto": HEAD.format("c") + 'import "google/protobuf/empty.proto"; import "a/v1/a.proto"; message C {} '
        "service S { rpc Do(a.v1.A) returns (google.protobuf.Empty); rpc Own(C) returns (C); }",
    }
    protoc = Protoc(tmp_path, files)
    # The first that matches counts, and the runtime's own messages stay where they are.
    assert protoc.run("messages=protobuf-py,map_imports=a/**:there.it.lies,map_imports=**:.,map_imports=a/:no").returncode == 0
    lines = set(protoc.text("b/v1/c_connectcore.py").splitlines())
    assert {
        "from there.it.lies.a.v1 import a_pb as _a_pb",
        "from b.v1 import c_pb as _c_pb",
        "from protobuf.wkt.google.protobuf import empty_pb as _empty_pb",
    } <= lines


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("protobuf=py,messages=google", "option 'messages' is given twice, as protobuf=py and as messages=google"),
        ("protobuf=protobuf-py", "option 'protobuf' is google or py, not 'protobuf-py'"),
        ("io=trio", "option 'io' is both or async or sync, not 'trio'"),
        ("io", "option 'io' is both or async or sync, not ''"),
        ("no_fmt_off=maybe", "option 'no_fmt_off' is true or false, not 'maybe'"),
        ("map_imports=a/", "option 'map_imports' has the form map_imports=<pattern>:<package>"),
        ("map_imports=:a", "not ':a'"),
        ("map_imports=a/:b-c", "not 'a/:b-c'"),
        ("map_imports", "unknown option 'map_imports'"),
    ],
)
def test_wrong_options_are_told(options: str, text: str) -> None:
    with pytest.raises(ProblemError) as raised:
        Options.parse(options)
    assert text in str(raised.value)
