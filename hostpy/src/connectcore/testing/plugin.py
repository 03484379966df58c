"""Fixtures of pytest. In a `conftest.py`: `pytest_plugins = ["connectcore.testing.plugin"]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ..client import ConnectClientSync
from .fake import Fake
from .in_memory import client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["fake_server", "in_memory_client"]


@pytest.fixture
def in_memory_client() -> Iterator[Callable[..., Any]]:
    """Makes clients of applications in this process, with the arguments of `client`. The test's end closes synchronous ones."""
    clients: list[Any] = []

    def make(*args: Any, **options: Any) -> Any:
        clients.append(client(*args, **options))
        return clients[-1]

    yield make
    for each in clients:
        if isinstance(each, ConnectClientSync):
            each.close()


@pytest.fixture
def fake_server() -> Iterator[Callable[..., Fake[Any]]]:
    """Makes fake servers, with the arguments of `Fake`. The test fails if one of their methods was called without a handler."""
    fakes: list[Fake[Any]] = []

    def make(*args: Any, **options: Any) -> Fake[Any]:
        fakes.append(Fake(*args, **options))
        return fakes[-1]

    yield make
    unexpected = [name for fake in fakes for name in fake.unexpected]
    if unexpected:
        pytest.fail(f"the fake server was called without a handler: {', '.join(unexpected)}", pytrace=False)
