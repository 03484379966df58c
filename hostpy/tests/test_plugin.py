"""protoc-gen-connectcore under a real protoc: what it makes, what it refuses, how it deals with hard names."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from connectcore._plugin import _names
from connectcore._plugin._docstring import docstring
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.errors import ConnectError
from protoc import GREET, SCRIPTS, Protoc

if TYPE_CHECKING:
    from pathlib import Path

BOTH = pytest.mark.parametrize("messages", ["google", "protobuf-py"])

HEAD = 'syntax = "proto3";\npackage {0};\n'


def shape(thing: Any) -> list[str]:
    """The public methods that a class itself has, with their parameters. Names of imports lose their underscore."""
    lines: list[str] = []
    for name, member in vars(thing).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        made_by_typing = name == "__init__" and getattr(thing, "_is_protocol", False)
        if not inspect.isfunction(function) or made_by_typing or (name.startswith("_") and name != "__init__"):
            continue
        text = str(inspect.signature(function)).replace("'", "")
        text = re.sub(r"\b_(greet_pb2?\.)?", "", text)
        lines.append(("async " if inspect.iscoroutinefunction(function) else "") + name + text)
    return lines


REQ, RES = "GreetRequest", "GreetResponse"
CTX = f"RequestContext[{REQ}, {RES}]"
TIMEOUTS = "timeout_ms: float | None = None, timeout: float | timedelta | None = None"
CALL = f"headers: Headers | Mapping[str, str] | None = None, {TIMEOUTS}"
GET = ", use_get: bool = False"
METADATA = ", response_metadata: ResponseMetadata | None = None"


def application(interceptor: str) -> str:
    return (
        f"interceptors: Iterable[{interceptor}] = (), read_max_bytes: int | None = 4194304, "
        "compressions: Iterable[AnyCompression] | None = None, codecs: Iterable[Codec] | None = None, "
        "**options: Unpack[ServerOptions]) -> None"
    )


def messages_of(kind: str, message: str, prefix: str) -> str:
    return f"{prefix}Iterator[{message}]" if kind else message


def service_shape(a: str, p: str) -> list[str]:
    return [
        f"{a}greet(self, request: {REQ}, ctx: {CTX}, /) -> {RES}",
        f"greet_many(self, request: {REQ}, ctx: {CTX}, /) -> {p}Iterator[{RES}]",
        f"{a}greet_group(self, request: {p}Iterator[{REQ}], ctx: {CTX}, /) -> {RES}",
        f"chat(self, request: {p}Iterator[{REQ}], ctx: {CTX}, /) -> {p}Iterator[{RES}]",
    ]


def client_shape(a: str, p: str) -> list[str]:
    stream = "ResponseStream" if a else "ResponseStreamSync"
    return [
        f"{a}greet(self, request: {REQ}, *, {CALL}{GET}{METADATA}) -> {RES}",
        f"greet_many(self, request: {REQ}, *, {CALL}{METADATA}) -> {stream}[{RES}]",
        f"{a}greet_group(self, request: {p}Iterator[{REQ}], *, {CALL}{METADATA}) -> {RES}",
        f"chat(self, request: {p}Iterator[{REQ}], *, {CALL}{METADATA}) -> {stream}[{RES}]",
    ]


@BOTH
def test_the_shapes_are_the_official_generators(messages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = f"shape_{messages.replace('-', '_')}"
    protoc = Protoc(tmp_path, {f"{package}/greet.proto": GREET.replace("greet.v1", package)})
    protoc.generate(messages)
    module = protoc.load(monkeypatch, f"{package}.greet_connectcore")
    assert module.__all__ == [
        "GreetService",
        "GreetServiceASGIApplication",
        "GreetServiceClient",
        "GreetServiceClientSync",
        "GreetServiceSync",
        "GreetServiceWSGIApplication",
    ]
    desc = ["desc(cls) -> DescService"] if messages == "protobuf-py" else []
    assert shape(module.GreetService) == service_shape("async ", "Async") + desc
    assert shape(module.GreetServiceSync) == service_shape("", "") + desc
    assert shape(module.GreetServiceClient) == client_shape("async ", "Async")
    assert shape(module.GreetServiceClientSync) == client_shape("", "")
    # Ours alone, for reflection.
    descriptor = f"descriptor(self) -> {'ServiceDescriptor' if messages == 'google' else 'DescService'}"
    assert shape(module.GreetServiceASGIApplication) == [
        "__init__(self, service: GreetService | AsyncGenerator[GreetService], *, " + application("Interceptor"),
        "path(self) -> str",
        descriptor,
    ]
    assert shape(module.GreetServiceWSGIApplication) == [
        "__init__(self, service: GreetServiceSync, " + application("InterceptorSync"),
        "path(self) -> str",
        descriptor,
    ]
    assert inspect.getdoc(module.GreetService) == "Greets people.\n\nIn every way."
    assert inspect.getdoc(module.GreetServiceClientSync.greet) == "One greeting."
    if messages == "protobuf-py":
        assert module.GreetService.desc().type_name == f"{package}.GreetService"


@BOTH
def test_what_is_generated_serves(messages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = f"serves_{messages.replace('-', '_')}"
    protoc = Protoc(tmp_path, {f"{package}/greet.proto": GREET.replace("greet.v1", package)})
    protoc.generate(messages)
    module = protoc.load(monkeypatch, f"{package}.greet_connectcore")

    class Implementation(module.GreetService):  # type: ignore[name-defined, misc]
        pass

    class ImplementationSync(module.GreetServiceSync):  # type: ignore[name-defined, misc]
        pass

    assert module.GreetServiceASGIApplication(Implementation()).path == f"/{package}.GreetService"
    assert module.GreetServiceWSGIApplication(ImplementationSync()).path == f"/{package}.GreetService"
    with pytest.raises(ConnectError, match=rf"^{package}\.GreetService\.GreetMany is not implemented$"):
        Implementation().greet_many(None, None)
    with pytest.raises(ConnectError, match=rf"^{package}\.GreetService\.Chat is not implemented$"):
        ImplementationSync().chat(None, None)


def test_equal_requests_give_equal_files(tmp_path: Path) -> None:
    texts = set()
    for run in ("one", "two"):
        protoc = Protoc(tmp_path / run, {"a/greet.proto": GREET})
        assert protoc.run().returncode == 0
        texts.add(protoc.text("a/greet_connectcore.py"))
    (text,) = texts
    assert str(tmp_path) not in text


def test_only_files_with_services_that_were_asked_for_are_generated(tmp_path: Path) -> None:
    protoc = Protoc(
        tmp_path,
        {
            "a/messages.proto": HEAD.format("a") + "message M {}",
            "a/other.proto": HEAD.format("a") + "message N {} service Other { rpc Do(N) returns (N); }",
            "a/service.proto": HEAD.format("a")
            + 'import "a/messages.proto"; import "a/other.proto"; service S { rpc Do(M) returns (N); }',
        },
    )
    assert protoc.run(only=["a/messages.proto", "a/service.proto"]).returncode == 0
    assert [path.name for path in protoc.out.rglob("*") if path.is_file()] == ["service_connectcore.py"]


EDITIONS = {
    "proto2": 'syntax = "proto2"; package e; message M { optional int32 a = 1; }',
    "proto3 optional": 'syntax = "proto3"; package e; message M { optional int32 a = 1; }',
    "edition 2023": 'edition = "2023"; package e; message M { int32 a = 1 [features.field_presence = IMPLICIT]; }',
    "edition 2024": 'edition = "2024"; package e; message M { int32 a = 1; }',
}


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_edition(edition: str, tmp_path: Path) -> None:
    protoc = Protoc(tmp_path, {"e.proto": EDITIONS[edition] + " service S { rpc Do(M) returns (M); }"})
    done = protoc.run()
    assert done.returncode == 0, done.stderr
    assert "import e_pb2 as _e_pb2" in protoc.text("e_connectcore.py")


PROBLEMS = {
    "methods that become one": (
        {"a.proto": HEAD.format("a") + "message M {} service S { rpc GetIt(M) returns (M); rpc get_it(M) returns (M); }"},
        "",
        "would both be called get_it in Python; give one of them another name by the option name=a.S.get_it=<name>, or rename",
    ),
    "a service that is called like another's client": (
        {"a.proto": HEAD.format("a") + "service Foo {} service FooClient {}"},
        "",
        "a.proto: the class FooClient of service Foo and the service FooClient would have the same name in Python",
    ),
    "a service that is called like another's sync protocol": (
        {"a.proto": HEAD.format("a") + "service FooSync {} service Foo {}"},
        "",
        "move it to a file of its own, or give it another name in Python by the option name=a.Foo=<name>",
    ),
    "files that become one": (
        {
            "a-b.proto": HEAD.format("a") + "service A {}",
            "a_b.proto": HEAD.format("b") + "service B {}",
        },
        "",
        "a-b.proto and a_b.proto would both be generated as a_b_connectcore.py: rename one of the files",
    ),
    "a message called like a keyword": (
        {"a.proto": HEAD.format("a") + "message class {} service S { rpc Do(class) returns (class); }"},
        "",
        "a.proto: S.Do uses the message a.class, whose name Python code cannot write; rename the message, or generate",
    ),
    "a nested message whose name Python mangles": (
        {"a.proto": HEAD.format("a") + "message M { message __N {} } service S { rpc Do(M.__N) returns (M); }"},
        "",
        "a.proto: S.Do uses the message a.M.__N, whose name Python code cannot write",
    ),
    "a directory called like a keyword": (
        {
            "import/m.proto": HEAD.format("m") + "message M {}",
            "s/s.proto": HEAD.format("s") + 'import "import/m.proto"; service S { rpc Do(m.M) returns (m.M); }',
        },
        "",
        "'import' in its path is no name in Python; rename it, or generate with imports=relative or messages=protobuf-py",
    ),
    "a file that starts with a digit": (
        {"1.proto": HEAD.format("a") + "message M {} service S { rpc Do(M) returns (M); }"},
        "",
        "'1_pb2' in its path is no name in Python",
    ),
    "an unknown option": (
        {"a.proto": HEAD.format("a")},
        "message=google",
        "unknown option 'message'; the options are messages=google|protobuf-py, io=both|async|sync, imports=auto|absolute|",
    ),
    "an unknown value": (
        {"a.proto": HEAD.format("a")},
        "messages=protobuf_py",
        "option 'messages' is google or protobuf-py, not 'protobuf_py'",
    ),
    "an option without a value": ({"a.proto": HEAD.format("a")}, "imports", "option 'imports' is auto or absolute or relative"),
    "an option given twice": (
        {"a.proto": HEAD.format("a")},
        "imports=auto,imports=relative",
        "option 'imports' is given twice, as imports=auto and as imports=relative",
    ),
    "a package that is none": ({"a.proto": HEAD.format("a")}, "package=google/=a-b", "option 'package' has the form"),
    "a package of nothing": ({"a.proto": HEAD.format("a")}, "package=google=a", "option 'package' has the form"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_problem_is_told_and_nothing_is_written(problem: str, tmp_path: Path) -> None:
    files, options, text = PROBLEMS[problem]
    protoc = Protoc(tmp_path, files)
    done = protoc.run(options)
    assert done.returncode != 0
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(protoc.out.rglob("*.py"))


HARD = """
syntax = "proto3";
package hard.{0};
import "google/protobuf/empty.proto";
import "google/protobuf/timestamp.proto";
import "{0}/other/v1/hard.proto";
import "{0}/other/v2/hard.proto";

