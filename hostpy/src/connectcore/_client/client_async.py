"""The async client: I/O, deadlines and cancellation around `call.py`."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from .._interceptors import check, wrap
from .._lazy import asyncio
from .._transport.transport import Transport, TransportError, gone_of
from ..code import Code
from ..errors import ConnectError
from ..method import StreamType
from ..protocol import ProtocolType
from .base import GET, POST, ClientBase, check_get, report, seconds_left
from .call import ClientCall
from .config import DEFAULT_READ_MAX_BYTES
from .response_metadata import current_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from types import TracebackType

    import pyqwest

    from .._headers import Headers
    from .._transport.transport import Request, Response
    from .._typing import REQ, RES
    from ..codec import Codec
    from ..compression import Compression
    from ..interceptor import Interceptor
    from ..method import MethodInfo
    from ..request import RequestContext

__all__ = ["ConnectClient"]


class ConnectClient(ClientBase):
    """Calls procedures from asyncio. Generated clients derive from it; a client may be used by any number of tasks at once.

    Args:
        address: where the server is: scheme, host, port if it is not the scheme's own, and a path before all procedures, if
            any.
        codec: how messages become bytes; None for protobuf's binary form, `proto_json_codec()` for JSON.
        protocol: what to speak. Calls that the protocol core does not carry yet fail with `UNIMPLEMENTED`.
        accept_compression: compressions that responses may have, most preferred first; None for gzip, empty for none.
        send_compression: what to compress requests with; None, the default, for nothing: servers need not understand any. A
            compression that is sent with is accepted, too.
        timeout_ms: milliseconds that a call may take when it does not say itself.
        timeout: the same in seconds.
        read_max_bytes: longest message to receive, in bytes, before and after decompression; None for no limit.
        interceptors: code around every call, the first outermost.
        http_client: what sends requests: a `pyqwest.Client`, or a transport of `connectcore.transport`. None for one that all
            clients in the process share: HTTP/1.1 over cleartext, HTTP/2 or HTTP/1.1 over TLS with the system's certificate
            authorities, no redirects. It is not closed with the client. A `pyqwest` client of your own should be made with
            `follow_redirects=False` and its decompression off.

    Raises:
        ValueError: an argument makes no sense.
        TypeError: an interceptor or `http_client` is of none of these kinds.

    """

    def __init__(
        self,
        address: str,
        *,
        codec: Codec[Any, Any] | None = None,
        protocol: ProtocolType = ProtocolType.CONNECT,
        accept_compression: Iterable[Compression] | None = None,
        send_compression: Compression | None = None,
        timeout_ms: float | None = None,
        timeout: float | None = None,
        read_max_bytes: int | None = DEFAULT_READ_MAX_BYTES,
        interceptors: Iterable[Interceptor] = (),
        http_client: pyqwest.Client | Transport | None = None,
    ) -> None:
        super().__init__(
            address,
            codec=codec,
            protocol=protocol,
            accept_compression=accept_compression,
            send_compression=send_compression,
            timeout_ms=timeout_ms,
            timeout=timeout,
            read_max_bytes=read_max_bytes,
        )
        self._transport = None if http_client is None else _as_transport(http_client)
        around = check(interceptors)
        plain = self._unary
        unary = wrap(StreamType.UNARY, plain, around)
        self._around_unary = None if unary is plain else unary
        self._around_client_stream = wrap(StreamType.CLIENT_STREAM, self._no_response, around)
        self._around_server_stream = wrap(StreamType.SERVER_STREAM, self._no_responses, around)
        self._around_bidi_stream = wrap(StreamType.BIDI_STREAM, self._no_responses, around)

    async def close(self) -> None:
        """Refuse further calls. Those under way go on; the HTTP client stays open, for whoever made it."""
        self._closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def execute_unary(
        self,
        *,
        request: REQ,
        method: MethodInfo[REQ, RES],
        headers: Headers | Mapping[str, str] | None = None,
        timeout_ms: float | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a deadline that the server is told, too
        use_get: bool = False,
    ) -> RES:
        """Call a unary procedure.

        Args:
            request: the request message.
            method: what to call.
            headers: metadata to send.
            timeout_ms: milliseconds that the call may take; None for the client's own timeout.
            timeout: the same in seconds.
            use_get: send an HTTP GET, which proxies and browsers may cache, if the request fits into its target.

        Raises:
            ConnectError: the call failed.
            ValueError: `use_get` for a method that may have side effects, or both timeouts.
            RuntimeError: the client is closed.

        """
        limit = self._timeout_of(timeout, timeout_ms)
        if use_get:
            check_get(method)
        if self._around_unary is None:
            return await self._call(request, method, headers, limit, use_get, None)  # type: ignore[no-any-return]
        ctx = self._context(method, headers, limit, GET if use_get else POST)
        return await self._around_unary(request, ctx)  # type: ignore[no-any-return]

    async def execute_client_stream(
        self,
        *,
        request: AsyncIterator[REQ],
        method: MethodInfo[REQ, RES],
        headers: Headers | Mapping[str, str] | None = None,
        timeout_ms: float | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> RES:
        """Call a procedure that takes a stream and gives one message. Arguments and errors are those of `execute_unary`."""
        ctx = self._context(method, headers, self._timeout_of(timeout, timeout_ms), POST)
        return await self._around_client_stream(request, ctx)  # type: ignore[no-any-return]

    def execute_server_stream(
        self,
        *,
        request: REQ,
        method: MethodInfo[REQ, RES],
        headers: Headers | Mapping[str, str] | None = None,
        timeout_ms: float | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[RES]:
        """Call a procedure that takes one message and gives a stream. Arguments and errors are those of `execute_unary`; the
        call starts, and fails, when the stream is iterated."""
        ctx = self._context(method, headers, self._timeout_of(timeout, timeout_ms), POST)
        return self._around_server_stream(request, ctx)  # type: ignore[no-any-return]

    def execute_bidi_stream(
        self,
        *,
        request: AsyncIterator[REQ],
        method: MethodInfo[REQ, RES],
        headers: Headers | Mapping[str, str] | None = None,
        timeout_ms: float | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[RES]:
        """Call a procedure that takes a stream and gives a stream. Arguments and errors are those of `execute_unary`; the call
        starts, and fails, when the stream is iterated."""
        ctx = self._context(method, headers, self._timeout_of(timeout, timeout_ms), POST)
        return self._around_bidi_stream(request, ctx)  # type: ignore[no-any-return]

    async def _unary(self, request: Any, ctx: RequestContext[Any, Any]) -> Any:
        """A unary call, inside of all interceptors."""
        return await self._call(request, ctx.method, ctx.request_headers, seconds_left(ctx), ctx.http_method == GET, ctx)

    async def _no_response(self, _request: Any, ctx: RequestContext[Any, Any]) -> Any:
        raise ClientCall(self._config, ctx.method).begin_stream(ctx.request_headers, seconds_left(ctx))

    async def _no_responses(self, _request: Any, ctx: RequestContext[Any, Any]) -> AsyncIterator[Any]:
        for _ in ():
            yield
        raise ClientCall(self._config, ctx.method).begin_stream(ctx.request_headers, seconds_left(ctx))

    async def _call(
        self,
        message: Any,
        method: MethodInfo[Any, Any],
        headers: Headers | Mapping[str, str] | None,
        limit: float | None,
        get: bool,
        ctx: RequestContext[Any, Any] | None,
    ) -> Any:
        call = ClientCall(self._config, method)
        metadata = current_response()
        try:
            deadline = None if limit is None else monotonic() + limit
            request = call.begin(message, headers, limit, deadline, get)
            if request is not None:
                if limit is None:
                    await self._exchange(call, request)
                else:
                    try:
                        async with asyncio.timeout(limit):
                            await self._exchange(call, request)
                    except TimeoutError:
                        call.deadline()
            return call.result()
        except asyncio.CancelledError:
            call.cancel()
            raise
        finally:
            call.close()
            if ctx is not None or metadata is not None:
                report(call, ctx, metadata)

    async def _exchange(self, call: ClientCall, request: Request) -> None:
        """Send the request and bring what comes to the call, until it wants no more."""
        response: Response | None = None
        try:
            transport = self._transport or _shared()
            response = await transport.open(request)
            call.head(response.status, response.fields, response.length)
            while not call.finished:
                data = await response.read()
                if not data:
                    call.ended(response.trailers)
                    break
                call.content(data)
        except (TransportError, OSError) as error:
            call.gone(gone_of(error))
        except ConnectError:
            raise
        except Exception as error:
            raise ConnectError(Code.INTERNAL, f"the HTTP client failed: {error}") from error
        finally:
            if response is not None:
                await response.close()


def _shared() -> Transport:
    from .._transport.pyqwest import default_transport

    return default_transport()


def _as_transport(http_client: object) -> Transport:
    if isinstance(http_client, Transport):
        return http_client
    import pyqwest

    from .._transport.pyqwest import PyqwestTransport

    if isinstance(http_client, pyqwest.Client):
        return PyqwestTransport(client=http_client)
    raise TypeError(
        f"http_client must be a pyqwest.Client or an async transport of connectcore.transport, not {type(http_client).__name__}"
    )
