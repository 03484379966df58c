"""The example's generated clients against connect-go's own server."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyqwest
import pytest

from client_support import MESSAGE, METHOD, MODES, call
from connectcore.client import ResponseMetadata
from connectcore.code import Code
from connectcore.codec import proto_json_codec
from connectcore.compression import GzipCompression
from connectcore.errors import ConnectError
from connectcore.transport import PyqwestTransport, PyqwestTransportSync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "hostpy/examples"
PROGRAM = "./tests/demo/goserver"

pytestmark = pytest.mark.skipif(
    shutil.which("go") is None or not (ROOT / PROGRAM).is_dir(), reason="needs Go and the whole repository"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary = tmp_path_factory.mktemp("bin") / "goserver"
    subprocess.run(["go", "build", "-o", binary, PROGRAM], cwd=ROOT, check=True)
    with subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdin
        yield server.stdout.readline().strip()
        server.stdin.close()


@pytest.fixture(scope="module")
def greet() -> Any:
    sys.path.insert(0, str(EXAMPLES))
    try:
        return importlib.import_module("greet.v1.greet_connectcore"), importlib.import_module("greet.v1.greet_pb2")
    finally:
        sys.path.remove(str(EXAMPLES))


def greeting(greet: Any, mode: str, address: str, name: str, use_get: bool = False, **options: Any) -> str:
    generated, messages = greet
    request = messages.GreetRequest(name=name)
    if mode == "sync":
        with generated.GreetServiceClientSync(address, **options) as client:
            return str(client.greet(request, use_get=use_get).greeting)

    async def run() -> str:
        async with generated.GreetServiceClient(address, **options) as client:
            return str((await client.greet(request, use_get=use_get)).greeting)

    return asyncio.run(run())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("codec", [None, proto_json_codec()], ids=["proto", "json"])
@pytest.mark.parametrize("gzip", [None, GzipCompression()], ids=["identity", "gzip"])
@pytest.mark.parametrize("use_get", [False, True], ids=["POST", "GET"])
@pytest.mark.parametrize("size", [3, 100_000])
def test_greet(greet: Any, address: str, mode: str, codec: Any, gzip: Any, use_get: bool, size: int) -> None:
    name = "Ada" * (size // 3)
    with ResponseMetadata() as metadata:
        got = greeting(greet, mode, address, name, use_get, codec=codec, send_compression=gzip, timeout=10)
    assert got == f"Hello from Go, {name}!"
    assert metadata.http_status == 200


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [3, 300_000])
def test_http2(greet: Any, address: str, mode: str, size: int) -> None:
    name = "Ada" * (size // 3)
    make: Any = PyqwestTransport if mode == "async" else PyqwestTransportSync
    transport = make(http_version=pyqwest.HTTPVersion.HTTP2)
    for _ in range(3):
        assert greeting(greet, mode, address, name, http_client=transport) == f"Hello from Go, {name}!"
    with pytest.raises(ConnectError, match="a greeting needs a name"):
        greeting(greet, mode, address, "", http_client=transport)


@pytest.mark.parametrize("mode", MODES)
def test_error(greet: Any, address: str, mode: str) -> None:
    with pytest.raises(ConnectError, match="a greeting needs a name") as caught:
        greeting(greet, mode, address, "")
    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("mode", MODES)
def test_unknown_procedure(address: str, mode: str) -> None:
    with pytest.raises(ConnectError) as caught:
        call(mode, address, MESSAGE, METHOD)
    assert caught.value.code is Code.UNIMPLEMENTED


def test_generated_streams(greet: Any, address: str, mode: str) -> None:
    generated, messages = greet
    many = messages.GreetManyRequest(name="Ada", count=3)
    group = [messages.GreetGroupRequest(name=name) for name in ("Ada", "Bob")]

    async def run() -> tuple[list[Any], Any]:
        async def requests() -> AsyncIterator[Any]:
            for request in group:
                yield request

        async with generated.GreetServiceClient(address) as client:
            return [each async for each in client.greet_many(many)], await client.greet_group(requests())

    if mode == "sync":
        with generated.GreetServiceClientSync(address) as client:
            greetings, together = list(client.greet_many(many)), client.greet_group(iter(group))
    else:
        greetings, together = asyncio.run(run())
    assert [each.greeting for each in greetings] == [f"Hello {number} from Go, Ada!" for number in (1, 2, 3)]
    assert together.greeting == "Hello from Go, Ada and Bob!"