// Says "hello" in \\d+ ways: \"\"\" and \\N{{nope}}.
// Ends with a "quote"
service Endpoint {{
  // "Quoted"
  rpc import(Endpoint.Client) returns (Code) {{ option deprecated = true; }}
  rpc Int(list) returns (list) {{ option idempotency_level = NO_SIDE_EFFECTS; }}
  rpc Str(list) returns (stream list) {{ option idempotency_level = NO_SIDE_EFFECTS; }}
  rpc Float(stream list) returns (list);
  rpc Path(hard.{0}.other.v1.Shared) returns (hard.{0}.other.v2.Shared);
  rpc Close(google.protobuf.Empty) returns (google.protobuf.Timestamp);
  rpc ExecuteUnary(Protocol) returns (Protocol);
  rpc Desc(Protocol) returns (Protocol);
  rpc Self(Protocol) returns (Protocol);
  rpc Request(Protocol) returns (Protocol);
  rpc Property(Protocol) returns (Protocol);
  rpc Super(Protocol) returns (Protocol);
  rpc Classmethod(Protocol) returns (Protocol);
  rpc TYPE_CHECKING(Protocol) returns (Protocol);
  rpc _Hidden(Protocol) returns (Protocol);
  rpc HTTPGet2XML(Protocol) returns (Protocol);
}}
message Endpoint {{ message Client {{}} }}
message Code {{}}
message Protocol {{}}
message list {{}}
message Application {{}}
// Empty.
service class {{}}
service str {{ rpc Do(Protocol) returns (Protocol); }}
service _private {{ option deprecated = true; rpc Do(Protocol) returns (Protocol); }}
"""


def hard_files(name: str) -> dict[str, str]:
    # A service and a message cannot have the same full name.
    text = HARD.format(name).replace("message Endpoint ", "message Endpoints ").replace("Endpoint.Client", "Endpoints.Client")
    return {
        f"{name}/very-hard.v1.proto": text,
        f"{name}/other/v1/hard.proto": HEAD.format(f"hard.{name}.other.v1") + "message Shared {}",
        f"{name}/other/v2/hard.proto": HEAD.format(f"hard.{name}.other.v2") + "message Shared {}",
        f"{name}/greet.proto": GREET.replace("greet.v1", name),
    }


HARD_METHODS = [
    "import_", "int", "str", "float", "path", "close_", "execute_unary_", "desc_", "self", "request", "property", "super",
    "classmethod", "type_checking", "pb__hidden", "http_get2xml",
]  # fmt: skip


@BOTH
def test_hard_names(messages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"hard_{messages.replace('-', '_')}"
    protoc = Protoc(tmp_path, hard_files(name))
    protoc.generate(messages)
    stem = f"{name}/very_hard/v1" if messages == "google" else f"{name}/very_hard_v1"
    module = protoc.load(monkeypatch, stem.replace("/", ".") + "_connectcore")
    for client in (module.EndpointClient, module.EndpointClientSync):
        assert [m for m in vars(client) if not m.startswith("__")] == HARD_METHODS
        assert {"close", "execute_unary"}.isdisjoint(vars(client))
    assert [m for m in vars(module.Endpoint) if m in HARD_METHODS] == HARD_METHODS
    assert {"class_", "class_Client", "str_", "str_Sync", "pb__private", "pb__privateClientSync"} < set(module.__all__)
    assert inspect.getdoc(module.Endpoint) == 'Says "hello" in \\d+ ways: """ and \\N{nope}.\nEnds with a "quote"'
    assert inspect.getdoc(module.EndpointClient.import_) == '"Quoted"'

    class Everything(module.Endpoint):  # type: ignore[name-defined, misc]
        pass

    application = module.EndpointASGIApplication(Everything())
    assert application.path == f"/hard.{name}.Endpoint"
    assert module.class_ASGIApplication(object()).path == f"/hard.{name}.class"
    assert inspect.iscoroutinefunction(module.EndpointClient.import_)
    assert module.EndpointClientSync.import_.__deprecated__ == f"hard.{name}.Endpoint.import is deprecated"


