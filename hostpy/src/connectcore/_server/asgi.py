"""The ASGI application."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import AsyncGeneratorType, CoroutineType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from .._interceptors import check, split_leading, wrap
from .._wasm.configuration import DEFAULT_READ_MAX_BYTES
from .._wasm.content import length_said
from .access import ASGIEntry
from .asgi_call import Exchange
from .asgi_peer import behind, early
from .asgi_plain import serve_plain
from .asgi_request import HALF_DUPLEX, addresses, breaks, has_content, head_of, length_of
from .handlers import checked, missing
from .lifespan import serve_other
from .options import Options
from .service import Service
from .started import begun
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
            "watched": bool(self._leading),
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
        length = None if procedure is None else length_of(head)
        more = length != b"0" or breaks(scope)
        if length is not None and procedure is not None and procedure.unary:
            verdict = service.known(head, length_said(length) if self._leading else None)
            if verdict is not None:
                await serve_plain(service, verdict, head, self._leading, scope, receive, send, entry, more=more)
                return
        work = self._other(service, procedure, head, length, scope, receive, send, entry, more=more)
        del head  # the call has it as long as it wants it
        await work

    async def _other(
        self,
        service: Service,
        procedure: Procedure | None,
        head: Head,
        length: bytes | None,
        scope: Any,
        receive: Receive,
        send: Send,
        entry: ASGIEntry | None,
        *,
        more: bool,
    ) -> None:
        """Serve a call of which the module is to be asked. It is shown what came of the content, too, unless interceptors are
        to see the head before that is read; and it is not told of a peer that is gone already."""
        content: bytes | None = None if more else b""
        coming: Any = None  # the first event, as it is waited for
        first: Any = None  # what will have it, if it has not come
        event: Any = None
        watch: asyncio.Future[Any] | None = None
        many = procedure is not None and procedure.many_requests
        duplex = many and scope["http_version"] not in HALF_DUPLEX
        if more and length is not None and not self._leading and (duplex or not many):
            coming = receive()
            if duplex or coming.__class__ is not CoroutineType:
                event, first = await early(coming)  # a handler of many requests may begin before the first of them comes
            else:
                event, first = begun(coming)
            if duplex:
                watch = first
            elif first is not None:
                receive = behind(first, receive)
            if event is not None:
                if event["type"] != "http.request":
                    return
                content, more = event.get("body", b""), event.get("more_body", False)
        try:
            if content is None and procedure is not None and procedure.unary and length is not None:
                opened = service.settle(head, length_said(length))  # so that the head is known when it comes again
            else:
                opened = service.open(head, content, end=not more)
        except BaseException:
            if watch is not None:
                watch.cancel()
            raise
        if isinstance(opened, Verdict):
            await serve_plain(service, opened, head, self._leading, scope, receive, send, entry, more=more, content=content)
            return
        if entry is not None:
            entry.opened = opened
        brittle = breaks(scope)
        more = more and (brittle or has_content(head))
        exchange = Exchange(opened, receive, send, more=more, ends_late=not duplex, brittle=brittle, watch=watch)
        del head, content, coming, first, event, watch  # the call has them as long as it wants them
        await exchange.run(exchange.handle(self._leading, scope))

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
