"""The transports by `pyqwest`: HTTP/1.1, HTTP/2 and HTTP/3, TLS, proxies.

By default `pyqwest` inflates responses and follows redirects. Both are off in what is made here: content must reach the core as
it came, so that limits hold while it is decompressed, and an RPC is not to be sent to another place (rule 10 of the core).
A `pyqwest` client that a user brings keeps its own settings. Its content is read in pieces all the same, so a limit stops a
response early that `pyqwest` inflates.

A `pyqwest.SyncClient` that a user brings cannot be interrupted while it waits in the iterator of a request's content: an HTTP/2
stream that is given up meanwhile is reset when the iterator gives something.

`pyqwest` runs on threads of its own, which do not survive a fork: in a child, nothing that was made before the fork answers
any more. So a child that inherits a started `pyqwest` gets an error instead of a call that never returns.
"""

from __future__ import annotations

import atexit
import os
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar

from .content import Sending, SendingSync
from .transport import Gone, TransportError, length_of

if TYPE_CHECKING:
    import pyqwest

    from .transport import Fields, Request, ResponseSync

__all__ = ["PyqwestTransport", "PyqwestTransportSync"]

C = TypeVar("C")

_IDLE_PER_HOST: Final = 64
"""Connections kept for reuse. The library's own default of 2 makes most of 16 calls in flight connect anew."""

# How the library words the end of a connection in the middle of a response, which it reports as a breach of HTTP.
_ENDED: Final = ("end of file", "connection closed before", "unexpected EOF", "without sending")

_UNMADE: Final = "failed to establish connection"
"""How it words that there never was a connection, over HTTP/3: then nothing was sent."""

_SETTLING: Final = 0.05
"""Seconds after the last use in which the library's threads may still be letting go of what a call gave them."""

_last_use = float("-inf")


def _used() -> None:
    global _last_use
    _last_use = monotonic()


@atexit.register
def _settle() -> None:
    """Let the library's threads finish. One that needs the interpreter while it goes down aborts the process, and a short
    program would end with SIGABRT after its last, good call.
    """
    left = _last_use + _SETTLING - monotonic()
    if left > 0:
        sleep(left)


_started = False
_unusable = False


class _Pyqwest(Generic[C]):
    """What both forms share."""

    def __init__(
        self,
        *,
        http_version: pyqwest.HTTPVersion | None = None,
        tls_ca_cert: bytes | None = None,
        tls_cert: bytes | None = None,
        tls_key: bytes | None = None,
        client: C | None = None,
    ) -> None:
        """Make a transport.

        Args:
            http_version: the only HTTP version to speak. None: over cleartext HTTP/1.1, and HTTP/2 for what only that can
                carry (gRPC); over TLS what ALPN finds.
            tls_ca_cert: certificate authorities to trust, PEM, instead of the system's.
            tls_cert: a certificate to show to servers that ask for one, PEM.
            tls_key: its private key, PEM.
            client: a client of `pyqwest` to send by; its own settings hold, and the arguments above are not to be given.

        Raises:
            ValueError: `tls_cert` without `tls_key` or the other way round, or options together with `client`.

        """
        global _started
        import pyqwest

        _started = True
        options: dict[str, Any] = {
            "http_version": http_version,
            "tls_ca_cert": tls_ca_cert,
            "tls_cert": tls_cert,
            "tls_key": tls_key,
        }
        if client is not None and any(option is not None for option in options.values()):
            raise ValueError("a pyqwest client brings its own options: give them to it")
        if (tls_cert is None) != (tls_key is None):
            raise ValueError("tls_cert and tls_key go together: a client certificate is of no use without its key")
        self._options = options
        self._client = client
        self._pyqwest = pyqwest
        ours = {
            "tls_include_system_certs": tls_ca_cert is None,
            "pool_max_idle_per_host": _IDLE_PER_HOST,
            "enable_gzip": False,
            "enable_brotli": False,
            "enable_zstd": False,
            "follow_redirects": False,
            # Tracing belongs above, where procedures have names; at this height it costs each call a tenth of its time.
            "enable_otel": False,
        }
        self._all_options = {**options, **ours}
        # Over cleartext there is no ALPN, so what only HTTP/2 can carry goes by a sender that speaks nothing else.
        self._asks = client is None and http_version is None
        self._http2: Any = None
        self._sends = self._sender(self._all_options)

    def _sender(self, options: dict[str, Any]) -> Any:
        """What sends: by the user's client, or with these options."""
        raise NotImplementedError

    def _sender_for(self, request: Request) -> Any:
        if not (request.http2 and self._asks and request.origin.startswith("http:")):
            return self._sends
        if self._http2 is None:
            self._http2 = self._sender({**self._all_options, "http_version": self._pyqwest.HTTPVersion.HTTP2})
        return self._http2


