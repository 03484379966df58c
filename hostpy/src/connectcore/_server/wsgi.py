"""The WSGI application."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from .._codec.payload import RejectedError, decoded
from .._interceptors import MetadataRunSync, check_sync, split_leading_sync, wrap_sync
from .._wasm.configuration import DEFAULT_READ_MAX_BYTES
from ..request import ServerContext
from .access import WSGIEntry
from .call import ServerCall
from .handlers import checked_sync
from .options import Options
from .plain_call import PlainCall
from .service import Service
from .wrong_server import NOT_GIVEN, NoRSGI, called_as_asgi
from .wsgi_call import STATUS_LINES, Exchange, answer_nobody, followed
from .wsgi_request import READER, RequestContent, addresses, head_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Never, Unpack

    from .._codec.codec import Codec
    from ..compression import AnyCompression
    from ..interceptor import InterceptorSync
    from .endpoint import EndpointSync
    from .options import ServerOptions
    from .wsgi_call import StartResponse

__all__ = ["ConnectWSGIApplication"]


class ConnectWSGIApplication(NoRSGI, ABC):
    """A WSGI application that serves one service by the Connect protocol and gRPC.

    Generated code derives from it. It can be mounted under a prefix, beside other applications. gRPC needs a server that can
    send trailers: pyvoy, or gunicorn over HTTP/2.
    """

    _interface = "wsgi"

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
        endpoints: Mapping[str, EndpointSync[Any, Any]],
        interceptors: Iterable[InterceptorSync] = (),
        read_max_bytes: int | None = DEFAULT_READ_MAX_BYTES,
        compressions: Iterable[AnyCompression] | None = None,
        codecs: Iterable[Codec] | None = None,
        **options: Unpack[ServerOptions],
    ) -> None:
        """Make the application.

        Args:
            endpoints: the service's endpoints by path. Generated code passes them.
            interceptors: around every call, the first outermost.
            read_max_bytes: bytes in one received message, before and after decompression; None for no limit.
            compressions: compressions to offer, most preferred first; gzip if not given, none if empty.
            codecs: codecs to speak; protobuf's binary and JSON forms if not given.
            options: see `ServerOptions`.

        Raises:
            TypeError: an interceptor is none, a handler is asynchronous, or an option is of the wrong kind.
            ValueError: an option makes no sense; the text says which and why.

        """
        self._leading, others = split_leading_sync(check_sync(interceptors))
        self._service = Service(
            {
                path: (each.method, wrap_sync(each.method.stream_type, checked_sync(path, each.method, each.function), others))
                for path, each in endpoints.items()
            },
            codecs=codecs,
            compressions=compressions,
            options=Options(read_max_bytes=read_max_bytes, **options),
            watched=bool(self._leading),
            text=True,
            able="pyvoy, gunicorn over HTTP/2",
        )

    def __call__(
        self,
        environ: dict[str, Any],
        start_response: StartResponse = NOT_GIVEN,
        *others: Never,
        entry: WSGIEntry | None = None,
    ) -> Iterable[bytes]:
        """Serve one request. `entry` is this application's own: what it logs of the request."""
        if start_response is NOT_GIVEN or others:
            raise called_as_asgi(self)
        service = self._service
        if service.access_log and entry is None:
            entry = WSGIEntry(addresses, environ)
            try:
                return entry.around(self(environ, entry.started(start_response), entry=entry))
            except BaseException:
                entry.write()
                raise
        if "REQUEST_METHOD" not in environ:  # uWSGI passes on what is no HTTP, too
            return answer_nobody(start_response)
        content = RequestContent(environ) if entry is None else entry.content(environ)
        procedure, head = head_of(service, environ, unbounded=content.unbounded)
        if entry is not None:
            entry.procedure = procedure
        left = content.left
        if procedure is None or procedure.many_requests:
            opened = service.open(head, None, end=left == 0)
        else:
            opened = service.settle(head, left)
        if entry is not None:
            entry.opened = opened
        if isinstance(opened, ServerCall):
            return Exchange(opened, content, environ, start_response).run(self._leading, head)
        plain, procedure, codec = opened.plain, opened.procedure, opened.request.codec
        ctx: ServerContext[Any, Any] = ServerContext(procedure.method, opened.request, READER, environ, head)
        run = MetadataRunSync(self._leading, ctx) if self._leading else None
        call: PlainCall | None = None
        ended = False
        data: bytes | None = None
        bad: RejectedError | None = None
        reply: bytes | None = None
        error: BaseException | None = None
        try:
            if run is not None:
                run.start()
            data, ended = content.read_all(plain.limit, ctx)
            request: Any = None
            good = ended and (plain.bare or plain.holds(data))
            if good:
                try:
                    request = decoded(procedure.decoders[codec], data if plain.bare else plain.payload(data))
                except RejectedError as rejected:
                    good, bad = False, rejected
            if good:
                reply = procedure.encoded(codec, procedure.function(request, ctx))
            else:  # it has not come, or is not what the verdict is about
                call = PlainCall(service, head, opened)
        except BaseException as raised:  # noqa: BLE001 - it is answered, or raised again
            error = raised
        if call is not None:
            if entry is not None:
                entry.opened = call
            if bad is None:
                call.show(data or b"", ctx, ended=ended, gone=content.gone)
            else:
                call.refuse(data or b"", ctx, bad)
                bad = None  # what it was raised in has it
            return Exchange(call, content, environ, start_response).go_on(run or MetadataRunSync((), ctx))
        if run is not None:
            error = run.end(error)
        if error is None and reply is not None:
            answer = plain.answer(reply, ctx)
            if answer is not None:
                fields, data, trailers = answer
                start_response(STATUS_LINES[plain.status], fields)
                # A list: servers, granian for one, write what is none piece by piece.
                return [data] if trailers is None else followed([data], trailers, environ)
        call = PlainCall(service, head, opened)
        call.settle(data, ctx)
        if entry is not None:
            entry.opened = call
        return Exchange(call, content, environ, start_response).end(reply, error)
