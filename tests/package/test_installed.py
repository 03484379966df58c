"""The wheel in clean environments: with one message runtime or the other, and with each of its extras."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments import Environment, extras
from test_readme import ADDRESS, ROOT, clean, programs, serving
from tools import run

SERVICES = ROOT / "hostpy/docs/services.md"
# By the extra: what generates code beside it, how, and what messages' modules end with.
PROTOC = ["python", "-m", "grpc_tools.protoc", "-I.", "greet/v1/greet.proto"]
RUNTIMES = {
    "protobuf": (["grpcio-tools"], [*PROTOC, "--python_out=.", "--connectcore_out=."], "_pb2"),
    "protobuf-py": (["buf-bin", "protoc-gen-py"], ["buf", "generate"], "_pb"),
}
PACKAGES = {"protobuf": "google.protobuf", "protobuf-py": "protobuf"}
TEMPLATE = """
version: v2
plugins:
  - {local: protoc-gen-py, out: .}
  - {local: protoc-gen-connectcore, out: ., opt: messages=protobuf-py}
"""
# The modules that an extra is for; for the first two, either message runtime's.
WANTS = {
    "connectcore.health": ["protobuf", "protobuf-py"],
    "connectcore.reflection": ["protobuf", "protobuf-py"],
    "connectcore.protovalidate": ["protovalidate"],
}

EVERYTHING = """
import importlib, pkgutil, connectcore
for each in pkgutil.walk_packages(connectcore.__path__, "connectcore."):
    if "._" not in each.name and each.name != "connectcore.testing.plugin":  # which pytest imports
        try:
            importlib.import_module(each.name)
        except ImportError as error:
            print(each.name, error, sep="\\t")
"""

THERE = "import importlib\ntry:\n    importlib.import_module({!r})\n    print('yes')\nexcept ImportError:\n    print('no')"


def failed_imports(environment: Environment) -> dict[str, str]:
    """The package's public modules that cannot be imported, and why."""
    return dict(line.split("\t") for line in environment.python(EVERYTHING).splitlines())


def check_imports(environment: Environment, *has: str) -> None:
    failed = failed_imports(environment)
    assert failed.keys() == {name for name, wanted in WANTS.items() if not {*wanted} & {*has}}
    for name, text in failed.items():
        assert [extra for extra in WANTS[name] if f"'connectcore[{extra}]'" not in text] == [], text


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def environments(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Environment]:
    """One for each message runtime, with a server and what generates code."""
    return {
        runtime: Environment(tmp_path_factory.mktemp("one") / "venv", f"{wheel}[{runtime}]", "uvicorn", *tools)
        for runtime, (tools, _, _) in RUNTIMES.items()
    }


def generated(folder: Path, environment: Environment, runtime: str) -> Path:
    """A folder with the README's service and programs, for the messages of a runtime."""
    _, command, suffix = RUNTIMES[runtime]
    clean(folder)
    (folder / "buf.gen.yaml").write_text(TEMPLATE)
    done = environment.run(*command, folder=folder)
    assert done.returncode == 0, done.stderr
    for name, text in programs().items():
        (folder / name).write_text(text.replace("greet_pb2", f"greet{suffix}"))
    return folder


def test_one_message_runtime_is_enough(environments: dict[str, Environment], runtime: str, tmp_path: Path) -> None:
    environment = environments[runtime]
    assert shutil.which("go", path=environment.variables["PATH"]) is None
    there = {name: environment.python(THERE.format(package)).strip() for name, package in PACKAGES.items()}
    assert there == {name: "yes" if name == runtime else "no" for name in PACKAGES}
    generated(tmp_path, environment, runtime)
    with serving(tmp_path, environment.variables) as address:
        client = (tmp_path / "client.py").read_text().replace(ADDRESS, address)
        assert environment.python(client, tmp_path).splitlines() == [
            "Hello, World!",
            "Code.INVALID_ARGUMENT a greeting needs a name",
        ]


def test_every_module_is_imported(environments: dict[str, Environment], runtime: str) -> None:
    check_imports(environments[runtime], runtime)


BY_WSGI = """
from connectcore._standard.messages import chosen, make, method
from connectcore.client import ConnectClientSync
from connectcore.health import Health, HealthWSGIApplication
from connectcore.reflection import with_reflection
from connectcore.server import ConnectWSGIRouter
from connectcore.transport import WSGITransport
from greet.v1.greet_connectcore import GreetServiceSync, GreetServiceWSGIApplication

class Greeter(GreetServiceSync): ...

health = HealthWSGIApplication(Health(), watch_seconds=0)
app = ConnectWSGIRouter(*with_reflection(GreetServiceWSGIApplication(Greeter()), health))
check, watch = (method("grpc.health.v1.Health", name) for name in ("Check", "Watch"))
info = method("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo")
with ConnectClientSync("http://test", http_client=WSGITransport(app)) as client:
    print(int(client.execute_unary(request=check.input(), method=check).status))
    print([int(each.status) for each in client.execute_server_stream(request=watch.input(), method=watch)])
    for name in ("greet.v1.GreetService.Greet", "grpc.health.v1.Health"):
        asked = make(info.input, file_containing_symbol=name)
        [answer] = client.execute_bidi_stream(request=iter([asked]), method=info)
        field, told = chosen(answer, "message_response")
        print(field, len(told.file_descriptor_proto))
"""


