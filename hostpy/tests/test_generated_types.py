"""Generated code, and code that uses it, under mypy --strict, pyright strict, ty and ruff, for both message runtimes.

With Google's runtime the message modules have stubs by protoc's `--pyi_out`, and its own types come from `types-protobuf`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from golden import NAME, SOURCES
from protoc import SCRIPTS, Protoc
from test_plugin import hard_files

if TYPE_CHECKING:
    from pathlib import Path

USER = """
from __future__ import annotations

from typing import TYPE_CHECKING

from connectcore.client import ResponseMetadata
from x import greet_connectcore
from x.greet{suffix} import GreetRequest, GreetResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from connectcore.client import ResponseStreamSync
    from connectcore.request import RequestContext


class Greeter(greet_connectcore.GreetService):
    async def greet(self, request: GreetRequest, ctx: RequestContext[GreetRequest, GreetResponse], /) -> GreetResponse:
        ctx.response_headers.add_bin("a-bin", b"")
        return GreetResponse(greeting=request.name)

    async def greet_many(
        self, request: GreetRequest, ctx: RequestContext[GreetRequest, GreetResponse], /
    ) -> AsyncIterator[GreetResponse]:
        yield GreetResponse(greeting=request.name)

    async def greet_group(
        self, request: AsyncIterator[GreetRequest], ctx: RequestContext[GreetRequest, GreetResponse], /
    ) -> GreetResponse:
        return GreetResponse(greeting=",".join([each.name async for each in request]))

    async def chat(
        self, request: AsyncIterator[GreetRequest], ctx: RequestContext[GreetRequest, GreetResponse], /
    ) -> AsyncIterator[GreetResponse]:
        async for each in request:
            yield GreetResponse(greeting=each.name)


class GreeterSync(greet_connectcore.GreetServiceSync):
    def greet(self, request: GreetRequest, ctx: RequestContext, /) -> GreetResponse:
        return GreetResponse(greeting=request.name)

    def chat(self, request: Iterator[GreetRequest], ctx: RequestContext, /) -> Iterator[GreetResponse]:
        for each in request:
            yield GreetResponse(greeting=each.name)


asgi = greet_connectcore.GreetServiceASGIApplication(Greeter())
wsgi = greet_connectcore.GreetServiceWSGIApplication(GreeterSync(), read_max_bytes=None)


async def requests() -> AsyncIterator[GreetRequest]:
    yield GreetRequest(name="a")


async def call() -> list[str]:
    metadata = ResponseMetadata()
    async with greet_connectcore.GreetServiceClient("http://localhost") as client:
        one = await client.greet(GreetRequest(name="a"), use_get=True, timeout=1.5, headers={{"a": "1"}})
        all_of_them = await client.greet_group(requests(), response_metadata=metadata)
        async with client.chat(requests()) as stream:
            said = [(await stream.headers())["a"], *[each.greeting async for each in stream], stream.trailers["b"]]
        said += [metadata.trailers["c"], one.greeting, all_of_them.greeting]
        return [*said, *[each.greeting async for each in client.greet_many(GreetRequest(name="a"))]]


def call_sync() -> list[str]:
    metadata = ResponseMetadata()
    with greet_connectcore.GreetServiceClientSync("http://localhost") as client:
        one = client.greet_group(iter([GreetRequest(name="a")]), timeout_ms=100, response_metadata=metadata)
        stream: ResponseStreamSync[GreetResponse]
        with client.chat(iter([GreetRequest(name="a")])) as stream:
            return [one.greeting, stream.headers()["a"], *[each.greeting for each in stream], metadata.headers["b"]]
"""

# Each of these lines is an error that a user must be told.
WRONG = """
from __future__ import annotations

from x import greet_connectcore
from x.greet{suffix} import GreetRequest, GreetResponse


class Wrong(greet_connectcore.GreetServiceSync):
    def greet(self, request: GreetResponse, ctx: object, /) -> GreetResponse:
        return request


