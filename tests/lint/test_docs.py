"""The pages under hostpy/docs say what is true: their programs run, and their commands print what stands below them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_readme import ADDRESS, EXAMPLES, README, ROOT, programs

sys.path.append(str(ROOT / "tests/serving"))

from tools import PACKAGES, program

DOCS = ROOT / "hostpy/docs"
SERVICES = DOCS / "services.md"


def commands(page: Path) -> list[tuple[str, str]]:
    """Commands, and what they print."""
    blocks = re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [found for block in blocks for found in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of the page and of the README as files."""
    folder = tmp_path_factory.mktemp("docs")
    for name, text in {**programs(README), **programs(SERVICES)}.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    tools = [program(name).parent for name in (*PACKAGES, "buf")]
    path = os.pathsep.join([*map(str, tools), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join([str(folder), str(EXAMPLES)])}


@pytest.fixture(scope="module")
def server(environment: dict[str, str]) -> Iterator[str]:
    """The page's server: its address."""
    command = [sys.executable, str(ROOT / "tests/demo/serve.py"), "uvicorn-zttp", "standard"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert process.stdin
        url = process.stdout.readline().strip()
        assert url, "the page's server did not start"
        yield url.removeprefix("http://")
        process.stdin.close()


def test_services_commands_print_what_is_shown(server: str, environment: dict[str, str]) -> None:
    shown = commands(SERVICES)
    assert len(shown) >= 4
    for command, output in shown:
        done = subprocess.run(
            ["bash", "-c", command.replace(ADDRESS, server)], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.stdout.rstrip("\n") == output.rstrip("\n"), f"{command}: {done.stderr}"


def test_services_snippets_run(environment: dict[str, str]) -> None:
    blocks = re.findall(r"^```python\n(?!# \w+\.py)(.*?)^```$", SERVICES.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    text = "\n".join(["from standard import *", *blocks])
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    for page in DOCS.glob("*.md"):
        for link, _, anchor in re.findall(r"\]\(([^)#:]*)(#([\w-]+))?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
            if anchor and not link:
                assert re.search(rf"^#+ {anchor}$", page.read_text(), re.MULTILINE | re.IGNORECASE), f"{page.name}: #{anchor}"
