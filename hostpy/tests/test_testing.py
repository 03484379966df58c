"""The helpers for users' tests: clients in memory, fake servers, the fixture."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.server import ConnectASGIRouter
from connectcore.testing import Fake, client
from protoc import GREET, Protoc

if TYPE_CHECKING:
    from types import ModuleType

pytest_plugins = ["pytester"]
PACKAGES = {"google": "tested_google", "protobuf-py": "tested_protobuf_py"}


@pytest.fixture(params=PACKAGES)
def greet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The generated code for the messages of either runtime, and these."""
    package = PACKAGES[request.param]
    if f"{package}.greet_connectcore" not in sys.modules:
        protoc = Protoc(tmp_path_factory.mktemp(package), {f"{package}/greet.proto": GREET.replace("greet.v1", package)})
        protoc.generate(request.param)
        protoc.load(monkeypatch, f"{package}.greet_connectcore")
    return Greet(sys.modules[f"{package}.greet_connectcore"])


class Greet:
    def __init__(self, module: ModuleType) -> None:
        self.module: Any = module
        messages = next(value for name, value in vars(module).items() if name in ("_greet_pb2", "_greet_pb"))
        self.request: Any = messages.GreetRequest
        self.response: Any = messages.GreetResponse
        self.asgi, self.wsgi = module.GreetServiceASGIApplication, module.GreetServiceWSGIApplication
        self.client, self.client_sync = module.GreetServiceClient, module.GreetServiceClientSync

    def said(self, *texts: str) -> list[Any]:
        return [self.response(greeting=text) for text in texts]

    async def asked(self, *names: str) -> Any:
        for name in names:
            yield self.request(name=name)


async def outcome(stream: Any) -> tuple[list[str], Any]:
    """The texts of a stream, and its error's code."""
    texts: list[str] = []
    try:
        async for each in stream:
            texts += [each.greeting]
    except ConnectError as error:
        return texts, error.code
    return texts, None


def outcome_sync(stream: Any) -> tuple[list[str], Any]:
    texts: list[str] = []
    try:
        texts.extend(each.greeting for each in stream)
    except ConnectError as error:
        return texts, error.code
    return texts, None


async def test_a_client_in_one_line(greet: Greet) -> None:
    class Greeter:
        async def greet(self, request: Any, ctx: Any) -> Any:
            return greet.response(greeting=f"{request.name}: {ctx.request_headers['x-a']}")

        greet_many = greet_group = chat = greet

    app = greet.asgi(Greeter())
    for served in (app, ConnectASGIRouter(app)):
        for protocol in ProtocolType:
            async with client(greet.client, served, protocol=protocol) as made:
                assert (await made.greet(greet.request(name="me"), headers={"x-a": "1"})).greeting == "me: 1"


def test_the_wrong_kind_of_application(greet: Greet) -> None:
    with pytest.raises(
        TypeError, match="GreetServiceClient is asynchronous: it calls an ASGI application, not GreetServiceWSGI"
    ):
        client(greet.client, Fake(greet.wsgi, {}).app)
    with pytest.raises(
        TypeError, match="GreetServiceClientSync is synchronous: it calls a WSGI application, not GreetServiceASGI"
    ):
        client(greet.client_sync, Fake(greet.asgi, {}).app)
    wrong: Any = [object, "http://x"]
    for each in wrong:
        with pytest.raises(TypeError, match="the first argument is a generated client class"):
            client(each, Fake(greet.asgi, {}).app)


async def test_fake_answers(greet: Greet) -> None:
    gone = ConnectError(Code.NOT_FOUND, "gone")
    fake = Fake(
        greet.asgi, {"greet": greet.said("one")[0], "greet_many": [*greet.said("a", "b"), gone], "chat": greet.said("c")}
    )
    async with client(greet.client, fake.app) as made:
        assert (await made.greet(greet.request(name="me"), headers={"x-a": "1"}, timeout=60)).greeting == "one"
        assert await outcome(made.greet_many(greet.request(name="you"))) == (["a", "b"], Code.NOT_FOUND)
        assert await outcome(made.chat(greet.asked("x", "y"))) == (["c"], None)
        assert fake.unexpected == []
        with pytest.raises(ConnectError, match="no handler for greet_group") as raised:
            await made.greet_group(greet.asked("z"))
    assert raised.value.code is Code.UNIMPLEMENTED
    assert fake.unexpected == ["greet_group"]
    assert [call.method for call in fake.calls] == ["greet", "greet_many", "chat", "greet_group"]
    first, _, chat, _ = fake.calls
    assert (first.request.name, first.headers["x-a"]) == ("me", "1")
    assert first.timeout_ms is not None
    assert 0 < first.timeout_ms <= 60_000
    assert [each.name for each in chat.requests] == ["x", "y"]
    assert chat.timeout_ms is None
    with pytest.raises(ValueError, match="unpack"):
        _ = chat.request


