"""The ASGI application."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import AsyncGeneratorType, CoroutineType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from .._codec.payload import decoded
from .._interceptors import check, split_leading, wrap
from .._wasm.configuration import DEFAULT_READ_MAX_BYTES
from .._wasm.content import length_said
from ..request import ServerContext
from .access import ASGIEntry
from .asgi_call import Exchange, awaitable
from .asgi_peer import early
from .asgi_request import HALF_DUPLEX, READER, addresses, breaks, has_content, head_of, length_of
from .call import ServerCall
from .handlers import checked, missing
from .lifespan import serve_other
from .options import Options
from .plain_call import PlainCall
from .response import whole
from .service import Service
from .verdict import Verdict
from .wrong_server import NoRSGI

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
    from typing import Unpack

    from .._codec.codec import Codec
    from ..compression import AnyCompression
    from ..interceptor import Interceptor
    from .endpoint import Endpoint
    from .memory import Head
    from .options import ServerOptions
    from .procedure import Procedure

    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

__all__ = ["ConnectASGIApplication"]

SVC = TypeVar("SVC")

_NOTHING: Final = object()


class ConnectASGIApplication(NoRSGI, ABC, Generic[SVC]):
    """An ASGI application that serves one service by the Connect protocol and gRPC.

    Generated code derives from it. It can be mounted under a prefix, beside other applications. gRPC needs a server that can
    send trailers (`http.response.trailers`).
    """

    _interface = "asgi"

    @property
    @abstractmethod
    def path(self) -> str:
        """The path under which the service's procedures lie: `/` and the service's full name."""

    def descriptor(self) -> object:
        """The service's descriptor, of the runtime that its messages are of, for reflection. None where it is not known.

        Generated code says it.
        """
        return None

    def __init__(
        self,
        *,
        service: SVC | AsyncGenerator[SVC],
        endpoints: Callable[[SVC], Mapping[str, Endpoint[Any, Any]]],
        interceptors: Iterable[Interceptor] = (),
        read_max_bytes: int | None = DEFAULT_READ_MAX_BYTES,
        compressions: Iterable[AnyCompression] | None = None,
        codecs: Iterable[Codec] | None = None,
        **options: Unpack[ServerOptions],
    ) -> None:
        """Make the application.

        Args:
            service: the object with the handlers; or an async generator that yields it once, run up to there when the server
                starts and to its end when it stops (the server must support ASGI's lifespan).
            endpoints: gives the endpoints of a service by path. Generated code passes it.
            interceptors: around every call, the first outermost.
            read_max_bytes: bytes in one received message, before and after decompression; None for no limit.
            compressions: compressions to offer, most preferred first; gzip if not given, none if empty.
            codecs: codecs to speak; protobuf's binary and JSON forms if not given.
            options: see `ServerOptions`.

        Raises:
            TypeError: an interceptor is none, the service is a class, or an option is of the wrong kind.
            ValueError: an option makes no sense; the text says which and why.

        """
        self._source = service
        self._endpoints = endpoints
        self._leading, self._interceptors = split_leading(check(interceptors))
        self._settings: dict[str, Any] = {
            "codecs": None if codecs is None else list(codecs),
            "compressions": None if compressions is None else list(compressions),
            "options": Options(read_max_bytes=read_max_bytes, **options),
            "text": False,
            "able": "uvicorn with '--http zttp --http2', pyvoy, gunicorn over HTTP/2",
        }
        self._service: Service | None = None
        if not isinstance(service, AsyncGeneratorType):
            self._service = self._resolve(service)  # type: ignore[arg-type]

    async def __call__(self, scope: Any, receive: Receive, send: Send, *, entry: ASGIEntry | None = None) -> None:
        """Serve one request, or the server's lifespan. `entry` is this application's own: what it logs of the request."""
        if scope["type"] != "http":
            await serve_other(self, scope, receive, send)
            return
        service = self._service
        if service is None:
            raise RuntimeError("the service is an async generator, and the server did not start it: turn its lifespan on")
        if service.access_log and entry is None:
            entry = ASGIEntry(addresses, scope, receive, send)
            try:
                await self(scope, entry.receive, entry.send, entry=entry)
            finally:
                entry.write()
            return
        procedure, head = head_of(service, scope)
        if entry is not None:
            entry.procedure = procedure
        if procedure is None or procedure.many_requests or self._leading:
            exchange = await self._apart(service, procedure, head, scope, receive, send, entry)
            del head  # the call has it as long as it wants it
            if exchange is not None:
                await exchange.run(exchange.handle(self._leading, scope))
            return
        content: bytes | None = None
        more = True
        length = length_of(head)
        if length == b"0" and not breaks(scope):
            content, more = b"", False
        elif length is not None:
            event = await receive()
            if event["type"] != "http.request":
                return  # gone before it asked for anything
            content, more = event.get("body", b""), event.get("more_body", False)
            del event  # a stream that waits would hold it
        # Else the head alone decides what is to be read, or whether anything is.
        opened = service.open(head, content, end=not more)
        if more and content is not None and isinstance(opened, Verdict):
            content, more = await _rest(content, opened.plain.limit, receive)
            if content is None:
                return
            if len(content) > opened.plain.limit or not opened.plain.holds(content):
                opened = service.open(head, content, end=not more)
        if entry is not None:
            entry.opened = opened
        if isinstance(opened, ServerCall):
            exchange = _exchange(opened, head, scope, receive, send, more=more, ends_late=True)
            del head, content  # the call has them as long as it wants them
            await exchange.run(exchange.handle(self._leading, scope))
            return
        assert content is not None
        ctx = ServerContext(opened.procedure.method, opened.request, READER, scope, scope["headers"])
        plain, procedure, codec = opened.plain, opened.procedure, opened.request.codec
        work: Any = None
        reply, error, response, pending = None, None, None, _NOTHING
        try:
            payload = content if plain.bare else plain.payload(content)
            work = procedure.function(decoded(procedure.decoders[codec], payload), ctx)
            if work.__class__ is not CoroutineType:
                work = _awaited(awaitable(work))
            try:
                pending = work.send(None)
            except StopIteration as stop:
                response = stop.value
            if pending is _NOTHING:
                reply = procedure.encoded(codec, response)
        except BaseException as raised:  # noqa: BLE001 - it is answered, or raised again
            error = raised
        answer = plain.answer(reply, ctx) if reply is not None else None
        if answer is not None:
            for message in whole(plain.status, *answer, plain.trailers):
                await send(message)
            return
        call = PlainCall(service, head, opened)
        call.settle(content, ctx)
        if entry is not None:
            entry.opened = call
        exchange = Exchange(call, receive, send)
        if pending is _NOTHING:
            await exchange.end(reply, error)
        else:
            await exchange.run(work, pending, encodes=True)

    async def _apart(
        self,
        service: Service,
        procedure: Procedure | None,
        head: Head,
        scope: Any,
        receive: Receive,
        send: Send,
        entry: ASGIEntry | None,
    ) -> Exchange | None:
        """Open a call whose head is settled before its content is read: it has many messages, or interceptors are to see its
        head first, or it names no procedure. None if the peer is gone already."""
        content: bytes | None = None
        more = True
        watch: asyncio.Future[Any] | None = None
        opened: Verdict | ServerCall
        streams = procedure is not None and procedure.many_requests and scope["http_version"] not in HALF_DUPLEX
        length = length_of(head) if procedure is not None else None
        if procedure is not None and not procedure.many_requests and length is not None:
            opened = service.settle(head, length_said(length))
        else:
            if streams and not self._leading and length is not None:
                event, watch = await early(receive)  # the handler may begin before its first message comes
                if event is not None:
                    if event["type"] != "http.request":
                        return None  # gone before it asked for anything
                    content, more = event.get("body", b""), event.get("more_body", False)
            try:
                opened = service.open(head, content, end=not more)
            except BaseException:
                if watch is not None:
                    watch.cancel()
                raise
        if isinstance(opened, Verdict):
            opened = PlainCall(service, head, opened)
        if entry is not None:
            entry.opened = opened
        return _exchange(opened, head, scope, receive, send, more=more, ends_late=not streams, watch=watch)

    async def start(self) -> None:
        """Run the service's generator to where it yields the service; nothing where the service was given as it is.

        A server's lifespan calls this. Raises what the generator raises, and RuntimeError if it yields nothing.
        """
        generator: Any = self._source
        if isinstance(self._source, AsyncGeneratorType):
            try:
                self._service = self._resolve(await anext(generator))
            except StopAsyncIteration:
                raise RuntimeError("the service's generator yields no service") from None

    async def stop(self) -> None:
        """Run the service's generator to its end. Raises what the generator raises."""
        generator: Any = self._source
        if isinstance(self._source, AsyncGeneratorType):
            self._service = None
            await anext(generator, None)
            await generator.aclose()

    def _resolve(self, service: SVC) -> Service:
        if isinstance(service, type):
            raise TypeError(f"{service.__qualname__} is a class: pass an instance of it as the service")
        try:
            endpoints = self._endpoints(service)
        except AttributeError as error:
            raise missing(service, error) or error from None
        return Service(
            {
                path: (
                    each.method,
                    wrap(each.method.stream_type, checked(path, each.method, each.function), self._interceptors),
                )
                for path, each in endpoints.items()
            },
            **self._settings,
        )


def _exchange(
    call: ServerCall,
    head: Head,
    scope: Any,
    receive: Receive,
    send: Send,
    *,
    more: bool,
    ends_late: bool,
    watch: asyncio.Future[Any] | None = None,
) -> Exchange:
    """The exchange of a call behind whose head there may be `more`."""
    brittle = breaks(scope)
    more = more and (brittle or has_content(head))
    return Exchange(call, receive, send, more=more, ends_late=ends_late, brittle=brittle, watch=watch)


async def _rest(first: bytes, limit: int, receive: Receive) -> tuple[bytes | None, bool]:
    """A plain call's content, up to its end or over the limit, and whether more follows; None where the peer went away."""
    chunks, size, more = [first], len(first), True
    while more and size <= limit:
        event = await receive()
        if event["type"] != "http.request":
            return None, False
        chunks.append(event.get("body", b""))
        size += len(chunks[-1])
        more = event.get("more_body", False)
    return b"".join(chunks), more


async def _awaited(work: Awaitable[Any]) -> Any:
    """What a handler that is no coroutine function returned, as a coroutine."""
    return await work
