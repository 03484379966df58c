"""Puts what is only known when a wheel is built into its bill of materials: the version, and the hashes of the modules."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BillHook(BuildHookInterface[Any]):
    """hatchling looks for it here (pyproject.toml)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the whole bill, and have it taken into the wheel."""
        root = Path(self.root)
        bill = json.loads((root / "sbom/connectcore.cdx.json").read_text())
        bill["metadata"]["component"]["version"] = self.metadata.version
        for each in bill["components"]:
            if each["type"] == "file":
                digest = hashlib.sha256((root / "src" / each["name"]).read_bytes()).hexdigest()
                each["hashes"] = [{"alg": "SHA-256", "content": digest}]
        self._folder = tempfile.mkdtemp()
        path = Path(self._folder) / "connectcore.cdx.json"
        path.write_text(json.dumps(bill, indent=2) + "\n")
        build_data["sbom_files"].append(str(path))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel is there."""
        shutil.rmtree(self._folder)
