"""gRPC's server reflection, for services of both message runtimes, under both interfaces.

Its own messages are Google's here; test_standard.py runs all of this with those of `protobuf-py`.
"""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.wrappers_pb2 import DESCRIPTOR as WRAPPERS

from connectcore._codec.messages import encode_binary
from connectcore._standard.messages import chosen, make, message, method
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.health import Health, HealthASGIApplication, HealthWSGIApplication
from connectcore.reflection import with_reflection
from connectcore.server import ConnectASGIRouter, ConnectWSGIRouter
from connectcore.transport import ASGITransport, WSGITransport
from protoc import Protoc
from server_support import ALL, ASGI

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = ("v1", "v1alpha")
# Each runtime's files lie in packages of their own, because one process imports both.
FILES = {
    "PLACE/v1/part.proto": """
        syntax = "proto2";
        package PLACE.v1;
        import "PLACE/v1/base.proto";
        extend Base { optional string more = 102; }
        message Part { extend Base { optional Part part = 101; } }
    """,
    "PLACE/v1/base.proto": """
        syntax = "proto2";
        package PLACE.v1;
        message Base { extensions 100 to 200; }
    """,
    "PLACE/v1/types.proto": """
        syntax = "proto3";
        package PLACE.v1;
        import "google/protobuf/timestamp.proto";
        import "PLACE/v1/part.proto";
        message Outer {
          message Inner { enum Mood { MOOD_UNSPECIFIED = 0; } }
          oneof choice { string text = 1; google.protobuf.Timestamp time = 2; }
          Part part = 3;
        }
        enum Colour { COLOUR_UNSPECIFIED = 0; }
    """,
    "PLACE/v1/service.proto": """
        syntax = "proto3";
        package PLACE.v1;
        import "PLACE/v1/types.proto";
        service Things { rpc Do(Outer) returns (Outer.Inner); }
    """,
}
SYMBOLS = {
    "types": (
        *("Outer", "Outer.Inner", "Outer.Inner.Mood", "Outer.Inner.MOOD_UNSPECIFIED", "Outer.choice", "Outer.text"),
        *("Colour", "COLOUR_UNSPECIFIED"),
    ),
    "service": ("Things", "Things.Do"),
    "part": ("Part", "Part.part", "more"),
    "base": ("Base",),
}


class Described:
    """A service with its files, of one runtime, under one interface."""

    def __init__(self, place: str, interface: str, generated: Any) -> None:
        self.place = place
        kind = "ASGI" if interface == "asgi" else "WSGI"
        application = getattr(generated, f"Things{kind}Application")
        self.application = application(SimpleNamespace(do=None))
        make: Any = ConnectASGIRouter if interface == "asgi" else ConnectWSGIRouter
        health: Any = HealthASGIApplication if interface == "asgi" else HealthWSGIApplication
        self.served = make(*with_reflection(self.application, health(Health())))

    def ask(self, *asked: dict[str, Any], version: str = "v1") -> list[Any]:
        return ask(self.served, *asked, version=version)

    def files(self, **asked: Any) -> list[str]:
        """The short names of the files in the answer."""
        return names(self.ask(asked)[0], self.place)


