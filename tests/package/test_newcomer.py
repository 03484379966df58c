"""A newcomer's path: the README's commands, as they stand there, lead from nothing to a service of one's own that is called."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from environments import CONSTRAINTS, HOSTPY, LONGEST
from test_generating import TEMPLATES
from test_readme import ADDRESS, README, programs, proto

MOST = 9  # commands

WAIT = """\
until python -c 'import socket; socket.create_connection(("127.0.0.1", {port})).close()' 2>/dev/null; do
    kill -0 "$!"
    sleep 0.1
done
"""


def commands() -> list[str]:
    """What the README has one type, up to the end of its first section."""
    section = README.read_text().split("\n## ")[1]
    blocks = re.findall(r"^```console\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def instead() -> list[str]:
    """What the README has one type with buf, in place of the command with `protoc`."""
    (text,) = re.findall(r"In place of the `protoc` command, (.*?) do the same", README.read_text(), re.DOTALL)
    return re.findall(r"`(.*?)`", text)


def own(text: str) -> str:
    """The README's service under another name: a newcomer's own."""
    return text.replace("greet", "meet").replace("Greet", "Meet")


def written(folder: Path) -> None:
    """A checkout, and the files that one writes oneself."""
    checkout = subprocess.run(["git", "-C", HOSTPY, "ls-files"], check=True, capture_output=True, text=True)
    for name in checkout.stdout.splitlines():
        (folder / "hostpy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HOSTPY / name, folder / "hostpy" / name)
    for name, text in {"meet/v1/meet.proto": proto(), **programs(), "buf.gen.yaml": TEMPLATES["google"]}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(own(text))


def at_port(line: str, port: int) -> list[str]:
    """The server's command as it is typed, but for the port, because others may use the usual one; one more command waits."""
    return [line.replace("server:app", f"server:app --port {port}"), WAIT.format(port=port)] if line.endswith("&") else [line]


def test_a_newcomers_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With protoc; and in the same environment, once more from the `.proto` on, with buf."""
    written(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = tmp_path / "client.py"
    client.write_text(client.read_text().replace(ADDRESS, f"127.0.0.1:{port}"))
    *environment, protoc, serve, call = map(own, commands())
    assert "protoc" in protoc
    assert "buf generate" in instead()
    assert len([*environment, *instead(), serve, call]) <= MOST
    run, stop = [*at_port(serve, port), call], 'kill "$!"; wait "$!" || true'
    python = os.path.realpath(sys.executable)
    lines = ["set -e", "trap 'kill $! || true' EXIT", f'python3() {{ {python} "$@"; }}', *environment, protoc, *run, stop]
    lines += ["rm -r meet/v1/meet[._]*py*", *instead(), *run, stop]
    started = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=tmp_path,
        env=outside(),
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = ("Hello, World!", "Code.INVALID_ARGUMENT a meeting needs a name")
    assert [done.stdout.splitlines().count(line) for line in said] == [2, 2], done.stdout
    with capsys.disabled():
        print(f"\na newcomer's path, with protoc and then with buf: {time.monotonic() - started:.0f} s")


def outside() -> dict[str, str]:
    """The environment of a person who has nothing of this repository. What is installed is what the other tests have."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    inside = str(Path(sys.executable).parent)
    path = [each for each in os.environ["PATH"].split(os.pathsep) if each != inside]
    return {**kept, "PATH": os.pathsep.join(path), "PIP_CONSTRAINT": str(CONSTRAINTS)}
