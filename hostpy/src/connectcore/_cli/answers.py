"""A mock service: what it answers stands in a JSON file, by method.

    {
      "greet.v1.GreetService/Greet": [
        {"when": {"name": ""}, "error": {"code": "invalid_argument", "message": "no name"}},
        {"message": {"greeting": "Hello!"}, "headers": {"x-from": "a file"}}
      ],
      "greet.v1.GreetService/GreetMany": {"messages": [{"greeting": "1"}, {"greeting": "2"}], "delay": 0.1}
    }

A method has an answer, or a list of which the first that fits is given: one with `when` fits a request that has these values,
of a stream its last. `message` or `messages` go out, then the call fails with `error`, if there is one. `delay` is in seconds,
before each message and before the error.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format

from ..code import Code
from ..codec import proto_binary_codec, proto_json_codec
from ..errors import ConnectError, ErrorDetail
from ..method import StreamType
from ..server import ConnectASGIApplication, Endpoint
from .problem import USAGE, ProblemError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from ..method import MethodInfo
    from .schema import Schema

__all__ = ["MockApplication", "applications"]

_KEYS: Final = {"when", "message", "messages", "headers", "trailers", "delay", "error"}
_ERROR_KEYS: Final = {"code", "message", "details"}


@dataclass(frozen=True)
class _Answer:
    when: dict[str, Any]
    messages: list[Any]
    headers: dict[str, str]
    trailers: dict[str, str]
    delay: float
    error: ConnectError | None


def applications(path: str, schema: Schema, told: Callable[[str, str], None]) -> list[MockApplication]:
    """An application for each service with an answer. A method without one is not there.

    Args:
        path: the file of answers.
        schema: knows the methods.
        told: is called with the method's path and the outcome after each call.

    Raises:
        ProblemError: the file cannot be read, or does not fit; the text says where.

    """
    services: dict[str, dict[str, Any]] = {}
    for name, said in _read(path).items():
        method = schema.method(name)
        where = f"{path}: {method.service_name}/{method.name}"
        alternatives: list[Any] = said if isinstance(said, list) else [said]  # pyright: ignore[reportUnknownVariableType]
        cases = [_answer(each, method, schema, where) for each in alternatives]
        served = _Method(method, cases, schema, told)
        services.setdefault(method.service_name, {})[f"/{method.service_name}/{method.name}"] = served.endpoint()
    if not services:
        raise ProblemError(f"{path} has no answers", USAGE)
    return [MockApplication(name, endpoints, schema) for name, endpoints in services.items()]


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            said = json.load(file)
    except OSError as error:
        raise ProblemError(f"{path} cannot be read ({error.strerror})", USAGE) from error
    except ValueError as error:
        raise ProblemError(f"{path} is not JSON: {error}", USAGE) from error
    if not isinstance(said, dict):
        raise ProblemError(f"{path} must be an object whose names are methods", USAGE)
    return said  # pyright: ignore[reportUnknownVariableType]


def _answer(said: Any, method: MethodInfo[Any, Any], schema: Schema, where: str) -> _Answer:
    """An answer of the file. Raises ProblemError."""

    def wrong(what: str) -> ProblemError:
        return ProblemError(f"{where}: {what}", USAGE)

    if not isinstance(said, dict):
        raise wrong(f"an answer is an object with some of {', '.join(sorted(_KEYS))}, not {json.dumps(said)}")
    answer: dict[str, Any] = said  # pyright: ignore[reportUnknownVariableType]
    if unknown := answer.keys() - _KEYS:
        raise wrong(f"there is no {', '.join(sorted(unknown))}, only {', '.join(sorted(_KEYS))}")
    given = answer.get("messages", [answer["message"]] if "message" in answer else [])
    messages: list[Any] = given if isinstance(given, list) else []  # pyright: ignore[reportUnknownVariableType]
    if ("message" in answer and "messages" in answer) or given is not messages:
        raise wrong("give `message`, or a list as `messages`")
    error = _error(answer["error"], schema, wrong) if "error" in answer else None
    one = method.stream_type in (StreamType.UNARY, StreamType.CLIENT_STREAM)
    if one and len(messages) != (0 if error else 1):
        raise wrong("this method answers with one message, or with an error")
    delay = answer.get("delay", 0)
    if not isinstance(delay, int | float) or delay < 0:
        raise wrong("`delay` is a number of seconds")
    return _Answer(
        _object(answer.get("when", {}), "when", wrong),
        [_message(each, method.output, schema, wrong) for each in messages],
        _fields(answer.get("headers", {}), "headers", wrong),
        _fields(answer.get("trailers", {}), "trailers", wrong),
        delay,
        error,
    )


def _message(said: Any, kind: type[Any], schema: Schema, wrong: Callable[[str], ProblemError]) -> Any:
    try:
        return json_format.ParseDict(said, kind(), descriptor_pool=schema.pool)
    except (json_format.ParseError, ValueError, TypeError, AttributeError) as error:
        raise wrong(f"{json.dumps(said)} is no {kind.DESCRIPTOR.full_name}: {error}") from None


def _error(said: Any, schema: Schema, wrong: Callable[[str], ProblemError]) -> ConnectError:
    error = _object(said, "error", wrong)
    if unknown := error.keys() - _ERROR_KEYS:
        raise wrong(f"an error has no {', '.join(sorted(unknown))}, only {', '.join(sorted(_ERROR_KEYS))}")
    try:
        code = Code(error.get("code"))
    except ValueError:
        raise wrong(f"{error.get('code')!r} is no code; there are {', '.join(each.value for each in Code)}") from None
    details: list[ErrorDetail] = []
    for each in error.get("details", []):
        detail = _object(each, "a detail", wrong)
        kind = schema.message(str(detail.get("type")))
        if kind is None:
            raise wrong(f"the detail's type {detail.get('type')!r} is not known")
        details.append(ErrorDetail(_message(detail.get("value", {}), kind, schema, wrong)))
    return ConnectError(code, str(error.get("message", "")), details)


def _object(said: Any, name: str, wrong: Callable[[str], ProblemError]) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise wrong(f"`{name}` is an object, not {json.dumps(said)}")
    return said  # pyright: ignore[reportUnknownVariableType]


def _fields(said: Any, name: str, wrong: Callable[[str], ProblemError]) -> dict[str, str]:
    fields = _object(said, name, wrong)
    if not all(isinstance(value, str) for value in fields.values()):
        raise wrong(f"`{name}` has texts as values")
    return fields


class MockApplication(ConnectASGIApplication[None]):
    """One service of the schema. `methods` are the paths of those that it answers."""

    def __init__(self, name: str, endpoints: Mapping[str, Any], schema: Schema) -> None:
        self._name = name
        self._schema = schema
        self.methods = list(endpoints)
        codecs = [proto_binary_codec(), proto_json_codec(schema.pool)]
        super().__init__(service=None, endpoints=lambda _: endpoints, codecs=codecs)

    @property
    def path(self) -> str:
        return f"/{self._name}"

    def descriptor(self) -> Any:
        return self._schema.pool.FindServiceByName(self._name)


class _Method:
    """One method with its answers."""

    def __init__(
        self, method: MethodInfo[Any, Any], answers: list[_Answer], schema: Schema, told: Callable[[str, str], None]
    ) -> None:
        self._method = method
        self._answers = answers
        self._schema = schema
        self._told = told

    def endpoint(self) -> Any:
        match self._method.stream_type:
            case StreamType.UNARY:
                return Endpoint.unary(self._method, self._one)
            case StreamType.CLIENT_STREAM:
                return Endpoint.client_stream(self._method, self._group)
            case StreamType.SERVER_STREAM:
                return Endpoint.server_stream(self._method, self._given)
            case StreamType.BIDI_STREAM:
                return Endpoint.bidi_stream(self._method, self._chat)

    async def _one(self, request: Any, ctx: Any) -> Any:
        async for message in self._given(request, ctx):
            return message
        raise AssertionError("an answer without a message has an error")

    async def _group(self, requests: AsyncIterator[Any], ctx: Any) -> Any:
        return await self._one(await self._last(requests), ctx)

    async def _chat(self, requests: AsyncIterator[Any], ctx: Any) -> AsyncIterator[Any]:
        async for message in self._given(await self._last(requests), ctx):
            yield message

    async def _last(self, requests: AsyncIterator[Any]) -> Any:
        last = self._method.input()
        async for request in requests:
            last = request
        return last

    async def _given(self, request: Any, ctx: Any) -> AsyncIterator[Any]:
        """The answer that fits, as a stream."""
        path = f"{self._method.service_name}/{self._method.name}"
        answer = next((each for each in self._answers if self._fits(each.when, request)), None)
        if answer is None:
            self._told(path, "no answer fits the request")
            raise LookupError(f"no answer of {path} fits the request")
        for name, value in answer.headers.items():
            ctx.response_headers[name] = value
        for name, value in answer.trailers.items():
            ctx.response_trailers[name] = value
        outcome = "ok" if answer.error is None else answer.error.code.value
        if answer.error is None or not answer.messages:
            self._told(path, outcome)
        for message in answer.messages:
            await asyncio.sleep(answer.delay)
            yield message
        if answer.error is not None:
            await asyncio.sleep(answer.delay)
            if answer.messages:
                self._told(path, outcome)
            raise answer.error

    def _fits(self, when: dict[str, Any], request: Any) -> bool:
        """Whether the request has these values, in JSON."""
        if not when:
            return True
        said = json_format.MessageToDict(request, descriptor_pool=self._schema.pool, always_print_fields_with_no_presence=True)
        return _within(when, said)


def _within(wanted: Any, said: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(said, dict):
        return all(name in said and _within(value, said[name]) for name, value in wanted.items())  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
    return bool(wanted == said)
