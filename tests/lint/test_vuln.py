"""The look for vulnerabilities fails where something is found, and says so where nothing could be looked up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vuln


def test_a_database_is_written_from_entries(tmp_path: Path) -> None:
    entries, folder = tmp_path / "osv", tmp_path / "database"
    entries.mkdir()
    folder.mkdir()
    affected = [{"package": {"name": "stdlib"}}, {"package": {"name": "stdlib"}}, {"package": {"name": "a.example/b"}}]
    entry = {"id": "GO-2026-0001", "modified": "2026-01-02T00:00:00Z", "affected": affected}
    (entries / "GO-2026-0001.json").write_text(json.dumps(entry))
    assert vuln.written(entries, folder) == 1
    assert json.loads((folder / "ID/GO-2026-0001.json").read_text()) == entry
    about = {"id": "GO-2026-0001", "modified": "2026-01-02T00:00:00Z"}
    modules = [{"path": "a.example/b", "vulns": [about]}, {"path": "stdlib", "vulns": [about]}]
    assert json.loads((folder / "index/modules.json").read_text()) == modules
    assert json.loads((folder / "index/db.json").read_text()) == {"modified": "2026-01-02T00:00:00Z"}


@pytest.mark.parametrize(("govulncheck", "in_ci", "elsewhere"), [(0, 0, 0), (3, 1, 1), (1, 0, 2)])
def test_what_is_found_fails_and_what_cannot_be_asked_is_told(
    govulncheck: int, in_ci: int, elsewhere: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: list[str], **_: str) -> tuple[int, str]:
        return (0 if command[0] == "go" else govulncheck), "said"

    monkeypatch.setattr(vuln, "run", run)
    monkeypatch.setattr(vuln, "reachable", lambda: True)
    monkeypatch.setattr("sys.argv", ["vuln.py"])
    monkeypatch.setenv("CI", "true")
    assert vuln.main() == in_ci
    monkeypatch.delenv("CI")
    assert vuln.main() == elsewhere
    assert ("NOTHING WAS CHECKED" in capsys.readouterr().out) == (govulncheck == 1)
