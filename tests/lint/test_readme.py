"""The README says what is true: who does as it says gets what it says, its commands exist, its links lead somewhere."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
EXAMPLES = ROOT / "hostpy/examples"
ADDRESS = "127.0.0.1:8000"
LONGEST = 20  # lines that hold code


def programs(page: Path = README) -> dict[str, str]:
    """Blocks of Python that open with their file's name."""
    blocks = re.findall(r"^```python\n# (\w+\.py).*?\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return dict(blocks)


def proto(page: Path = README) -> str:
    """The service that the page starts from, `greet/v1/greet.proto`."""
    (text,) = re.findall(r"^```protobuf\n// greet/v1/greet\.proto\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return str(text)


def start(page: Path = README) -> list[str]:
    """The commands after which the page's programs run, in a virtual environment."""
    blocks = re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if "pip install" in block)
    return [line for line in block.splitlines() if " -m venv " not in line]


def environment() -> dict[str, str]:
    """That of a newcomer, in whose virtual environment the packages are."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, "PATH": path}


def clean(folder: Path) -> Path:
    """A directory with the README's `.proto` in it and nothing else."""
    (folder / "greet/v1").mkdir(parents=True)
    (folder / "greet/v1/greet.proto").write_text(proto())
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the README's reader has: the `.proto`, what its command makes of it, and the programs."""
    clean(tmp_path)
    subprocess.run(["bash", "-c", start()[1]], cwd=tmp_path, env=environment(), check=True, timeout=60)
    for name, text in programs().items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    with serving(folder, environment()) as address:
        yield address


@contextlib.contextmanager
def serving(folder: Path, environment: dict[str, str], command: str | None = None) -> Iterator[str]:
    """A server that a command of uvicorn's starts, or else the README's, started as it says: its address."""
    if command is None:
        (command,) = re.findall(r"^# server\.py, served by: (uvicorn .*)$", README.read_text(), re.MULTILINE)
    with subprocess.Popen(
        [*command.split(), "--port", "0"], cwd=folder, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr
        lines = []
        try:
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"running on http://([\d.:]+)", line):
                    yield found[1]
                    break
            else:
                pytest.fail("".join(lines))
        finally:
            process.terminate()
            process.stderr.read()


def test_programs_are_short() -> None:
    assert set(programs()) == {"server.py", "client.py"}
    for name, text in programs().items():
        lines = [line for line in text.splitlines() if line.strip()]
        assert len(lines) <= LONGEST, f"{name} has {len(lines)} lines"


def test_programs_run(folder: Path, server: str) -> None:
    client = folder / "client.py"
    # A machine that has much else to do may take longer than the page lets the call take.
    client.write_text(client.read_text().replace(ADDRESS, server).replace("timeout_ms=1000", "timeout_ms=30_000"))
    assert python(folder, "client.py") == ["Hello, World!", "Code.INVALID_ARGUMENT a greeting needs a name"]
    (folder / "stream.py").write_text(STREAM.replace(ADDRESS, server))
    assert python(folder, "stream.py") == ["Hello 0, World!", "Hello 1, World!"]


STREAM = f"""
from greet.v1.greet_connectcore import GreetServiceClientSync
from greet.v1.greet_pb2 import GreetManyRequest

with GreetServiceClientSync("http://{ADDRESS}") as client:
    for response in client.greet_many(GreetManyRequest(name="World", count=2)):
        print(response.greeting)
"""


def python(folder: Path, program: str) -> list[str]:
    command = ["python", program]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_two_commands_are_a_start() -> None:
    """The first is not run here: what it installs is there, and everything that comes after it needs no more."""
    for page, package in ((README, "./hostpy"), (ROOT / "hostpy/README.md", "connectcore")):
        install, generate = start(page)
        assert install == f"pip install {package} grpcio-tools uvicorn"
        assert generate == start()[1]
    for name in ("connectcore", "grpcio-tools", "uvicorn"):
        metadata.version(name)
    assert (ROOT / "hostpy/pyproject.toml").exists()


def test_the_package_shows_the_same_service_and_programs() -> None:
    assert programs(ROOT / "hostpy/README.md") == programs()
    assert proto(ROOT / "hostpy/README.md") == proto()


def test_the_service_is_part_of_the_example() -> None:
    """So that the other pages, which go on with the README's programs, may have what the example has."""
    lines = [line for line in (EXAMPLES / "greet/v1/greet.proto").read_text().splitlines() if "//" not in line]
    assert [line for line in proto().splitlines() if line not in lines] == []


def test_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", README.read_text(), re.MULTILINE))
    words = {word for pair in named for word in pair if word}
    assert {"demo", "test"} <= words
    assert words <= targets


def test_links_lead_somewhere() -> None:
    for page in (README, ROOT / "hostpy/README.md", ROOT / "hostpy/docs/deployment.md"):
        links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        missing = [link for link in links if not (page.parent / link).exists()]
        assert not missing, f"{page.name}: {missing}"


def test_tables_of_servers_are_what_the_suite_runs() -> None:
    command = [sys.executable, str(ROOT / "tests/conformance/carried.py")]
    tables = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split("\n\n")
    for table, page in zip(tables, ("README.md", "docs/deployment.md"), strict=True):
        text = (ROOT / "hostpy" / page).read_text()
        assert f"\n\n{table}\n\n" in text, f"run tests/conformance/carried.py and paste what it prints into {page}"
