"""Runs a part of the package's tests with the oldest versions of what it depends on, those of its floors, and with the newest.

    python versions.py [oldest|newest]

What only tests use is there as pinned, so that what is seen is the package's. Environments are kept in .cache/versions.
"""

from __future__ import annotations

import os
import subprocess
import sys

from environments import CONSTRAINTS, HOSTPY, ROOT, UV, extras, uv

CACHE = ROOT / ".cache/versions"
RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}
# The oldest compiler that is for protobuf 6.30: generated code is never newer than its runtime.
COMPILERS = {
    "oldest": ["grpcio-tools==1.72.0", "googleapis-common-protos==1.70.0"],
    "newest": ["grpcio-tools", "googleapis-common-protos", "grpcio-reflection"],
}
TOOLS = {
    *("brotli", "buf-bin", "cryptography", "h2", "httptools", "hypercorn", "pytest", "pytest-asyncio", "uvicorn", "uvloop"),
    "zstandard",
}
TESTS = (
    *("test_asgi", "test_wsgi", "test_server_unary", "test_server_stream", "test_server_options", "test_interceptors"),
    *("test_client_calls", "test_client_streams", "test_http_transport", "test_http_transport_sync", "test_httpx_transport"),
    *("test_transport_contract", "test_codec", "test_codec_json", "test_errors", "test_headers", "test_health"),
    *("test_module", "test_instance", "test_pool", "test_cache", "test_codings", "test_cli_core", "test_cli_call"),
    *("test_plugin", "test_standard", "test_testing"),
)
# What the oldest compiler does not know; a server that is newer than the oldest runtime; extensions of a pool of one's own in
# JSON, which Google's parser finds since 6.33.
TOO_NEW = "edition and 2024 or reflection_of_grpcio or extensions_of_google"


def pinned() -> list[str]:
    """What tests use, at the versions that they are run with."""
    return [line for line in CONSTRAINTS.read_text().splitlines() if line.partition("==")[0] in TOOLS]


def run(which: str) -> bool:
    """Make the environment, and run the tests in it; whether they pass."""
    folder = CACHE / which
    uv("venv", "--quiet", "--clear", folder)
    python = str(folder / "bin/python")
    package = f"{HOSTPY}[{','.join(extras())}]"
    install = [str(UV), "pip", "install", "--quiet", "--python", python, "--resolution", RESOLUTIONS[which]]
    subprocess.run([*install, "-e", package, "protoc-gen-py>=0.7", *COMPILERS[which], *pinned()], check=True)
    subprocess.run([UV, "pip", "list", "--quiet", "--python", python], check=True)
    tests = [f"hostpy/tests/{name}.py" for name in TESTS]
    environment = {**os.environ, "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])}
    command = [python, "-m", "pytest", "-c", "hostpy/pyproject.toml", "--rootdir=.", "-p", "no:cacheprovider", *tests]
    if which == "oldest":
        command += ["-k", f"not ({TOO_NEW})"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def main() -> None:
    """Run with what is asked for, or with both."""
    failed = [which for which in sys.argv[1:] or RESOLUTIONS if not run(which)]
    if failed:
        sys.exit(f"versions: the tests fail with the {' and the '.join(failed)}")


if __name__ == "__main__":
    main()
