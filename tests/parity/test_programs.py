"""Programs for the official package run here once the guide's command has replaced their imports, and print what they did.

Those in `programs` use the official stubs in `stubs`, and its interface as its examples and pages do; each says which.
What they print with `connectrpc` 0.13.0, unchanged, stands here.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GUIDE = (ROOT / "hostpy/docs/from-connectrpc.md").read_text()
ENVIRONMENT = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}

ASYNC = """\
say: Why do you say no?
tell: Hello Ada.
tell: How are you?
converse: one, you say?
converse: bye, you say?
listen: one bye never said
error: invalid_argument say something
"""
SYNC = """\
say: Why do you say no?
tell: Hello Ada.
tell: How are you?
"""
BESIDE = """\
calling Say
called Say
Say ended with None
Hello over talk.TalkService.Say by POST v1 237
calling Say
called Say
Say ended with None
Hello over talk.TalkService.Say by GET
calling Say
Say ended with UNAUTHENTICATED
unauthenticated [Sentence(text='send acme-tenant-id')]
Say ended with RESOURCE_EXHAUSTED
resource_exhausted []
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs and their stubs, moved."""
    folder = tmp_path_factory.mktemp("programs")
    package = folder / "talk"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(HERE / "stubs/protobuf_py/talk_connect.py", package)
    for program in (HERE / "programs").glob("*.py"):
        shutil.copy(program, folder)
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE / 'stubs'}", f"--py_out={package}", "talk.proto"]
    subprocess.run(protoc, check=True, env=ENVIRONMENT, timeout=60)
    [command] = re.findall(r"^grep -rlE .*$", GUIDE, re.MULTILINE)
    subprocess.run(["bash", "-c", command], cwd=folder, check=True, timeout=60)
    assert not [
        path for path in folder.rglob("*.py") if re.search(r"^\s*(from|import) connectrpc", path.read_text(), re.MULTILINE)
    ]
    return folder


@contextlib.contextmanager
def serving(server: str, module: str, folder: Path) -> Iterator[str]:
    command = [sys.executable, str(ROOT / "tests/demo/serve.py"), server, module]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(folder)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdin
        assert process.stdout
        url = process.stdout.readline().strip()
        assert url, "the server did not start"
        yield url
        process.stdin.close()


def output(folder: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("server", ["uvicorn-h11", "uvicorn-zttp"])
def test_a_service_in_starlette_and_an_async_client(server: str, folder: Path) -> None:
    with serving(server, "talk_service", folder) as url:
        assert output(folder, "talk_client.py", url) == ASYNC


def test_a_service_in_flask_and_a_sync_client(folder: Path) -> None:
    with serving("gunicorn-gthread", "talk_service_sync", folder) as url:
        assert output(folder, "talk_client_sync.py", url) == SYNC


def test_what_is_beside_messages(folder: Path) -> None:
    assert output(folder, "beside.py") == BESIDE
