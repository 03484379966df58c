"""Docstrings from comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["docstring"]


def docstring(comment: str, indent: str) -> Iterator[str]:
    """The lines of a docstring that says what the comment says; none if it says nothing.

    Args:
        comment: the text as it is in the `.proto` file, after `//`.
        indent: what stands before each line.

    """
    # Of `/** text */` protoc leaves the second star. Only line feeds end lines: what Python takes for their ends is text here.
    lines = [line.rstrip().removeprefix(" ") for line in comment.removeprefix("*").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    if not lines:
        return
    if len(lines) == 1:
        line = lines[0]
        # A quote at the end would run into the closing ones.
        text = _escape(line[:-1]) + '\\"' if line.endswith('"') else _escape(line)
        yield f'{indent}"""{text}"""'
        return
    yield f'{indent}"""{_escape(lines[0])}'
    for line in lines[1:]:
        yield f"{indent}{_escape(line)}" if line else ""
    yield f'{indent}"""'


def _escape(line: str) -> str:
    line = line.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    # A control character in source is invisible at best, and a NUL is a syntax error.
    return "".join(char if char.isprintable() or char == "\t" else f"\\U{ord(char):08x}" for char in line)
