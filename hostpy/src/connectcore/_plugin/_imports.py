"""Which message modules a generated file imports, how, and under which names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _names
from ._options import Imports, Messages
from ._problem import ProblemError

if TYPE_CHECKING:
    from ._options import Options

__all__ = ["Import", "MessageModules"]

# Each runtime ships the well-known types' modules itself.
_WELL_KNOWN = "google/protobuf/"


@dataclass(frozen=True, slots=True, order=True)
class Import:
    """`from <package> import <module> as <alias>`; without a package `import <module> as <alias>`."""

    package: str
    """May be relative, with dots as Python has them."""
    module: str
    alias: str
    anywhere: bool = False
    """Whether the import is to work with `.` for its package and without one: `package` is what type checkers see."""


class MessageModules:
    """The message modules that one file's services use, each under a name that no other has."""

    def __init__(self, proto_file: str, options: Options) -> None:
        """Start with none.

        Args:
            proto_file: the file whose services are generated.
            options: what was asked for.

        """
        self._proto_file = proto_file
        self._options = options
        self._google = options.messages is Messages.GOOGLE
        self._imports: dict[str, Import] = {}
        self.from_root: str = ""
        """A file whose code is found relatively to the root of the output, which must therefore lie in a package."""

    def use(self, proto_file: str) -> str:
        """The name under which the code of this file's messages is imported.

        Raises:
            ProblemError: Python cannot write the import.

        """
        if proto_file not in self._imports:
            package, module = self._locate(proto_file)
            alias = f"_{module}"
            aliases = {known.alias for known in self._imports.values()}
            if alias in aliases:
                # Two directories have a file of this name: the whole path tells them apart.
                alias = f"_{'_'.join(self._path(proto_file)[:-1])}_{module}"
            while alias in aliases:
                alias += "_"
            # At the root, a file's own messages are beside its services, whether that is a package or not.
            anywhere = proto_file == self._proto_file and self._options.imports is Imports.AUTO and package in ("", ".")
            self._imports[proto_file] = Import(package, module, alias, anywhere and len(self._path(proto_file)) == 1)
        return self._imports[proto_file].alias

    def imports(self) -> list[Import]:
        """All imports, in the order in which they are written."""
        return sorted(self._imports.values())

    def _path(self, proto_file: str) -> _names.ModulePath:
        return _names.module(proto_file, self._options)

    def _locate(self, proto_file: str) -> tuple[str, str]:
        """The package to import from, which may be relative or empty, and the module's name."""
        *directory, name = self._path(proto_file)
        module = name + ("_pb2" if self._google else "_pb")
        own = list(self._path(self._proto_file)[:-1])
        package: list[str]
        well_known = proto_file.startswith(_WELL_KNOWN)
        if (given := self._given_package(proto_file, well_known=well_known)) is not None:
            package, relative = [*given, *directory], False
        elif well_known:
            package, relative = [*([] if self._google else ["protobuf", "wkt"]), *directory], False
        else:
            package, relative = directory, self._relative(directory == own, bool(directory))
        dots = ""
        if relative:
            while package[: len(own)] != own:
                own.pop()
                dots += "."
            package = package[len(own) :]
            dots += "."
            if not own and proto_file != self._proto_file and self._options.imports is Imports.AUTO:
                self.from_root = proto_file
        wrong = [part for part in (*package, module) if _names.unwritable(part)]
        if wrong:
            hint = "rename it"
            if self._google:
                hint += ", or generate with imports=relative or messages=protobuf-py"
            raise ProblemError(
                f"{self._proto_file}: Python cannot import the code of {proto_file}, because {wrong[0]!r} in its path is no "
                f"name in Python; {hint}"
            )
        return dots + ".".join(package), module

    def _given_package(self, proto_file: str, *, well_known: bool) -> list[str] | None:
        for place in self._options.places:
            if place.files.fullmatch(proto_file) and (place.well_known or not well_known):
                return place.package.split(".") if place.package else []
        return None

    def _relative(self, same_directory: bool, in_directory: bool) -> bool:
        if self._options.imports is not Imports.AUTO:
            return self._options.imports is Imports.RELATIVE
        # At the root there is no package to be relative to, unless the runtime's own modules want one anyway.
        return not self._google or (same_directory and in_directory)
