"""The WSGI application."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from .._codec.payload import decoded
from .._interceptors import check_sync, split_leading_sync, wrap_sync
from .._wasm.configuration import DEFAULT_READ_MAX_BYTES
from ..request import ServerContext, expired
from .access import WSGIEntry
from .call import ServerCall
from .handlers import checked_sync
from .options import Options
from .plain_call import PlainCall
from .service import Service
from .verdict import Verdict
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
    from .memory import Head
    from .options import ServerOptions
    from .wsgi_call import StartResponse

__all__ = ["ConnectWSGIApplication"]

_WHOLE: Final = 1_000_000
"""Content of less than so many bytes is read before the guest is asked; longer content when the head was found good."""


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
            text=True,
            early=bool(self._leading),
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
        data: bytes | None = None
        left = content.left
        ended = left == 0
        if procedure is not None and not procedure.many_requests and not self._leading:
            if left is not None:
                if left < _WHOLE:
                    data, ended = content.read(_WHOLE), True
            elif environ["REQUEST_METHOD"] == "POST":
                data = content.read(_WHOLE, some=True)
                ended = not data
            if content.gone:
                return answer_nobody(start_response)
        # Else the head alone decides what is to be read, or whether anything is.
        opened = service.open(head, data, end=ended, waits=True, size=left)
        ctx: Any = None
        if not ended and isinstance(opened, Verdict):
            ctx = ServerContext(opened.procedure.method, opened.request, READER, environ, head)
            opened, data = self._read_on(opened, head, data or b"", content, ctx)
            if content.gone:
                return answer_nobody(start_response)
        if entry is not None:
            entry.opened = opened
        if isinstance(opened, ServerCall):
            return Exchange(opened, content, environ, start_response).run(self._leading, head)
        assert data is not None
        plain, procedure, codec = opened.plain, opened.procedure, opened.request.codec
        if ctx is None:
            ctx = ServerContext(procedure.method, opened.request, READER, environ, head)
        reply: bytes | None = None
        error: BaseException | None = None
        try:
            payload = data if plain.bare else plain.payload(data)
            reply = procedure.encoded(codec, procedure.function(decoded(procedure.decoders[codec], payload), ctx))
        except BaseException as raised:  # noqa: BLE001 - it is answered, or raised again
            error = raised
        else:
            answer = plain.answer(reply, ctx)
            if answer is not None:
                start_response(STATUS_LINES[plain.status], answer[0])
                # A list: servers, granian for one, write what is none piece by piece.
                return [answer[1]] if plain.trailers is None else followed([answer[1]], plain.trailers, environ)
        call = PlainCall(service, head, opened)
        call.settle(data, ctx)
        if entry is not None:
            entry.opened = call
        return Exchange(call, content, environ, start_response).end(reply, error)

    def _read_on(
        self, verdict: Verdict, head: Head, first: bytes, content: RequestContent, ctx: Any
    ) -> tuple[Verdict | ServerCall, bytes]:
        """Read the rest of a plain call's content. Gives all of it, and what is said of the call now."""
        data, ended = content.read_on(first, verdict.plain.limit, ctx)
        if content.gone:
            return verdict, data
        if expired(ctx):
            call = PlainCall(self._service, head, verdict)
            call.settle(None, ctx)
            call.deadline()
            return call, data
        if ended and verdict.plain.holds(data):
            return verdict, data
        return self._service.open(head, data, end=ended), data
