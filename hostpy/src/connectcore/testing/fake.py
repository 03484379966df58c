"""Fake servers: an application whose methods answer what a test says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..code import Code
from ..errors import ConnectError
from ..method import StreamType
from ..server import ConnectASGIApplication, ConnectWSGIApplication

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from ..request import Headers, RequestContext

    Context = RequestContext[Any, Any]

__all__ = ["Call", "Fake"]

A = TypeVar("A", bound=ConnectASGIApplication[Any] | ConnectWSGIApplication)

_MANY_REQUESTS = (StreamType.CLIENT_STREAM, StreamType.BIDI_STREAM)
_MANY_RESPONSES = (StreamType.SERVER_STREAM, StreamType.BIDI_STREAM)


@dataclass
class Call:
    """One call that a fake server got."""

    method: str
    """The method's name in Python, as in the handlers."""

    headers: Headers
    """The caller's metadata."""

    timeout_ms: float | None
    """Milliseconds to the deadline when the call began; None for none."""

    requests: list[Any] = field(default_factory=list[Any])
    """The messages that were read, so far."""

    @property
    def request(self) -> Any:
        """The only message. Raises ValueError where there is none, or more."""
        (only,) = self.requests
        return only


class Fake(Generic[A]):
    """A service whose methods answer what `handlers` says, in an application that is like the real one's.

    Args:
        application: the generated application class, ASGI's or WSGI's.
        handlers: what each method does, by its name in Python. A message is the answer; a list of messages is a stream of
            answers, given when all requests have been read, perhaps with a `ConnectError` at its end; that alone is raised;
            a function is a handler as a service has it, which may be a plain function under ASGI, too. A method that is not
            named fails with `unimplemented`, and is noted in `unexpected`.
        options: what the application takes beside the service, such as `interceptors`.

    Raises:
        ValueError: the service has no method of a name.

    """

    app: A
    """The application."""

    calls: list[Call]
    """The calls that came, in their order."""

    unexpected: list[str]
    """The methods that were called and have no handler."""

    def __init__(self, application: Callable[..., A], handlers: Mapping[str, Any], **options: Any) -> None:
        self.calls = []
        self.unexpected = []
        self._handlers = dict(handlers)
        service = _Service(self)
        self.app = application(service, **options)
        service._asynchronous = isinstance(self.app, ConnectASGIApplication)
        wrong = sorted(self._handlers.keys() - service._names)
        if wrong:
            names = ", ".join(sorted(service._names))
            raise ValueError(f"{self.app.path[1:]} has no method {wrong[0]!r}; it has {names}")

    def _begin(self, name: str, ctx: Context) -> tuple[Call, Any]:
        """Note a call, and find what it does. Raises ConnectError."""
        call = Call(name, ctx.request_headers, ctx.timeout_ms)
        self.calls.append(call)
        if name not in self._handlers:
            self.unexpected.append(name)
            raise ConnectError(Code.UNIMPLEMENTED, f"the fake server has no handler for {name}")
        return call, self._handlers[name]


class _Service:
    """What the application takes for a service. It learns the methods' names when the application asks for them."""

    def __init__(self, fake: Fake[Any]) -> None:
        self._fake = fake
        self._names: set[str] = set()
        self._asynchronous = False

    def __getattr__(self, name: str) -> Callable[[Any, Context], Any]:
        self._names.add(name)

        def handle(request: Any, ctx: Context) -> Any:
            kind = ctx.method.stream_type
            many = kind in _MANY_REQUESTS
            if self._asynchronous:
                work = _stream if kind in _MANY_RESPONSES else _one
                return work(self._fake, name, request if many else _only(request), ctx, many=many)
            work_sync = _stream_sync if kind in _MANY_RESPONSES else _one_sync
            return work_sync(self._fake, name, request if many else iter([request]), ctx, many=many)

        return handle


async def _only(request: Any) -> AsyncIterator[Any]:
    yield request


# The asynchronous and the synchronous form of a call. Requests are an iterator in both kinds of method.


async def _one(fake: Fake[Any], name: str, requests: AsyncIterator[Any], ctx: Context, *, many: bool) -> Any:
    call, answer = fake._begin(name, ctx)
    noted = _noted(call, requests)
    if callable(answer):
        made: Any = answer(noted if many else await anext(noted), ctx)
        return await made if hasattr(made, "__await__") else made
    async for _ in noted:
        pass
    return _given(answer)


async def _stream(fake: Fake[Any], name: str, requests: AsyncIterator[Any], ctx: Context, *, many: bool) -> AsyncIterator[Any]:
    call, answer = fake._begin(name, ctx)
    noted = _noted(call, requests)
    if callable(answer):
        made: Any = answer(noted if many else await anext(noted), ctx)
        if hasattr(made, "__aiter__"):
            async for each in made:
                yield each
            return
    else:
        async for _ in noted:
            pass
        made = _listed(answer)
    for each in made:
        yield _given(each)


async def _noted(call: Call, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for each in requests:
        call.requests.append(each)
        yield each


def _one_sync(fake: Fake[Any], name: str, requests: Iterator[Any], ctx: Context, *, many: bool) -> Any:
    call, answer = fake._begin(name, ctx)
    noted = _noted_sync(call, requests)
    if callable(answer):
        return answer(noted if many else next(noted), ctx)
    for _ in noted:
        pass
    return _given(answer)


def _stream_sync(fake: Fake[Any], name: str, requests: Iterator[Any], ctx: Context, *, many: bool) -> Iterator[Any]:
    call, answer = fake._begin(name, ctx)
    noted = _noted_sync(call, requests)
    if callable(answer):
        made: Any = answer(noted if many else next(noted), ctx)
    else:
        for _ in noted:
            pass
        made = _listed(answer)
    for each in made:
        yield _given(each)


def _noted_sync(call: Call, requests: Iterator[Any]) -> Iterator[Any]:
    for each in requests:
        call.requests.append(each)
        yield each


def _listed(answer: Any) -> list[Any]:
    """The answers of a stream: one that is no list is the only one."""
    return answer if isinstance(answer, list) else [answer]  # pyright: ignore[reportUnknownVariableType]


def _given(answer: Any) -> Any:
    """An answer, unless it is an error, which is raised."""
    if isinstance(answer, ConnectError):
        raise answer
    return answer