class _AnyResponse:
    """A response whose head has come, and what closes it."""

    __slots__ = ("_manager", "_pieces", "_response", "_sending", "fields", "length", "status")

    _sending: Any
    fields: Fields

    def __init__(self, pyqwest: Any, response: Any, manager: Any, sending: Any) -> None:
        self._response = response
        self._sending = sending  # the request's content, if it may still be sent
        self._manager = manager
        self._pieces: Any = None  # the iterator of the content
        self.status: int = response.status
        fields = list(response.headers.items())
        self.fields = fields
        self.length = length_of(fields) if response.http_version == pyqwest.HTTPVersion.HTTP1 else None

    @property
    def trailers(self) -> Fields:
        return list(self._response.trailers.items())


class PyqwestTransport(_Pyqwest["pyqwest.Client"]):
    """The async transport. Usable from any number of event loops."""

    def _sender(self, options: dict[str, Any]) -> Any:
        return self._client.stream if self._client is not None else self._pyqwest.HTTPTransport(**options).execute

    async def open(self, request: Request) -> _Response:
        """Send a request and wait for the head of its response. Raises TransportError."""
        _check_process()
        pyqwest = self._pyqwest
        content: Any = request.content
        sending = None
        if not isinstance(content, bytes):
            content = sending = Sending(content)
        try:
            headers = pyqwest.Headers(request.text_fields)
            url = request.origin + request.target
            sender = self._sender_for(request)
            if self._client is not None:
                manager = sender(request.method, url, headers=headers, content=content or None)
                return _Response(pyqwest, await manager.__aenter__(), manager, sending)
            response = await sender(pyqwest.Request(request.method, url, headers, content or None))
            return _Response(pyqwest, response, response, sending)
        except BaseException as error:  # noqa: BLE001 - it is raised again
            if sending is not None:
                await sending.aclose()
            _raise(error, sending)
        finally:
            _used()


class _Response(_AnyResponse):
    __slots__ = ()

    async def read(self) -> bytes:
        if self._pieces is None:
            self._pieces = aiter(self._response.content)
        pieces: Any = self._pieces
        try:
            piece = bytes(await anext(pieces, b""))
        except BaseException as error:  # noqa: BLE001 - it is raised again
            sending = self._sending
            await self._sent()
            _raise(error, sending)
        if not piece:
            await self._sent()
        return piece

    async def _sent(self) -> None:
        """No more of the request's content is wanted."""
        sending, self._sending = self._sending, None
        if sending is not None:
            await sending.aclose()

    async def close(self) -> None:
        try:
            await self._sent()
            await self._manager.__aexit__(None, None, None)
        finally:
            _used()


