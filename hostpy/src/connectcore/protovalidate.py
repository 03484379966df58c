"""Validation of messages by the rules in their `.proto` file, by the library `protovalidate` (extra `protovalidate`).

    app = GreetServiceASGIApplication(Greeter(), interceptors=[ValidateInterceptor()])

Messages may be of either runtime.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from .code import Code
from .errors import ConnectError

try:
    from protovalidate import Validator, ViolationsPb
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ImportError("connectcore.protovalidate needs protovalidate: pip install 'connectcore[protovalidate]'") from error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from protovalidate import Violation

    from .request import RequestContext

    Call = RequestContext[Any, Any]

__all__ = ["ValidateInterceptor"]

_SAID: Final = 3
"""Violations that an error's text names. Programs read all that are in its detail."""


class ValidateInterceptor:
    """Holds each message against the rules of its `.proto` file, those of streams as they come; for calls of all kinds.

    A request that breaks rules fails its call with `invalid_argument` before the handler sees it; a response, where those are
    checked, with `internal`. The error's text says which rules were broken, and so does its detail for programs, a
    `buf.validate.Violations`. Rules that cannot be compiled or evaluated are an unexpected error of the service's own: it is
    logged, and the peer gets `unknown`.

    In a server's list it stands behind the metadata interceptors, so that these can refuse a call before anything is read. In a
    client's it checks what is about to be sent, by the rules that the client was built with.
    """

    def __init__(
        self,
        *,
        validator: Validator | None = None,
        validate_responses: bool = False,
        error_details: bool = True,
        max_violations: int = 20,
    ) -> None:
        """Make the interceptor.

        Args:
            validator: what knows the rules; None for a new one. One with a registry finds predefined rules there.
            validate_responses: whether responses are checked, too.
            error_details: whether errors have the detail.
            max_violations: how many of the broken rules the detail has at most. A request with a long list can break very many,
                and HTTP/2 clients take no more than some KiB of trailers.

        Raises:
            ValueError: `max_violations` is less than 1.

        """
        if max_violations < 1:
            raise ValueError(f"max_violations must be at least 1, not {max_violations}")
        self._validator = validator or Validator()
        self._responses = validate_responses
        self._details = error_details
        self._max = max_violations

    def _check(self, message: Any, code: Code) -> None:
        violations = self._validator.collect_violations(message)
        if violations:
            detail = ViolationsPb(violations=[violation.proto for violation in violations[: self._max]])
            raise ConnectError(code, _text(violations), [detail] if self._details else ())

    def _request(self, message: Any) -> Any:
        self._check(message, Code.INVALID_ARGUMENT)
        return message

    def _response(self, message: Any) -> Any:
        if self._responses:
            self._check(message, Code.INTERNAL)
        return message

    async def intercept_unary(self, call_next: Callable[[Any, Call], Awaitable[Any]], request: Any, ctx: Call) -> Any:
        """Check the request, and perhaps the response."""
        return self._response(await call_next(self._request(request), ctx))

    async def intercept_client_stream(self, call_next: Callable[[Any, Call], Awaitable[Any]], request: Any, ctx: Call) -> Any:
        """Check each request, and perhaps the response."""
        return self._response(await call_next(_each(lambda: request, self._request), ctx))

    def intercept_server_stream(
        self, call_next: Callable[[Any, Call], AsyncIterator[Any]], request: Any, ctx: Call
    ) -> AsyncIterator[Any]:
        """Check the request, and perhaps each response."""
        return _each(lambda: call_next(self._request(request), ctx), self._response)

    def intercept_bidi_stream(
        self, call_next: Callable[[Any, Call], AsyncIterator[Any]], request: Any, ctx: Call
    ) -> AsyncIterator[Any]:
        """Check each request, and perhaps each response."""
        requests = _each(lambda: request, self._request)
        return _each(lambda: call_next(requests, ctx), self._response)

    def intercept_unary_sync(self, call_next: Callable[[Any, Call], Any], request: Any, ctx: Call) -> Any:
        """Check the request, and perhaps the response."""
        return self._response(call_next(self._request(request), ctx))

    def intercept_client_stream_sync(self, call_next: Callable[[Any, Call], Any], request: Any, ctx: Call) -> Any:
        """Check each request, and perhaps the response."""
        return self._response(call_next(_each_sync(lambda: request, self._request), ctx))

    def intercept_server_stream_sync(
        self, call_next: Callable[[Any, Call], Iterator[Any]], request: Any, ctx: Call
    ) -> Iterator[Any]:
        """Check the request, and perhaps each response."""
        return _each_sync(lambda: call_next(self._request(request), ctx), self._response)

    def intercept_bidi_stream_sync(
        self, call_next: Callable[[Any, Call], Iterator[Any]], request: Any, ctx: Call
    ) -> Iterator[Any]:
        """Check each request, and perhaps each response."""
        requests = _each_sync(lambda: request, self._request)
        return _each_sync(lambda: call_next(requests, ctx), self._response)


async def _each(opened: Callable[[], AsyncIterator[Any]], checked: Callable[[Any], Any]) -> AsyncIterator[Any]:
    """A stream, opened when it is first read, whose messages are checked."""
    messages = opened()
    try:
        async for message in messages:
            yield checked(message)
    finally:
        close = getattr(messages, "aclose", None)
        if close is not None:
            await close()


def _each_sync(opened: Callable[[], Iterator[Any]], checked: Callable[[Any], Any]) -> Iterator[Any]:
    """A stream, opened when it is first read, whose messages are checked."""
    messages = opened()
    try:
        for message in messages:
            yield checked(message)
    finally:
        close = getattr(messages, "close", None)
        if close is not None:
            close()


def _text(violations: list[Violation]) -> str:
    """What people are told: where, and what is wrong there."""
    said = [": ".join(filter(None, (_path(found), found.proto.message))) for found in islice(violations, _SAID)]
    more = len(violations) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")


def _path(violation: Violation) -> str:
    """The field, as `items[0].sku` or `counts["a"]`; empty where the rule is the message's."""
    path = ""
    field = violation.proto.field
    for element in field.elements if field is not None else ():
        path += f".{element.field_name}" if path else element.field_name
        key = element.subscript
        if key is not None:
            path += f'["{key.value}"]' if isinstance(key.value, str) else f"[{key.value}]"
    return path