greet_connectcore.GreetServiceClientSync("http://localhost").greet(GreetResponse())
greet_connectcore.GreetServiceClientSync("http://localhost").greet_group(iter([GreetRequest()]), use_get=True)
"""
WRONG_LINES = {9, 13, 14}

# What people get wrong, beside what test_mistakes.py has.
MISTAKES = """
from __future__ import annotations

from typing import TYPE_CHECKING

from connectcore.request import RequestContext
from x import greet_connectcore
from x.greet{suffix} import GreetRequest, GreetResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Context = RequestContext[GreetRequest, GreetResponse]


class Plain(greet_connectcore.GreetService):
    def greet(self, request: GreetRequest, ctx: Context, /) -> GreetResponse:  # a mistake
        return GreetResponse()

    async def greet_many(self, request: GreetRequest, ctx: Context, /) -> GreetResponse:  # a mistake
        return GreetResponse()


class Asynchronous(greet_connectcore.GreetServiceSync):
    async def greet(self, request: GreetRequest, ctx: Context, /) -> GreetResponse:  # a mistake
        return GreetResponse()

    def greet_many(self, request: GreetRequest, ctx: Context, /) -> Iterator[GreetResponse]:
        yield GreetRequest()  # a mistake


class Wrong(greet_connectcore.GreetService):
    async def greet(self, request: GreetRequest, ctx: Context, /) -> GreetResponse:
        return request  # a mistake

    async def greet_many(self, request: GreetRequest, ctx: Context, /) -> AsyncIterator[GreetResponse]:
        yield None  # a mistake


greet_connectcore.GreetServiceASGIApplication(Wrong)  # a mistake
greet_connectcore.GreetServiceASGIApplication(Asynchronous())  # a mistake
greet_connectcore.GreetServiceWSGIApplication(Wrong())  # a mistake
greet_connectcore.GreetServiceASGIApplication(Wrong(), acces_log=True)  # a mistake
greet_connectcore.GreetServiceASGIApplication(Wrong(), codecs=["json"])  # a mistake
greet_connectcore.GreetServiceClient("http://localhost", timout=1)  # a mistake
greet_connectcore.GreetServiceClient("http://localhost", protocol="grpc")  # a mistake
app = greet_connectcore.GreetServiceASGIApplication(Wrong())
greet_connectcore.GreetServiceClient("http://localhost", http_client=app)  # a mistake
client = greet_connectcore.GreetServiceClient("http://localhost")
client_sync = greet_connectcore.GreetServiceClientSync("http://localhost")


async def call() -> None:
    client.greet(GreetRequest()).greeting  # a mistake
    client.gret(GreetRequest())  # a mistake
    await client.greet(GreetResponse())  # a mistake
    await client.greet({{"name": "x"}})  # a mistake
    await client.greet(GreetRequest(), timout=1)  # a mistake
    await client_sync.greet(GreetRequest())  # a mistake
    await client.greet_many(GreetRequest())  # a mistake
    for _ in client.greet_many(GreetRequest()):  # a mistake
        pass
    with client:  # a mistake
        pass
    async with client_sync:  # a mistake
        pass
