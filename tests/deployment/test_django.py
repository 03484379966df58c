"""Django around an RPC application: its sessions and users are the RPCs' too."""

from __future__ import annotations

from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any

import greet_server
import greet_server_wsgi
import pytest
from connectcore.code import Code
from connectcore.errors import ConnectError
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, aget_user
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test.utils import override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from greet.v1.greet_connectcore import GreetServiceASGIApplication, GreetServiceClientSync, GreetServiceWSGIApplication
from greet.v1.greet_pb2 import GreetManyRequest, GreetRequest

from places import get, requested, serving_asgi, serving_wsgi


class Backend:
    """Users without a database."""

    def get_user(self, key: int) -> Any:
        from django.contrib.auth.models import User

        return User(pk=key, username="ada")

    async def aget_user(self, key: int) -> Any:
        return self.get_user(key)


def login(request: HttpRequest) -> HttpResponse:
    user = Backend().get_user(1)
    request.session[SESSION_KEY] = str(user.pk)
    request.session[BACKEND_SESSION_KEY] = "test_django.Backend"
    request.session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    return HttpResponse("ok")


def logged_in(url: str) -> str:
    """The cookie of a session."""
    with requested(f"{url}/login") as response:
        cookies: SimpleCookie = SimpleCookie(response.getheader("set-cookie"))
    return f"sessionid={cookies['sessionid'].value}"


class Names:
    """An interceptor that keeps who called what; nobody is refused."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def on_start_sync(self, ctx: Any) -> None:
        user = ctx.scope["user"]
        self.seen.append((ctx.method.name, user.username))
        if not user.is_authenticated:
            raise ConnectError(Code.UNAUTHENTICATED, "log in")

    async def on_start(self, ctx: Any) -> None:
        request: Any = HttpRequest()
        cookies: SimpleCookie = SimpleCookie(ctx.request_headers.get("cookie", ""))
        request.session = SessionStore(cookies["sessionid"].value if "sessionid" in cookies else None)
        ctx.scope["user"] = await aget_user(request)
        self.on_start_sync(ctx)

    async def on_end(self, token: None, ctx: Any, error: Exception | None) -> None:
        pass

    def on_end_sync(self, token: None, ctx: Any, error: Exception | None) -> None:
        pass


names = Names()
wsgi = GreetServiceWSGIApplication(greet_server_wsgi.Greeter(), interceptors=[names])
asgi = GreetServiceASGIApplication(greet_server.Greeter(), interceptors=[names])


@csrf_exempt  # type: ignore[untyped-decorator]
def call(request: Any, procedure: str) -> StreamingHttpResponse:
    head: list[Any] = []
    environ = {**request.environ, "SCRIPT_NAME": "/api", "PATH_INFO": f"/{procedure}", "user": request.user}
    content = wsgi(environ, lambda status, fields: head.extend((int(status[:3]), dict(fields))))
    return StreamingHttpResponse(content, status=head[0], headers=head[1])


urlpatterns = [path("login", login), path("api/<path:procedure>", call)]


@pytest.fixture(params=["wsgi", "asgi"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    names.seen.clear()
    with override_settings(ROOT_URLCONF="test_django"):
        if request.param == "wsgi":
            with serving_wsgi(get_wsgi_application()) as url:
                yield url
            return
        django = get_asgi_application()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and not scope["path"].startswith("/api/"):
                await django(scope, receive, send)
            else:
                await asgi({**scope, "root_path": "/api"}, receive, send)

        with serving_asgi(app) as url:
            yield url


def test_users(url: str) -> None:
    assert "django.contrib.auth.middleware.AuthenticationMiddleware" in settings.MIDDLEWARE
    assert get(f"{url}/nothing")[0] == 404
    with GreetServiceClientSync(f"{url}/api") as client:
        with pytest.raises(ConnectError) as caught:
            client.greet(GreetRequest(name="you"), timeout=20)
        assert caught.value.code is Code.UNAUTHENTICATED
        headers = {"cookie": logged_in(url)}
        assert client.greet(GreetRequest(name="you"), headers=headers, timeout=20).greeting == "Hello, you!"
        many = client.greet_many(GreetManyRequest(name="you", count=2), headers=headers, timeout=20)
        assert [each.greeting for each in many] == ["Hello 1, you!", "Hello 2, you!"]
    assert names.seen == [("Greet", ""), ("Greet", "ada"), ("GreetMany", "ada")]
