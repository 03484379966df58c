"""`connectcore inspect`: what captured bytes, or a live exchange, mean, and which rule they break. The module decides."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from .._wasm.configuration import attributes
from .connection import CODECS, PROTOCOLS, Connection, connection_options, metadata, where
from .output import pretty, say
from .problem import VERDICT, ProblemError
from .schema_options import schema_from, schema_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..method import MethodInfo
    from .explanation import Explanation
    from .recorder import Captured
    from .schema import Schema

__all__ = ["command"]


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--hex", "form", flag_value="hex", help="The input is in hexadecimal.")
@click.option("--base64", "form", flag_value="base64", help="The input is in base64.")
@click.option("--request", "role", flag_value="request", help="The input is a request's content alone.")
@click.option("--response", "role", flag_value="response", help="The input is a response's content alone.")
@click.option("--status", type=click.IntRange(100, 999), help="The HTTP status of such a response.")
@click.option("--trailer", multiple=True, metavar="'NAME: VALUE'", help="Its trailers; else those of a good end are assumed.")
@click.option("-m", "--method", help="The method; needed for messages where the input does not say it.")
@click.option("--live", metavar="ADDRESS", help="Make a call, as `connectcore call`, and explain it.")
@click.option("-d", "--data", metavar="JSON", help="The request of a live call.")
@connection_options
@schema_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    file: str | None,
    form: str | None,
    role: str | None,
    status: int | None,
    trailer: tuple[str, ...],
    method: str | None,
    live: str | None,
    data: str | None,
    proto: tuple[str, ...],
    import_path: tuple[str, ...],
    descriptor_set: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Explain the bytes in FILE, or in standard input: HTTP/1.1 as it went over a connection, both ways one behind the other,
    or one way; or with --request or --response content alone, whose fields -H gives, and -p and --codec where it does not.

    Messages are decoded with --proto or --descriptor-set, of a live call also by reflection. What is right the protocol module
    says: it takes a request as a server, and a response as a client. The exit code is 4 where a rule is broken.

    \b
        connectcore inspect capture.http --proto greet.proto
        echo 00 00 00 00 02 0a 00 | connectcore inspect --hex --request -p grpc
        connectcore inspect --live localhost:8080 -m greet.v1.GreetService/Greet -d '{}'
    """
    schema = schema_from(proto, import_path, descriptor_set)
    given = {name for name in options if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    if live is not None:
        if file is not None or role is not None or form is not None:
            raise click.UsageError("--live makes a call: there is no input beside")
        found, schema, method = _live(live, method, data, schema, options)
    else:
        from .guest import KINDS

        content = _read(file, form)
        kinds = KINDS if method is None or schema is None else [attributes(schema.method(method))]
        found = _captured(content, role, status, trailer, _path(method, schema), kinds, options)
    from .explanation import explained

    path = _path(method, schema)
    protocols = [options["protocol"]] if "protocol" in given else list(PROTOCOLS)
    codecs = [options["codec"]] if "codec" in given else list(CODECS)
    explanations = [
        explained(
            each,
            _method(each, method, schema),
            schema,
            protocols=protocols,
            codecs=codecs,
            path=each.target.partition("?")[0] or path,
        )
        for each in found
    ]
    if as_json:
        say(pretty([each.said for each in explanations]))
    else:
        for line in _lines(explanations):
            say(line)
    return 0 if all(each.good for each in explanations) else VERDICT


def _read(file: str | None, form: str | None) -> bytes:
    from .capture import unwrapped

    try:
        if file is None or file == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(file, "rb") as source:
                data = source.read()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read ({error.strerror})") from None
    return unwrapped(data, form)


def _live(
    address: str, method: str | None, data: str | None, schema: Schema | None, options: dict[str, Any]
) -> tuple[list[Captured], Schema, str]:
    """Make a call, whatever comes of it."""
    from ..errors import ConnectError
    from .call import Call, known
    from .recorder import Captured

    url, wanted = where(address, method)
    connection = Connection(address=url, **options)
    headers = metadata(connection.header)
    schema = schema or known(connection, wanted, headers)
    captured = Captured()
    call = Call(connection, schema, schema.method(wanted), headers, data, 0, captured)
    try:
        for _ in call.responses():
            pass
    except ConnectError as error:
        if captured.status is None:
            raise ProblemError(f"there is no exchange to explain ({error.code.value}: {error.message})") from error
    return [captured], schema, wanted


def _captured(
    data: bytes,
    role: str | None,
    status: int | None,
    trailer: Iterable[str],
    path: str,
    kinds: Iterable[int],
    options: dict[str, Any],
) -> list[Captured]:
    from . import capture

    if not data:
        raise click.UsageError("there is no input")
    if role is None:
        if not capture.looks_like_http(data):
            raise click.UsageError("this is no HTTP/1.1: is it the content of a --request or of a --response?")
        return list(capture.exchanges(data))
    return [_alone(data, role, status, list(trailer), path, kinds, options)]


def _alone(
    data: bytes,
    role: str,
    status: int | None,
    trailer: list[str],
    path: str,
    kinds: Iterable[int],
    options: dict[str, Any],
) -> Captured:
    """Content, with the head that the module would give it: of the stream type for which most of it makes sense."""
    from . import guest
    from .assumed import assumed_request, assumed_response

    fields = _pairs(options["header"])
    protocol, codec = options["protocol"], options["codec"]
    best: tuple[Any, Captured] | None = None
    for kind in kinds:
        found, _ = assumed_request(protocol, codec, kind, path)
        if role == "request":
            found.request_fields = _with(found.request_fields, fields)
            found.content = data
            play = guest.as_server(found, None, None, [kind])
        else:
            found = assumed_response(found, codec, kind)
            found.fields = _with(found.fields, fields)
            found.status = status or found.status
            found.trailers = _pairs(trailer) if trailer else found.trailers
            found.answer = data
            play = guest.as_client(found, path, None, None, [protocol], [codec], [kind])
        if best is None or play.rank > best[0]:
            best = play.rank, found
    assert best is not None
    return best[1]


def _pairs(lines: Iterable[str]) -> list[tuple[str, str]]:
    """Fields as they stand: what is wrong with one the module says."""
    pairs: list[tuple[str, str]] = []
    for line in lines:
        name, mark, value = line.partition(":")
        if not mark:
            raise click.UsageError(f"the field {line!r} is not 'name: value'")
        pairs.append((name.strip().lower(), value.strip()))
    return pairs


def _with(assumed: list[tuple[str, str]], given: list[tuple[str, str]]) -> list[tuple[str, str]]:
    names = {name for name, _ in given}
    return [*(each for each in assumed if each[0] not in names), *given]


def _path(method: str | None, schema: Schema | None) -> str:
    from .assumed import UNKNOWN

    if method is None:
        return UNKNOWN
    if schema is None:
        return "/" + method.strip("/")
    known = schema.method(method)
    return f"/{known.service_name}/{known.name}"


def _method(captured: Captured, wanted: str | None, schema: Schema | None) -> MethodInfo[Any, Any] | None:
    """The method, if the schema knows it."""
    if schema is None:
        return None
    if wanted is not None:
        return schema.method(wanted)
    path = captured.target.partition("?")[0].strip("/")
    if not path:
        raise click.UsageError("a response does not say its method, which its messages are known by: give -m")
    return schema.method("/".join(path.split("/")[-2:]))


def _lines(explanations: list[Explanation]) -> Iterator[str]:
    for number, each in enumerate(explanations):
        if number:
            yield ""
        yield from each.lines()
