"""Starts a server of the interop service."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

from speech import HERE, Server


@contextlib.contextmanager
def started(server: Server) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server's URL and its process, while the block runs."""
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
        yield url, process
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()
