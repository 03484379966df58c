"""`connectcore call` against real servers: ours and grpcio's."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from certificates import certificates
from cli_support import SERVICE, Ran, Talk, press_ctrl_c, reflecting, run, serving, serving_grpcio
from connectcore._cli import sources
from connectcore._wasm import abi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from connectcore._cli.schema import Schema

    Connectcore = Callable[..., Ran]

COMMAND = [sys.executable, "-m", "connectcore"]
# What a shell starts in the background ignores Ctrl-C, and so does what that starts.
HEARS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
INTERRUPTIBLE = [sys.executable, "-c", f"{HEARS}; import sys; from connectcore._cli import main; sys.exit(main())"]
ALL_PROTOCOLS = ("connect", "grpc", "grpc-web", "grpc-web-text")


@pytest.fixture(scope="module")
def server(schema: Schema) -> Iterator[str]:
    with serving(reflecting(schema)) as server:
        yield server


@pytest.fixture(scope="module")
def grpcio(schema: Schema) -> Iterator[str]:
    with serving_grpcio(schema) as server:
        yield server


@pytest.fixture(scope="module")
def descriptors(schema: Schema, proto: Path) -> Path:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    path = proto.parent / "set.binpb"
    path.write_bytes(FileDescriptorSet(file=sources.compiled([str(proto)], [str(proto.parents[2])])).SerializeToString())
    return path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], server: str) -> Connectcore:
    return lambda method, *words: run(capsys, "call", server, method, *words)


@pytest.mark.parametrize("codec", ["proto", "json"])
@pytest.mark.parametrize("protocol", ALL_PROTOCOLS)
def test_every_stream_type_over_every_protocol(call: Connectcore, tmp_path: Path, protocol: str, codec: str) -> None:
    how = ("-p", protocol, "--codec", codec)
    lines = tmp_path / "lines"
    lines.write_text('{"text": "a"}\n\n{"text": "b"}\n')
    assert call(f"{SERVICE}/Talk", *how, "-d", '{"text": "a"}').lines == ['{"text":"A"}']
    assert call(f"{SERVICE}/TalkMany", *how, "-d", '{"text": "a", "count": 2}').lines == [
        '{"text":"a"}',
        '{"text":"a","count":1}',
    ]
    assert call(f"{SERVICE}/TalkGroup", *how, "-d", f"@{lines}").lines == ['{"text":"a b"}']
    assert call(f"{SERVICE}/Chat", *how, "-d", f"@{lines}").lines == ['{"text":"A"}', '{"text":"B"}']


def test_where_and_what(capsys: pytest.CaptureFixture[str], server: str) -> None:
    """A URL or a host, a method in every spelling, or as the URL's end."""
    for words in (
        (f"http://{server}", f"{SERVICE}/Talk"),
        (f"http://{server}/", f"/{SERVICE}.Talk"),
        (f"http://{server}/{SERVICE}/Talk",),
        (f"{server}/{SERVICE}/Talk",),
        (server, "Talk"),
        (server, "TalkService/Talk"),
    ):
        assert run(capsys, "call", *words, "-d", '{"text":"x"}').out == '{"text":"X"}\n'
    ran = run(capsys, "call", server)
    assert ran.code == 2
    assert "no method: give it as package.Service/Method" in ran.err


def test_messages_from_files(
    capsys: pytest.CaptureFixture[str], schema: Schema, proto: Path, descriptors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Talk(schema)) as server:
        ran = run(capsys, "call", server, "Talk")
        assert ran.code == 3
        assert "does not tell its methods by reflection (unimplemented: the response has the HTTP status 404)" in ran.err
        assert run(capsys, "call", server, "Talk", "--proto", proto, "-I", proto.parents[2]).out == "{}\n"
        assert run(capsys, "call", server, "Talk", "--descriptor-set", descriptors).out == "{}\n"
        monkeypatch.chdir(proto.parents[2])
        assert run(capsys, "call", server, "Talk", "--proto", "cli/v1/talk.proto").out == "{}\n"


@pytest.mark.parametrize("compiler", ["protoc", "buf", None])
def test_without_grpcio_tools(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proto: Path, server: str, compiler: Any
) -> None:
    """`protoc` or `buf` on the PATH compile, too; without any the error says what to install."""
    found: Any = None
    if compiler == "protoc":
        found = tmp_path / "protoc"
        found.write_text(f'#!/bin/sh\nexec {sys.executable} -m grpc_tools.protoc "$@"\n')
        found.chmod(0o755)
    elif compiler == "buf":
        found = os.path.join(os.path.dirname(sys.executable), "buf")
    monkeypatch.setattr(sources, "find_spec", lambda _: None)
    monkeypatch.setattr("shutil.which", lambda name: str(found) if name == compiler else None)
    ran = run(capsys, "call", server, "Talk", "--proto", proto, "-I", proto.parents[2], "-d", '{"text": "x"}')
    if compiler is None:
        assert ran.code == 1
        assert "pip install grpcio-tools, or put protoc or buf on the PATH" in ran.err
    else:
        assert ran.out == '{"text":"X"}\n', ran.err


