"""One call under WSGI: reading, the handler, writing, in the server's thread."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING, Any, Final

from .._interceptors import MetadataRunSync
from .._wasm.columns import split_text_fields
from ..code import Code
from ..errors import ConnectError
from .actions import AbortAction, BodyAction, HeadAction, PlainAction, TrailersAction
from .service import DEADLINE_GRACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..interceptor import MetadataInterceptorSync
    from ..request import ServerContext
    from .call import ServerCall
    from .service import Service
    from .wsgi_request import RequestContent

    Context = ServerContext[Any, Any]
    StartResponse = Callable[[str, list[tuple[str, str]]], object]

__all__ = ["AbortedError", "Exchange", "answer_nobody", "status_line"]

_CHUNK: Final = 64 << 10
_DRAIN: Final = 4 << 20
"""Bytes of content that are read and forgotten after an answer that did not want them."""


def answer_nobody(start_response: StartResponse) -> tuple[()]:
    """The answer to a peer that went away before its request had come: servers log a fault where there is none (PEP 3333)."""
    start_response(status_line(400), [("content-length", "0")])
    return ()


_LINES: Final[dict[int, str]] = {200: "200 OK"}


def status_line(status: int) -> str:
    """The status as WSGI wants it; one that is not registered gets a phrase that says nothing."""
    line = _LINES.get(status)
    if line is None:
        from http.client import responses

        line = _LINES[status] = f"{status} {responses.get(status, f'Status {status}')}"
    return line


class AbortedError(RuntimeError):
    """The response was broken off: the server is to close the connection, so that the peer does not take it for whole."""


class Exchange:
    """One HTTP request and its response."""

    __slots__ = ("_content", "_leading", "_send_trailers", "_service", "_start_response", "_started", "call", "ctx")

    def __init__(
        self,
        service: Service,
        call: ServerCall,
        content: RequestContent | None,
        start_response: StartResponse,
        send_trailers: Callable[[list[tuple[str, str]]], object] | None,
        ctx: Context | None = None,
        leading: Sequence[MetadataInterceptorSync[Any]] = (),
    ) -> None:
        self._service = service
        self.call = call
        self._content = content
        self._start_response = start_response
        self._started = False
        self._send_trailers = send_trailers
        self.ctx = ctx
        self._leading = leading

    def handle(self) -> Iterable[bytes]:
        """Serve a call that was opened: read its message, run its handler, end it."""
        call, ctx = self.call, self.ctx
        assert ctx is not None
        assert call.procedure is not None
        run = MetadataRunSync(self._leading, ctx)
        if call.procedure.many_responses:
            return self._stream(run, ctx)
        error: BaseException | None = None
        response: Any = None
        try:
            request = self._request(run)
            if not call.done:
                response = call.procedure.function(request, ctx)
        except BaseException as raised:  # noqa: BLE001 - it is answered, or raised again in finish
            error = raised
        error = run.end(call.failure if call.stopped else error)
        self.finish(error, response)
        return self.written()

    def finish(self, error: BaseException | None, response: Any, *, many: bool = False) -> None:
        """The handler has returned, or raised."""
        call, ctx = self.call, self.ctx
        if call.done:
            return
        if error is not None and not isinstance(error, Exception):
            call.abandon()
            raise error
        assert ctx is not None
        if self._late(ctx):
            self._expire(ctx)
        elif error is not None or many:
            call.end(error, ctx)
        else:
            call.finish(response, ctx)

    def written(self) -> list[bytes]:
        """Write the response's head, and give its content."""
        parts = list(self._write())
        if not self._started:
            answer_nobody(self._start_response)
        if self._content is not None:
            self._content.drain(_DRAIN)
        return parts

    def _stream(self, run: MetadataRunSync, ctx: Context) -> Iterator[bytes]:
        """Serve a call with any number of replies; each is written when the handler yields it."""
        call = self.call
        assert call.procedure is not None
        encode = call.procedure.encoders[call.codec]
        error: BaseException | None = None
        replies: Any = None
        try:
            request = self._request(run)
            if not call.done:
                replies = call.procedure.function(request, ctx)
                for reply in replies:
                    if self._late(ctx):
                        self._expire(ctx)
                    try:
                        payloads = [encode(reply)]
                    except Exception as bad:  # noqa: BLE001 - whatever a codec raises
                        call.reject_reply(bad)
                        payloads = []
                    if call.done:
                        break
                    call.reply(payloads, ctx)
                    yield from self._write()
        except GeneratorExit:
            call.peer_gone()  # the server closed the response before its end
            run.end(ConnectError(Code.CANCELED, "the peer is gone"))
            raise
        except AbortedError:
            run.end(call.failure)
            raise
        except BaseException as raised:  # noqa: BLE001 - it is answered, or raised again in finish
            error = raised
        finally:
            close = getattr(replies, "close", None)
            if close is not None:
                close()
        error = run.end(call.failure if call.stopped else error)
        self.finish(error, None, many=True)
        yield from self._write()
        if not self._started:
            answer_nobody(self._start_response)
        if self._content is not None:
            self._content.drain(_DRAIN)

    def _request(self, run: MetadataRunSync) -> Any:
        """What the handler gets: the message, or an iterator of messages."""
        call = self.call
        assert call.procedure is not None
        run.start()
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
            if call.failure is not None:
                raise call.failure
            if call.received or call.done:
                return
            self._read(whole=False)

    def _read(self, *, whole: bool) -> None:
        """Read content, as much as comes at once or as much as there is, and tell the call."""
        content = self._content
        assert content is not None
        try:
            data = content.read(_CHUNK) if whole else content.read_some(_CHUNK)
        except OSError:
            self.call.peer_gone()
            return
        if not data and content.missing:
            self.call.peer_gone()
        else:
            self.call.feed(data, end=content.complete or not data)

    def _write(self) -> Iterator[bytes]:
        """Do what the call has to write."""
        output = self.call.output
        while output:
            action = output.pop(0)
            if isinstance(action, BodyAction):
                yield action.data
            elif isinstance(action, HeadAction):
                self._started = True
                self._start_response(status_line(action.status), self._service.response_fields(action.fields))
            elif isinstance(action, PlainAction):
                self._started = True
                self._start_response(status_line(action.status), action.fields)
                yield action.data
            elif isinstance(action, TrailersAction):
                assert self._send_trailers is not None
                self._send_trailers(split_text_fields(action.fields))
            else:
                assert isinstance(action, AbortAction)
                raise AbortedError("the response was broken off")

    def _expire(self, ctx: Context) -> None:
        sleep(max(0.0, DEADLINE_GRACE + (ctx.timeout_ms or 0) / 1000))
        self.call.deadline()

    def _late(self, ctx: Context) -> bool:
        remaining = ctx.timeout_ms
        return remaining is not None and remaining <= 0
