"""`connectcore call`: one call of a server, requests and responses as JSON."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ..client import ResponseMetadata
from ..errors import ConnectError
from ..method import StreamType
from .connection import Connection, connection_options, metadata, where
from .output import DIM, PROBLEM, compact, note, paint, pretty, say
from .schema_options import schema_from, schema_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._headers import Headers
    from ..method import MethodInfo
    from .recorder import Listener
    from .schema import Schema

__all__ = ["Call", "command", "known"]


@click.command()
@click.argument("address")
@click.argument("method", required=False)
@click.option("-d", "--data", metavar="JSON", help="The request; @FILE or @- reads it. A stream: one message a line.")
@connection_options
@schema_options
@click.option("-v", "--verbose", count=True, help="Show what goes over the wire; -vv all of it, and the reflection.")
@click.option("--timing", is_flag=True, help="Say how long it took.")
@click.option("--emit-defaults", is_flag=True, help="Print fields that have their default value, too.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON only, an object a line: message, headers, trailers, error, timing."
)
def command(
    address: str,
    method: str | None,
    data: str | None,
    proto: tuple[str, ...],
    import_path: tuple[str, ...],
    descriptor_set: str | None,
    verbose: int,
    timing: bool,
    emit_defaults: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Call METHOD (package.Service/Method) of the server at ADDRESS, a URL or a host. The URL may end with the method, too.

    The messages are known by the server's reflection, unless --proto or --descriptor-set is given. A method that takes one
    message gets an empty one without -d; one that takes a stream gets a line of standard input for each.

    \b
        connectcore call localhost:8080 greet.v1.GreetService/Greet -d '{"name": "World"}'
        connectcore call http://localhost:8080/greet.v1.GreetService/Chat -p grpc
    """
    url, wanted = where(address, method)
    connection = Connection(address=url, **options)
    headers = metadata(connection.header)
    schema = schema_from(proto, import_path, descriptor_set) or known(connection, wanted, headers, verbose)
    call = Call(connection, schema, schema.method(wanted), headers, data, verbose)
    shown = _Shown(schema, defaults=emit_defaults, as_json=as_json, one=not call.many)
    code = 0
    try:
        for message in call.responses():
            shown.message(message)
    except ConnectError as error:
        from .messages import code_of

        code = code_of(error)
        shown.metadata(call.metadata)
        shown.error(error)
    else:
        shown.metadata(call.metadata)
    if timing:
        shown.timing(call)
    return code


def known(connection: Connection, wanted: str, headers: Headers, verbose: int = 0) -> Schema:
    """What the server says about itself. Raises ProblemError."""
    from .recorder import Recorder
    from .reflection import reflected
    from .wire import Wire

    transport: Any = connection.transport()
    if verbose > 1:
        transport = Recorder(transport, [Wire(0, None)])
    # What the options say about messages is about the call's.
    plain = replace(connection, codec="proto", compress=None, accept=(), max_bytes=None)
    return reflected(plain.client(transport, timeout=connection.timeout), wanted, headers)


class Call:
    """One call, to be made. `metadata` and `times` fill while it goes on."""

    def __init__(
        self,
        connection: Connection,
        schema: Schema,
        method: MethodInfo[Any, Any],
        headers: Headers,
        data: str | None,
        verbose: int = 0,
        *listeners: Listener,
    ) -> None:
        from .assumed import prefix_of
        from .recorder import Recorder, Times
        from .wire import Wire

        self.metadata = ResponseMetadata()
        self.times = Times()
        self.method = method
        self._connection, self._schema, self._headers, self._data = connection, schema, headers, data
        listening: list[Listener] = [self.times, *listeners]
        if connection.get and method.stream_type is not StreamType.UNARY:
            raise click.UsageError(f"--get is for methods with one request and one response, and {method.name} is another")
        self._client = connection.client(Recorder(connection.transport(), listening), schema)
        if verbose:
            config = self._client._config
            listening.append(Wire(prefix_of(config, config.procedure(method)), None if verbose > 1 else 256))

    @property
    def many(self) -> bool:
        """Whether responses are a stream."""
        return self.method.stream_type in (StreamType.SERVER_STREAM, StreamType.BIDI_STREAM)

    def responses(self) -> Iterator[Any]:
        """Make the call; the responses as they come. Raises ConnectError, UsageError."""
        arguments: dict[str, Any] = {
            "method": self.method,
            "headers": self._headers,
            "timeout": self._connection.timeout,
            "response_metadata": self.metadata,
        }
        client = self._client
        try:
            match self.method.stream_type:
                case StreamType.UNARY:
                    yield client.execute_unary(request=self._one(), use_get=self._connection.get, **arguments)
                case StreamType.CLIENT_STREAM:
                    yield client.execute_client_stream(request=self._many(), **arguments)
                case StreamType.SERVER_STREAM:
                    with client.execute_server_stream(request=self._one(), **arguments) as responses:
                        yield from responses
                case StreamType.BIDI_STREAM:
                    with client.execute_bidi_stream(request=self._many(), **arguments) as responses:
                        yield from responses
        except ValueError as error:
            raise click.UsageError(str(error)) from None

    def _one(self) -> Any:
        from .messages import message_from, read_all

        name, text = read_all("{}" if self._data is None else self._data)
        return message_from(name, text, self.method.input, self._schema)

    def _many(self) -> Iterator[Any]:
        from .messages import lines_of, message_from

        for name, text in lines_of(self._data):
            yield message_from(name, text, self.method.input, self._schema)


class _Shown:
    """What the user sees of a call."""

    def __init__(self, schema: Schema, *, defaults: bool, as_json: bool, one: bool) -> None:
        self._schema = schema
        self._defaults = defaults
        self._as_json = as_json
        self._pretty = one and not as_json and sys.stdout.isatty()

    def message(self, message: Any) -> None:
        from .messages import message_json

        value = message_json(message, self._schema, defaults=self._defaults)
        say(pretty(value) if self._pretty else compact({"message": value} if self._as_json else value))

    def metadata(self, found: ResponseMetadata) -> None:
        if self._as_json:
            for name, headers in (("headers", found.headers), ("trailers", found.trailers)):
                said: dict[str, list[str]] = {}
                for key, value in headers.allitems():
                    said.setdefault(key, []).append(value)
                if said:
                    say(compact({name: said}))

    def error(self, error: ConnectError) -> None:
        from .messages import error_json

        said = error_json(error, self._schema)
        if self._as_json:
            say(compact({"error": said}))
        else:
            note(paint(pretty(said), PROBLEM))

    def timing(self, call: Call) -> None:
        total, head = call.times.now, call.times.headed
        if self._as_json:
            say(compact({"timing": {"seconds": round(total, 6), "head": None if head is None else round(head, 6)}}))
        else:
            first = "" if head is None else f", {head * 1e3:.1f} ms to the response's head"
            note(paint(f"{total * 1e3:.1f} ms{first}", DIM))
