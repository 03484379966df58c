"""The ASGI application."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import chain
from time import monotonic
from types import AsyncGeneratorType, CoroutineType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from .._interceptors import check, split_leading, wrap
from .._wasm import abi
from ..request import ServerContext, response_metadata
from .asgi_call import Exchange
from .call import ServerCall, adopted
from .lifespan import serve_other
from .mount import below_mount
from .service import DEFAULT_READ_MAX_BYTES, Compressed, RejectedError, Service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping

    from .._codec.codec import Codec
    from ..compression import Compression
    from ..interceptor import Interceptor
    from .endpoint import Endpoint
    from .service import Opened, Procedure

__all__ = ["ConnectASGIApplication"]

SVC = TypeVar("SVC")

_TRAILERS: Final = "http.response.trailers"
_HALF_DUPLEX: Final = ("1.1", "1.0")


class ConnectASGIApplication(ABC, Generic[SVC]):
    """An ASGI application that serves one service by the Connect protocol and gRPC.

    Generated code derives from it. It can be mounted under a prefix, beside other applications. gRPC needs a server that can
    send trailers (`http.response.trailers`).
    """

    @property
    @abstractmethod
    def path(self) -> str:
        """The path under which the service's procedures lie: `/` and the service's full name."""

    def __init__(
        self,
        *,
        service: SVC | AsyncGenerator[SVC],
        endpoints: Callable[[SVC], Mapping[str, Endpoint[Any, Any]]],
        interceptors: Iterable[Interceptor] = (),
        read_max_bytes: int | None = DEFAULT_READ_MAX_BYTES,
        compressions: Iterable[Compression] | None = None,
        codecs: Iterable[Codec] | None = None,
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

        Raises:
            TypeError: an interceptor is none, or the service is a class.
            ValueError: `read_max_bytes` is not a positive number.

        """
        self._source = service
        self._endpoints = endpoints
        self._leading, self._interceptors = split_leading(check(interceptors))
        self._options: dict[str, Any] = {
            "codecs": None if codecs is None else list(codecs),
            "compressions": None if compressions is None else list(compressions),
            "read_max_bytes": read_max_bytes,
            "text": False,
        }
        self._service: Service | None = None
        if not isinstance(service, AsyncGeneratorType):
            self._service = self._resolve(service)  # type: ignore[arg-type]

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Serve one request, or the server's lifespan."""
        if scope["type"] != "http":
            await serve_other(self, scope, receive, send)
            return
        service = self._service
        if service is None:
            raise RuntimeError("the service is an async generator, and the server did not start it: turn its lifespan on")
        procedure = service.routes.get(scope["path"])
        raw_path = scope.get("raw_path")
        if procedure is None or (raw_path is not None and b"%" in raw_path):
            procedure, path = _mounted(service, scope, raw_path)
        else:
            path = procedure.path
        fields: list[Any] = scope["headers"]
        if type(fields) is not list:
            fields = list(fields)
        extensions = scope.get("extensions")
        flags = abi.OPEN_TRAILERS if extensions and _TRAILERS in extensions else 0
        if scope["http_version"] not in _HALF_DUPLEX:
            flags |= abi.OPEN_DUPLEX
        method = scope["method"]
        head = (
            flags,
            b"POST" if method == "POST" else method.encode("latin-1"),
            path,
            scope.get("query_string", b""),
            len(fields),
            b"\0".join(chain.from_iterable(fields)),
        )
        if procedure is None or procedure.many_requests or self._leading:
            # The head alone decides what is to be read, or whether anything is.
            call = ServerCall(service, head)
            call.open()
            await self._general(service, call, scope, fields, receive, send)
            return
        event = await receive()
        if event["type"] != "http.request":
            return  # gone before it asked for anything
        content = event.get("body", b"")
        opened: Opened | None = None
        if event.get("more_body", False):
            if not procedure.many_responses:
                opened = service.open_unary(head, procedure, None)
            if opened is None or not opened.status or opened.timeout != abi.NO_TIMEOUT:
                call = ServerCall(service, head)
                if opened is None or opened.status:
                    call.open(content)
                else:
                    call.resume(opened, content, end=False)
                await self._general(service, call, scope, fields, receive, send)
                return
            more = True
            chunks = [content]
            size = len(content)
            while more and size <= opened.limit:
                event = await receive()
                if event["type"] != "http.request":
                    return
                chunks.append(event.get("body", b""))
                size += len(chunks[-1])
                more = event.get("more_body", False)
            content = b"".join(chunks)
            if size > opened.limit:
                call = ServerCall(service, head)
                call.open(content, end=not more)
                await self._general(service, call, scope, fields, receive, send)
                return
        if opened is None:
            opened = service.open_unary(head, procedure, content)
        payload: Any
        if opened.status:
            payload = content
        elif opened.handle:
            payload = opened.payload
        else:
            call = ServerCall(service, head)
            call.resume(opened, content, end=True)
            await self._general(service, call, scope, fields, receive, send)
            return
        ends = None if opened.timeout == abi.NO_TIMEOUT else monotonic() + opened.timeout / 1e6
        ctx: ServerContext[Any, Any] = ServerContext(
            procedure.method, method, fields, opened.hidden, opened.binary, ends, _addresses, scope
        )
        try:
            if payload.__class__ is Compressed:
                payload = service.unpacked(payload)
            request = procedure.decoders[opened.codec](payload)
        except Exception as error:  # noqa: BLE001 - whatever a codec raises: the peer's data is bad
            call = adopted(service, head, opened, content)
            call.reject_request(error.reason if isinstance(error, RejectedError) else abi.REJECT_DECODE)
            await Exchange(service, call, receive, send, ctx).flush()
            return
        if procedure.many_responses:
            exchange = Exchange(service, adopted(service, head, opened, content), receive, send, ctx)
            await exchange.run(exchange.handle_stream(request))
            return
        failure: Exception | None = None
        response: Any = None
        try:
            work = procedure.function(request, ctx)
            if work.__class__ is not CoroutineType:
                work = _awaited(work)
            pending = work.send(None)
        except StopIteration as stop:
            response = stop.value
        except Exception as error:  # noqa: BLE001 - it is answered
            failure = error
        else:
            exchange = Exchange(service, adopted(service, head, opened, content), receive, send, ctx)
            await exchange.run(exchange.handle_started(work, pending))
            return
        leading, trailing = response_metadata(ctx)
        if failure is None and leading is None and trailing is None and (ends is None or monotonic() < ends):
            try:
                status, reply_fields, reply, trailers, events = service.finish_unary(opened, response)
            except Exception as error:  # noqa: BLE001 - whatever a codec raises
                call = adopted(service, head, opened, content)
                call.reject_reply(error)
            else:
                if status:
                    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": reply_fields}
                    if trailers is not None:
                        start["trailers"] = True
                    await send(start)
                    await send({"type": "http.response.body", "body": reply})
                    if trailers is not None:
                        await send({"type": _TRAILERS, "headers": trailers})
                    return
                call = adopted(service, head, opened, content)
                call.answer(reply, events, ctx)
            await Exchange(service, call, receive, send, ctx).flush()
            return
        exchange = Exchange(service, adopted(service, head, opened, content), receive, send, ctx)
        exchange.finish(failure, response)
        await exchange.flush()

    async def _general(
        self, service: Service, call: ServerCall, scope: Any, fields: list[Any], receive: Any, send: Any
    ) -> None:
        """Serve a request that is not a plain unary one, from its opening on."""
        if call.procedure is None:
            await Exchange(service, call, receive, send).flush()
            return
        timeout = call.timeout_us
        ends = None if timeout == abi.NO_TIMEOUT else monotonic() + timeout / 1e6
        ctx: ServerContext[Any, Any] = ServerContext(
            call.procedure.method, scope["method"], fields, call.hidden, call.binary, ends, _addresses, scope
        )
        exchange = Exchange(service, call, receive, send, ctx, self._leading)
        await exchange.run(exchange.handle())

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
        endpoints = {
            path: (
                endpoint.method,
                wrap(endpoint.method.stream_type, endpoint.function, self._interceptors),
            )
            for path, endpoint in self._endpoints(service).items()
        }
        return Service(endpoints, **self._options)


