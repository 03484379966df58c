"""hostpy/docs/generating.md says what is true: its buf.gen.yaml works, the options that it lists are those that there are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from connectcore._plugin import _options

from test_readme import ROOT, clean, environment, programs, python, start

PAGE = (ROOT / "hostpy/docs/generating.md").read_text()
TEMPLATES: dict[str, str] = {
    (name or "google"): text
    for name, text in re.findall(r"^```yaml\n# buf\.gen\.yaml(?:, for (\S+))?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}


def buf(folder: Path, template: str) -> None:
    (folder / "buf.gen.yaml").write_text(template)
    # What lies about in an environment is none of its business.
    (folder / ".venv").mkdir(exist_ok=True)
    (folder / ".venv/broken.proto").write_text("nothing that compiles")
    done = subprocess.run(["buf", "generate"], cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def generated(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (folder / "greet/v1").iterdir() if path.suffix in (".py", ".pyi")}


def test_buf_makes_what_protoc_makes(tmp_path: Path) -> None:
    by_buf, by_protoc = clean(tmp_path / "buf"), clean(tmp_path / "protoc")
    buf(by_buf, TEMPLATES["google"])
    subprocess.run(["bash", "-c", start()[1]], cwd=by_protoc, env=environment(), check=True, timeout=60)
    one, other = generated(by_buf), generated(by_protoc)
    assert one.keys() == other.keys() == {"greet_connectcore.py", "greet_pb2.py", "greet_pb2.pyi"}
    # buf describes each field's name in JSON, too, which is in the messages' code.
    assert [name for name in one if one[name] != other[name]] in ([], ["greet_pb2.py"])


IN_PROCESS = """
from connectcore.transport import ASGITransport
from greet.v1.{stem} import GreetServiceClient
import asyncio
import server

async def main():
    async with GreetServiceClient("http://greet", http_client=ASGITransport(server.app)) as client:
        print((await client.greet(server.greet_pb.GreetRequest(name="buf"))).greeting)

asyncio.run(main())
"""


@pytest.mark.parametrize("plugin", ["connectcore", "connectcore-py"])
def test_buf_with_the_other_messages(plugin: str, tmp_path: Path) -> None:
    """Also under the name that takes the official plugin's place, which then needs no options."""
    template = TEMPLATES["protobuf-py"]
    stem = "greet_connectcore"
    if plugin == "connectcore-py":
        template = template.replace("protoc-gen-connectcore", "protoc-gen-connectcore-py").replace(
            "    opt: messages=protobuf-py\n", ""
        )
        stem = "greet_connect"
    buf(clean(tmp_path), template)
    text = programs()["server.py"].replace("greet_pb2", "greet_pb").replace("greet_connectcore", stem)
    (tmp_path / "server.py").write_text(text + "\nfrom greet.v1 import greet_pb\n")
    (tmp_path / "call.py").write_text(IN_PROCESS.format(stem=stem))
    assert python(tmp_path, "call.py") == ["Hello, buf!"]


def test_options_are_those_that_there_are() -> None:
    listed = set(re.findall(r"^\| `(\w+)=", PAGE, re.MULTILINE))
    official = {"protobuf", "no_fmt_off", "escape_module_with_hash", "map_imports"}
    assert listed | official == {*_options._CHOICES, *_options._PLACES, "name"}
    assert all(f"`{name}" in PAGE for name in official)