def test_imports_by_option(tmp_path: Path) -> None:
    files = hard_files("x")
    lines = {
        ("google", "auto"): {
            "from x.other.v1 import hard_pb2 as _hard_pb2",
            "from x.other.v2 import hard_pb2 as _x_other_v2_hard_pb2",
            "from google.protobuf import empty_pb2 as _empty_pb2",
            "from google.protobuf import timestamp_pb2 as _timestamp_pb2",
            "from . import v1_pb2 as _v1_pb2",
        },
        ("google", "absolute"): {"from x.very_hard import v1_pb2 as _v1_pb2"},
        ("google", "relative"): {
            "from ..other.v1 import hard_pb2 as _hard_pb2",
            "from google.protobuf import empty_pb2 as _empty_pb2",
            "from . import v1_pb2 as _v1_pb2",
        },
        ("protobuf-py", "auto"): {
            "from .other.v1 import hard_pb as _hard_pb",
            "from .other.v2 import hard_pb as _x_other_v2_hard_pb",
            "from protobuf.wkt.google.protobuf import empty_pb as _empty_pb",
            "from . import very_hard_v1_pb as _very_hard_v1_pb",
        },
        ("protobuf-py", "absolute"): {"from x import very_hard_v1_pb as _very_hard_v1_pb"},
        ("google", "auto,package=x/other/v2/=away.types,package=x/other/v1/hard.proto="): {
            "from x.other.v1 import hard_pb2 as _hard_pb2",
            "from away.types.x.other.v2 import hard_pb2 as _x_other_v2_hard_pb2",
        },
    }
    for number, ((messages, imports), wanted) in enumerate(lines.items()):
        protoc = Protoc(tmp_path / str(number), files)
        assert protoc.run(f"messages={messages},imports={imports}").returncode == 0
        stem = "x/very_hard/v1" if messages == "google" else "x/very_hard_v1"
        text = protoc.text(f"{stem}_connectcore.py").splitlines()
        assert wanted <= set(text), [line for line in text if "_pb" in line and "import" in line]