async def _awaited(work: Any) -> Any:
    if not hasattr(work, "__await__"):
        raise TypeError(f"under ASGI a handler is a coroutine function, 'async def'; this one returned {type(work).__name__}")
    return await work


def _mounted(service: Service, scope: Any, raw_path: bytes | None) -> tuple[Procedure | None, bytes]:
    """The procedure, if any, and the path as the guest should see it, where the path alone names none.

    Servers and frameworks disagree on whether `path` includes `root_path`; either way is understood.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    inside = path.startswith(root + "/")
    for candidate in (
        path,
        path[len(root) :] if inside else root + path,
        root + path,
        below_mount(root, path if inside else root + path),
    ):
        procedure = service.routes.get(candidate)
        # A path with escapes is another path, whatever it decodes to.
        if procedure is not None and (raw_path is None or b"%" not in raw_path or raw_path.endswith(procedure.path)):
            return procedure, procedure.path
    return None, raw_path or path.encode("utf-8", "surrogateescape")


def _addresses(scope: Any) -> tuple[str | None, str | None]:
    """The server's and the client's address, as far as the HTTP side tells them."""
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), None)
    if host is not None and ":" not in host.rpartition("]")[2]:
        host = f"{host}:{443 if scope.get('scheme') == 'https' else 80}"
    if host is None and scope.get("server"):
        host = "{}:{}".format(*scope["server"])
    client = scope.get("client")
    return host, f"{client[0]}:{client[1]}" if client else None
