"""A page in headless Chromium calls servers of another origin, by connect-web and by grpc-web's own client."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from browser import bundle, chromium, play
from cases import Case, cases
from speech import CONNECT_ES, GRPC_WEB, Server, Speech, asgi, wsgi
from test_clients import brief, told

pytestmark = pytest.mark.skipif(not chromium() and not os.environ.get("CI"), reason="no Chromium is installed")

SERVERS = {
    "uvicorn-httptools": asgi("uvicorn-httptools", application="service:asgi_for_pages", http2=False),
    "gunicorn-gthread": wsgi("gunicorn-gthread", application="service:wsgi_for_pages", http2=False),
}
SPEECHES = (
    Speech(CONNECT_ES, {"library": "connect-web", "protocol": "connect"}),
    Speech(CONNECT_ES, {"library": "connect-web", "protocol": "connect", "json": True, "get": True}),
    Speech(CONNECT_ES, {"library": "connect-web", "protocol": "grpc-web"}),
    Speech(GRPC_WEB, {"library": "grpc-web", "format": "text"}),
    Speech(GRPC_WEB, {"library": "grpc-web", "format": "binary"}),
)


@pytest.fixture(scope="module")
def program() -> bytes:
    return bundle()


def ask(speech: Speech, plan: list[Case]) -> dict[str, Any]:
    return {"speech": speech.options, "cases": [each.ask for each in plan]}


@pytest.mark.parametrize("name", SERVERS)
def test_page(name: str, program: bytes, url_of: Callable[[Server], str], tmp_path: Path) -> None:
    server = SERVERS[name]
    plans = [(speech, list(cases(server, speech))) for speech in SPEECHES]
    results = play(url_of(server), [ask(speech, plan) for speech, plan in plans], program, tmp_path)
    wrong = [
        f"{speech}: {each.name}:\n  got  {brief(one)}\n  want {brief(each.want)}"
        for (speech, plan), got in zip(plans, results, strict=True)
        for each, one in zip(plan, got, strict=True)
        if told(one, each.want) != each.want
    ]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def test_a_page_that_may_not(program: bytes, url_of: Callable[[Server], str], tmp_path: Path) -> None:
    """The same page of another origin gets nothing: it is the middleware that lets pages call."""
    server = SERVERS["uvicorn-httptools"]
    plans = [ask(speech, list(cases(server, speech))[:1]) for speech in SPEECHES]
    for [result] in play(url_of(server), plans, program, tmp_path, host="localhost"):
        assert result["responses"] == []
        assert result["error"]["code"] in ("unknown", "internal", "unavailable"), result
