"""One call under WSGI: reading, the handler, writing, in the server's thread."""

from __future__ import annotations

from itertools import chain, islice
from time import sleep
from typing import TYPE_CHECKING, Any, Final

from .._codec.payload import FATAL, encoded
from .._interceptors import MetadataRunSync
from ..request import ServerContext, expired
from .outcome import AbortedError
from .wsgi_request import CHUNK, READER, send_trailers, trailers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..interceptor import MetadataInterceptorSync
    from .call import ServerCall
    from .memory import Head
    from .wsgi_request import RequestContent

    Context = ServerContext[Any, Any]
    StartResponse = Callable[[str, list[tuple[str, str]]], object]

__all__ = ["STATUS_LINES", "Exchange", "answer_nobody", "followed"]

_DRAIN: Final = 8 << 20
"""Bytes of content that are read and forgotten after an answer over HTTP/1 that did not want them. Over HTTP/2 the connection
goes on without that, and the peer may wait for the answer with its content open."""


def answer_nobody(start_response: StartResponse) -> list[bytes]:
    """The answer to a peer that went away before its request had come, or has made none: servers log a fault where there is no
    answer (PEP 3333)."""
    start_response(STATUS_LINES[400], [("content-length", "0")])
    return [b""]


def followed(parts: Iterable[bytes], trailers: list[tuple[str, str]], environ: dict[str, Any]) -> Iterator[bytes]:
    """Content, and trailers once the server has taken it: pyvoy ends a response with its trailers, come what may."""
    yield from parts
    send_trailers(environ, trailers)


class _StatusLines(dict[int, str]):
    """Statuses as WSGI wants them; one that is not registered gets a phrase that says nothing."""

    def __missing__(self, status: int) -> str:
        from http.client import responses

        line = self[status] = f"{status} {responses.get(status, f'Status {status}')}"
        return line


STATUS_LINES: Final = _StatusLines({200: "200 OK"})


class Exchange:
    """One HTTP request and its response: the owner of a call, which closes it whatever happens.

    It is what the server iterates where the response is a stream. The server closes it (PEP 3333), even if it never began.
    """

    __slots__ = ("_closed", "_content", "_environ", "_first", "_parts", "_start_response", "_started", "call")

    def __init__(
        self, call: ServerCall, content: RequestContent, environ: dict[str, Any], start_response: StartResponse
    ) -> None:
        self.call = call
        self._content = content
        self._environ = environ
        self._start_response = start_response
        self._started = self._closed = False
        self._parts: Any = None
        self._first: tuple[bytes, ...] = ()

    def __iter__(self) -> Iterator[bytes]:
        return chain(self._first, self._parts)

    def close(self) -> None:
        """The server wants no more of the response."""
        try:
            self._parts.close()
        finally:
            self.call.close()

    def run(self, leading: Sequence[MetadataInterceptorSync[Any]], head: Head) -> Iterable[bytes]:
        """Serve a call that was opened: read its message, run its handler, end it."""
        call = self.call
        if not call.opened:
            return self.end(None, None)
        call.ctx = ServerContext(call.procedure.method, call.request, READER, self._environ, head)
        run = MetadataRunSync(leading, call.ctx)
        if call.procedure.many_responses:
            return self._begun(self._stream(run))
        try:
            run.start()
        except BaseException as raised:  # noqa: BLE001 - it is answered, or raised again
            return self.end(None, run.end(raised))
        return self.go_on(run)

    def go_on(self, run: MetadataRunSync) -> Iterable[bytes]:
        """Serve a call with one reply behind interceptors that have started."""
        call = self.call
        reply: bytes | None = None
        error: BaseException | None = None
        try:
            request = self._request()
            if not call.done:
                reply = call.procedure.encoded(call.request.codec, call.procedure.function(request, call.ctx))
        except BaseException as raised:  # noqa: BLE001 - it is answered, or raised again
            error = raised
        return self.end(reply, run.end(call.decided(error)))

    def end(self, reply: bytes | None, error: BaseException | None) -> Iterable[bytes]:
        """The work was done, or failed: write the response's head, and give its content."""
        parts = self._closing([] if reply is None else [reply], error)
        return list(parts) if trailers_of(self._environ) is None else self._begun(parts)

    def _begun(self, parts: Iterator[bytes]) -> Iterable[bytes]:
        """A response that is made while the server takes it, up to its first part: granian wants the head before it begins."""
        self._parts = parts
        self._first = tuple(islice(parts, 1))
        return self

    def _closing(self, replies: list[bytes], error: BaseException | None) -> Iterator[bytes]:
        try:
            yield from self._ended(replies, error)
        finally:
            self.call.close()

    def _ended(self, replies: list[bytes], error: BaseException | None) -> Iterator[bytes]:
        if isinstance(error, FATAL):
            raise error  # it ends more than the handler
        self.call.finish(replies, error)
        yield from self._write()
        if not self._started:
            yield from answer_nobody(self._start_response)
        if self._environ.get("SERVER_PROTOCOL", "HTTP/1.1").startswith("HTTP/1"):
            self._content.drain(_DRAIN)

    def _stream(self, run: MetadataRunSync) -> Iterator[bytes]:
        """Serve a call with any number of replies; each is written when the handler yields it."""
        call = self.call
        error: BaseException | None = None
        try:
            run.start()
            request = self._request()
            if not call.done:
                yield from self._each(call.procedure.function(request, call.ctx))
        except BaseException as raised:  # it is answered, or raised again
            if self._closed or isinstance(raised, AbortedError):
                run.end(raised)
                call.close()
                raise
            error = raised
        yield from self._closing([], run.end(call.decided(error)))

    def _each(self, replies: Any) -> Iterator[bytes]:
        call, encode = self.call, self.call.procedure.encoder(self.call.request.codec)
        try:
            for reply in replies:
                if expired(call.ctx):
                    call.deadline()
                else:
                    call.reply([encoded(encode, reply)])
                if call.done:
                    break
                try:
                    yield from self._write()
                except GeneratorExit:
                    self._closed = True  # by the server, or because nobody holds the response any more
                    raise
        finally:
            close = getattr(replies, "close", None)
            if close is not None:
                close()

    def _request(self) -> Any:
        """What the handler gets: the message, or an iterator of messages. None where the call is done."""
        call = self.call
        if call.procedure.many_requests:
            return self._requests()
        while not call.received and not call.done:
            self._read(whole=True)
        return None if call.done else call.next_message()

    def _requests(self) -> Iterator[Any]:
        call = self.call
        messages = call.messages
        while True:
            while messages:
                yield call.next_message()
            if call.ended():
                return
            self._read(whole=False)

    def _read(self, *, whole: bool) -> None:
        """Let the call have content: what the guest asked for, or what can be read, as much as comes at once or as there is."""
        call, content = self.call, self._content
        if call.resume():
            return
        data = content.read(CHUNK, some=not whole)
        if content.gone:
            call.peer_gone()
        else:
            call.feed(data, end=content.left == 0 or not data)

    def _write(self) -> Iterator[bytes]:
        """Do what the call has to write."""
        response = self.call.response
        if response.hold > 0:
            hold, response.hold = response.hold, 0.0
            sleep(hold)
        while response.output:
            message = response.output.pop(0)
            if message is None:
                raise AbortedError
            if "status" in message:
                self._started = True
                self._start_response(STATUS_LINES[message["status"]], message["headers"])
            elif "body" in message:
                yield message["body"]
            else:
                send_trailers(self._environ, message["headers"])
