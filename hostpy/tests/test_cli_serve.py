"""`connectcore serve`: a mock server, called by `connectcore call`."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from cli_support import SERVICE, press_ctrl_c, run, serving
from connectcore._cli.answers import applications
from connectcore._cli.problem import ProblemError
from connectcore.reflection import with_reflection
from connectcore.server import ConnectASGIRouter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connectcore._cli.schema import Schema

Capsys = pytest.CaptureFixture[str]

FAILS = {"code": "not_found", "message": "nobody", "details": [{"type": "cli.v1.Reason", "value": {"why": "so"}}]}
ANSWERS: dict[str, Any] = {
    f"{SERVICE}/Talk": [
        {"when": {"text": "nobody"}, "error": FAILS},
        {"message": {"text": "hello"}, "headers": {"x-lead": "1"}, "trailers": {"x-trail": "2"}},
    ],
    "TalkMany": {"messages": [{"text": "a"}, {"count": 2}], "error": FAILS},
    "TalkGroup": [{"when": {"text": "b"}, "message": {"text": "after b"}}],
    "Chat": {"messages": [{"text": "a"}], "delay": 0.001},
    "Wrap": {"message": {"@type": "type.googleapis.com/cli.v1.Say", "text": "in"}},
}


@pytest.fixture(scope="module")
def told() -> list[tuple[str, str]]:
    return []


@pytest.fixture(scope="module")
def server(schema: Schema, told: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tmp_path_factory.mktemp("answers") / "answers.json"
    path.write_text(json.dumps(ANSWERS))
    served = applications(str(path), schema, lambda *call: told.append(call))
    with serving(ConnectASGIRouter(*with_reflection(*served))) as server:
        yield server


@pytest.mark.parametrize("protocol", ["connect", "grpc", "grpc-web"])
def test_answers(capsys: Capsys, server: str, told: list[tuple[str, str]], protocol: str) -> None:
    def call(method: str, data: str = "{}") -> list[Any]:
        ran = run(capsys, "call", server, method, "-p", protocol, "--json", "-d", data)
        return [json.loads(line) for line in ran.lines]

    told.clear()
    message, headers, trailers = call("Talk", '{"text": "x"}')
    assert message == {"message": {"text": "hello"}}
    assert headers["headers"]["x-lead"] == ["1"]
    assert trailers == {"trailers": {"x-trail": ["2"]}}
    failed = call("Talk", '{"text": "nobody"}')[-1]["error"]
    assert (failed["code"], failed["message"], failed["details"][0]["debug"]) == ("not_found", "nobody", {"why": "so"})
    first, second, *_, last = call("TalkMany")
    assert (first, second) == ({"message": {"text": "a"}}, {"message": {"count": 2}})
    assert last["error"]["code"] == "not_found"
    assert call("TalkGroup", '{"text": "a"}\n{"text": "b"}')[0] == {"message": {"text": "after b"}}
    assert call("Chat", '{"text": "a"}')[0] == {"message": {"text": "a"}}
    assert call("Wrap")[0]["message"]["text"] == "in"
    assert [outcome for _, outcome in told] == ["ok", "not_found", "not_found", "ok", "ok", "ok"]


def test_a_request_that_no_answer_fits(capsys: Capsys, server: str) -> None:
    assert run(capsys, "call", server, "TalkGroup", "-d", '{"text": "x"}').code == 64 + 2


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("[]", "must be an object whose names are methods"),
        ("{", "is not JSON"),
        ("{}", "has no answers"),
        ('{"Tolk": {}}', "'Tolk' is no method that is known"),
        ('{"Talk": 1}', "an answer is an object with some of delay, error, headers"),
        ('{"Talk": {"mesage": {}}}', "there is no mesage, only delay"),
        ('{"Talk": {}}', "this method answers with one message, or with an error"),
        ('{"Talk": {"messages": [{}, {}]}}', "this method answers with one message"),
        ('{"Talk": {"messages": 1}}', "give `message`, or a list as `messages`"),
        ('{"Talk": {"message": {"txt": 1}}}', 'cli.v1.TalkService/Talk: {"txt": 1} is no cli.v1.Say'),
        ('{"Talk": {"message": 1}}', "1 is no cli.v1.Say"),
        ('{"Talk": {"error": {"code": "nope"}}}', "'nope' is no code; there are canceled"),
        ('{"Talk": {"error": {"cod": "nope"}}}', "an error has no cod"),
        ('{"Talk": {"error": {"code": "aborted", "details": [{"type": "x.Y"}]}}}', "the detail's type 'x.Y' is not known"),
        ('{"Talk": {"message": {}, "delay": -1}}', "`delay` is a number of seconds"),
        ('{"Talk": {"message": {}, "headers": {"a": 1}}}', "`headers` has texts as values"),
        ('{"Talk": {"message": {}, "when": 1}}', "`when` is an object, not 1"),
    ],
)
def test_what_is_wrong_with_answers(schema: Schema, tmp_path: Path, said: str, text: str) -> None:
    path = tmp_path / "answers.json"
    path.write_text(said)
    with pytest.raises(ProblemError) as raised:
        applications(str(path), schema, lambda *_: None)
    assert text in str(raised.value)
    assert raised.value.code == (3 if "Tolk" in said else 2)


def test_the_command(capsys: Capsys, proto: Path, tmp_path: Path) -> None:
    """It says where it serves, writes calls down, and ends at Ctrl-C."""
    path = tmp_path / "answers.json"
    path.write_text('{"Talk": {"message": {"text": "hello"}}}')
    schema = ("--proto", str(proto), "-I", str(proto.parents[2]))
    hears = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{hears}; from connectcore._cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "serve", "--port", "0", "--answers", str(path), *schema]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as mock,
        contextlib.ExitStack() as ending,
    ):
        ending.callback(mock.kill)
        assert mock.stdout
        assert mock.stderr
        line = mock.stdout.readline()
        assert line.startswith("1 method at http://127.0.0.1:")
        url = line.split()[3].rstrip(";")
        assert run(capsys, "call", url, "Talk", "-p", "grpc").out == '{"text":"hello"}\n'
        assert mock.stderr.readline() == "cli.v1.TalkService/Talk: ok\n"
        assert press_ctrl_c(mock) in (0, 130)
        assert "Traceback" not in mock.stderr.read()


def test_what_cannot_be_served(capsys: Capsys, proto: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "answers.json"
    path.write_text('{"Talk": {"message": {"text": "hello"}}}')
    words = ("serve", "--answers", path)
    schema = ("--proto", proto, "-I", proto.parents[2])
    assert "Give --proto or --descriptor-set" in run(capsys, *words).err
    assert run(capsys, "serve", "--answers", tmp_path / "none", *schema).code == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = run(capsys, *words, *schema, "--port", port)
        assert ran.code == 1
        assert f"nothing can listen at 127.0.0.1:{port}" in ran.err
    monkeypatch.setattr("connectcore._cli.serve.find_spec", lambda _: None)
    ran = run(capsys, *words, *schema)
    assert (ran.code, "pip install uvicorn" in ran.err) == (1, True)
