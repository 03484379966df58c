"""Writes the Go code of the example service, or with --check compares it with what is committed.

The plugins are built from the modules that go.mod names, protoc is grpcio-tools'.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "hostpy/examples"
PROTO = "greet/v1/greet.proto"
COMMITTED = ROOT / "tests/demo/gen"
PACKAGE = "github.com/connectcore/connectcore/tests/demo/gen"
PLUGINS = {
    "protoc-gen-go": "google.golang.org/protobuf/cmd/protoc-gen-go",
    "protoc-gen-connect-go": "connectrpc.com/connect/cmd/protoc-gen-connect-go",
}


def generate(out: Path) -> None:
    tools = ROOT / ".cache/gotools"
    tools.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{EXAMPLES}"]
    for name, package in PLUGINS.items():
        subprocess.run(["go", "build", "-o", tools / name, package], cwd=ROOT, check=True)
        option = name.removeprefix("protoc-gen-")
        command += [f"--plugin={tools / name}", f"--{option}_out={out}"]
        command += [f"--{option}_opt=M{PROTO}={PACKAGE}/greetv1", f"--{option}_opt=module={PACKAGE}"]
    subprocess.run([*command, PROTO], check=True, env=os.environ)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.go"))


def main() -> None:
    if sys.argv[1:] != ["--check"]:
        COMMITTED.mkdir(parents=True, exist_ok=True)
        generate(COMMITTED)
        return
    with tempfile.TemporaryDirectory() as name:
        fresh = Path(name)
        generate(fresh)
        names = files(fresh)
        _, wrong, missing = filecmp.cmpfiles(fresh, COMMITTED, names, shallow=False)
        if wrong or missing or names != files(COMMITTED):
            sys.exit(f"generate: {COMMITTED.relative_to(ROOT)} is stale ({wrong + missing}): run 'make generate'")


if __name__ == "__main__":
    main()
