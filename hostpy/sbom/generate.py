"""Writes the package's bill of materials (CycloneDX) and the licenses of its parts; --check compares with what is there.

A wheel holds two binaries, the modules. The bill says what they are made of, which nobody can see in them:

    sbom/connectcore.cdx.json -> hook.py adds their hashes -> connectcore-*.dist-info/sboms/ (PEP 770)
    sbom/licenses.txt         -> connectcore-*.dist-info/licenses/
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BILL = HERE / "connectcore.cdx.json"
TEXTS = HERE / "licenses.txt"

# The modules, with the Go packages that they are built from.
BUILT = {"connectcore.wasm": "./wasm", "connectcore-codings.wasm": "./wasm/codings"}
STANDARD_LIBRARY = "std"
# Read in each module's LICENSE: a new one has to be read by a person.
LICENSES = {
    STANDARD_LIBRARY: "BSD-3-Clause",
    "github.com/andybalholm/brotli": "MIT",
    "github.com/golang/snappy": "BSD-3-Clause",
    "github.com/klauspost/compress": "Apache-2.0 AND BSD-3-Clause AND MIT",
}
CHANGED = {"github.com/andybalholm/brotli": "built from a changed copy: see wasm/codings/trim.sh"}


def go(*arguments: str) -> str:
    """What Go says, as the release that builds the modules, for what they are built for."""
    (release,) = re.findall(r"^toolchain (\S+)$", (ROOT / "go.mod").read_text(), re.MULTILINE)
    settings = {"GOOS": "wasip1", "GOARCH": "wasm", "CGO_ENABLED": "0", "GOTOOLCHAIN": release, "GOFLAGS": ""}
    command = ["go", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def linked(package: str) -> dict[str, tuple[str, str]]:
    """What a program links: by the Go module's name its version, and its directory."""
    form = "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}"
    lines = {line for line in go("list", "-deps", "-f", form, package).splitlines() if line}
    found = {name: (version, folder) for name, version, folder in (line.split("\t") for line in sorted(lines))}
    return {STANDARD_LIBRARY: (go("env", "GOVERSION").removeprefix("go"), go("env", "GOROOT")), **found}


def component(name: str, version: str) -> dict[str, Any]:
    """A Go module in the bill."""
    if name not in LICENSES:
        sys.exit(f"sbom: {name} is new in the modules: read its license, and write it into {Path(__file__).name}")
    purl = f"pkg:golang/{name}@{version}"
    described = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    described["licenses"] = [{"expression": LICENSES[name]}]
    if name in CHANGED:
        described["pedigree"] = {"notes": CHANGED[name]}
    return described


def bill(parts: dict[str, dict[str, tuple[str, str]]]) -> str:
    """The bill of materials, as JSON: the same text for the same modules."""
    purl = "pkg:pypi/connectcore"
    package: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": "connectcore", "purl": purl}
    package["licenses"] = [{"expression": "Apache-2.0"}]
    files = []
    tree = [{"ref": purl, "dependsOn": [f"connectcore/{name}" for name in parts]}]
    modules: dict[str, dict[str, Any]] = {}
    for name, found in parts.items():
        path = f"connectcore/{name}"
        files.append({"type": "file", "bom-ref": path, "name": path})
        own = [component(module, version) for module, (version, _) in found.items()]
        modules |= {each["bom-ref"]: each for each in own}
        tree.append({"ref": path, "dependsOn": [each["bom-ref"] for each in own]})
    said = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": package},
        "components": [*files, *modules.values()],
        "dependencies": tree,
    }
    return json.dumps(said, indent=2) + "\n"


def texts(parts: dict[str, dict[str, tuple[str, str]]]) -> str:
    """The licenses of all that the modules link, whole."""
    found = {name: where for part in parts.values() for name, where in part.items()}
    blocks = ["The modules in this package (*.wasm) are compiled from its own code and from these Go modules.\n"]
    for name, (version, folder) in sorted(found.items()):
        title = "The Go standard library" if name == STANDARD_LIBRARY else name
        blocks.append(f"{'=' * 80}\n{title} {version}\n{'=' * 80}\n\n{(Path(folder) / 'LICENSE').read_text().strip()}\n")
    return "\n".join(blocks)


def main() -> None:
    """Write both files, or compare them."""
    parts = {name: linked(package) for name, package in BUILT.items()}
    for path, fresh in ((BILL, bill(parts)), (TEXTS, texts(parts))):
        if sys.argv[1:] != ["--check"]:
            path.write_text(fresh)
        elif not path.exists() or path.read_text() != fresh:
            sys.exit(f"sbom: {path.name} is stale: run 'make generate'")


if __name__ == "__main__":
    main()
