"""Makes what the benchmark compares: the peer's virtual environment and the generated code of echo.proto.

Everything lands in .cache; what is there and fresh is not made again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from workers import CACHE, GENERATED, HERE, PYTHON, ROOT

CONSTRAINTS = HERE / "peer-constraints.txt"


def run(*command: str | Path, **environment: str) -> None:
    subprocess.run(command, check=True, env={**os.environ, **environment})


def peer() -> None:
    stamp = CACHE / "peer/.installed"
    if stamp.exists() and stamp.stat().st_mtime > CONSTRAINTS.stat().st_mtime:
        return
    print("bench: installing the peer into .cache/peer", file=sys.stderr, flush=True)
    run(sys.executable, "-m", "venv", CACHE / "peer")
    run(PYTHON["peer"], "-m", "pip", "install", "-q", "-r", CONSTRAINTS)
    stamp.touch()


def generate(contender: str, plugin: str) -> None:
    """protoc with the message runtime's own plugin and the contender's, from its environment."""
    out = GENERATED[contender] / "echo_gen"
    made = out / "echo_connect.py"
    proto = HERE / "echo.proto"
    if made.exists() and contender == "peer" and made.stat().st_mtime > proto.stat().st_mtime:
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / "__init__.py").touch()
    bin_ = PYTHON[contender].parent
    protoc = [PYTHON["peer"], "-m", "grpc_tools.protoc", f"-I{HERE}"]
    path = os.pathsep.join([str(bin_), str(PYTHON["peer"].parent), os.environ["PATH"]])
    run(*protoc, f"--py_out={out}", proto, PATH=path)
    run(*protoc, plugin.format(out), proto, PATH=path)


def main() -> None:
    peer()
    generate("peer", "--connectrpc_out={}")
    if (ROOT / ".venv/bin/protoc-gen-connectcore").exists():
        generate("ours", "--connectcore_out=messages=protobuf-py:{}")


if __name__ == "__main__":
    main()
