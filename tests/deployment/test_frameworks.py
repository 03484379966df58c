"""What frameworks put around an RPC application: their middleware sees RPCs, and handlers see what it left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import greet_server
import greet_server_wsgi
import pytest
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.method import IdempotencyLevel, MethodInfo, StreamType
from connectcore.server import (
    ConnectASGIApplication,
    ConnectASGIRouter,
    ConnectWSGIApplication,
    ConnectWSGIRouter,
    Endpoint,
    EndpointSync,
)
from google.protobuf.wrappers_pb2 import StringValue
from greet.v1.greet_connectcore import GreetServiceASGIApplication, GreetServiceClientSync, GreetServiceWSGIApplication
from greet.v1.greet_pb2 import GreetRequest

from places import get, requested, serving_asgi, serving_wsgi

PREFLIGHT = {"origin": "https://app.example", "access_control_request_method": "POST"}
OTHER = MethodInfo(
    name="Act",
    service_name="other.v1.Other",
    input=StringValue,
    output=StringValue,
    idempotency_level=IdempotencyLevel.UNKNOWN,
    stream_type=StreamType.UNARY,
)


class Seen:
    """An interceptor that keeps the names of procedures, and what middleware left for a handler."""

    def __init__(self, left: Callable[[Any], Any] = lambda scope: None) -> None:
        self.names: list[str] = []
        self.left: list[Any] = []
        self.look = left

    async def on_start(self, ctx: Any) -> None:
        self.on_start_sync(ctx)

    def on_start_sync(self, ctx: Any) -> None:
        self.names.append(f"{ctx.method.service_name}/{ctx.method.name}")
        self.left.append(self.look(ctx.scope))

    async def on_end(self, token: None, ctx: Any, error: Exception | None) -> None:
        pass

    def on_end_sync(self, token: None, ctx: Any, error: Exception | None) -> None:
        pass


def asgi(seen: Seen) -> Any:
    return GreetServiceASGIApplication(greet_server.Greeter(), interceptors=[seen])


def wsgi(seen: Seen) -> Any:
    return GreetServiceWSGIApplication(greet_server_wsgi.Greeter(), interceptors=[seen])


def greet(url: str, **headers: str) -> str:
    with GreetServiceClientSync(url) as client:
        return client.greet(GreetRequest(name="you"), headers=headers, timeout=20).greeting


class Other(ConnectASGIApplication[None]):
    path = "/other.v1.Other"

    def __init__(self) -> None:
        super().__init__(service=None, endpoints=lambda _: {f"{self.path}/Act": Endpoint.unary(OTHER, self.act)})

    async def act(self, request: StringValue, ctx: Any) -> StringValue:
        return request


class OtherSync(ConnectWSGIApplication):
    path = "/other.v1.Other"

    def __init__(self) -> None:
        endpoint = EndpointSync.unary(method=OTHER, function=lambda request, ctx: request)
        super().__init__(endpoints={f"{self.path}/Act": endpoint})


def check_both(url: str) -> None:
    """That both services are there."""
    assert greet(url) == "Hello, you!"
    with requested(f"{url}/other.v1.Other/Act", "POST", b'"x"', content_type="application/json") as response:
        assert (response.status, response.read()) == (200, b'"x"')
    assert get(f"{url}/neither.v1.Neither/Act")[0] == 404


class TestStarlette:
    def app(self, mounts: list[Any], middleware: tuple[Any, ...] = ()) -> Any:
        from starlette.applications import Starlette

        return Starlette(routes=mounts, middleware=list(middleware))

    def test_middleware(self) -> None:
        from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
        from starlette.middleware import Middleware
        from starlette.middleware.authentication import AuthenticationMiddleware
        from starlette.middleware.cors import CORSMiddleware
        from starlette.middleware.sessions import SessionMiddleware
        from starlette.responses import PlainTextResponse
        from starlette.routing import Mount, Route

        class Tokens(AuthenticationBackend):
            async def authenticate(self, conn: Any) -> Any:
                token = conn.headers.get("authorization", "")
                if token != "Bearer good" and conn.url.path != "/login":
                    raise AuthenticationError("who are you?")
                return AuthCredentials([]), SimpleUser("ada")

        async def login(request: Any) -> PlainTextResponse:
            request.session["visits"] = 3
            return PlainTextResponse("ok")

        seen = Seen(lambda scope: (scope["user"].username, scope["session"].get("visits")))
        app = self.app(
            [Route("/login", login), Mount("/api", asgi(seen))],
            (
                Middleware(CORSMiddleware, allow_origins=["https://app.example"], allow_headers=["*"]),
                Middleware(SessionMiddleware, secret_key="a"),
                Middleware(AuthenticationMiddleware, backend=Tokens()),
            ),
        )
        with serving_asgi(app) as url:
            path = f"{url}/api/greet.v1.GreetService/Greet"
            with requested(path, "OPTIONS", None, **PREFLIGHT) as response:
                assert response.getheader("access-control-allow-origin") == "https://app.example"
            assert not seen.names
            with requested(f"{url}/login") as response:
                cookie = str(response.getheader("set-cookie")).partition(";")[0]
            with pytest.raises(ConnectError) as caught:
                greet(f"{url}/api")
            assert caught.value.code is Code.INTERNAL  # a plain 400 of the middleware
            assert greet(f"{url}/api", authorization="Bearer good", cookie=cookie) == "Hello, you!"
            fields = {"authorization": "Bearer good", "origin": "https://app.example", "content_type": "application/json"}
            with requested(path, "POST", b'{"name":"you"}', **fields) as response:
                assert (response.status, response.getheader("access-control-allow-origin")) == (200, "https://app.example")
        assert seen.left == [("ada", 3), ("ada", None)]
        assert seen.names == ["greet.v1.GreetService/Greet"] * 2

    @pytest.mark.parametrize("root", ["", "/proxy"])
    def test_where_it_is_mounted(self, root: str) -> None:
        from starlette.routing import Mount

        seen = Seen()
        rpc = asgi(seen)
        mounts = [
            Mount("/deep", routes=[Mount("/api", rpc)]),
            Mount(rpc.path, rpc),
            Mount("/also" + rpc.path, rpc),
            Mount("/", rpc),
        ]
        with serving_asgi(self.app(mounts), root_path=root) as url:
            for prefix in ("/deep/api", "/also", "/", ""):
                assert greet(url + prefix) == "Hello, you!"
            assert get(f"{url}/deep/other/greet.v1.GreetService/Greet")[0] == 404
        assert seen.names == ["greet.v1.GreetService/Greet"] * 4

    def test_several_services(self) -> None:
        from starlette.routing import Mount

        with serving_asgi(self.app([Mount("/api", ConnectASGIRouter(asgi(Seen()), Other()))])) as url:
            check_both(f"{url}/api")


class TestFastAPI:
    @pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
    @pytest.mark.parametrize("prefix", ["/api", ""])
    @pytest.mark.parametrize("root", ["", "/proxy", "/outer/proxy"])
    def test_root_path(self, prefix: str, root: str) -> None:
        """Behind a proxy that takes `root` out of the path."""
        from fastapi import FastAPI

        seen = Seen(lambda scope: scope["root_path"])
        app = FastAPI(root_path=root)
        app.mount(prefix or "/", asgi(seen))
        with serving_asgi(app) as url:
            assert greet(url + prefix) == "Hello, you!"
        assert (seen.names, seen.left) == (["greet.v1.GreetService/Greet"], [root + prefix])

    def test_middleware_and_sub_application(self) -> None:
        from fastapi import FastAPI, Request

        seen = Seen(lambda scope: scope["state"]["request_id"])
        inner, app = FastAPI(), FastAPI()
        inner.mount("/rpc", asgi(seen))
        app.mount("/v1", inner)

        @app.middleware("http")
        async def number(request: Request, call_next: Any) -> Any:
            request.state.request_id = "17"
            response = await call_next(request)
            response.headers["x-request-id"] = "17"
            return response

        with serving_asgi(app) as url:
            assert greet(f"{url}/v1/rpc") == "Hello, you!"
            with requested(f"{url}/v1/rpc/greet.v1.GreetService/Nothing") as response:
                assert (response.status, response.getheader("x-request-id")) == (404, "17")
        assert seen.left == ["17"]


class TestQuart:
    def test_wrapped(self) -> None:
        from hypercorn.middleware import DispatcherMiddleware
        from quart import Quart

        app = Quart(__name__)
        seen = Seen()

        @app.get("/health")
        async def health() -> str:
            return "ok"

        with serving_asgi(DispatcherMiddleware({"/api": asgi(seen), "": app})) as url:
            assert greet(f"{url}/api") == "Hello, you!"
            assert get(f"{url}/health") == (200, "ok")
        assert seen.names == ["greet.v1.GreetService/Greet"]


class TestFlask:
    def test_hooks_and_session(self) -> None:
        from flask import Flask, Response, abort, request, session

        app = Flask(__name__)
        app.secret_key = "a"
        seen = Seen(lambda environ: environ["app.user"])
        rpc = wsgi(seen)

        @app.before_request
        def check() -> None:
            if request.path != "/login" and "user" not in session:
                abort(403)

        @app.after_request
        def allow(response: Response) -> Response:
            response.headers["access-control-allow-origin"] = "*"
            return response

        @app.get("/login")
        def login() -> str:
            session["user"] = "ada"
            return "ok"

        @app.route("/api/<path:procedure>", methods=["GET", "POST"])
        def call(procedure: str) -> Any:
            environ = {**request.environ, "SCRIPT_NAME": "/api", "PATH_INFO": f"/{procedure}", "app.user": session["user"]}
            return Response.from_app(rpc, environ)

        with serving_wsgi(app) as url:
            with pytest.raises(ConnectError) as caught:
                greet(f"{url}/api")
            assert caught.value.code is Code.PERMISSION_DENIED
            with requested(f"{url}/login") as response:
                cookie = str(response.getheader("set-cookie")).partition(";")[0]
            assert greet(f"{url}/api", cookie=cookie) == "Hello, you!"
            with requested(f"{url}/api/greet.v1.GreetService/Nothing", cookie=cookie) as response:
                assert (response.status, response.getheader("access-control-allow-origin")) == (404, "*")
        assert (seen.names, seen.left) == (["greet.v1.GreetService/Greet"], ["ada"])

    @pytest.mark.parametrize("prefix", ["/api", "/deep/api", "/greet.v1.GreetService"])
    def test_dispatched(self, prefix: str) -> None:
        from flask import Flask
        from werkzeug.middleware.dispatcher import DispatcherMiddleware

        seen = Seen()
        router = ConnectWSGIRouter(wsgi(seen), OtherSync())
        app: Any = Flask(__name__)
        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {prefix: wsgi(seen) if "greet" in prefix else router})
        with serving_wsgi(app) as url:
            if "greet" in prefix:
                assert greet(url) == "Hello, you!"
            else:
                check_both(url + prefix)
        assert seen.names == ["greet.v1.GreetService/Greet"]
