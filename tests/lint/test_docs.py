"""The pages under hostpy/docs say what is true: their programs run, and their commands print what stands below them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_readme import ADDRESS, EXAMPLES, README, ROOT, programs, proto, start

sys.path += [str(ROOT / "tests/serving"), str(ROOT / "hostpy/tests")]

from protoc import Protoc, rules

from tools import PACKAGES, program

DOCS = ROOT / "hostpy/docs"
SERVICES = DOCS / "services.md"
TESTING = DOCS / "testing.md"
CLI = DOCS / "cli.md"
# What the page on the command line leaves out, because it is another at each run.
CHANGES = ("< date: ", "< server: ", "> user-agent: ")


def commands(page: Path) -> list[tuple[str, str]]:
    """Commands, and what they print."""
    blocks = re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [found for block in blocks for found in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of the pages and of the README as files."""
    folder = tmp_path_factory.mktemp("docs")
    for page in (README, *DOCS.glob("*.md")):
        for name, text in programs(page).items():
            (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    tools = [program(name).parent for name in (*PACKAGES, "buf")]
    path = os.pathsep.join([*map(str, tools), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join([str(folder), str(EXAMPLES)])}


# The page's programs that serve, and where they are said to.
SERVED = {"standard": ADDRESS, "pages": ADDRESS.replace("8000", "8001")}
# Pages whose programs have tests of their own, here and elsewhere.
APART = {"deployment", "generating", "services", "testing"}


@pytest.fixture(scope="module")
def addresses(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """The page's servers: their addresses by those that the page has."""
    with contextlib.ExitStack() as servers:
        yield {address: servers.enter_context(serving(name, environment)) for name, address in SERVED.items()}


@contextlib.contextmanager
def serving(name: str, environment: dict[str, str]) -> Iterator[str]:
    command = [sys.executable, str(ROOT / "tests/demo/serve.py"), "uvicorn-zttp", name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert process.stdin
        url = process.stdout.readline().strip()
        assert url, f"the page's {name}.py did not start"
        yield url.removeprefix("http://")
        process.stdin.close()


def test_services_commands_print_what_is_shown(addresses: dict[str, str], environment: dict[str, str]) -> None:
    shown = commands(SERVICES)
    assert len(shown) >= 5
    for command, output in shown:
        real = command
        for said, address in addresses.items():
            real = real.replace(said, address)
        done = subprocess.run(["bash", "-c", real], env=environment, capture_output=True, text=True, timeout=60)
        assert done.stdout.splitlines() == output.splitlines(), f"{command}: {done.stderr}"


def test_the_command_line_prints_what_is_shown(addresses: dict[str, str], environment: dict[str, str]) -> None:
    server = addresses[ADDRESS]
    shown = commands(CLI)
    assert len(shown) >= 4
    for command, output in shown:
        real = ["bash", "-c", command.replace(ADDRESS, server)]
        done = subprocess.run(
            real, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
        )
        said = [line for line in done.stdout.splitlines() if not line.startswith(CHANGES)]
        assert [line.replace(server, ADDRESS) for line in said] == output.splitlines(), command


def test_the_mock_servers_answers_fit() -> None:
    [answers] = re.findall(r"^```json\n(.*?)^```$", CLI.read_text(), re.MULTILINE | re.DOTALL)
    for name in json.loads(answers):
        assert name.startswith("greet.v1.GreetService/")
    script = (
        "import sys; from connectcore._cli import sources; from connectcore._cli.schema import Schema\n"
        "from connectcore._cli.answers import applications\n"
        "schema = Schema(sources.compiled(['greet/v1/greet.proto'], ['.']), 'greet.proto')\n"
        "print(len(applications('/dev/stdin', schema, lambda *_: None)[0].methods))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=answers, cwd=EXAMPLES, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "2\n", done.stderr


def test_services_snippets_run(environment: dict[str, str]) -> None:
    blocks = re.findall(r"^```python\n(?!# \w+\.py)(.*?)^```$", SERVICES.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    text = "\n".join(["from standard import *", *blocks])
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def example(environment: dict[str, str]) -> Iterator[str]:
    """The example's server, which the snippets of most pages call."""
    with serving("greet_server", environment) as address:
        yield address


@pytest.mark.parametrize("page", sorted(path.stem for path in DOCS.glob("*.md") if "```python" in path.read_text()))
def test_snippets_run(page: str, example: str, folder: Path, environment: dict[str, str]) -> None:
    if page in APART:
        return
    command = [sys.executable, str(ROOT / "tests/lint/fragments.py"), str(DOCS / f"{page}.md"), example]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_start_is_the_readmes(example: str, environment: dict[str, str]) -> None:
    page = DOCS / "getting-started.md"
    assert (programs(page), proto(page)) == (programs(), proto())
    assert start(page)[1] == start()[1]
    [command] = re.findall(r"^curl .*$", page.read_text(), re.MULTILINE)
    real = ["bash", "-c", command.replace(ADDRESS, example)]
    done = subprocess.run(real, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout) == {"greeting": "Hello, World!"}


def test_extras_exist() -> None:
    extras = tomllib.loads((ROOT / "hostpy/pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {extra for page in DOCS.glob("*.md") for extra in re.findall(r"connectcore\[([\w-]+)\]", page.read_text())}
    assert {"cli", "opentelemetry", "protovalidate"} <= named <= set(extras)


def test_rules_of_messages_compile(tmp_path: Path) -> None:
    [text] = re.findall(r"^```protobuf\n(.*?)^```$", (DOCS / "validation.md").read_text(), re.MULTILINE | re.DOTALL)
    Protoc(tmp_path, {"greet.proto": f'syntax = "proto3";\n{text}'}, rules()).make_messages("google")


def test_tokens_commands_print_what_is_shown(environment: dict[str, str]) -> None:
    with serving("auth_tokens", environment) as address:
        shown = commands(DOCS / "authentication.md")
        assert len(shown) == 3
        for command, output in shown:
            real = ["bash", "-c", command.replace(ADDRESS, address)]
            done = subprocess.run(real, cwd=EXAMPLES, env=environment, capture_output=True, text=True, timeout=60, check=False)
            assert done.stdout.splitlines() == output.splitlines(), done.stderr


def test_the_site_builds(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "hostpy/site/build.py"), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site/api.html").read_text()
    for name in ("client.ConnectClient", "server.ConnectASGIApplication", "errors.ConnectError", "interceptor.Interceptor"):
        assert f'id="connectcore.{name}"' in reference


def test_tests_pass(folder: Path, environment: dict[str, str]) -> None:
    tests = sorted(programs(TESTING))
    assert len(tests) == 3
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_links_lead_somewhere() -> None:
    for page in DOCS.glob("*.md"):
        for link, _, anchor in re.findall(r"\]\(([^)#:]*)(#([\w-]+))?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
            if anchor and not link:
                assert re.search(rf"^#+ {anchor}$", page.read_text(), re.MULTILINE | re.IGNORECASE), f"{page.name}: #{anchor}"