def test_what_is_wrong_with_files(capsys: pytest.CaptureFixture[str], tmp_path: Path, proto: Path, descriptors: Path) -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    bad = tmp_path / "bad.proto"
    bad.write_text("syntax = 'proto3'; message M { Missing m = 1; }")
    lone = tmp_path / "lone.binpb"
    files = FileDescriptorSet.FromString(descriptors.read_bytes()).file
    lone.write_bytes(FileDescriptorSet(file=[file for file in files if file.service]).SerializeToString())
    for words, text in (
        (("--proto", bad), '"Missing" is not defined'),
        (("--proto", tmp_path / "none.proto"), "there is no file"),
        (("--descriptor-set", bad), "is no descriptor set"),
        (("--descriptor-set", tmp_path / "none"), "cannot be read (No such file or directory)"),
        (("--descriptor-set", lone), "lacks cli/v1/types.proto, which cli/v1/talk.proto imports: make the set with protoc's"),
        (("--descriptor-set", descriptors), "'Tolk' is no method that is known"),
    ):
        ran = run(capsys, "call", "127.0.0.1:1", "Tolk", *words)
        assert (ran.code, text in ran.err) == (3, True), ran.err


def test_reflection_of_grpcio(capsys: pytest.CaptureFixture[str], grpcio: str) -> None:
    """Which is v1alpha only, by gRPC only."""
    assert run(capsys, "call", grpcio, f"{SERVICE}/Talk", "-p", "grpc", "-d", '{"text": "x"}').out == '{"text":"X"}\n'
    assert run(capsys, "call", grpcio, "Chat", "-p", "grpc", "-d", '{"text": "x"}').out == '{"text":"X"}\n'
    ran = run(capsys, "call", grpcio, "Talk", "-p", "grpc", "-d", '{"text": "fail"}')
    assert ran.code == 64 + 5
    assert json.loads(ran.err) == {"code": "not_found", "message": "nothing"}
    ran = run(capsys, "call", grpcio, "Talk")
    assert ran.code == 3
    assert "or --protocol, if the server speaks another one" in ran.err


@pytest.mark.parametrize(("number", "code"), list(enumerate(abi.CODES))[1:])
def test_every_code_has_an_exit_code(call: Connectcore, number: int, code: str) -> None:
    ran = call(f"{SERVICE}/Talk", "-d", json.dumps({"text": f"{code}: m"}))
    assert (ran.code, ran.out) == (64 + number, "")
    assert json.loads(ran.err) == {
        "code": code,
        "message": "m",
        "details": [
            {"type": "cli.v1.Reason", "value": "CgJzbw==", "debug": {"why": "so"}},
            {"type": "un.Known", "value": "AQ=="},
        ],
    }


def test_nobody_is_there(capsys: pytest.CaptureFixture[str], descriptors: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        ran = run(capsys, "call", f"127.0.0.1:{taken.getsockname()[1]}", "Talk", "--descriptor-set", descriptors)
    assert ran.code == 78
    assert json.loads(ran.err)["message"] == "the server cannot be reached: Connection refused"


def test_messages_before_a_failure_are_printed(call: Connectcore) -> None:
    ran = call("TalkMany", "-d", '{"text": "aborted: m", "count": 2}')
    assert (ran.code, len(ran.lines)) == (74, 2)


def test_json(call: Connectcore) -> None:
    ran = call("Talk", "--json", "--timing", "-d", '{"text": "aborted: m"}', "-H", "X-Sent: 1", "-p", "grpc")
    said = {name: value for line in ran.lines for name, value in json.loads(line).items()}
    assert list(said) == ["headers", "trailers", "error", "timing"]
    assert said["headers"]["x-lead"] == ["1"]
    assert said["trailers"] == {"x-trail": ["2"]}
    assert said["error"]["code"] == "aborted"
    assert 0 < said["timing"]["head"] <= said["timing"]["seconds"]
    assert (ran.code, ran.err) == (74, "")
    assert json.loads(call("Talk", "--json", "-d", '{"text": "x"}').lines[0]) == {"message": {"text": "X"}}


def test_an_any_is_shown_by_its_type(call: Connectcore) -> None:
    ran = call("Wrap", "-d", '{"text": "x"}', "--codec", "json")
    assert json.loads(ran.out) == {"@type": "type.googleapis.com/cli.v1.Say", "text": "x"}


def test_defaults_are_shown_if_asked_for(call: Connectcore) -> None:
    assert call("Talk").out == "{}\n"
    assert json.loads(call("Talk", "--emit-defaults").out) == {"text": "", "count": 0}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("-d", '{"text": 1}'), "-d: this is no cli.v1.Say in JSON"),
        (("-d", '{"nope": 1}'), 'no field named "nope"'),
        (("-d", "{"), "-d: this is no cli.v1.Say in JSON"),
        (("-d", "@/nowhere"), "/nowhere cannot be read"),
        (("-H", "novalue"), "the header 'novalue' is not 'name: value'"),
        (("-H", "a-bin: !"), "the header 'a-bin':"),
        (("--key", __file__), "give --cert, too"),
        (("--cert", __file__), "the certificates are no good PEM"),
        (("--proto", "a", "--descriptor-set", "b"), "not both"),
        (("-I", "a"), "--import-path is for --proto"),
        (("--timeout", "0"), "Invalid value for '-t' / '--timeout'"),
        (("--nope",), "No such option"),
    ],
)
def test_what_makes_no_sense(call: Connectcore, words: tuple[str, ...], text: str) -> None:
    ran = call("Talk", *words)
    assert (ran.code, ran.out) == (2, "")
    assert text in ran.err


