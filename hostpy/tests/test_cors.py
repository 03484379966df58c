"""CORS, under both interfaces: preflights, what a page may see of an answer, and what the middleware leaves alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connectcore.cors import METHODS, CORSASGIMiddleware, CORSWSGIMiddleware, allowed_headers, exposed_headers
from server_support import UNARY, WSGI, Answer, Request, Server, call_asgi, call_wsgi, echo, message

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE, OTHER = "https://page.example", "https://other.example:8443"


def call(interface: str, request: Request, **options: Any) -> Answer:
    application = Server(interface, {UNARY: echo}).application
    if interface == "asgi":
        return call_asgi(CORSASGIMiddleware(application, **options), request)
    return call_wsgi(CORSWSGIMiddleware(application, **options), request)


def preflight(interface: str, origin: str, **options: Any) -> dict[str, list[str]]:
    asked = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ]
    answer = call(interface, Request(http_method="OPTIONS", fields=asked, content_type="", chunks=()), **options)
    assert (answer.status, answer.content) == (204, b"")
    return cors_of(answer)


def cors_of(answer: Answer) -> dict[str, list[str]]:
    """The answer's fields about CORS, and how it varies."""
    found: dict[str, list[str]] = {}
    for name, value in answer.fields:
        if name.startswith("access-control-") or name == "vary":
            found.setdefault(name.removeprefix("access-control-"), []).append(value)
    return found


def unary(interface: str, origin: str | None, **options: Any) -> dict[str, list[str]]:
    fields = [] if origin is None else [("origin", origin)]
    answer = call(interface, Request(fields=fields), **options)
    assert (answer.status, answer.content) == (200, message("hello"))
    return cors_of(answer)


def test_the_lists() -> None:
    assert METHODS == ("GET", "POST")
    assert {"content-type", "connect-protocol-version", "connect-timeout-ms", "x-grpc-web", "grpc-timeout"} <= {
        *allowed_headers()
    }
    assert {"grpc-status", "grpc-message", "grpc-status-details-bin"} <= {*exposed_headers()}
    assert allowed_headers("Authorization", "x-a") == [*allowed_headers(), "authorization", "x-a"]
    assert exposed_headers("X-A", "x-b-bin") == [*exposed_headers(), "x-a", "x-b-bin", "trailer-x-a", "trailer-x-b-bin"]


def test_preflight(interface: str) -> None:
    found = preflight(
        interface, PAGE, origins=[PAGE, OTHER], request_metadata=["authorization"], response_metadata=["x-a"], max_age=60
    )
    assert found == {
        "vary": ["origin, access-control-request-method, access-control-request-headers"],
        "allow-origin": [PAGE],
        "allow-methods": ["GET, POST"],
        "allow-headers": [", ".join(allowed_headers("authorization"))],
        "max-age": ["60"],
    }


def test_answer(interface: str) -> None:
    found = unary(interface, OTHER, origins=[PAGE, OTHER], response_metadata=["x-a"])
    assert found == {"vary": ["origin"], "allow-origin": [OTHER], "expose-headers": [", ".join(exposed_headers("x-a"))]}


def test_failures_are_seen_too(interface: str) -> None:
    answer = call(interface, Request(content_type="text/plain", fields=[("origin", PAGE)]), origins=[PAGE])
    assert answer.status == 415
    assert cors_of(answer)["allow-origin"] == [PAGE]


def test_other_origins_are_allowed_nothing(interface: str) -> None:
    for origin in ("https://other.example", f"{PAGE}.example", PAGE.replace("https", "http"), "null"):
        assert [*preflight(interface, origin, origins=[PAGE])] == ["vary"]
        assert unary(interface, origin, origins=[PAGE]) == {"vary": ["origin"]}


def test_requests_that_are_no_pages(interface: str) -> None:
    """They get the same answer, and a cache learns that it is for them alone."""
    assert unary(interface, None, origins=[PAGE]) == {"vary": ["origin"]}
    assert unary(interface, None, origins="*") == {}


def test_any_origin(interface: str) -> None:
    assert preflight(interface, PAGE, origins="*")["allow-origin"] == ["*"]
    assert unary(interface, "null", origins=["*"]) == {"allow-origin": ["*"], "expose-headers": [", ".join(exposed_headers())]}


def test_origins_by_a_function(interface: str) -> None:
    def ours(origin: str) -> bool:
        return origin.endswith(".example")

    assert preflight(interface, PAGE, origins=ours)["allow-origin"] == [PAGE]
    assert [*preflight(interface, "https://example.com", origins=ours)] == ["vary"]


def test_credentials(interface: str) -> None:
    assert preflight(interface, PAGE, origins=[PAGE], credentials=True)["allow-credentials"] == ["true"]
    found = unary(interface, PAGE, origins=[PAGE], credentials=True)
    assert (found["allow-credentials"], found["allow-origin"]) == (["true"], [PAGE])


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"origins": "*", "credentials": True}, "name those"),
        ({"origins": [PAGE], "max_age": -1}, "number of seconds"),
        *[
            ({"origins": [origin]}, "an origin is a scheme")
            for origin in ("page.example", f"{PAGE}/", "", "HTTPS://page.example")
        ],
    ],
)
@pytest.mark.parametrize("middleware", [CORSASGIMiddleware, CORSWSGIMiddleware])
def test_mistakes(middleware: Callable[..., Any], options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        middleware(WSGI({}), **options)


def test_options_that_is_no_preflight(interface: str) -> None:
    answer = call(interface, Request(http_method="OPTIONS", fields=[("origin", PAGE)]), origins=[PAGE])
    assert answer.status == 405  # the application's own answer


async def test_other_scopes_are_handed_on() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    async def receive() -> None: ...

    async def send(event: Any) -> None: ...

    await CORSASGIMiddleware(app, origins="*")({"type": "lifespan"}, receive, send)
    assert seen == [({"type": "lifespan"}, receive, send)]


def test_unary_content_is_still_one_piece() -> None:
    """Some servers write a response that is no list piece by piece."""
    app = CORSWSGIMiddleware(WSGI({UNARY: echo}), origins="*")
    assert len(call_wsgi(app, Request()).writes) == 1
