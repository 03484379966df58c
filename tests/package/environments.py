"""The package as users install it: built by the backend of its own, in virtual environments with nothing else in them."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOSTPY = ROOT / "hostpy"
CONSTRAINTS = ROOT / "tests/constraints.txt"
UV = Path(sys.executable).with_name("uv")
LONGEST = 300  # seconds that a command may take, with all that it may have to download


def extras() -> dict[str, list[str]]:
    """What the package's extras bring, but for the one that is for working on it."""
    project = tomllib.loads((HOSTPY / "pyproject.toml").read_text())["project"]
    return {name: wanted for name, wanted in project["optional-dependencies"].items() if name != "dev"}


def build(folder: Path, *options: str, source: Path = HOSTPY) -> None:
    """Build the package into a folder; without options an sdist, and from that a wheel."""
    uv("build", "--quiet", "--out-dir", folder, *options, source)


def uv(*arguments: str | Path) -> None:
    command: list[str | Path] = [UV, *arguments[:1], "--python", sys.executable, *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


class Environment:
    """A virtual environment. What runs in it sees its programs alone: no Go, no compiler, no source tree.

    Args:
        folder: where it is made.
        wanted: what is installed, at the versions that the tests are run with.

    """

    def __init__(self, folder: Path, *wanted: str | Path) -> None:
        self.bin = folder / "bin"
        uv("venv", "--quiet", folder)
        command: list[str | Path] = [
            UV,
            "pip",
            "install",
            "--quiet",
            "--python",
            self.bin / "python",
            "-c",
            CONSTRAINTS,
            *wanted,
        ]
        subprocess.run(command, check=True, timeout=LONGEST)
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        self.variables = {**kept, "PATH": str(self.bin)}

    def run(self, *command: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run one of its programs."""
        return subprocess.run(
            command, cwd=folder, env=self.variables, capture_output=True, text=True, timeout=LONGEST, check=False
        )

    def python(self, program: str, folder: Path | None = None) -> str:
        """Run Python code, which must succeed; gives what it printed."""
        done = self.run("python", "-c", program, folder=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout
