"""The command line as a whole, on click: its commands, what they have in common, and exit codes."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import get_completion_class

from .._version import __version__
from .core import described, precompiled
from .output import PROBLEM, note, paint, pretty, say
from .problem import INTERRUPTED, ProblemError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run"]

NAME: Final = "connectcore"
_LAZY: Final = ("call", "inspect", "serve")

_EXIT_CODES: Final = """\b
Exit codes: 0 good; 1 something here failed; 2 the command or its input makes no sense; 3 the method or its messages are
not known; 4 `inspect` found a broken rule; 64 and the number of the code where a call failed (65 canceled ... 80
unauthenticated, so 69 is not_found and 78 unavailable); 130 Ctrl-C.
"""


class _Commands(click.Group):
    """The commands, each imported when it is wanted: `core` has no need of message classes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_LAZY})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        found: click.Command = importlib.import_module(f".{cmd_name}", __package__).command
        return found


@click.command(cls=_Commands, epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=NAME)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="auto: on a terminal, unless NO_COLOR is set.",
)
@click.pass_context
def application(ctx: click.Context, color: str) -> None:
    """Connect, gRPC and gRPC-Web from the command line."""
    if color != "auto":
        ctx.color = color == "always"
    elif os.environ.get("NO_COLOR"):
        ctx.color = False


@application.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def core(ctx: click.Context, as_json: bool) -> None:
    """Say which protocol module is used, and where its compiled form is kept."""
    if ctx.invoked_subcommand is None:
        found = described()
        say(pretty(found.said) if as_json else "\n".join(found.lines()))


@core.command()
@click.option("--shared", is_flag=True, help="Let other users read the result.")
def precompile(shared: bool) -> None:
    """Compile the modules into the cache, so that no process has to.

    For an image that is built by one user and run by another:

    \b
        ENV CONNECTCORE_CACHE=/opt/connectcore
        RUN python -m connectcore core precompile --shared

    The result is for the machine type, the processor's features and the wasmtime version of where this runs.
    """
    for path in precompiled(shared=shared):
        say(path)


# As they were called before there were others.
application.add_command(click.Command("info", callback=lambda: say("\n".join(described().lines())), hidden=True))
application.add_command(click.Command("precompile", callback=precompile.callback, params=precompile.params, hidden=True))


@application.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes this command in a shell.

    \b
        eval "$(connectcore completion bash)"
    """
    found = get_completion_class(shell)
    assert found is not None
    say(found(application, {}, NAME, f"_{NAME.upper()}_COMPLETE").source())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    try:
        code: Any = application.main(arguments, prog_name=NAME, standalone_mode=False)
    except click.exceptions.Abort:
        note("")
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ProblemError as problem:
        note(f"{paint('connectcore:', PROBLEM)} {problem}")
        return problem.code
    return code if isinstance(code, int) else 0
