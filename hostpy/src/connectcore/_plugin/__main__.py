"""The console script: a request on standard input, a response on standard output."""

from __future__ import annotations

import sys

from connectcore._version import __version__

__all__ = ["main", "main_official"]

_USAGE = f"""\
protoc-gen-connectcore {__version__}: a plugin of protoc and buf, which start it themselves.

    protoc --plugin=protoc-gen-connectcore=PATH --connectcore_out=DIR --connectcore_opt=OPTIONS FILE.proto

OPTIONS, separated by commas:
    messages=google|protobuf-py          whose message classes: protoc's --python_out (the default), or protoc-gen-py's
    io=both|async|sync                   code for asyncio, for threads, or for both (the default)
    imports=auto|absolute|relative       how message modules are imported
    package=FILE.proto=PACKAGE           where modules lie that are not in this output; DIRECTORY/=PACKAGE for many
    name=FULL_NAME=NAME                  the name in Python of a service (a.v1.Service) or a method (a.v1.Service.Method)

Those of protoc-gen-connectrpc do what they do there: protobuf=google|py, io=async|sync, map_imports=PATTERN:PACKAGE,
no_fmt_off, escape_module_with_hash. protoc-gen-connectcore-py is this plugin with what protoc-gen-connectrpc does if not told
otherwise: the messages of protobuf-py, and files *_connect.py.
"""


def main(*, official: bool = False) -> int:
    """Run the plugin; gives the exit status."""
    if len(sys.argv) > 1:
        known = sys.argv[1:] in (["--help"], ["-h"], ["--version"])
        print(__version__ if sys.argv[1:] == ["--version"] else _USAGE, file=sys.stdout if known else sys.stderr, end="\n")
        return 0 if known else 2
    if sys.stdin.isatty():
        print(_USAGE, file=sys.stderr)
        return 2

    from ._problem import ProblemError
    from ._run import run

    try:
        response = run(sys.stdin.buffer.read(), official=official)
    except ProblemError as problem:
        print(f"protoc-gen-connectcore: {problem}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(response)
    sys.stdout.buffer.flush()
    return 0


def main_official() -> int:
    """Run the plugin with the defaults of `protoc-gen-connectrpc`."""
    return main(official=True)


if __name__ == "__main__":
    sys.exit(main())