def test_directories_that_are_keywords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`protobuf-py` renames them; with Google's runtime the import inside one directory is relative, which needs no name."""
    greet = GREET.replace("greet.v1", "keywords")
    Protoc(tmp_path / "google", {"import/v1/g.proto": greet}).generate("google")
    protoc = Protoc(tmp_path / "py", {"import/v1/p.proto": greet, "2024/class.proto": greet.replace("keywords", "keywords2")})
    protoc.generate("protobuf-py")
    assert protoc.load(monkeypatch, "import_.v1.p_connectcore").GreetService
    assert protoc.load(monkeypatch, "pb__2024.class__connectcore").GreetService


def test_every_public_name_of_the_clients_is_out_of_methods_way() -> None:
    for client in (ConnectClient, ConnectClientSync):
        public = {name for name in dir(client) if not name.startswith("_")}
        assert public <= _names.CLIENT_ATTRIBUTES


@pytest.mark.parametrize(
    "comment",
    [
        " plain",
        ' "',
        ' ""',
        ' """',
        ' ""\\"',
        " ends in a backslash \\",
        ' ends in \\"',
        ' "starts\n and ends"',
        ' two\n "',
        " one\n\n   indented\n back \\x \\N{x}",
        " nul \0 bell \a",
        " \u202e reversed \U000e0001 tag",
        " ünï → ✓",
        " form\x0cfeed, \x1c, \x85, \u2028, a bare \r return",
        " \x7f\x1b[31mred\x1b[0m",
    ],
)
def test_a_comment_becomes_a_docstring_that_says_the_same(comment: str) -> None:
    source = "class C:\n" + "\n".join(docstring(comment, "    ")) + "\n"
    namespace: dict[str, Any] = {}
    exec(compile(source, "generated", "exec"), namespace)
    assert inspect.getdoc(namespace["C"]) == "\n".join(line.removeprefix(" ") for line in comment.split("\n"))
    assert source.isascii() or source.replace("\n", "").isprintable()


