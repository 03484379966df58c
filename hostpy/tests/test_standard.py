"""Health and reflection by the other message runtime: their tests once more, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def test_health_and_reflection_by_protobuf_py() -> None:
    configured = ["-c", str(HERE.parent / "pyproject.toml"), "-p", "no:cacheprovider", "-p", "without_google"]
    tests = [str(HERE / name) for name in ("test_health.py", "test_reflection.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *configured, *tests],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
