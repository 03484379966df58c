"""The options that protoc and buf pass on (`--connectcore_opt=`, or `opt:` in `buf.gen.yaml`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ._problem import ProblemError

__all__ = ["Imports", "Messages", "Options"]


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


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    messages: Messages = Messages.GOOGLE
    imports: Imports = Imports.AUTO
    packages: tuple[tuple[str, str], ...] = ()
    """Pairs of a `.proto` file, or a directory with a slash at its end, and the package that its modules lie in."""

    @staticmethod
    def parse(parameter: str) -> Options:
        """Read the request's parameter: `key=value`, separated by commas.

        Raises:
            ProblemError: an unknown option or value, or one given twice.

        """
        seen: dict[str, str] = {}
        packages: list[tuple[str, str]] = []
        for part in filter(None, (part.strip() for part in parameter.split(","))):
            key, equals, value = part.partition("=")
            if key == "package" and equals:
                packages.append(_package(value))
                continue
            if key not in _VALUES:
                raise ProblemError(f"unknown option {key!r}; {_HELP}")
            if key in seen and seen[key] != value:
                raise ProblemError(f"option {key!r} is given twice, as {seen[key]!r} and as {value!r}")
            if value not in _VALUES[key]:
                raise ProblemError(f"option {key!r} is {' or '.join(_VALUES[key])}, not {value!r}")
            seen[key] = value
        return Options(
            messages=Messages(seen.get("messages", Messages.GOOGLE.value)),
            imports=Imports(seen.get("imports", Imports.AUTO.value)),
            packages=tuple(packages),
        )


_VALUES = {
    "messages": [value.value for value in Messages],
    "imports": [value.value for value in Imports],
}
_HELP = (
    "the options are messages=google|protobuf-py, imports=auto|absolute|relative and "
    "package=<.proto file or directory/>=<Python package>"
)


def _package(value: str) -> tuple[str, str]:
    pattern, separator, package = value.partition("=")
    wrong = [part for part in package.split(".") if not part.isidentifier()] if package else []
    if not pattern or not separator or wrong or not pattern.endswith(("/", ".proto")):
        raise ProblemError(
            f"option 'package' has the form package=<.proto file or directory/>=<Python package>, such as "
            f"package=google/rpc/=my_types, not {value!r}; an empty package stands for the root of sys.path"
        )
    return pattern, package