def test_what_is_left_of_a_block_comments_stars_is_no_text() -> None:
    assert list(docstring("*\n Says it.\n\n * A bullet.\n", "")) == ['"""Says it.', "", "* A bullet.", '"""']
    assert list(docstring("* Says it. ", "")) == ['"""Says it."""']
    assert list(docstring(" * A bullet.", "")) == ['"""* A bullet."""']


@pytest.mark.parametrize("comment", ["", "\n", " \n  \n", "*", "*\n"])
def test_a_comment_that_says_nothing_gives_no_docstring(comment: str) -> None:
    assert list(docstring(comment, "")) == []


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("Greet", "greet"),
        ("GreetMany", "greet_many"),
        ("GetHTTPInfo", "get_http_info"),
        ("getFoo", "get_foo"),
        ("Get_Foo", "get_foo"),
        ("V2Get", "v2_get"),
        ("GetV2", "get_v2"),
        ("A", "a"),
        ("ABC", "abc"),
        ("Import", "import_"),
        ("Import_", "import__"),
        ("None", "none"),
        ("Pb_x", "pb_pb_x"),
        ("__x", "pb___x"),
    ],
)
def test_method_names(name: str, snake: str) -> None:
    assert _names.method_name(name) == snake


def plugin(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [SCRIPTS / "protoc-gen-connectcore", *arguments], input=data, capture_output=True, check=False, timeout=60
    )


