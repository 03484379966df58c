"""The WSGI application."""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from .._interceptors import check_sync, split_leading_sync, wrap_sync
from .._wasm import abi
from ..request import ServerContext, response_metadata
from .call import ServerCall, adopted
from .mount import below_mount
from .service import DEFAULT_READ_MAX_BYTES, Compressed, RejectedError, Service
from .wsgi_call import Exchange, answer_nobody, status_line
from .wsgi_request import RequestContent, addresses, fields_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._codec.codec import Codec
    from ..compression import Compression
    from ..interceptor import InterceptorSync
    from .endpoint import EndpointSync
    from .service import Procedure
    from .wsgi_call import StartResponse

__all__ = ["ConnectWSGIApplication"]

_WHOLE_DIGITS: Final = 6
"""Content whose length has up to this many digits is read before the guest is asked; longer content when the head was
found good."""

_ASYNCHRONOUS: Final = 0x80 | 0x200
"""Flags of code: a coroutine's, an asynchronous generator's (`inspect.CO_COROUTINE`, `inspect.CO_ASYNC_GENERATOR`)."""


class ConnectWSGIApplication(ABC):
    """A WSGI application that serves one service by the Connect protocol and gRPC.

    Generated code derives from it. It can be mounted under a prefix, beside other applications. gRPC needs a server that can
    send trailers (`wsgi.ext.http.send_trailers`).
    """

    @property
    @abstractmethod
    def path(self) -> str:
        """The path under which the service's procedures lie: `/` and the service's full name."""

    def __init__(
        self,
        *,
        endpoints: Mapping[str, EndpointSync[Any, Any]],
        interceptors: Iterable[InterceptorSync] = (),
        read_max_bytes: int | None = DEFAULT_READ_MAX_BYTES,
        compressions: Iterable[Compression] | None = None,
        codecs: Iterable[Codec] | None = None,
    ) -> None:
        """Make the application.

        Args:
            endpoints: the service's endpoints by path. Generated code passes them.
            interceptors: around every call, the first outermost.
            read_max_bytes: bytes in one received message, before and after decompression; None for no limit.
            compressions: compressions to offer, most preferred first; gzip if not given, none if empty.
            codecs: codecs to speak; protobuf's binary and JSON forms if not given.

        Raises:
            TypeError: an interceptor is none, or a handler is asynchronous.
            ValueError: `read_max_bytes` is not a positive number.

        """
        for path, endpoint in endpoints.items():
            _check_sync(path, endpoint.function)
        self._leading, others = split_leading_sync(check_sync(interceptors))
        self._service = Service(
            {
                path: (endpoint.method, wrap_sync(endpoint.method.stream_type, endpoint.function, others))
                for path, endpoint in endpoints.items()
            },
            codecs=codecs,
            compressions=compressions,
            read_max_bytes=read_max_bytes,
            text=True,
        )

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        service = self._service
        procedure = service.routes.get(environ.get("PATH_INFO", ""))
        raw_path = environ.get("RAW_URI") or environ.get("REQUEST_URI")
        if procedure is None or (raw_path is not None and "%" in raw_path):
            procedure, path = _mounted(service, environ, raw_path or "")
        else:
            path = procedure.path
        count, column, fields = fields_of(environ)
        send_trailers = environ.get("wsgi.ext.http.send_trailers")
        method = environ["REQUEST_METHOD"]
        query = environ.get("QUERY_STRING")
        head = (
            0 if send_trailers is None else abi.OPEN_TRAILERS,
            b"POST" if method == "POST" else method.encode("latin-1"),
            path,
            query.encode("latin-1") if query else b"",
            count,
            column,
        )
        announced = environ.get("CONTENT_LENGTH") or "0"
        if (
            procedure is None
            or procedure.many_requests
            or procedure.many_responses
            or self._leading
            or not announced.isdecimal()
            or len(announced) > _WHOLE_DIGITS
        ):
            # The head alone decides what is to be read, or whether anything is.
            call = ServerCall(service, head)
            call.open()
            return self._general(call, environ, fields, RequestContent(environ), start_response)
        length = int(announced)
        try:
            data = environ["wsgi.input"].read(length) if length else b""
        except OSError:
            return answer_nobody(start_response)
        if len(data) != length or (not length and method == "POST"):
            call = ServerCall(service, head)
            call.open(data)
            return self._general(call, environ, fields, RequestContent(environ, len(data)), start_response)
        opened = service.open_unary(head, procedure, data)
        payload: Any
        if opened.status:
            payload = data
        elif opened.handle:
            payload = opened.payload
        else:
            call = ServerCall(service, head)
            call.resume(opened, data, end=True)
            return self._general(call, environ, fields, None, start_response)
        ends = None if opened.timeout == abi.NO_TIMEOUT else monotonic() + opened.timeout / 1e6
        ctx: ServerContext[Any, Any] = ServerContext(
            procedure.method, method, fields, opened.hidden, opened.binary, ends, addresses, environ
        )
        try:
            if payload.__class__ is Compressed:
                payload = service.unpacked(payload)
            request = procedure.decoders[opened.codec](payload)
        except Exception as error:  # noqa: BLE001 - whatever a codec raises: the peer's data is bad
            call = adopted(service, head, opened, data)
            call.reject_request(error.reason if isinstance(error, RejectedError) else abi.REJECT_DECODE)
            return Exchange(service, call, None, start_response, send_trailers).written()
        failure: Exception | None = None
        response: Any = None
        try:
            response = procedure.function(request, ctx)
        except Exception as error:  # noqa: BLE001 - it is answered
            failure = error
        leading, trailing = response_metadata(ctx)
        if failure is None and leading is None and trailing is None and (ends is None or monotonic() < ends):
            try:
                status, reply_fields, reply, trailers, events = service.finish_unary(opened, response)
            except Exception as error:  # noqa: BLE001 - whatever a codec raises
                call = adopted(service, head, opened, data)
                call.reject_reply(error)
            else:
                if status:
                    start_response(status_line(status), reply_fields)
                    if trailers is not None:
                        assert send_trailers is not None
                        send_trailers(trailers)
                    return (reply,)
                call = adopted(service, head, opened, data)
                call.answer(reply, events, ctx)
            return Exchange(service, call, None, start_response, send_trailers).written()
        exchange = Exchange(service, adopted(service, head, opened, data), None, start_response, send_trailers, ctx)
        exchange.finish(failure, response)
        return exchange.written()

    def _general(
        self,
        call: ServerCall,
        environ: dict[str, Any],
        fields: Any,
        content: RequestContent | None,
        start_response: StartResponse,
    ) -> Iterable[bytes]:
        """Serve a request that is not a plain unary one, from its opening on."""
        send_trailers = environ.get("wsgi.ext.http.send_trailers")
        if call.procedure is None:
            return Exchange(self._service, call, content, start_response, send_trailers).written()
        timeout = call.timeout_us
        ends = None if timeout == abi.NO_TIMEOUT else monotonic() + timeout / 1e6
        ctx: ServerContext[Any, Any] = ServerContext(
            call.procedure.method,
            environ["REQUEST_METHOD"],
            fields,
            call.hidden,
            call.binary,
            ends,
            addresses,
            environ,
        )
        exchange = Exchange(self._service, call, content, start_response, send_trailers, ctx, self._leading)
        return exchange.handle()


def _check_sync(path: str, function: Any) -> None:
    """Refuse a handler whose work nobody would do: no loop runs under WSGI. Raises TypeError."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if getattr(code, "co_flags", 0) & _ASYNCHRONOUS:
        raise TypeError(f"the handler of {path} is asynchronous: serve it under ASGI, or make it a plain function")


def _mounted(service: Service, environ: dict[str, Any], raw_path: str) -> tuple[Procedure | None, bytes]:
    """The procedure, if any, and the path as the guest should see it, where the path alone names none.

    The application may be mounted anywhere, also at the service's own path.
    """
    path: str = environ.get("PATH_INFO") or "/"
    script: str = environ.get("SCRIPT_NAME", "")
    procedure = (
        service.routes.get(path) or service.routes.get(script + path) or service.routes.get(below_mount(script, script + path))
    )
    raw_path = raw_path.partition("?")[0] if "%" in raw_path else ""
    # WSGI decodes the path; a path with escapes is another path, whatever it decodes to.
    if procedure is not None and (not raw_path or raw_path.endswith(procedure.path.decode())):
        return procedure, procedure.path
    return None, (raw_path or path).encode("latin-1", "replace")
