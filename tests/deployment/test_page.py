"""The programs of hostpy/docs/deployment.md: each serves RPCs, and a probe beside them."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from connectcore.code import Code
from connectcore.errors import ConnectError
from greet.v1.greet_connectcore import GreetServiceClientSync
from greet.v1.greet_pb2 import GreetGroupRequest, GreetManyRequest, GreetRequest

from places import get, serving_asgi, serving_wsgi

PAGE = Path(__file__).resolve().parents[2] / "hostpy/docs/deployment.md"
PROGRAMS = dict(re.findall(r"^```python\n# (\w+)\.py.*?\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))
LONGEST = 25  # lines


@pytest.fixture(scope="module", autouse=True)
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The page's programs, to be imported."""
    folder = tmp_path_factory.mktemp("programs")
    for name, text in PROGRAMS.items():
        (folder / f"{name}.py").write_text(text)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


def django_wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def test_all_are_run() -> None:
    assert set(PROGRAMS) == {*ASGI, *WSGI}
    assert all(len(text.splitlines()) <= LONGEST for text in PROGRAMS.values())


ASGI = {"starlette_app": "/api", "fastapi_app": "", "quart_app": "", "django_asgi": ""}
WSGI = {"flask_app": "/api", "django_urls": "/api"}


@pytest.mark.parametrize("name", ASGI)
def test_asgi(name: str) -> None:
    module = importlib.import_module(name)
    with serving_asgi(getattr(module, "app", None) or module.application) as url:
        check(url, ASGI[name])


@pytest.mark.parametrize("name", WSGI)
def test_wsgi(name: str) -> None:
    with serving_wsgi(django_wsgi() if name == "django_urls" else importlib.import_module(name).app) as url:
        check(url, WSGI[name])


def check(url: str, prefix: str) -> None:
    status, text = get(f"{url}/health")
    assert (status, text.strip('"')) == (200, "ok")
    assert get(f"{url}{prefix}/greet.v1.GreetService/Nothing")[0] == 404
    assert get(f"{url}/elsewhere")[0] == 404
    with GreetServiceClientSync(url + prefix) as client:
        for use_get in (False, True):
            assert client.greet(GreetRequest(name="you"), use_get=use_get, timeout=20).greeting == "Hello, you!"
        with pytest.raises(ConnectError, match="a greeting needs a name") as caught:
            client.greet(GreetRequest())
        assert caught.value.code is Code.INVALID_ARGUMENT
        greetings = [each.greeting for each in client.greet_many(GreetManyRequest(name="you", count=3), timeout=20)]
        assert greetings == ["Hello 1, you!", "Hello 2, you!", "Hello 3, you!"]
        names = [GreetGroupRequest(name=name) for name in ("you", "me")]
        assert client.greet_group(iter(names), timeout=20).greeting == "Hello, you and me!"
