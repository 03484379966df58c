"""Programs by which people call servers, at fixed versions: grpcurl and Kubernetes' gRPC probe are built, buf comes by pip."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".cache/bin"
PACKAGES = {
    "grpcurl": "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4",
    "grpc-health-probe": "github.com/grpc-ecosystem/grpc-health-probe@v0.4.62",
}
LONGEST = 30  # seconds that a call may take


@functools.cache
def program(name: str) -> Path:
    """A program, built if this version of it is not there."""
    if name == "buf":
        return Path(sys.executable).with_name(name)
    package = PACKAGES[name]
    folder = BIN / package.rpartition("@")[2]  # so that another version is built
    if not (folder / name).exists():
        subprocess.run(["go", "install", package], cwd=ROOT, check=True, env={**os.environ, "GOBIN": str(folder)})
    return folder / name


def run(name: str, *arguments: str | Path, ask: Sequence[str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program; with `ask`, the messages of a stream, as JSON text, on its standard input."""
    text = "" if ask is None else "\n".join(map(json.dumps, ask))
    command = [program(name), *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=LONGEST, check=False)


def values(output: str) -> list[str]:
    """The messages, each a JSON text on a line of its own."""
    return [json.loads(line) for line in output.splitlines()]
