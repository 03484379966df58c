"""What the async and the sync client share: their arguments, and how a call is made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

from .._headers import Headers
from .._transport.transport import TransportError
from .._wasm.configuration import DEFAULT_READ_MAX_BYTES, unknown_option
from ..errors import ConnectError
from ..method import StreamType
from ..protocol import ProtocolType
from .call import ClientCall
from .cancellation import current_cancellation
from .config import ClientConfig, timeout_seconds
from .context import ClientContext, cancellation_of, seconds_left, told_of
from .exchange import exchange
from .retries import RetryPolicy, Tries
from .stream import StreamCall

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
    from datetime import timedelta
    from typing import Never

    from .._codec.codec import Codec
    from ..compression import AnyCompression
    from ..method import MethodInfo
    from ..request import RequestContext
    from .cancellation import Cancellation
    from .context import Told
    from .exchange import IO
    from .response_metadata import ResponseMetadata

__all__ = ["Calls", "ClientBase", "reply_of"]

GET: Final = "GET"
POST: Final = "POST"

I = TypeVar("I")  # noqa: E741 - an interceptor
H = TypeVar("H")  # an HTTP client


class Calls(ABC):
    """Makes the calls of a client, which it does not know: a client that nobody needs goes at once, and its configuration with
    it.

    The methods that take a context stand inside of all interceptors.
    """

    def __init__(self, config: ClientConfig, http_client: object, retries: RetryPolicy | None) -> None:
        self._config = config
        self._io = self.io_of(http_client)
        self._retries = retries

    @staticmethod
    @abstractmethod
    def io_of(http_client: object) -> IO:
        """How to reach what sends requests. Raises TypeError where that is nothing that does."""

    @staticmethod
    @abstractmethod
    def check(interceptors: Iterable[Any]) -> Sequence[Any]:
        """The interceptors as a list. Raises TypeError where one is none."""

    @staticmethod
    @abstractmethod
    def wrap(stream_type: StreamType, function: Callable[..., Any], interceptors: Sequence[Any]) -> Callable[..., Any]:
        """A function with interceptors around it; without any, the function itself."""

    @abstractmethod
    def respond(self, request: Any, ctx: RequestContext[Any, Any]) -> Any:
        """Call a procedure that gives one message."""

    @abstractmethod
    def respond_many(self, request: Any, ctx: RequestContext[Any, Any], /) -> Any:
        """Call a procedure that gives a stream."""

    def one(
        self,
        message: Any,
        method: MethodInfo[Any, Any],
        headers: Headers | Mapping[str, str] | None,
        limit: float | None,
        get: bool,
        told: Told,
        cancellation: Cancellation | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Make a call that gives one message, of at most `limit` seconds. `message` is a stream where it takes one.

        Raises TypeError where it is none.
        """
        policy = self._retries
        if method.stream_type is not StreamType.UNARY:
            encode = self._config.procedure(method).encode
            message = self._io.requests(message, encode, keeps=policy is not None)
        if policy is None:
            return self._once(message, method, headers, limit, get, told, cancellation, None)
        tries = Tries(policy, method.idempotency_level, None if limit is None else monotonic() + limit)

        def once() -> Coroutine[Any, Any, Any]:
            return self._once(message, method, headers, tries.left, get, told, cancellation, tries)

        return self._repeated(once, tries, cancellation, None if method.stream_type is StreamType.UNARY else message)

    async def _repeated(
        self, once: Callable[[], Coroutine[Any, Any, Any]], tries: Tries, cancellation: Cancellation | None, requests: Any
    ) -> Any:
        """Make a call until it ends well, or no other try is to be made."""
        try:
            while True:
                tries.wait = None
                try:
                    return await once()
                except ConnectError:
                    if tries.wait is None:
                        raise
                await self._io.pause(tries.wait, cancellation)
        finally:
            if requests is not None:
                await self._io.done(requests)

    async def _once(
        self,
        message: Any,
        method: MethodInfo[Any, Any],
        headers: Headers | Mapping[str, str] | None,
        limit: float | None,
        get: bool,
        told: Told,
        cancellation: Cancellation | None,
        tries: Tries | None,
    ) -> Any:
        io = self._io
        call = ClientCall(self._config, self._config.procedure(method))
        many = call.procedure.many_requests
        content: Any = io.content(call, message) if many else None
        try:
            deadline = None if limit is None else monotonic() + limit
            request = call.begin(message, headers, limit, deadline, get, None if tries is None else tries.before)
            if request is not None:
                request.cancellation = cancellation
                if content is not None:
                    request.content = content
                try:
                    work = exchange(call, request, io)
                    await (work if limit is None else io.within(limit, work))
                except TransportError as late:
                    call.gone(late)
            if call.raised is not None:
                raise call.raised
            if tries is not None:
                tries.over(call, message if many else None, content)
            return call.result()
        finally:
            call.close()
            told.tell(call, call.http_status)
            if many and tries is None:
                await io.done(message)

    async def one_in(self, request: Any, ctx: RequestContext[Any, Any]) -> Any:
        """Make the call of a context, which gives one message."""
        get, told, cancellation = ctx.http_method == GET, told_of(ctx), cancellation_of(ctx)
        return await self.one(request, ctx.method, ctx.request_headers, seconds_left(ctx), get, told, cancellation)

    def stream_in(self, request: Any, ctx: RequestContext[Any, Any]) -> StreamCall:
        """The call of a context, which gives a stream."""
        return StreamCall(self._config, self._io, request, ctx, self._retries)


