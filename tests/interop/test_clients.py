"""Unmodified clients against every server: connect-go, grpc-go, connect-es in Node, grpc-web's own client, grpcio; and this
project's Python clients against the servers of others.

Each test runs one client program against one server, with all cases that this pair can carry.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from cases import cases
from speech import HERE, Server, Speech, pairs


@pytest.mark.parametrize(("server", "speech"), pairs())
def test_client(server: Server, speech: Speech, url_of: Callable[[Server], str]) -> None:
    plan = list(cases(server, speech))
    asked = {"url": url_of(server), "speech": speech.options, "cases": [each.ask for each in plan]}
    done = subprocess.run(speech.command, cwd=HERE / "js", input=json.dumps(asked), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "secret" not in done.stdout
    got = json.loads(done.stdout)
    assert len(got) == len(plan)
    wrong = [
        f"{each.name}:\n  got  {brief(one)}\n  want {brief(each.want)}"
        for each, one in zip(plan, got, strict=True)
        if told(one, each.want) != each.want
    ]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def told(got: Any, want: Any) -> Any:
    """What came, without the counts that the case does not ask about."""
    if isinstance(got, list):
        return [told(one, each) for one, each in zip(got, want, strict=True)]
    return {key: value for key, value in got.items() if key in want}


def brief(value: Any) -> str:
    return re.sub(r"(\w{20})\w{60,}", r"\1...", str(value))
