"""The manifest examples/kubernetes.yaml: its command serves, and its probes, asked as Kubernetes asks, hear that it does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ports import take_port
from proxies import until_listening
from tools import run

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "hostpy/examples"
DEPLOYMENT, SERVICE = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text())
[CONTAINER] = DEPLOYMENT["spec"]["template"]["spec"]["containers"]
PROBES = [CONTAINER[name] for name in ("startupProbe", "readinessProbe", "livenessProbe")]


def programs(page: Path) -> dict[str, str]:
    return dict(re.findall(r"^```python\n# (\w+\.py).*?\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The container's command on this machine, with the programs of the page that the manifest speaks of."""
    folder = tmp_path_factory.mktemp("container")
    for page in (ROOT / "README.md", ROOT / "hostpy/docs/services.md"):
        for name, text in programs(page).items():
            (folder / name).write_text(text)
    port = take_port("127.0.0.1")
    command = [{"0.0.0.0": "127.0.0.1", "8000": str(port)}.get(word, word) for word in CONTAINER["command"]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(EXAMPLES)])}
    with subprocess.Popen([sys.executable, "-m", *command], env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            until_listening(port)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.mark.parametrize("probe", PROBES)
def test_probes_hear_that_it_serves(probe: Any, address: str) -> None:
    assert probe["grpc"]["port"] == 8000
    service = probe["grpc"].get("service", "")
    done = run("grpc-health-probe", f"-addr={address}", f"-service={service}", "-connect-timeout=20s")
    assert (done.returncode, done.stderr.strip()) == (0, "status: SERVING")


def test_the_parts_fit_together() -> None:
    template = DEPLOYMENT["spec"]["template"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"] == SERVICE["spec"]["selector"]
    [port] = CONTAINER["ports"]
    assert CONTAINER["command"][CONTAINER["command"].index("--port") + 1] == str(port["containerPort"])
    assert [each["targetPort"] for each in SERVICE["spec"]["ports"]] == [port["name"]]
    grace = int(CONTAINER["command"][CONTAINER["command"].index("--timeout-graceful-shutdown") + 1])
    pause = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert template["spec"]["terminationGracePeriodSeconds"] > grace + pause
