"""Every public name of the official package is here, under the same module's name, and takes what it takes there.

What differs on purpose is in `DIFFERENT`, each with its reason; an entry that differs no more is an error, too.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from public import public

OFFICIAL = json.loads((Path(__file__).parent / "connectrpc.json").read_text())

PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
ANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

DIFFERENT = {
    "client.ConnectClient.__init__: send_compression": "a client does not know what the server understands",
    "client.ConnectClientSync.__init__: send_compression": "the same",
    "client.ConnectClient.__init__: read_max_bytes": "limits are on by default, in clients too",
    "client.ConnectClientSync.__init__: read_max_bytes": "the same",
    "compression.gzip.GzipCompression.__init__: level": "6 takes a fourth to a half longer, for some percent",
    "server.Endpoint.__init__: function": "endpoints are made by the class's four functions",
    "server.EndpointSync.__init__: function": "the same",
}


def differences(official: Any, ours: Any, name: str) -> Iterator[str]:
    """What a program that is right with the official package may find wrong here, each behind where it is."""
    if isinstance(official, dict):
        if not isinstance(ours, dict):
            yield f"{name}: is no class"
            return
        for each, value in official.items():
            inner = f"{name}.{each}" if name else each
            if each in ours:
                yield from differences(value, ours[each], inner)
            else:
                yield f"{inner}: is missing"
    elif official in ("value", "int", "str", None):
        if ours != official and official in ("int", "str"):
            yield f"{name}: is no {official}"
    elif ours in (None, "value"):
        yield f"{name}: cannot be called"
    else:
        yield from (f"{name}: {problem}" for problem in taken(official, ours))


def signature(text: str) -> dict[str, inspect.Parameter]:
    found: Any = eval(f"lambda {text}: None")
    return dict(inspect.signature(found).parameters)


def taken(official: str, ours: str) -> Iterator[str]:
    """What differs for who calls it, each behind the parameter's name."""
    theirs, mine = signature(official), signature(ours)
    wanted, given = ([name for name, each in found.items() if each.kind in PLACED] for found in (theirs, mine))
    if {*wanted} <= {*given} and given[: len(wanted)] != wanted:
        yield f"{', '.join(given)} stand at other places"
    for name, parameter in theirs.items():
        if parameter.kind in ANY:
            continue
        here = mine.pop(name, None)
        if here is None:
            yield f"{name} is not taken"
        elif here.kind is not parameter.kind and here.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            yield f"{name} is {here.kind.description}"
        elif here.default != parameter.default and parameter.default is not parameter.empty:
            yield f"{name} is {here.default} if not given"
    for name, parameter in mine.items():
        if parameter.default is parameter.empty and parameter.kind not in ANY:
            yield f"{name} must be given"


def test_every_public_name_of_the_official_package_is_here() -> None:
    found = [*differences(OFFICIAL, public("connectcore"), "")]
    unexpected = [line for line in found if not line.startswith(tuple(DIFFERENT))]
    assert not unexpected, "\n".join(unexpected)
    assert not [name for name in DIFFERENT if not any(line.startswith(name) for line in found)]


def test_differences_are_found() -> None:
    official = {"m": {"C": {"f": "self, a, *, b=None", "g": "self, a, b", "x": "value"}, "N": "int"}}
    ours = {"m": {"C": {"f": "self, c, *, b=1", "g": "self, b, a"}, "N": "str"}}
    assert [*differences(official, ours, "")] == [
        "m.C.f: a is not taken",
        "m.C.f: b is 1 if not given",
        "m.C.f: c must be given",
        "m.C.g: self, b, a stand at other places",
        "m.C.x: is missing",
        "m.N: is no int",
    ]
    assert not [*differences(official, official, "")]