def reply_of(reply: Any, method: MethodInfo[Any, Any]) -> Any:
    """What came through interceptors. Raises TypeError where one of them gave no message."""
    if reply is None or isinstance(reply, CoroutineType):
        what, hint = ("None", "a return") if reply is None else ("a coroutine", "an await")
        if reply is not None:
            reply.close()  # so that nobody is told that it was not awaited, too
        raise TypeError(f"an interceptor gave {what} for {method.service_name}.{method.name}: is {hint} missing?")
    return reply


class ClientBase(Generic[I, H]):
    """The part of a client that does no I/O."""

    _kind: ClassVar[type[Calls]]

    def __init__(
        self,
        address: str,
        *,
        codec: Codec[Any, Any] | None = None,
        protocol: ProtocolType = ProtocolType.CONNECT,
        accept_compression: Iterable[AnyCompression] | None = None,
        send_compression: AnyCompression | None = None,
        timeout_ms: float | None = None,
        timeout: float | timedelta | None = None,
        read_max_bytes: int | None = DEFAULT_READ_MAX_BYTES,
        send_max_bytes: int | None = None,
        compress_min_bytes: int = 0,
        interceptors: Iterable[I] = (),
        http_client: H | None = None,
        retries: RetryPolicy | None = None,
        **others: Never,
    ) -> None:
        """Make a client.

        Args:
            address: where the server is: scheme, host, port if it is not the scheme's own, and a path before all procedures,
                if any.
            codec: how messages become bytes; None for protobuf's binary form, `proto_json_codec()` for JSON.
            protocol: what to speak. gRPC needs a transport that speaks HTTP/2.
            accept_compression: compressions that responses may have, most preferred first; None for gzip, empty for none.
            send_compression: what to compress requests with; None, the default, for nothing: servers need not understand any.
                A compression that is sent with is accepted, too, and stands in the place of an accepted one of its name.
            timeout_ms: milliseconds that a call may take when it does not say itself; None for no limit.
            timeout: the same in seconds, or as a `timedelta`.
            read_max_bytes: longest message to receive, in bytes, before and after decompression; None for no limit.
            send_max_bytes: longest message to send, in bytes, after compression; None, the default, for no limit. A longer one
                ends its call.
            compress_min_bytes: smallest message that `send_compression` compresses, in bytes; by default all are.
            interceptors: code around every call, the first outermost.
            http_client: what sends requests: a client of `pyqwest`, `httpx` or `httpx2` (an async one for an async client), or
                a transport of `connectcore.transport`. None for one that all clients in the process share: HTTP/1.1 over
                cleartext, HTTP/2 for gRPC, over TLS what the server prefers, with the system's certificate authorities, no
                redirects. It is not closed with the client. A `pyqwest` client of your own should be made with
                `follow_redirects=False` and its decompression off; `httpx` cannot carry gRPC, and ends calls after five seconds
                of silence unless its `timeout` says otherwise.
            retries: when to make a call again that failed; None, the default, for never. Interceptors see one call.

        Raises:
            ValueError: an argument makes no sense.
            TypeError: an argument is of the wrong kind.

        """
        for name in others:
            raise unknown_option("a client", name, vars(ClientBase)["__init__"].__kwdefaults__)
        self._config = ClientConfig(
            address=address,
            codec=codec,
            protocol=protocol,
            accept_compression=accept_compression,
            send_compression=send_compression,
            timeout=timeout_seconds(timeout, timeout_ms),
            read_max_bytes=read_max_bytes,
            send_max_bytes=send_max_bytes,
            compress_min_bytes=compress_min_bytes,
        )
        if not isinstance(retries, RetryPolicy | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"retries must be a connectcore.client.RetryPolicy, or None for none, not {retries!r}")
        self._closed = False
        calls = self._calls = self._kind(self._config, http_client, retries)
        around = calls.check(interceptors)
        self._around = {
            StreamType.UNARY: calls.wrap(StreamType.UNARY, calls.respond, around),
            StreamType.CLIENT_STREAM: calls.wrap(StreamType.CLIENT_STREAM, calls.respond, around),
            StreamType.SERVER_STREAM: calls.wrap(StreamType.SERVER_STREAM, calls.respond_many, around),
            StreamType.BIDI_STREAM: calls.wrap(StreamType.BIDI_STREAM, calls.respond_many, around),
        }
        self._plain = self._around[StreamType.UNARY] == calls.respond  # nothing is around a unary call

    def _timeout_of(self, timeout: float | timedelta | None, timeout_ms: float | None) -> float | None:
        """Seconds that this call may take."""
        if self._closed:
            raise RuntimeError("this client is closed: make another, or call inside of its block (`with`, or `async with`)")
        if timeout is None and timeout_ms is None:
            return self._config.timeout
        return timeout_seconds(timeout, timeout_ms)

    def _start(
        self,
        stream_type: StreamType,
        request: Any,
        method: MethodInfo[Any, Any],
        headers: Headers | Mapping[str, str] | None,
        limit: float | None,
        metadata: ResponseMetadata | None,
        http_method: str = POST,
    ) -> tuple[Any, ClientContext]:
        """Make a call through the interceptors, if there are any. They may change the headers, so these are the call's own."""
        own = Headers(headers or ())
        address = self._config.server_address
        ctx = ClientContext(method, http_method, own, limit, address, metadata, current_cancellation())
        return self._around[stream_type](request, ctx), ctx
