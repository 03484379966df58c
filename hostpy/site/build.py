"""Builds the documentation's site: `python build.py FOLDER` puts it there. Fails where a link leads nowhere.

The pages are those in `docs`, and the files of the repository in `PAGES`. They link to other files of it, too, of which the
site has copies.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DOCS = ROOT / "hostpy/docs"
PAGES = {"hostpy/README.md": "package.md", "wasm/ABI.md": "abi.md", "core/RULES.md": "rules.md"}
LINK = re.compile(r"(?<=\]\()(?!\w+:)([^)#\s]+)(?=[)#])")


def pages() -> dict[str, Path]:
    """The pages' sources, by their names in the site."""
    return {path.name: path for path in sorted(DOCS.glob("*.md"))} | {page: ROOT / name for name, page in PAGES.items()}


def target(link: str, source: Path) -> tuple[str, Path | None]:
    """Where a link of a page leads in the site, and the file to be copied there. Dead ones stay as they are."""
    path = (source.parent / link).resolve()
    if path.parent == DOCS and path.suffix == ".md":
        return path.name, None
    if not path.exists() or not path.is_relative_to(ROOT):
        return link, None
    inside = path.relative_to(ROOT).as_posix()
    if inside in PAGES:
        return PAGES[inside], None
    return f"files/{inside}.txt", path  # as text, so that browsers show it


def shown(path: Path) -> str:
    """A file's text, or what is in a folder."""
    return "\n".join(sorted(each.name for each in path.iterdir())) if path.is_dir() else path.read_text()


def named(nav: Any) -> Iterator[str]:
    """The pages that the site's navigation has."""
    for each in nav.values() if isinstance(nav, dict) else nav:
        if isinstance(each, str):
            yield each
        else:
            yield from named(each)


def prepare(folder: Path) -> None:
    """Write what the site is built from. Raises ValueError where a page is not in the navigation."""
    missing = set(pages()) - set(named(tomllib.loads((HERE / "zensical.toml").read_text())["project"]["nav"]))
    if missing:
        raise ValueError(f"zensical.toml does not say where these pages are: {', '.join(sorted(missing))}")
    for name, source in pages().items():
        text = source.read_text()
        for link in set(LINK.findall(text)):
            where, copied = target(link, source)
            text = re.sub(rf"(?<=\]\(){re.escape(link)}(?=[)#])", where, text)
            if copied is not None:
                (folder / "docs" / where).parent.mkdir(parents=True, exist_ok=True)
                (folder / "docs" / where).write_text(shown(copied))
        (folder / "docs").mkdir(exist_ok=True)
        (folder / "docs" / name).write_text(text)
    shutil.copy(HERE / "zensical.toml", folder)


def main(site: Path) -> int:
    """Build; gives the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder)
        command = [sys.executable, "-m", "zensical", "build", "--strict"]
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
        if done.returncode:
            # Its last lines are a traceback of its own.
            print(done.stdout, done.stderr.partition("Traceback (most recent call last)")[0], sep="\n", file=sys.stderr)
            return 1
        shutil.rmtree(site, ignore_errors=True)
        shutil.copytree(folder / "site", site)
    print(f"the site is in {site}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
