"""Fixtures by which one test runs in every form, both interfaces of a server and both kinds of client; a service for clients'
streams, and the one that the command line's tests call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from client_support import MODES, open_calls
from connectcore._wasm.pool import POOL
from server_support import INTERFACES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from connectcore._cli.schema import Schema
    from connectcore._wasm.instance import Instance
    from http_support import Client
    from mistakes_support import Made
    from stream_support import Service


@pytest.fixture(params=INTERFACES)
def interface(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=("async", "uvloop", "sync"))
def client(request: pytest.FixtureRequest) -> Iterator[Callable[..., Client]]:
    """Our own transport in each form, on both event loops."""
    from http_support import Client

    made: list[Client] = []

    def make(**options: Any) -> Client:
        made.append(Client(request.param, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def service() -> Service:
    from stream_support import Service

    return Service()


@pytest.fixture(scope="module")
def address(service: Service) -> Iterator[str]:
    from stream_support import serving_streams

    with serving_streams(service) as address:
        yield address


@pytest.fixture
def nothing_is_left(service: Service) -> Iterator[None]:
    from stream_support import until

    running, held = service.running, open_calls()  # what an earlier test has left is that test's fault
    yield
    until(lambda: service.running <= running)
    until(lambda: open_calls() <= held)


@pytest.fixture(scope="module")
def proto(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cli_support import written

    return written(tmp_path_factory.mktemp("protos"))


@pytest.fixture(scope="module")
def schema(proto: Path) -> Schema:
    from connectcore._cli import sources
    from connectcore._cli.schema import Schema

    return Schema(sources.compiled([str(proto)], [str(proto.parents[2])]), "talk.proto")


@pytest.fixture
def instance() -> Iterator[Instance]:
    """The process's one instance, fresh, which the test may spoil."""
    for old in POOL.instances():
        POOL.discard(old, "test")
    fresh = POOL.pick()
    yield fresh
    fresh.failed = True
    for spoilt in POOL.instances():
        POOL.discard(spoilt, "test")


@pytest.fixture(scope="module", params=["google", "protobuf-py"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Generated code of either message runtime, and handlers for it."""
    from mistakes_support import Made
    from protoc import GREET, Protoc

    package = f"mistakes_{request.param.replace('-', '_')}"
    protoc = Protoc(tmp_path_factory.mktemp(package), {f"{package}/greet.proto": GREET.replace("greet.v1", package)})
    protoc.generate(request.param)
    with pytest.MonkeyPatch.context() as patch:
        return Made(protoc.load(patch, f"{package}.greet_connectcore"), request.param)