@pytest.mark.skipif(shutil.which("buf") is None, reason="buf is not installed")
def test_buf_runs_it_as_well(tmp_path: Path) -> None:
    protoc = Protoc(tmp_path, {"greet/v1/greet.proto": GREET})
    (protoc.sources / "buf.yaml").write_text("version: v2\n")
    template = (
        f"version: v2\nplugins:\n  - local: {SCRIPTS / 'protoc-gen-connectcore'}\n    out: ../out\n    opt: imports=relative\n"
    )
    (protoc.sources / "buf.gen.yaml").write_text(template)
    done = subprocess.run(["buf", "generate"], cwd=protoc.sources, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    by_buf = protoc.text("greet/v1/greet_connectcore.py")
    assert protoc.run("imports=relative").returncode == 0
    assert protoc.text("greet/v1/greet_connectcore.py") == by_buf


def test_run_by_a_person() -> None:
    assert b"--connectcore_out" in plugin("--help").stdout
    assert plugin("--version").stdout.strip()
    wrong = plugin("greet.proto")
    assert wrong.returncode == 2
    assert b"--connectcore_out" in wrong.stderr


def test_input_that_is_no_request() -> None:
    done = plugin(data=b"\xff\xff")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.strip() == b"protoc-gen-connectcore: standard input is not what protoc or buf send to a plugin"


def test_a_request_that_describes_too_little() -> None:
    from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse

    request = CodeGeneratorRequest(file_to_generate=["a.proto"])
    done = plugin(data=request.SerializeToString())
    assert "asks for 'a.proto' and does not describe it" in CodeGeneratorResponse.FromString(done.stdout).error
    file = request.proto_file.add(name="a.proto", package="a")
    file.service.add(name="S").method.add(name="Do", input_type=".b.M", output_type=".b.M")
    done = plugin(data=request.SerializeToString())
    response = CodeGeneratorResponse.FromString(done.stdout)
    assert response.error == "a.proto: the request does not describe .b.M, which S.Do uses"
    assert not response.file


def test_the_module_runs_as_well() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "connectcore._plugin", "--version"], capture_output=True, check=True, timeout=60
    )
    assert done.stdout == plugin("--version").stdout
