"""The options that say where messages and methods are known from, and the schema that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from .problem import FAILED, ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .schema import Schema

__all__ = ["schema_from", "schema_options"]

_OPTIONS: Final = (
    click.option("--proto", multiple=True, metavar="FILE", help="A .proto file with the service, compiled on the fly."),
    click.option("-I", "--import-path", multiple=True, metavar="FOLDER", help="Where the file's imports are looked up."),
    click.option("--descriptor-set", metavar="FILE", help="A descriptor set, of protoc --descriptor_set_out or buf build -o."),
)


def schema_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the options of `schema_from`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def schema_from(proto: Sequence[str], import_path: Sequence[str], descriptor_set: str | None) -> Schema | None:
    """What the options name; None where they name nothing. Raises ProblemError and UsageError."""
    if proto and descriptor_set:
        raise click.UsageError("give --proto or --descriptor-set, not both")
    if import_path and not proto:
        raise click.UsageError("--import-path is for --proto")
    try:
        from . import sources
        from .schema import Schema
    except ImportError as error:
        raise ProblemError(
            f"messages that are not generated need Google's runtime, which is not here ({error}): pip install protobuf", FAILED
        ) from error
    if proto:
        return Schema(sources.compiled(proto, import_path), " and ".join(proto))
    if descriptor_set:
        return Schema(sources.descriptor_set(descriptor_set), descriptor_set)
    return None
