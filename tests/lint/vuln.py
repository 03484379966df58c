"""Looks for known vulnerabilities in what the Go code uses: in the hosts and tests, and in what the modules are built from.

`vuln.py [--database DIR]`. govulncheck asks vuln.go.dev. DIR is used instead, a checkout of the database's own source (the
repository golang/vulndb, or its folder data/osv): so the check can be made where that host cannot be reached. Where there is no
database, the exit code is 2, and nothing was checked; with CI set that is said, and is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOL = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
# What is looked at: packages, and what they are built for.
LOOKED_AT: dict[str, tuple[list[str], dict[str, str]]] = {
    "all packages": (["./..."], {}),
    "the modules": (["./wasm", "./wasm/codings"], {"GOOS": "wasip1", "GOARCH": "wasm"}),
}
PATIENCE = 300  # seconds
DATABASE = "https://vuln.go.dev/index/db.json"


def written(entries: Path, folder: Path) -> int:
    """Write a database in the form that govulncheck reads, from entries of OSV: how many there are."""
    modules: dict[str, list[dict[str, str]]] = {}
    listed = []
    for name in ("index", "ID"):
        (folder / name).mkdir()
    for path in sorted(entries.glob("*.json")):
        entry = json.loads(path.read_text())
        about = {"id": entry["id"], "modified": entry["modified"]}
        listed.append(about)
        (folder / "ID" / path.name).write_text(json.dumps(entry))
        for name in {each["package"]["name"] for each in entry.get("affected", ())}:
            modules.setdefault(name, []).append(about)
    index = {
        "db": {"modified": max((each["modified"] for each in listed), default="0001-01-01T00:00:00Z")},
        "modules": [{"path": name, "vulns": about} for name, about in sorted(modules.items())],
        "vulns": listed,
    }
    for name, content in index.items():
        (folder / "index" / f"{name}.json").write_text(json.dumps(content))
    return len(listed)


def run(command: list[str], **environment: str) -> tuple[int, str]:
    """A command's exit code, and what it says."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer within {PATIENCE} s"
    return done.returncode, (done.stdout + done.stderr).strip()


def reachable() -> bool:
    """Whether there is a database to ask: govulncheck is not built for nothing."""
    try:
        with urllib.request.urlopen(DATABASE, timeout=20) as answer:
            return bool(json.load(answer))
    except (OSError, ValueError) as error:
        print(f"vuln: {DATABASE}: {error}")
        return False


def look(folder: Path, database: list[str]) -> int:
    """Look at everything: govulncheck's exit code (3: it has found something; 0: nothing; another: it could not look)."""
    code, said = run(["go", "install", TOOL], GOBIN=str(folder))
    if code:
        print(said)
    for what, (packages, built_for) in LOOKED_AT.items():
        if code == 0:
            code, said = run([str(folder / "govulncheck"), *database, *packages], **built_for)
            print(f"vuln: {what}: {said}", flush=True)
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", type=Path, metavar="DIR", help="a checkout of golang/vulndb")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = []
        if options.database:
            entries = next(
                (each for each in (options.database / "data/osv", options.database) if [*each.glob("GO-*.json")]), None
            )
            if entries is None:
                parser.error(f"no entries of OSV in {options.database}: is it a checkout of golang/vulndb?")
            print(f"vuln: {written(entries, Path(folder)):,} known vulnerabilities of Go code, in {entries}")
            database = ["-db", f"file://{folder}"]
        code = look(Path(folder), database) if database or reachable() else 1
    if code in {0, 3}:
        return int(code == 3)
    print("vuln: NOTHING WAS CHECKED: the database, or the tool itself, cannot be reached", flush=True)
    return 0 if os.environ.get("CI") else 2


if __name__ == "__main__":
    sys.exit(main())
