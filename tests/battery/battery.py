"""The reliability battery: what a server or client must come through. `battery.py [SECTION]...` plays it and writes report.md.

Each section runs in a process of its own: one that hangs or dies is a figure that has not passed. With `--short` each has a
smaller form, which the tests play, too.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

from figures import HERE, PLACES, Figure, Section

# Names of modules here, each with a function `figures`, and seconds that the section may take.
SECTIONS = {
    "bombs": ("Bombs", 900),
    "faults": ("Instances that fail", 300),
    "traps": ("Traps beside `faulthandler`", 120),
    "processes": ("Processes and threads", 400),
    "leaving": ("Resets and disconnects", 500),
    "slow": ("Slow peers", 120),
    "inside": ("What is inside stays inside", 120),
    "soak": ("Soak", 780),
}
# What a section's figures mean, where they do not say it themselves.
NOTES = {
    "leaving": """How long good calls take beside resets is compared with three things. A p99 is the median of several rounds.

- *The same bursts, answered*: as many calls, from the same peer, at the same pace, which the server answers instead. This is
  what is usual under load, on an ordinary busy day: good calls beside resets must take less than 3 times as long.
- *A server that does nothing else* (alone). A burst of 100 streams is 100 tasks in one turn of the server's event loop, and a
  good call that comes meanwhile waits for the turn's end. With smaller bursts of as many streams a second it waits for less.
  Server, peer and caller share the machine's cores, too: what a call waits for is told.
- *A bare application*: the same attack on an application that does nothing, under the same server. What good calls wait for
  there is the server's and the machine's, and not this library's."""
}
REPORT = HERE / "report.md"
SAID = {True: "pass", False: "**fail**", None: "-"}


def section(name: str) -> Section:
    found: Section = importlib.import_module(name).figures
    return found


def measured(name: str, *, whole: bool) -> list[Figure]:
    """The figures of one section, from a process of its own."""
    command = [sys.executable, __file__, "--here", name, *([] if whole else ["--short"])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(PLACES)}
    figures: list[Figure] = []
    seconds = SECTIONS[name][1]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            figures.append(Figure("the section ends", f"not within {seconds} s", "in time", False))
        log.seek(0)
        logged = log.read()
    lines = [line for line in said.splitlines() if line.startswith("{")]
    figures[:0] = [Figure(**json.loads(line)) for line in lines]
    if process.returncode > 0 or (process.returncode < 0 and not figures):
        figures.append(Figure("the section's process", f"exit code {process.returncode}", "exit code 0", False))
    if any(each.passed is False for each in figures):
        print(logged[-2_000:], file=sys.stderr)
    return figures


def here(name: str, *, whole: bool) -> None:
    """Play one section in this process, and print its figures."""
    for figure in section(name)(whole):
        print(json.dumps(dataclasses.asdict(figure)), flush=True)


def table(figures: list[Figure]) -> str:
    rows = ["| what | measured | wanted | |", "|---|---|---|---|"]
    rows += [f"| {each.what} | {each.measured} | {each.wanted} | {SAID[each.passed]} |".replace("\n", " ") for each in figures]
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all unless some are named")
    parser.add_argument("--short", action="store_true", help="a smaller form, which is not written down")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names: list[str] = options.sections or [*SECTIONS]
    if unknown := set(names) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    if options.here:
        here(names[0], whole=not options.short)
        return 0
    pages: dict[str, str] = {}
    for name in names:
        begun = time.monotonic()
        about = f"{NOTES[name]}\n\n" if name in NOTES else ""
        found = table(measured(name, whole=not options.short))
        pages[SECTIONS[name][0]] = f"{about}{found}\n\n{time.monotonic() - begun:.0f} s."
        print(f"## {SECTIONS[name][0]}\n\n{pages[SECTIONS[name][0]]}\n", flush=True)
    if not options.short:
        write(pages)
    failed = sum(page.count(SAID[False]) for page in pages.values())
    print(f"battery: {failed} failed" if failed else "battery: everything passed")
    return 1 if failed else 0


def write(pages: dict[str, str]) -> None:
    """Write the report: what was not played stays as it was."""
    before = REPORT.read_text().split("\n## ")[1:] if REPORT.exists() else []
    pages = {title: page.strip() for title, _, page in (each.partition("\n") for each in before)} | pages
    failed = sum(page.count(SAID[False]) for page in pages.values())
    about = f"`make battery` writes this page: {os.cpu_count()} cores, Python {platform.python_version()}, {failed} failed."
    ordered = [f"## {title}\n\n{pages[title]}" for title, _ in SECTIONS.values() if title in pages]
    REPORT.write_text("# What the battery found\n\n" + "\n\n".join([about, *ordered]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
