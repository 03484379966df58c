"""`connectcore serve`: a mock server, whose answers stand in a file."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from .output import GOOD, PROBLEM, note, paint, say
from .problem import ProblemError
from .schema_options import schema_from, schema_options

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["command"]


@click.command()
@schema_options
@click.option("--answers", required=True, metavar="FILE", help="What methods answer, in JSON.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Its port; 0 for any that is free."
)
@click.option("--quiet", is_flag=True, help="Do not write calls down.")
def command(
    proto: tuple[str, ...],
    import_path: tuple[str, ...],
    descriptor_set: str | None,
    answers: str,
    host: str,
    port: int,
    quiet: bool,
) -> None:
    """Serve the methods of a .proto file or a descriptor set, with answers from a JSON file, by every protocol that uvicorn
    carries. The server tells its methods by reflection.

    \b
        {
          "greet.v1.GreetService/Greet": [
            {"when": {"name": ""}, "error": {"code": "invalid_argument", "message": "no name"}},
            {"message": {"greeting": "Hello!"}, "headers": {"x-from": "a file"}}
          ],
          "greet.v1.GreetService/GreetMany": {"messages": [{"greeting": "1"}, {"greeting": "2"}], "delay": 0.1}
        }

    Of a list the first answer that fits is given: one with `when` fits a request with these values (of a stream, the last).
    """
    schema = schema_from(proto, import_path, descriptor_set)
    if schema is None:
        raise click.UsageError("what is to be served? Give --proto or --descriptor-set")
    from .answers import applications

    served = applications(answers, schema, _untold if quiet else _told)
    if find_spec("uvicorn") is None:
        raise ProblemError("the mock server runs on uvicorn, which is not here: pip install uvicorn")
    from ..reflection import with_reflection
    from ..server import ConnectASGIRouter

    try:
        listener = socket.create_server((host, port), backlog=256)
    except OSError as error:
        raise ProblemError(f"nothing can listen at {host}:{port} ({error.strerror}): give another --port") from error
    address = listener.getsockname()
    methods = sum(len(each.methods) for each in served)
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    _run(
        ConnectASGIRouter(*with_reflection(*served)),
        listener,
        lambda: say(f"{methods} method{'s' if methods > 1 else ''} at http://{shown}:{address[1]}; Ctrl-C ends it"),
    )


def _told(path: str, outcome: str) -> None:
    """Write a call down."""
    note(f"{path}: {paint(outcome, GOOD if outcome == 'ok' else PROBLEM)}")


def _untold(path: str, outcome: str) -> None:
    """The same where nobody wants to know."""


def _run(application: Any, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                ready()

    options: dict[str, Any] = {"lifespan": "off", "log_level": "warning", "timeout_graceful_shutdown": 1}
    try:
        config = uvicorn.Config(application, http="zttp", http2=True, **options)
    except (TypeError, ImportError, KeyError):  # an older one: no HTTP/2, and so no gRPC
        config = uvicorn.Config(application, **options)
    Server(config).run([listener])
