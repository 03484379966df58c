"""Makes the suite's messages: its `.proto` files come out of its Go module, and protoc turns them into `gen`.

`ensure` does that if it has not been done; entry points call it before they import the messages.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GEN = HERE / "gen"
MODULE = "connectrpc.com/conformance@v1.0.7"
STAMP = GEN / f".{MODULE.rpartition('@')[2]}-described"


def ensure() -> None:
    """Make `gen` if it is missing or of another version, and let it be imported from."""
    if not STAMP.exists():
        GEN.mkdir(exist_ok=True)
        with open(GEN / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a server may start several processes at once
            if not STAMP.exists():
                generate()
                STAMP.touch()
    if str(GEN) not in sys.path:
        sys.path.insert(0, str(GEN))


def generate() -> None:
    """Run protoc. Raises CalledProcessError."""
    import grpc_tools

    found = subprocess.run(["go", "mod", "download", "-json", MODULE], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    protos = Path(json.loads(found.stdout)["Dir"]) / "proto"
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc"),
            *(f"-I{protos}", f"-I{well_known}"),
            *(f"--descriptor_set_out={GEN / 'suite.binpb'}", "--include_imports"),  # for programs that generate no code
            *(f"--python_out={GEN}", f"--pyi_out={GEN}", f"--connectcore_out={GEN}"),
            f"--plugin=protoc-gen-connectcore={Path(sys.executable).with_name('protoc-gen-connectcore')}",
            *sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto")),
        ],
        check=True,
        stdout=sys.stderr,  # an entry point speaks to the runner on its own standard output
    )


if __name__ == "__main__":
    ensure()
    print(GEN)