@pytest.fixture(params=["google", "protobuf-py"])
def described(
    request: pytest.FixtureRequest, interface: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Described:
    place = f"things_{request.param.replace('-', '_')}"
    module = f"{place}.v1.service_connectcore"
    if module not in sys.modules:
        files = {name.replace("PLACE", place): text.replace("PLACE", place) for name, text in FILES.items()}
        protoc = Protoc(tmp_path_factory.mktemp(place), files)
        protoc.generate(request.param)
        return Described(place, interface, protoc.load(monkeypatch, module))
    return Described(place, interface, sys.modules[module])


def ask(application: Any, *asked: dict[str, Any], version: str = "v1", http: str = "2") -> list[Any]:
    """The responses to these requests in one stream."""
    info = method(f"grpc.reflection.{version}.ServerReflection", "ServerReflectionInfo")
    extension = message(f"grpc.reflection.{version}.ExtensionRequest")

    def value(each: Any) -> Any:
        return make(extension, **each) if isinstance(each, dict) else each

    requests = [make(info.input, **{name: value(each) for name, each in fields.items()}) for fields in asked]
    if isinstance(application, ConnectWSGIRouter):
        with ConnectClientSync("http://test", http_client=WSGITransport(application)) as client:
            return list(client.execute_bidi_stream(request=iter(requests), method=info))

    async def call() -> list[Any]:
        async def each() -> Any:
            for request in requests:
                yield request

        async with ConnectClient("http://test", http_client=ASGITransport(application, http_version=http)) as client:
            return [response async for response in client.execute_bidi_stream(request=each(), method=info)]

    return asyncio.run(call())


def told(response: Any, kind: str) -> Any:
    """The message that answers, which must be of this kind."""
    found = chosen(response, "message_response")
    assert found is not None
    assert found[0] == kind
    return found[1]


def files(response: Any) -> list[FileDescriptorProto]:
    """The files in an answer."""
    found = told(response, "file_descriptor_response").file_descriptor_proto
    return [FileDescriptorProto.FromString(data) for data in found]


def names(response: Any, place: str = "") -> list[str]:
    found = [file.name for file in files(response)]
    return [name.removeprefix(f"{place}/v1/").removesuffix(".proto") for name in found]


def error(response: Any) -> tuple[int, str]:
    found = told(response, "error_response")
    return found.error_code, found.error_message


@pytest.mark.parametrize("version", VERSIONS)
def test_services(described: Described, version: str) -> None:
    [response] = described.ask({"host": "here", "list_services": ""}, version=version)
    assert [each.name for each in told(response, "list_services_response").service] == [
        "grpc.health.v1.Health",
        f"{described.place}.v1.Things",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    assert response.valid_host == "here"
    assert chosen(response.original_request, "message_request") == ("list_services", "")
    for each in told(response, "list_services_response").service:
        [found] = described.ask({"file_containing_symbol": each.name}, version=version)
        file = files(found)[0]
        assert each.name in [f"{file.package}.{service.name}" for service in file.service]


def test_file_by_name_with_its_imports(described: Described) -> None:
    assert described.files(file_by_filename=f"{described.place}/v1/service.proto") == [
        *("service", "types", "google/protobuf/timestamp", "part", "base")
    ]
    assert described.files(file_by_filename="google/protobuf/timestamp.proto") == ["google/protobuf/timestamp"]


def test_files_are_what_was_compiled(described: Described) -> None:
    [response] = described.ask({"file_by_filename": f"{described.place}/v1/types.proto"})
    file = files(response)[0]
    [outer] = file.message_type
    assert [field.name for field in outer.field] == ["text", "time", "part"]
    assert outer.field[1].type_name == ".google.protobuf.Timestamp"
    assert list(file.dependency) == ["google/protobuf/timestamp.proto", f"{described.place}/v1/part.proto"]


@pytest.mark.parametrize(("file", "symbol"), [(file, symbol) for file, each in SYMBOLS.items() for symbol in each])
def test_file_by_symbol(described: Described, file: str, symbol: str) -> None:
    assert described.files(file_containing_symbol=f"{described.place}.v1.{symbol}")[0] == file


def test_extensions(described: Described) -> None:
    base = f"{described.place}.v1.Base"
    [response] = described.ask({"all_extension_numbers_of_type": base})
    found = told(response, "all_extension_numbers_response")
    assert (found.base_type_name, list(found.extension_number)) == (base, [101, 102])
    for number in found.extension_number:
        asked = {"containing_type": base, "extension_number": number}
        assert described.files(file_containing_extension=asked) == ["part", "base"]
    [response] = described.ask({"all_extension_numbers_of_type": f"{described.place}.v1.Outer"})
    assert list(told(response, "all_extension_numbers_response").extension_number) == []


def test_what_is_not_there(described: Described) -> None:
    """An error of one answer leaves the stream as it is."""
    base = f"{described.place}.v1.Base"
    responses = described.ask(
        {"file_by_filename": "no/such.proto"},
        {"file_containing_symbol": "no.such.Thing"},
        {"file_containing_extension": {"containing_type": base, "extension_number": 150}},
        {"all_extension_numbers_of_type": "no.such.Thing"},
        {"list_services": "*"},
    )
    assert [error(each) for each in responses[:-1]] == [
        (5, "no file 'no/such.proto'"),
        (5, "no symbol 'no.such.Thing'"),
        (5, f"no extension 150 of '{base}'"),
        (5, "no message 'no.such.Thing'"),
    ]
    assert len(told(responses[-1], "list_services_response").service) == 4


def test_a_question_about_nothing(described: Described) -> None:
    with pytest.raises(ConnectError, match="what it wants to know") as raised:
        described.ask({"host": "here"})
    assert raised.value.code is Code.INVALID_ARGUMENT


def test_a_stream_sends_imports_once(described: Described) -> None:
    place = described.place
    responses = described.ask(
        {"file_containing_symbol": f"{place}.v1.Outer"},
        {"file_by_filename": f"{place}/v1/service.proto"},
        {"file_by_filename": f"{place}/v1/part.proto"},
    )
    assert [names(each, place) for each in responses] == [
        ["types", "google/protobuf/timestamp", "part", "base"],
        ["service"],
        ["part"],  # what is asked for is given
    ]


def test_questions_before_answers(described: Described) -> None:
    """Over HTTP/1.1 all are asked before the first is answered."""
    asked = [{"file_containing_symbol": f"{described.place}.v1.{name}"} for name in ("Things", "Outer", "Part")]
    responses = ask(described.served, *asked, http="1.1")
    assert [names(each, described.place)[0] for each in responses] == ["service", "types", "part"]


class Asking:
    """A WSGI server's content, which goes on when a question was answered. As in servers, `read` waits for all its bytes."""

    def __init__(self, questions: list[bytes]) -> None:
        self.questions = questions
        self.left = b""
        self.ended = False
        self.ask()

    def ask(self) -> None:
        if self.questions:
            self.left += self.questions.pop(0)
        else:
            self.ended = True

    def read(self, size: int) -> bytes:
        assert size <= len(self.left) or self.ended, "it waits for what is asked only after the answer"
        data, self.left = self.left[:size], self.left[size:]
        return data


def test_a_conversation_under_wsgi() -> None:
    """Over HTTP/2 a tool asks on when it has an answer."""
    reflection: Any = with_reflection(HealthWSGIApplication(Health()))[1]
    kind = method("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo").input
    asked = [encode_binary(make(kind, file_by_filename=name)) for name in "abc"]
    content = Asking([b"\0" + len(each).to_bytes(4, "big") + each for each in asked])
    trailers: list[tuple[str, str]] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"{reflection.path}/ServerReflectionInfo",
        "SERVER_PROTOCOL": "HTTP/2",
        "CONTENT_TYPE": "application/grpc",
        "HTTP_TE": "trailers",
        "wsgi.input": content,
        "wsgi.ext.http.send_trailers": trailers.extend,
    }
    answers = []
    for part in reflection(environ, lambda *_: None):
        if part:
            answers.append(part)
            content.ask()
    assert [f"no file '{name}'".encode() in answer for name, answer in zip("abc", answers, strict=True)] == [True] * 3
    assert ("grpc-status", "0") in trailers


def test_more_files(described: Described) -> None:
    kind: Any = ConnectWSGIRouter if isinstance(described.served, ConnectWSGIRouter) else ConnectASGIRouter
    more = kind(*with_reflection(described.application, files=[WRAPPERS]))
    asked = {"file_containing_symbol": "google.protobuf.Int64Value"}
    assert names(ask(more, asked)[0]) == ["google/protobuf/wrappers"]
    assert error(described.ask(asked)[0])[0] == 5


def test_code_that_does_not_say_its_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older plugin's, or the official one's. A file that declares the service says it; Google's are found once imported."""
    application = ASGI(ALL)
    with pytest.raises(ValueError, match=r"acme\.v1\.Service is not to be found: generate its code anew, or give the file"):
        with_reflection(application)
    proto = 'syntax = "proto3"; package acme.v1; service Service {}'
    protoc = Protoc(tmp_path, {"acme_reflected.proto": proto})
    protoc.generate("protobuf-py")
    given = [protoc.load(monkeypatch, "acme_reflected_pb").desc()]
    protoc.generate("google")
    for more in (given, []):
        if not more:
            protoc.load(monkeypatch, "acme_reflected_pb2")
        served = ConnectASGIRouter(*with_reflection(application, files=more))
        assert names(ask(served, {"file_containing_symbol": "acme.v1.Service"})[0]) == ["acme_reflected"]


def test_what_cannot_be_told_of() -> None:
    with pytest.raises(ValueError, match="at least one application"):
        with_reflection()
    asgi, wsgi = HealthASGIApplication(Health()), HealthWSGIApplication(Health())
    wrong: list[Any] = [(asgi, wsgi), (wsgi, asgi), (Health(),), (ConnectASGIRouter(asgi),)]
    for each in wrong:
        with pytest.raises(TypeError, match="all for ASGI or all for WSGI, not of"):
            with_reflection(*each)


def test_interceptors_see_reflection() -> None:
    class Refuse:
        async def intercept_bidi_stream(self, call_next: Any, request: Any, ctx: Any) -> Any:
            raise ConnectError(Code.UNAUTHENTICATED, "who is it?")
            yield

    served = ConnectASGIRouter(*with_reflection(HealthASGIApplication(Health()), interceptors=[Refuse()]))
    for version in VERSIONS:
        with pytest.raises(ConnectError, match="who is it"):
            ask(served, {"list_services": ""}, version=version)


def test_beside_the_packages_of_grpc() -> None:
    """One process may have their message classes, too: in the default pool, ours have a pool of their own."""
    from google.protobuf import descriptor_pool

    file = FileDescriptorProto(name="another/health.proto", package="grpc.health.v1")
    file.message_type.add(name="HealthCheckRequest").field.add(name="service", number=1, type=9, label=1)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    ours = method("grpc.health.v1.Health", "Check").input
    assert pool.FindMessageTypeByName("grpc.health.v1.HealthCheckRequest") is not getattr(ours, "DESCRIPTOR", None)
