"""Unmodified tools against this project's servers: grpcurl, `buf curl`, Kubernetes' gRPC probe."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from speech import HERE, ROOT, SERVERS, Server

sys.path.append(str(ROOT / "tests/serving"))

from tools import run, values

SERVICE = "interop.v1.Interop"
SERVICES = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", SERVICE]
METHODS = [f"{SERVICE}.{name}" for name in ("Bidi", "Client", "Missing", "Safe", "Server", "Unary")]
UNARY = "rpc Unary ( .google.protobuf.StringValue ) returns ( .google.protobuf.StringValue );"
LONG = "l" * 300_000
# Procedure, requests, responses.
CALLS = {
    "unary": ("Unary", ["hello"], ["HELLO"]),
    "long": ("Unary", ["large"], [LONG]),
    "server stream": ("Server", ["s"], ["s 0", "s 1", "s 2"]),
    "client stream": ("Client", ["a", "b", "c"], ["A+B+C"]),
    "bidi stream": ("Bidi", ["a", "b"], ["A", "B"]),
}
GRPC = ("uvicorn-zttp", "pyvoy", "pyvoy-wsgi")
# What tells its methods by reflection while it serves calls of the same connection. gunicorn's threads do one after the other.
REFLECTS = GRPC
BUF = ("uvicorn-h11", "uvicorn-zttp", "pyvoy", "pyvoy-wsgi", "gunicorn-gthread", "hostgo")
PROTOCOLS = ("connect", "grpc", "grpcweb")


@pytest.fixture
def url(request: pytest.FixtureRequest, url_of: Callable[[Server], str]) -> str:
    return url_of(SERVERS[request.param])


@pytest.fixture
def host(url: str) -> str:
    return url.removeprefix("http://")


def on(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("url", names, indirect=True)


# --- grpcurl ------------------------------------------------------------------------------------------------------


def grpcurl(*arguments: str, ask: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    return run("grpcurl", "-plaintext", "-max-time", "20", *arguments, ask=ask)


@on(*REFLECTS)
def test_grpcurl_lists_and_describes(host: str) -> None:
    assert grpcurl(host, "list").stdout.splitlines() == SERVICES
    assert grpcurl(host, "list", SERVICE).stdout.splitlines() == METHODS
    assert grpcurl(host, "describe", f"{SERVICE}.Unary").stdout.splitlines()[1:] == [UNARY]
    assert "string value = 1;" in grpcurl(host, "describe", "google.protobuf.StringValue").stdout
    missing = grpcurl(host, "describe", "no.such.Thing")
    assert missing.returncode
    assert "Symbol not found: no.such.Thing" in missing.stderr


def schema(server: str) -> list[str]:
    return [] if server in REFLECTS else ["-import-path", str(HERE), "-proto", "interop.proto"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("server", GRPC)
def test_grpcurl_calls(server: str, call: str, url_of: Callable[[Server], str]) -> None:
    procedure, requests, responses = CALLS[call]
    host = url_of(SERVERS[server]).removeprefix("http://")
    done = grpcurl(*schema(server), "-d", "@", host, f"{SERVICE}/{procedure}", ask=requests)
    assert done.returncode == 0, done.stderr
    assert values(done.stdout) == responses


@pytest.mark.parametrize("procedure", ["Unary", "Server", "Client", "Bidi"])
@pytest.mark.parametrize("server", GRPC)
def test_grpcurl_errors(server: str, procedure: str, url_of: Callable[[Server], str]) -> None:
    host = url_of(SERVERS[server]).removeprefix("http://")
    done = grpcurl(*schema(server), "-format-error", "-d", '"fail"', host, f"{SERVICE}/{procedure}")
    assert done.returncode == 64 + 9
    assert json.loads(done.stderr) == {
        "code": 9,
        "message": "not now: é",
        "details": [{"@type": "type.googleapis.com/google.protobuf.Int64Value", "value": "42"}],
    }


# --- buf curl -----------------------------------------------------------------------------------------------------


def buf(url: str, protocol: str, procedure: str, requests: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    path = f"{url}/{SERVICE}/{procedure}"
    return run("buf", "curl", "--protocol", protocol, *more, "--data", "@-", path, ask=requests)


def speaks() -> list[tuple[str, str, str]]:
    """Server, protocol, where the schema comes from."""
    found = []
    for server in BUF:
        for protocol in PROTOCOLS:
            if protocol != "grpc" or SERVERS[server].http2:
                found += [(server, protocol, "file")] + [(server, protocol, "reflection")] * (server in REFLECTS)
    return found


@pytest.mark.parametrize(("server", "protocol", "schema"), speaks())
def test_buf_curl(server: str, protocol: str, schema: str, url_of: Callable[[Server], str]) -> None:
    url = url_of(SERVERS[server])
    more = ["--schema", str(HERE / "interop.proto")] if schema == "file" else []
    for name, (procedure, requests, responses) in CALLS.items():
        if procedure == "Bidi" and not SERVERS[server].http2:
            continue  # buf curl wants HTTP/2 for it
        done = buf(url, protocol, procedure, requests, *more)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        assert values(done.stdout) == responses, name
    for procedure in ("Unary", "Server"):
        done = buf(url, protocol, procedure, ["fail"], *more)
        assert done.returncode == 8 * 9
        said = json.loads(done.stderr)
        assert (said["code"], said["message"]) == ("failed_precondition", "not now: é")
        assert said["details"] == [{"type": "google.protobuf.Int64Value", "value": "CCo", "debug": "42"}]


@on(*REFLECTS)
def test_buf_curl_lists(url: str) -> None:
    for protocol in PROTOCOLS:
        done = run("buf", "curl", "--protocol", protocol, "--list-services", url)
        assert done.stdout.splitlines() == SERVICES, done.stderr
    old = run("buf", "curl", "--reflect-protocol", "grpc-v1alpha", "--list-methods", url)
    assert [line for line in old.stdout.splitlines() if line.startswith(SERVICE)] == [
        f"{SERVICE}/{each.rpartition('.')[2]}" for each in METHODS
    ]


# --- Kubernetes' probe --------------------------------------------------------------------------------------------


@on(*GRPC)
def test_health_probe(host: str, tmp_path: Path) -> None:
    def probe(*more: str) -> subprocess.CompletedProcess[str]:
        return run("grpc-health-probe", "-connect-timeout", "20s", "-rpc-timeout", "20s", "-addr", host, *more)

    for more in ([], ["-service", SERVICE], ["-gzip"]):
        assert "status: SERVING" in probe(*more).stderr
    unknown = probe("-service", "no.such.Service")
    assert unknown.returncode
    assert "code = NotFound" in unknown.stderr
