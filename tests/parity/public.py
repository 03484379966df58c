"""The public names of a package, with their signatures: `python public.py PACKAGE` prints them as JSON.

Run in an environment that has the official package, with all that its extras add, this made connectrpc.json:

    pip install 'connectrpc==0.13.0' brotli zstandard
    python tests/parity/public.py connectrpc > tests/parity/connectrpc.json
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterator
from types import UnionType
from typing import Any

SPECIAL = ("__aenter__", "__aexit__", "__call__", "__enter__", "__exit__", "__getitem__", "__init__", "__iter__", "__len__")
CALLED = ("__call__", "__init__")  # of these, what a program itself gives arguments to


def modules(package: str) -> Iterator[str]:
    yield package
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if not any(part.startswith("_") for part in found.name.split(".")):
            yield found.name


def names(module: Any) -> list[str]:
    """What a module offers: what it lists, or what it has that is its own."""
    listed = getattr(module, "__all__", None)
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    return sorted(own if listed is None else listed)


class Some:
    """A default that is an object of the package."""

    def __repr__(self) -> str:
        return "..."


def parameters(function: Any) -> str | None:
    """What may be given, without types; None for what has no signature."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    plain = [each.replace(annotation=each.empty, default=default(each.default)) for each in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))[1:-1]


def default(value: Any) -> Any:
    known = value is inspect.Parameter.empty or value is None or isinstance(value, (bool, int, float, str, tuple))
    return value if known else Some()


def described(value: Any) -> Any:
    if inspect.isclass(value):
        return {name: described_member(value, name) for name in dir(value) if not name.startswith("_") or name in SPECIAL}
    if callable(value) and not isinstance(value, UnionType):
        return parameters(value)
    return type(value).__name__ if isinstance(value, (int, str)) else "value"


def described_member(kind: type, name: str) -> Any:
    value = inspect.getattr_static(kind, name)
    if name.startswith("_") and name not in CALLED:
        return "value"
    return described(value.__func__ if isinstance(value, (classmethod, staticmethod)) else value)


def public(package: str) -> dict[str, Any]:
    """The package's modules, without its own name before them."""
    found = {}
    for name in modules(package):
        module = importlib.import_module(name)
        found[name.removeprefix(package).removeprefix(".")] = {each: described(getattr(module, each)) for each in names(module)}
    return found


if __name__ == "__main__":
    json.dump(public(sys.argv[1]), sys.stdout, indent=1, sort_keys=True)
    print()
