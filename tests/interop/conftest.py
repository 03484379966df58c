"""Servers of the interop service for the tests."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from speech import GO_CLIENT, GO_SERVER, HERE, ROOT, TOOLS, Server


@contextlib.contextmanager
def serving(server: Server) -> Iterator[str]:
    """A server's URL, while the block runs."""
    process = subprocess.Popen(
        server.command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE / "gen")])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        url = process.stdout.readline().strip()
        assert url, "the server did not start"
        yield url
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="session")
def url_of() -> Iterator[Callable[[Server], str]]:
    """Gives a server's URL. Each server starts when it is first called, and ends after the last test."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    for program in (GO_SERVER, GO_CLIENT):
        subprocess.run(["go", "build", "-o", program, f"./tests/interop/{program.name}"], cwd=ROOT, check=True)
    with contextlib.ExitStack() as servers:
        yield functools.cache(lambda server: servers.enter_context(serving(server)))
