"""Makes what the benchmark compares: the peer's virtual environment and the generated code of echo.proto.

Everything lands in .cache; what is there and fresh is not made again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from workers import CACHE, GENERATED, HERE, PYTHON, ROOT

EXAMPLES = ROOT / "hostpy/examples"
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


def generate(contender: str, plugin: str, *options: str, messages: str = "py") -> None:
    """protoc with the message runtime's own plugin and the contender's, from its environment."""
    root = GENERATED[contender]
    if (root / ".made").exists() and contender == "peer":
        return
    path = os.pathsep.join([str(PYTHON[contender].parent), str(PYTHON["peer"].parent), os.environ["PATH"]])
    (root / "echo_gen").mkdir(parents=True, exist_ok=True)
    for source, proto, out in ((HERE, "echo.proto", root / "echo_gen"), (EXAMPLES, "greet/v1/greet.proto", root)):
        protoc: list[str | Path] = [PYTHON["peer"], "-m", "grpc_tools.protoc", f"-I{source}"]
        run(*protoc, f"--{messages}_out={out}", f"--{plugin}_out={out}", *options, proto, PATH=path)
    (root / ".made").touch()


def main() -> None:
    peer()
    generate("peer", "connectrpc")
    generate("ours", "connectcore", "--connectcore_opt=messages=protobuf-py")
    generate("ours, google", "connectcore", "--connectcore_opt=imports=relative", messages="python")


if __name__ == "__main__":
    main()