class PyqwestTransportSync(_Pyqwest["pyqwest.SyncClient"]):
    """The sync transport. Usable from any number of threads.

    Ctrl-C ends a call that streams its requests, or is made under a `Cancellation`, at once, and any other when its server says
    something or its timeout is over: `pyqwest` cannot be interrupted.
    """

    _cancelable: PyqwestTransport | None = None

    def _sender(self, options: dict[str, Any]) -> Any:
        pyqwest = self._pyqwest
        return (self._client or pyqwest.SyncClient(pyqwest.SyncHTTPTransport(**options))).stream

    def open_sync(self, request: Request) -> ResponseSync:
        """Send a request and wait for the head of its response. Raises TransportError."""
        _check_process()
        cancelable = request.cancellation is not None or not isinstance(request.content, bytes)
        if cancelable and self._client is None:
            from .pyqwest_cancel import open_cancelable

            if self._cancelable is None:
                self._cancelable = PyqwestTransport(**self._options)
            return open_cancelable(self._cancelable, request, request.cancellation)
        timeout = None
        if request.deadline is not None:
            timeout = request.deadline - monotonic()
            if timeout <= 0:
                raise TransportError(Gone.TIMEOUT)
        content: Any = request.content
        sending = None
        if not isinstance(content, bytes):
            content = sending = SendingSync(content)
        try:
            headers = self._pyqwest.Headers(request.text_fields)
            url = request.origin + request.target
            # The timeout covers the response's content, too.
            sender = self._sender_for(request)
            manager = sender(request.method, url, headers=headers, content=content or None, timeout=timeout)
            return _ResponseSync(self._pyqwest, manager.__enter__(), manager, sending)
        except BaseException as error:  # noqa: BLE001 - it is raised again
            if sending is not None:
                sending.close()
            _raise(error, sending)
        finally:
            _used()


class _ResponseSync(_AnyResponse):
    __slots__ = ()

    def read(self) -> bytes:
        if self._pieces is None:
            self._pieces = iter(self._response.content)
        try:
            piece = bytes(next(self._pieces, b""))
        except BaseException as error:  # noqa: BLE001 - it is raised again
            sending = self._sending
            self._sent()
            _raise(error, sending)
        if not piece:
            self._sent()
        return piece

    def _sent(self) -> None:
        """No more of the request's content is wanted."""
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.close()

    def close(self) -> None:
        self._sent()
        try:
            self._manager.__exit__(None, None, None)
        finally:
            _used()


def _raise(error: BaseException, sending: Sending | SendingSync | None) -> NoReturn:
    """Raise what came of a request: what its content raised, what the library did, or what is no failure of either."""
    if not isinstance(error, Exception):
        raise error
    if sending is not None and sending.error is not None:
        raise sending.error from None
    failure = _failure(error)
    if failure is error:
        raise error
    raise failure from error


def _failure(error: Exception) -> Exception:
    """What the library raised, as one of ours; anything that is not about the exchange stays as it is."""
    import pyqwest

    text = _text(error)
    if _UNMADE in text:
        return TransportError(Gone.REFUSED, text)
    match error:
        case pyqwest.StreamError():
            return TransportError(Gone.RESET, text, int(error.code))
        case pyqwest.RemoteProtocolError():
            ended = any(words in text for words in _ENDED)
            return TransportError(Gone.CLOSED if ended else Gone.MALFORMED, text)
        case pyqwest.ConnectTimeout() | ConnectionError():
            return TransportError(Gone.REFUSED, text)
        case TimeoutError():
            return TransportError(Gone.TIMEOUT, text)
        case pyqwest.ReadError() | pyqwest.WriteError():
            # Some breaches of HTTP are reported as errors of reading.
            return TransportError(Gone.MALFORMED if "invalid" in text else Gone.CLOSED, text)
        case UnicodeDecodeError():
            return ValueError("metadata that is not UTF-8 cannot be sent by pyqwest")
        case _:
            return error


def _text(error: Exception) -> str:
    """What went wrong, without the URL, which holds the message of a GET."""
    before, mark, after = str(error).partition(" for url (")
    return f"{before}: {after.partition('): ')[2]}" if mark else before


def _check_process() -> None:
    if _unusable:
        raise RuntimeError(
            "pyqwest was in use before this process was forked, and its threads did not survive that: "
            "make the first call, or the HTTP client, after the fork"
        )


def _after_fork_in_child() -> None:
    global _unusable
    _unusable = _started


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
