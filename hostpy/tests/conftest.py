"""Fixtures by which one test runs in every form: both interfaces of a server, both kinds of client."""

from __future__ import annotations

import pytest

from client_support import MODES
from server_support import INTERFACES


@pytest.fixture(params=INTERFACES)
def interface(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)
