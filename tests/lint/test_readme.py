"""The README says what is true: its programs run, its commands exist, its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
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


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(EXAMPLES)])}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The README's programs as files."""
    for name, text in programs().items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    """The README's server under uvicorn: its address."""
    command = [sys.executable, str(ROOT / "tests/demo/serve.py"), "uvicorn-httptools", "server"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(folder)
    ) as process:
        assert process.stdout
        assert process.stdin
        url = process.stdout.readline().strip()
        assert url, "the README's server did not start"
        yield url.removeprefix("http://")
        process.stdin.close()


def test_programs_are_short() -> None:
    assert set(programs()) == {"server.py", "client.py"}
    for name, text in programs().items():
        lines = [line for line in text.splitlines() if line.strip()]
        assert len(lines) <= LONGEST, f"{name} has {len(lines)} lines"


def test_programs_run(folder: Path, server: str) -> None:
    client = folder / "client.py"
    client.write_text(client.read_text().replace(ADDRESS, server))
    done = subprocess.run([sys.executable, client], env=environment(folder), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["Hello, World!", "Code.INVALID_ARGUMENT a greeting needs a name"]


def test_the_package_shows_the_same_programs() -> None:
    assert programs(ROOT / "hostpy/README.md") == programs()


def test_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", README.read_text(), re.MULTILINE))
    words = {word for pair in named for word in pair if word}
    assert {"demo", "test"} <= words
    assert words <= targets


def test_links_lead_somewhere() -> None:
    for page in (README, ROOT / "hostpy/README.md", ROOT / "hostpy/DEPLOYMENT.md"):
        links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        missing = [link for link in links if not (page.parent / link).exists()]
        assert not missing, f"{page.name}: {missing}"


def test_tables_of_servers_are_what_the_suite_runs() -> None:
    command = [sys.executable, str(ROOT / "tests/conformance/carried.py")]
    tables = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split("\n\n")
    for table, page in zip(tables, ("README.md", "DEPLOYMENT.md"), strict=True):
        text = (ROOT / "hostpy" / page).read_text()
        assert f"\n\n{table}\n\n" in text, f"run tests/conformance/carried.py and paste what it prints into {page}"
