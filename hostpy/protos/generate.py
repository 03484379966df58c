"""Writes the descriptors of the standard services for the package, or with --check compares them with what is committed.

The package has no message classes of them: those would register names that `grpcio-health-checking` and `grpcio-reflection`
register, too, and one process may have both.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "src/connectcore/_standard/descriptors.py"
HEADER = '''\
"""The descriptors of the standard services, in protobuf's binary form.

Made by hostpy/protos/generate.py; do not edit.
"""

from __future__ import annotations

from typing import Final

FILES: Final = (
'''


def text() -> str:
    protos = sorted(str(path.relative_to(HERE)) for path in HERE.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "set"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE}", f"--descriptor_set_out={found}", *protos]
        subprocess.run(command, check=True)
        files = FileDescriptorSet.FromString(found.read_bytes()).file
    return HEADER + "".join(f"    {file.SerializeToString(deterministic=True)!r},  # {file.name}\n" for file in files) + ")\n"


def main() -> None:
    fresh = text()
    if sys.argv[1:] != ["--check"]:
        TARGET.write_text(fresh)
    elif not TARGET.exists() or TARGET.read_text() != fresh:
        sys.exit(f"generate: {TARGET.name} is stale: run 'make generate'")


if __name__ == "__main__":
    main()