def test_bad_lines_are_named(call: Connectcore) -> None:
    ran = call("Chat", "-d", '{"text": "a"}\n\n{"text": 1}')
    assert ran.code == 2
    assert "-d, line 3: this is no cli.v1.Say in JSON" in ran.err


def test_get_is_for_what_has_no_side_effects(call: Connectcore) -> None:
    ran = call("Talk", "--get", "-d", '{"text": "x"}', "-v")
    assert ran.out == '{"text":"X"}\n'
    assert ran.err.startswith("> GET ")
    for method in ("Wrap", "TalkMany"):
        ran = call(method, "--get")
        assert ran.code == 2, ran.err


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "snappy"])
def test_compression(call: Connectcore, coding: str) -> None:
    """The server knows gzip only, and says so of the others."""
    ran = call("Talk", "-d", '{"text": "x"}', "--compress", coding, "--accept", "none", "-v")
    assert f"> content-encoding: {coding}\n" in ran.err
    if coding == "gzip":
        assert "bytes of gzip; inside:)\n" in ran.err
    else:
        assert ran.code == 64 + 12
        assert f"> accept-encoding: {coding}\n" in ran.err


def test_limits(call: Connectcore, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("Talk", "-d", '{"text": "xxxxx"}', "--max-bytes", "4").code == 72
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert run(capsys, "call", address, "Talk", "-t", "0.05").code == 3
        code = call("Talk", "-t", "0.000001").code
        assert code in (3, 68)


# What `-v` shows, but for what differs from run to run.
GOLDEN = """\
> POST http://SERVER/cli.v1.TalkService/TalkMany
> content-type: application/grpc+proto
> te: trailers
> grpc-accept-encoding: gzip
> accept-encoding: identity
> user-agent: USER-AGENT
> [flags 00, 5 bytes]
>   0a 01 61 10 02                                   ..a..
< 200
< content-type: application/grpc+proto
< grpc-encoding: gzip
< x-lead:
< [flags 00, 3 bytes]
<   0a 01 61                                         ..a
< [flags 00, 5 bytes]
<   0a 01 61 10 01                                   ..a..
< trailers
< grpc-status: 0
< x-trail: 2
"""
GOLDEN_JSON = """\
> POST http://SERVER/cli.v1.TalkService/Talk
> content-type: application/json
> connect-protocol-version: 1
> content-length: 13
> accept-encoding: gzip
> user-agent: USER-AGENT
> 13 bytes
>   {"text": "x"}
< 200
< content-type: application/json
< content-length: 13
< x-lead:
< trailer-x-trail: 2
< 13 bytes
<   {"text": "X"}
"""


def stable(text: str, server: str) -> str:
    lines = [line for line in text.splitlines() if not line.startswith(("< date: ", "< server: "))]
    lines = [line.rstrip() for line in lines]
    lines = [line.partition(": ")[0] + ": USER-AGENT" if line.startswith("> user-agent: ") else line for line in lines]
    return "\n".join(lines).replace(server, "SERVER") + "\n"


def test_what_went_over_the_wire(call: Connectcore, server: str) -> None:
    ran = call("TalkMany", "-v", "-p", "grpc", "-d", '{"text": "a", "count": 2}')
    assert stable(ran.err, server) == GOLDEN
    assert ran.lines == ['{"text":"a"}', '{"text":"a","count":1}']
    ran = call("Talk", "-v", "--codec", "json", "-d", '{"text": "x"}')
    assert stable(ran.err, server) == GOLDEN_JSON


def test_much_is_shown_in_part(call: Connectcore) -> None:
    long = json.dumps({"text": "x" * 1000})
    ran = call("Talk", "-v", "-d", long)
    assert "... and 747 bytes more (-vv shows all)" in ran.err
    assert "grpc.reflection.v1" not in ran.err
    ran = call("Talk", "-vv", "-d", long)
    assert "shows all" not in ran.err
    assert "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" in ran.err


def test_tls(capsys: pytest.CaptureFixture[str], tmp_path: Path, schema: Schema, descriptors: Path) -> None:
    paths = {}
    for name, (certificate, key) in certificates().items():
        paths[name] = tmp_path / f"{name}.pem"
        paths[name].write_bytes(certificate + key)
    options = {
        "ssl_certfile": paths["server"],
        "ssl_keyfile": paths["server"],
        "ssl_ca_certs": str(paths["authority"]),
        "ssl_cert_reqs": 2,
    }
    with serving(Talk(schema), **options) as server:
        words = ("call", f"https://{server}", "Talk", "--descriptor-set", descriptors)
        assert run(capsys, *words).code == 78
        assert run(capsys, *words, "--ca", paths["authority"]).code == 78  # the server wants a certificate, too
        for trust in (("--ca", paths["authority"]), ("--insecure",)):
            for protocol in ("connect", "grpc"):
                ran = run(capsys, *words, *trust, "--cert", paths["client"], "-p", protocol)
                assert ran.out == "{}\n", ran.err


def test_unix_socket(capsys: pytest.CaptureFixture[str], tmp_path: Path, server: str) -> None:
    path = str(tmp_path / "socket")
    host, _, port = server.partition(":")
    relay = socket.socket(socket.AF_UNIX)
    relay.bind(path)
    relay.listen()
    import threading

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def accept() -> None:
        for _ in range(2):  # the reflection's connection and the call's
            near, _ = relay.accept()
            far = socket.create_connection((host, int(port)))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    assert run(capsys, "call", "localhost", "Talk", "--unix-socket", path, "-d", '{"text": "x"}').out == '{"text":"X"}\n'
    relay.close()


def test_a_conversation(server: str, descriptors: Path) -> None:
    """Each line is answered before the next is typed; Ctrl-C ends it."""
    command = [*INTERRUPTIBLE, "call", server, "Chat", "--http", "2", "--descriptor-set", str(descriptors)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as talk:
        assert talk.stdin
        assert talk.stdout
        for text in ("a", "b"):
            talk.stdin.write(json.dumps({"text": text}) + "\n")
            talk.stdin.flush()
            assert json.loads(talk.stdout.readline()) == {"text": text.upper()}
        assert press_ctrl_c(talk) == 130
        assert talk.stderr
        assert "Traceback" not in talk.stderr.read()


def test_the_end_does_not_wait_for_input(server: str, descriptors: Path) -> None:
    command = [*COMMAND, "call", server, "Chat", "--http", "2", "--descriptor-set", str(descriptors)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as talk:
        assert talk.stdin
        talk.stdin.write('{"text": "aborted: enough"}\n')
        talk.stdin.flush()
        assert talk.wait(20) == 74
        assert talk.stderr
        assert json.loads(talk.stderr.read())["message"] == "enough"


def on_terminal(words: list[str], **environment: str) -> str:
    """What a command writes to a terminal."""
    ours, its = pty.openpty()
    with subprocess.Popen([*COMMAND, *words], stdin=its, stdout=its, stderr=its, env={**os.environ, **environment}) as process:
        os.close(its)
        said = b""
        try:
            while data := os.read(ours, 4096):
                said += data
        except OSError:  # Linux's way to say that the other end is closed
            pass
        process.wait(20)
    os.close(ours)
    return said.decode()


def test_colors(server: str, descriptors: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal, unless NO_COLOR is set; plain in a pipe."""
    words = ["call", server, "Talk", "--descriptor-set", str(descriptors), "-v", "-d", '{"text": "x"}']
    said = on_terminal(words, NO_COLOR="")
    assert "\x1b[36m> POST" in said
    assert '{\r\n  "text": "X"\r\n}' in said  # for people
    assert "\x1b" not in on_terminal(words, NO_COLOR="1")
    assert "\x1b" not in run(capsys, *words).err
    assert "\x1b[36m> POST" in run(capsys, "--color", "always", *words).err