"""
MISTAKEN_LINES = {number for number, line in enumerate(MISTAKES.splitlines(), 1) if line.endswith("# a mistake")}


@pytest.fixture(scope="module", params=["google", "protobuf-py"])
def generated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    messages: str = request.param
    protoc = Protoc(tmp_path_factory.mktemp(messages), {**hard_files("x"), **SOURCES})
    protoc.generate(messages, NAME)
    if messages == "protobuf-py":
        # As its own modules are: what is at the root of the output is checked as part of a package.
        (protoc.out / "package").mkdir()
        for path in protoc.out.glob("root_*"):
            path.rename(protoc.out / "package" / path.name)
    suffix = "_pb2" if messages == "google" else "_pb"
    (protoc.out / "user.py").write_text(USER.format(suffix=suffix))
    (protoc.out / "wrong.py").write_text(WRONG.format(suffix=suffix))
    (protoc.out / "mistakes.py").write_text(MISTAKES.format(suffix=suffix))
    (protoc.out / "pyrightconfig.json").write_text(
        json.dumps(
            {
                "include": ["."],
                "typeCheckingMode": "strict",
                "pythonVersion": "3.11",
                # Stubs and code of other generators are theirs to keep clean.
                "ignore": ["**/*_pb2.py", "**/*_pb2.pyi", "**/*_pb.py"],
            }
        )
    )
    return protoc.out


def outputs(directory: Path) -> list[str]:
    files = [str(path.relative_to(directory)) for path in directory.rglob("*_connectcore.py")]
    assert len(files) == 7
    return files


def run(directory: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=300)
    return done.stdout + done.stderr


def test_mypy_strict(generated: Path) -> None:
    files = outputs(generated)
    text = run(
        generated, sys.executable, "-m", "mypy", "--strict", "--python-version=3.11", "--explicit-package-bases",
        "--enable-error-code=deprecated", "--no-error-summary", "user.py", "wrong.py", "mistakes.py", *files,
    )  # fmt: skip
    lines = [line for line in text.splitlines() if ": note:" not in line and "_pb2.pyi:" not in line]
    assert {int(line.split(":")[1]) for line in lines if line.startswith("wrong.py:")} == WRONG_LINES, text
    assert {int(line.split(":")[1]) for line in lines if line.startswith("mistakes.py:")} == MISTAKEN_LINES, text
    assert [line for line in lines if not line.startswith(("wrong.py:", "mistakes.py:"))] == []


def test_pyright_strict(generated: Path) -> None:
    text = run(generated, str(SCRIPTS / "pyright"), "--outputjson", "--pythonpath", sys.executable)
    report = json.loads(text[text.index("{") :])
    assert report["summary"]["filesAnalyzed"] > 4
    found = [
        (d["file"].rpartition("/")[2], d["range"]["start"]["line"] + 1, d["message"]) for d in report["generalDiagnostics"]
    ]
    assert {line for name, line, _ in found if name == "wrong.py"} == WRONG_LINES, found
    assert {line for name, line, _ in found if name == "mistakes.py"} == MISTAKEN_LINES, found
    assert [each for each in found if each[0] not in ("wrong.py", "mistakes.py")] == []


def test_ruff_finds_nothing_even_where_it_is_told_not_to_look(generated: Path) -> None:
    # How imports are grouped depends on which modules are the user's own.
    quiet = ("--isolated", "--ignore-noqa", "--ignore=I001", "--output-format=concise")
    text = run(generated, str(SCRIPTS / "ruff"), "check", *quiet, *outputs(generated))
    assert text.strip() == "All checks passed!"


def test_ty(generated: Path) -> None:
    options = ("--python", sys.prefix, "--python-version=3.11", "--output-format=concise")
    text = run(generated, str(SCRIPTS / "ty"), "check", *options, "user.py", "wrong.py", *outputs(generated))
    lines = [line for line in text.splitlines() if ".py" in line]
    assert {int(line.split(":")[1]) for line in lines if line.startswith("wrong.py:")} == WRONG_LINES, text
    assert [line for line in lines if not line.startswith("wrong.py:")] == []


def test_a_deprecated_method_is_shown_as_such(generated: Path) -> None:
    stem = next(path for path in generated.rglob("*v1_connectcore.py"))
    module = ".".join(stem.relative_to(generated).with_suffix("").parts)
    (generated / "old.py").write_text(
        f"from __future__ import annotations\n\nfrom {module} import EndpointClientSync, pb__privateClient\n\n"
        'EndpointClientSync("").import_\npb__privateClient("")\n'
    )
    text = run(generated, sys.executable, "-m", "mypy", "--explicit-package-bases", "--enable-error-code=deprecated", "old.py")
    (generated / "old.py").unlink()
    assert "pb__privateClient is deprecated: hard.x._private is deprecated" in text
    assert "EndpointClientSync.import_ is deprecated: hard.x.Endpoint.import is deprecated" in text
