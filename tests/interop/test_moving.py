"""The service of hostpy/docs/from-grpcio.md before and after its move: grpcio's own client gets the same of both."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/serving"))

from ports import take_port  # noqa: E402

PAGE = (ROOT / "hostpy/docs/from-grpcio.md").read_text()
PROGRAMS: dict[str, str] = dict(re.findall(r"^```python\n# (\w+\.py).*?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"served by: (gunicorn .*)$|\(`(uvicorn .*)`\)", PAGE, re.MULTILINE)
# The async form that the page speaks of, as it says it is made.
ASYNC = (
    ("Sync", ""),
    ("WSGI", "ASGI"),
    ("    def ", "    async def "),
)


def generated(outputs: list[str], folder: Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'hostpy/examples'}", *outputs, "greet/v1/greet.proto"]
    subprocess.run(command, cwd=folder, env=environment(folder), check=True, timeout=60)


def environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moving")
    generated(["--python_out=.", "--grpc_python_out=.", "--connectcore_out=."], folder)
    after = PROGRAMS["after.py"]
    for old, new in ASYNC:
        after = after.replace(old, new)
    for name, text in {**PROGRAMS, "after_async.py": after}.items():
        (folder / name).write_text(text)
    return folder


@contextlib.contextmanager
def serving(command: list[str], folder: Path) -> Iterator[None]:
    with subprocess.Popen(command, cwd=folder, env=environment(folder), stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def answers(address: str) -> list[Any]:
    """What grpcio's client gets."""
    found: list[Any] = []
    with grpc.insecure_channel(address) as channel:

        def text(field: int, value: str) -> bytes:
            return bytes([field << 3 | 2, len(value)]) + value.encode()

        greet = channel.unary_unary("/greet.v1.GreetService/Greet")
        response, call = greet.with_call(text(1, "World"), metadata=[("x-caller", "me")], wait_for_ready=True, timeout=60)
        found += [response, dict(call.initial_metadata()).get("x-for"), call.code()]
        with pytest.raises(grpc.RpcError) as failed:
            greet(b"", timeout=20)
        error: Any = failed.value
        found += [error.code(), error.details(), dict(error.trailing_metadata()).get("x-field")]
        many = channel.unary_stream("/greet.v1.GreetService/GreetMany")
        found += [list(many(text(1, "World") + b"\x10\x03", timeout=20))]
        chat = channel.stream_stream("/greet.v1.GreetService/Chat")
        with pytest.raises(grpc.RpcError) as missing:
            list(chat(iter([]), timeout=20))
        left_out: Any = missing.value
        found.append(left_out.code())
    return found


@pytest.fixture(scope="module")
def before(folder: Path) -> list[Any]:
    address = f"127.0.0.1:{take_port('127.0.0.1')}"
    with serving([sys.executable, "-c", f"import before; before.serve({address!r})"], folder):
        return answers(address)


def test_grpcio_answers(before: list[Any]) -> None:
    assert before[1:6] == ["me", grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, "a greeting needs a name", "name"]
    assert len(before[6]) == 3
    assert before[7] == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_the_same_after_the_move(server: str, folder: Path, before: list[Any]) -> None:
    [command] = [one or other for one, other in COMMANDS if (one or other).startswith(server)]
    port = take_port("127.0.0.1")
    if server == "gunicorn":
        command += f" --bind 127.0.0.1:{port}"
    else:
        command = command.replace("after:", "after_async:") + f" --port {port}"
    with serving(command.split(), folder):
        assert answers(f"127.0.0.1:{port}") == before