async def test_fake_handlers(greet: Greet) -> None:
    async def one(request: Any, ctx: Any) -> Any:
        ctx.response_headers["x-b"] = "2"
        return greet.said(f"hello {request.name}")[0]

    def plain(request: Any, ctx: Any) -> Any:
        return greet.said("p", "q")

    async def group(requests: Any, ctx: Any) -> Any:
        return greet.said("+".join([each.name async for each in requests]))[0]

    async def chat(requests: Any, ctx: Any) -> Any:
        async for each in requests:
            yield greet.said(each.name.upper())[0]

    fake = Fake(greet.asgi, {"greet": one, "greet_many": plain, "greet_group": group, "chat": chat})
    async with client(greet.client, fake.app) as made:
        assert (await made.greet(greet.request(name="me"))).greeting == "hello me"
        assert await outcome(made.greet_many(greet.request())) == (["p", "q"], None)
        assert (await made.greet_group(greet.asked("a", "b"))).greeting == "a+b"
        assert await outcome(made.chat(greet.asked("a", "b"))) == (["A", "B"], None)
    assert [[each.name for each in call.requests] for call in fake.calls] == [["me"], [""], ["a", "b"], ["a", "b"]]


async def test_fake_errors(greet: Greet) -> None:
    fake = Fake(greet.asgi, dict.fromkeys(("greet", "greet_many"), ConnectError(Code.ABORTED, "no", metadata={"x-why": "w"})))
    async with client(greet.client, fake.app) as made:
        with pytest.raises(ConnectError, match="no") as raised:
            await made.greet(greet.request())
        assert (raised.value.code, raised.value.metadata["x-why"]) == (Code.ABORTED, "w")
        assert await outcome(made.greet_many(greet.request())) == ([], Code.ABORTED)


def test_fake_under_wsgi(greet: Greet) -> None:
    def chat(requests: Any, ctx: Any) -> Any:
        for each in requests:
            yield greet.said(each.name.upper())[0]

    gone = ConnectError(Code.NOT_FOUND, "gone")
    handlers = {"greet": lambda request, ctx: greet.said(request.name)[0], "greet_many": [*greet.said("a"), gone], "chat": chat}
    fake = Fake(greet.wsgi, handlers)
    with client(greet.client_sync, fake.app) as made:
        assert made.greet(greet.request(name="me")).greeting == "me"
        assert outcome_sync(made.greet_many(greet.request(name="you"))) == (["a"], Code.NOT_FOUND)
        assert outcome_sync(made.chat(iter([greet.request(name="b")]))) == (["B"], None)
        with pytest.raises(ConnectError, match="no handler for greet_group"):
            made.greet_group(iter([greet.request(name="z")]))
    assert [call.method for call in fake.calls] == ["greet", "greet_many", "chat", "greet_group"]
    assert fake.calls[1].request.name == "you"
    with client(greet.client_sync, Fake(greet.wsgi, {"greet_group": greet.said("g")[0]}).app) as made:
        assert made.greet_group(iter([greet.request(name="z")])).greeting == "g"


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_a_misspelt_handler(greet: Greet, kind: str) -> None:
    with pytest.raises(ValueError, match=r"GreetService has no method 'gret'; it has chat, greet, greet_group, greet_many"):
        Fake(getattr(greet, kind), {"gret": greet.said("x")[0]})


def test_the_fixtures(greet: Greet, pytester: pytest.Pytester) -> None:
    """A call that nobody foresaw fails the test, whatever the code under test does about its error."""
    module = greet.module.__name__
    pytester.makeconftest('pytest_plugins = ["connectcore.testing.plugin"]')
    pytester.makepyfile(f"""
        import pytest
        from connectcore.errors import ConnectError
        from connectcore.testing import client
        from {module} import GreetServiceClientSync, GreetServiceWSGIApplication
        from {type(greet.request()).__module__} import GreetRequest, GreetResponse

        def test_good(fake_server):
            fake = fake_server(GreetServiceWSGIApplication, {{"greet": GreetResponse(greeting="hi")}})
            with client(GreetServiceClientSync, fake.app) as made:
                assert made.greet(GreetRequest(name="me")).greeting == "hi"

        def test_unexpected(fake_server, in_memory_client):
            made = in_memory_client(GreetServiceClientSync, fake_server(GreetServiceWSGIApplication, {{}}).app)
            with pytest.raises(ConnectError):
                made.greet(GreetRequest())
            kept.append(made)

        kept = []

        def test_closed():
            with pytest.raises(RuntimeError, match="closed"):
                kept[0].greet(GreetRequest())
    """)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*the fake server was called without a handler: greet*"])