def test_health_and_reflection_need_no_other_runtime(
    environments: dict[str, Environment], runtime: str, tmp_path: Path
) -> None:
    """What the page on them shows, by the tools that it names, and Kubernetes' probe; and under WSGI."""
    environment = environments[runtime]
    generated(tmp_path, environment, runtime)
    (tmp_path / "standard.py").write_text(programs(SERVICES)["standard.py"])
    [command] = re.findall(r"^# standard\.py, served by: (uvicorn .*)$", SERVICES.read_text(), re.MULTILINE)
    with serving(tmp_path, environment.variables, command) as address:
        assert call_by_tools(address) == []
    said = environment.python(BY_WSGI, tmp_path).splitlines()
    assert said == ["1", "[1]", *["file_descriptor_response 1"] * 2]


def call_by_tools(address: str) -> list[str]:
    """The tools that failed."""
    plain, greet, world = ["-plaintext", "-max-time", "20"], "greet.v1.GreetService/Greet", '{"name": "World"}'
    calls = {
        "greet.v1.GreetService": ["grpcurl", *plain, address, "list"],
        "rpc Greet (": ["grpcurl", *plain, address, "describe", "greet.v1.GreetService"],
        '"Hello, World!"': ["grpcurl", *plain, "-d", world, address, greet],
        "Hello, World!": ["buf", "curl", "-d", world, f"http://{address}/{greet}"],
        "status: SERVING": ["grpc-health-probe", "-addr", address, "-service", "greet.v1.GreetService"],
        '"SERVING"': ["buf", "curl", "--protocol", "grpc", "-d", "{}", f"http://{address}/grpc.health.v1.Health/Check"],
    }
    done = {wanted: run(*call) for wanted, call in calls.items()}
    return [f"{wanted}: {each.stdout}{each.stderr}" for wanted, each in done.items() if wanted not in each.stdout + each.stderr]


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("plain") / "venv", wheel)


def test_without_a_message_runtime(plain: Environment) -> None:
    """As `pip install connectcore` leaves it: what is missing is named by who wants it."""
    check_imports(plain)
    done = subprocess.run(
        ["protoc-gen-connectcore"], input=b"", env=plain.variables, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert b"pip install 'connectcore[protobuf]' for Google's, or 'connectcore[protobuf-py]'" in done.stderr


def test_the_modules_say_the_hashes_of_the_bill(plain: Environment) -> None:
    find = "from importlib.metadata import files; print(*[p.locate() for p in files('connectcore') if 'sboms' in p.parts])"
    bill = json.loads(Path(plain.python(find).strip()).read_text())
    hashes = {each["hashes"][0]["content"] for each in bill["components"] if each["type"] == "file"}
    done = plain.run("connectcore", "core")
    assert set(re.findall(r"sha256 (\w+)", done.stdout)) == hashes, done.stderr


@pytest.fixture(scope="module")
def server(environments: dict[str, Environment], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The README's server, for clients in other environments: where its code is, and its address."""
    environment = environments["protobuf"]
    folder = generated(tmp_path_factory.mktemp("server"), environment, "protobuf")
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--descriptor_set_out=set", "greet/v1/greet.proto"]
    subprocess.run(protoc, cwd=folder, check=True, timeout=60)
    with serving(folder, environment.variables) as address:
        yield folder, address


BY_LIBRARY = """
import {library}
from connectcore.client import ConnectClientSync
from greet.v1.greet_connectcore import GreetServiceClientSync
from greet.v1.greet_pb2 import GreetRequest

with {library}.Client() as sends, GreetServiceClientSync("http://{address}", http_client=sends) as client:
    print(client.greet(GreetRequest(name="{library}")).greeting)
"""


@pytest.mark.parametrize("extra", extras())
def test_an_extra_adds_what_it_is_called_after(extra: str, wheel: Path, server: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = server
    environment = Environment(tmp_path / "venv", f"{wheel}[{extra}]", *(["protobuf"] if extra.startswith("httpx") else []))
    wanted = [re.split(r"[^\w.-]", requirement)[0] for requirement in extras()[extra]]
    assert extra == "cli" or any(name.startswith(extra) for name in wanted)
    environment.python(f"from importlib.metadata import version\nfor name in {wanted}: print(version(name))")
    assert f"connectcore.{extra}" not in failed_imports(environment)
    if extra.startswith("httpx"):
        said = environment.python(BY_LIBRARY.format(library=extra, address=address), folder)
        assert said == f"Hello, {extra}!\n"
    if extra == "cli":
        call = ("call", address, "Greet", "-d", '{"name": "cli"}', "--descriptor-set", "set")
        done = environment.run("connectcore", *call, folder=folder)
        assert done.stdout == '{"greeting":"Hello, cli!"}\n', done.stderr
