"""What a `.proto` file calls deprecated warns whoever calls it, in every version of Python."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from connectcore.method import deprecated
from connectcore.transport import ASGITransport
from protoc import Protoc

if TYPE_CHECKING:
    from pathlib import Path

PROTO = """
syntax = "proto3";
package old_calls;
message M {}
service New {
  // Says it.
  rpc Old(M) returns (M) { option deprecated = true; }
  rpc OldStream(M) returns (stream M) { option deprecated = true; }
  rpc Fresh(M) returns (M);
}
service Old { option deprecated = true; rpc Do(M) returns (M); }
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    protoc = Protoc(tmp_path, {"old_calls/a.proto": PROTO})
    protoc.generate("protobuf-py")
    return protoc.load(monkeypatch, "old_calls.a_connectcore")


async def test_who_calls_what_is_deprecated_is_warned(module: Any) -> None:
    messages = module._New_old_method.input

    class Service(module.New):  # type: ignore[misc]
        async def old(self, request: Any, ctx: Any, /) -> Any:
            return request

        async def fresh(self, request: Any, ctx: Any, /) -> Any:
            return request

    with warnings.catch_warnings():
        # Neither the server nor the making of the client is what was asked not to be used.
        warnings.simplefilter("error")
        application = module.NewASGIApplication(Service())
        client = module.NewClient("http://localhost", http_client=ASGITransport(application))
        await client.fresh(messages())
    with pytest.warns(DeprecationWarning, match=r"^old_calls\.New\.Old is deprecated$") as caught:
        assert await client.old(messages()) == messages()
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=r"^old_calls\.New\.OldStream is deprecated$") as caught:
        client.old_stream(messages())
    assert caught[0].filename == __file__
    assert inspect.getdoc(module.NewClient.old) == "Says it."


def test_who_makes_a_client_of_a_deprecated_service_is_warned(module: Any) -> None:
    with pytest.warns(DeprecationWarning, match=r"^old_calls\.Old is deprecated$") as caught:
        module.OldClientSync("http://localhost").close()
    assert caught[0].filename == __file__


def test_a_class_is_marked_and_its_heirs_are_not() -> None:
    class Before:
        def __init__(self, x: int) -> None:
            self.x = x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        class After(deprecated("no")(Before)):  # type: ignore[misc]
            pass

    assert Before.__deprecated__ == "no"  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning, match="no"):
        assert Before(1).x == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert After(2).x == 2
