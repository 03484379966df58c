"""Servers of the interop service for the tests."""

from __future__ import annotations

import contextlib
import functools
import subprocess
from collections.abc import Callable, Iterator

import pytest

from speech import GO_CLIENT, GO_SERVER, ROOT, TOOLS, Server
from started import started


@contextlib.contextmanager
def serving(server: Server) -> Iterator[str]:
    """A server's URL, while the block runs."""
    with started(server) as (url, _):
        yield url


@pytest.fixture(scope="session")
def go_programs() -> None:
    """The programs in Go are built."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    for program in (GO_SERVER, GO_CLIENT):
        subprocess.run(["go", "build", "-o", program, f"./tests/interop/{program.name}"], cwd=ROOT, check=True)


@pytest.fixture(scope="session")
def url_of(go_programs: None) -> Iterator[Callable[[Server], str]]:
    """Gives a server's URL. Each server starts when it is first called, and ends after the last test."""
    with contextlib.ExitStack() as servers:
        yield functools.cache(lambda server: servers.enter_context(serving(server)))
