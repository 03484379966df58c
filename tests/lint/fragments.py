"""Runs the Python of a page that has no file's name: `fragments.py PAGE ADDRESS`.

The blocks of a page go on from each other, and may wait at the top (`await`, `async with`, `async for`), as in
`python -m asyncio`. Calls go to ADDRESS in the place of the one that pages have. A print's comment is what it prints; where it
prints several lines, ` / ` is between them.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
import sys
from pathlib import Path
from typing import Any

SAID = "127.0.0.1:8000"
BLOCK = re.compile(r"^```python\n(?!# \w+\.py)(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^\s*print\(.*\)  # (.*)$", re.MULTILINE)


def printed(text: str) -> list[str]:
    """What the prints of a page say that they print."""
    return [line for comment in PRINTED.findall(text) for line in comment.split(" / ")]


async def run(page: Path, address: str) -> None:
    text = page.read_text()
    names: dict[str, Any] = {"__name__": "page"}
    output = io.StringIO()
    expected: list[str] = []
    for block in BLOCK.finditer(text):
        lines_before = text.count("\n", 0, block.start(1))
        source = "\n" * lines_before + block[1].replace(SAID, address)
        with contextlib.redirect_stdout(output):
            done = eval(compile(source, page.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            if inspect.isawaitable(done):
                await done
        expected += printed(block[1])
        said = output.getvalue().splitlines()
        assert said == expected, f"{page.name}, from line {lines_before}: it prints {said}, not {expected}"


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2]))
