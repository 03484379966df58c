"""The options that protoc and buf pass on (`--connectcore_opt=`, or `opt:` in `buf.gen.yaml`)."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from ._problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["IO", "Imports", "Messages", "Options", "Place"]


class Messages(Enum):
    """Which runtime's message classes the generated code uses."""

    GOOGLE = "google"
    """Google's `protobuf`: modules `*_pb2`, from protoc's `--python_out`."""

    PROTOBUF_PY = "protobuf-py"
    """`protobuf-py`: modules `*_pb`, from `protoc-gen-py`."""


class Imports(Enum):
    """How the generated code imports message modules."""

    AUTO = "auto"
    """As the runtime's own modules do: Google's import each other from the root of the output, `protobuf-py`'s relatively. A
    module in the same directory is imported relatively in both cases."""

    ABSOLUTE = "absolute"
    """From the root of the output, which must then be on `sys.path`."""

    RELATIVE = "relative"
    """Relatively, so that the whole output can lie inside a package."""


class IO(Enum):
    """Which code is generated for a service."""

    BOTH = "both"
    ASYNC = "async"
    """For asyncio: the service's protocol, its ASGI application, its client."""

    SYNC = "sync"
    """For threads: the same with `Sync` and WSGI in their names."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the modules of some `.proto` files lie."""

    files: re.Pattern[str]
    """Matches all of a file's path."""
    package: str
    """What stands before the path in Python; empty for none."""
    well_known: bool
    """Whether this also moves the messages that the runtimes bring themselves."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    messages: Messages = Messages.GOOGLE
    io: IO = IO.BOTH
    imports: Imports = Imports.AUTO
    places: tuple[Place, ...] = ()
    """The first that matches a file counts."""
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names in Python by full names of services and methods."""
    hashed_modules: bool = False
    """Whether `protoc-gen-py` adds a hash to the names of modules that it has to change."""
    format_off: bool = True
    """Whether formatters are told to leave the code alone."""
    suffix: str = "_connectcore"
    """What a generated module's name ends with."""

    @staticmethod
    def parse(parameter: str, *, official: bool = False) -> Options:
        """Read the request's parameter: `key=value`, separated by commas.

        Args:
            parameter: the text.
            official: whether what is not said is as with `protoc-gen-connectrpc`, whose options are known in any case.

        Raises:
            ProblemError: an unknown option or value, or one given twice.

        """
        seen: dict[str, tuple[str, str]] = {}
        places: list[Place] = []
        names: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in parameter.split(","))):
            key, equals, value = part.partition("=")
            if key in _PLACES and equals:
                places.append(_PLACES[key](value))
            elif key == "name" and equals:
                name, given = _name(value)
                if names.setdefault(name, given) != given:
                    raise ProblemError(f"option 'name' gives {name} two names, {names[name]!r} and {given!r}")
            else:
                _choose(seen, key, value if equals or key not in _FLAGS else "true")
        chosen = {option: value for option, (_, value) in seen.items()}
        by_default = Messages.PROTOBUF_PY if official else Messages.GOOGLE
        return Options(
            messages=Messages(chosen.get("messages", by_default.value)),
            io=IO(chosen.get("io", IO.BOTH.value)),
            imports=Imports(chosen.get("imports", Imports.AUTO.value)),
            places=tuple(places),
            names=names,
            hashed_modules=chosen.get("escape_module_with_hash") == "true",
            format_off=chosen.get("no_fmt_off") != "true",
            suffix="_connect" if official else "_connectcore",
        )


_BOOLEAN = {"true": "true", "false": "false"}
_FLAGS = ("no_fmt_off", "escape_module_with_hash")
# An option's own name, and what each of its values means. The official plugin ignores case, and says `protobuf`.
_CHOICES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "messages": ("messages", {each.value: each.value for each in Messages}),
    "protobuf": ("messages", {"google": Messages.GOOGLE.value, "py": Messages.PROTOBUF_PY.value}),
    "io": ("io", {each.value: each.value for each in IO}),
    "imports": ("imports", {each.value: each.value for each in Imports}),
    **{flag: (flag, _BOOLEAN) for flag in _FLAGS},
}
_HELP = (
    "the options are messages=google|protobuf-py, io=both|async|sync, imports=auto|absolute|relative, "
    "package=<.proto file or directory/>=<Python package>, name=<full name of a service or method>=<name in Python>, and those "
    "of protoc-gen-connectrpc: protobuf=google|py, io, map_imports=<pattern>:<Python package>, no_fmt_off and "
    "escape_module_with_hash"
)


def _choose(seen: dict[str, tuple[str, str]], key: str, value: str) -> None:
    if key not in _CHOICES:
        raise ProblemError(f"unknown option {key!r}; {_HELP}")
    option, values = _CHOICES[key]
    meant = values.get(value.lower())
    if meant is None:
        raise ProblemError(f"option {key!r} is {' or '.join(values)}, not {value!r}")
    said = f"{key}={value}"
    other, before = seen.setdefault(option, (said, meant))
    if before != meant:
        raise ProblemError(f"option {option!r} is given twice, as {other} and as {said}")


def _package(value: str) -> Place:
    files, separator, package = value.partition("=")
    if not files or not separator or not _is_package(package) or not files.endswith(("/", ".proto")):
        raise ProblemError(
            f"option 'package' has the form package=<.proto file or directory/>=<Python package>, such as "
            f"package=google/rpc/=my_types, not {value!r}; an empty package stands for the root of sys.path"
        )
    return Place(re.compile(re.escape(files) + (".*" if files.endswith("/") else "")), package, well_known=True)


def _map_imports(value: str) -> Place:
    """The official plugin's form: `*` stands for what has no slash, `**` for anything, `**/` for any directories."""
    pattern, separator, target = value.partition(":")
    package = target.removesuffix(".")
    if not pattern or not separator or not _is_package(package):
        raise ProblemError(
            f"option 'map_imports' has the form map_imports=<pattern>:<package>, such as "
            f"map_imports=google/rpc/:my_types or map_imports=**/*.proto:gen, not {value!r}; an empty package stands for the "
            "root of sys.path"
        )
    if pattern.endswith("/"):
        pattern += "**"
    wild = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*"}
    parts = re.split(r"(\*\*/|\*\*|\*)", pattern)
    return Place(re.compile("".join(wild.get(part, re.escape(part)) for part in parts)), package, well_known=False)


_PLACES: Mapping[str, Callable[[str], Place]] = {"package": _package, "map_imports": _map_imports}


def _is_package(package: str) -> bool:
    return not package or all(part.isidentifier() for part in package.split("."))


def _name(value: str) -> tuple[str, str]:
    full_name, separator, name = value.partition("=")
    if not full_name or not separator or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise ProblemError(
            f"option 'name' has the form name=<full name of a service or method>=<name in Python>, such as "
            f"name=greet.v1.GreetService.GetURL=get_url_upper, not {value!r}; a name in Python starts with no underscore here "
            "and is no keyword"
        )
    return full_name.removeprefix("."), name
