"""Stubs that the official generator made serve and call here once `connectrpc` is `connectcore` in their imports.

What is in `stubs` was made from talk.proto there, in an environment with protoc-gen-connectrpc 0.13.0 and grpcio-tools:

    python -m grpc_tools.protoc -I. --connectrpc_out=protobuf_py talk.proto
    python -m grpc_tools.protoc -I. --connectrpc_out=google --connectrpc_opt=protobuf=google talk.proto
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.transport import ASGITransport, WSGITransport

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STUBS = HERE / "stubs"

PROTOCOLS = pytest.mark.parametrize("protocol", [ProtocolType.CONNECT, ProtocolType.GRPC, ProtocolType.GRPC_WEB])

# What a user wrote to the official stubs, in the package that they are in.
SERVICE = """
from . import talk_connect
from .{messages} import Sentence


class Talk(talk_connect.TalkService):
    async def say(self, request, ctx, /):
        ctx.response_headers["said"] = request.text
        return Sentence(text=request.text + "!")

    async def listen(self, request, ctx, /):
        return Sentence(text=" ".join([sentence.text async for sentence in request]))

    async def tell(self, request, ctx, /):
        for word in request.text.split():
            yield Sentence(text=word)

    async def converse(self, request, ctx, /):
        async for sentence in request:
            yield Sentence(text=sentence.text.upper())


class TalkSync(talk_connect.TalkServiceSync):
    def say(self, request, ctx, /):
        ctx.response_headers["said"] = request.text
        return Sentence(text=request.text + "!")

    def listen(self, request, ctx, /):
        return Sentence(text=" ".join(sentence.text for sentence in request))

    def tell(self, request, ctx, /):
        for word in request.text.split():
            yield Sentence(text=word)

    def converse(self, request, ctx, /):
        for sentence in request:
            yield Sentence(text=sentence.text.upper())


asgi = talk_connect.TalkServiceASGIApplication(Talk())
wsgi = talk_connect.TalkServiceWSGIApplication(TalkSync())
"""


class Ported:
    """The package of one runtime's stubs, messages and services."""

    def __init__(self, folder: Path, runtime: str) -> None:
        self.folder = folder
        self.package = f"talk_{runtime}"
        package = folder / self.package
        package.mkdir()
        generators, messages = {"google": (["python"], "talk_pb2"), "protobuf_py": (["py"], "talk_pb")}[runtime]
        outputs = [f"--{generator}_out={package}" for generator in generators]
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{STUBS}", *outputs, "talk.proto"]
        subprocess.run(protoc, check=True, env={**os.environ, "PATH": path}, timeout=60)
        (package / "talk_connect.py").write_text(moved((STUBS / runtime / "talk_connect.py").read_text()))
        (package / "service.py").write_text(SERVICE.format(messages=messages))

    def load(self, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any]:
        """The stubs, the user's module, the class of messages."""
        monkeypatch.syspath_prepend(str(self.folder))
        importlib.invalidate_caches()
        stubs = importlib.import_module(f"{self.package}.talk_connect")
        return stubs, importlib.import_module(f"{self.package}.service"), stubs.Sentence


def moved(text: str) -> str:
    """The one thing that changes."""
    text, count = re.subn(r"^( *from )connectrpc\b", r"\1connectcore", text, flags=re.MULTILINE)
    assert count > 8
    return text


@pytest.fixture(scope="module", params=["google", "protobuf_py"])
def ported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ported:
    return Ported(tmp_path_factory.mktemp(request.param), request.param)


async def talk(client: Any, sentence: Any) -> None:
    """Every method of an async client, and what the service's methods say."""

    async def sentences() -> AsyncIterator[Any]:
        for word in ("well", "done"):
            yield sentence(text=word)

    assert (await client.say(sentence(text="a"), headers={"x": "y"}, timeout_ms=20_000)).text == "a!"
    assert (await client.listen(sentences())).text == "well done"
    assert [each.text async for each in client.tell(sentence(text="one two"))] == ["one", "two"]
    assert [each.text async for each in client.converse(sentences())] == ["WELL", "DONE"]


def talk_sync(client: Any, sentence: Any) -> None:
    """The same with a client for threads."""

    def sentences() -> Iterator[Any]:
        for word in ("well", "done"):
            yield sentence(text=word)

    assert client.say(sentence(text="a"), headers={"x": "y"}, timeout_ms=20_000).text == "a!"
    assert client.listen(sentences()).text == "well done"
    assert [each.text for each in client.tell(sentence(text="one two"))] == ["one", "two"]
    assert [each.text for each in client.converse(sentences())] == ["WELL", "DONE"]


@PROTOCOLS
async def test_asynchronously(ported: Ported, protocol: ProtocolType, monkeypatch: pytest.MonkeyPatch) -> None:
    stubs, service, sentence = ported.load(monkeypatch)
    async with stubs.TalkServiceClient("http://talk", protocol=protocol, http_client=ASGITransport(service.asgi)) as client:
        await talk(client, sentence)
        with pytest.raises(ConnectError, match=r"^Not implemented$") as raised:
            await client.import_(stubs.Empty())
        assert raised.value.code is Code.UNIMPLEMENTED
        if protocol is ProtocolType.CONNECT:
            assert (await client.say(sentence(text="a"), use_get=True)).text == "a!"


@PROTOCOLS
def test_synchronously(ported: Ported, protocol: ProtocolType, monkeypatch: pytest.MonkeyPatch) -> None:
    stubs, service, sentence = ported.load(monkeypatch)
    with stubs.TalkServiceClientSync("http://talk", protocol=protocol, http_client=WSGITransport(service.wsgi)) as client:
        talk_sync(client, sentence)
        with pytest.raises(ConnectError, match=r"^Not implemented$"):
            client.import_(stubs.Empty())
        if protocol is ProtocolType.CONNECT:
            assert client.say(sentence(text="a"), use_get=True).text == "a!"


async def test_over_a_network(ported: Ported, monkeypatch: pytest.MonkeyPatch) -> None:
    stubs, service, sentence = ported.load(monkeypatch)
    command = [sys.executable, str(ROOT / "tests/demo/serve.py"), "uvicorn-zttp", f"{ported.package}.service:asgi"]
    environment = {**os.environ, "PYTHONPATH": str(ported.folder)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdin
        assert process.stdout
        url = process.stdout.readline().strip()
        assert url, "the server did not start"
        async with stubs.TalkServiceClient(url, protocol=ProtocolType.GRPC) as client:
            await talk(client, sentence)
        with stubs.TalkServiceClientSync(url) as client:
            talk_sync(client, sentence)
        process.stdin.close()
    assert (service.asgi.path, service.wsgi.path) == ("/talk.TalkService", "/talk.TalkService")
