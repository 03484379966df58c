"""One plain call under ASGI: unary, and the guest has said how it is answered when it saw the head.

    head -> interceptors that see it first -> content -> handler -> answer

No exchange is made where nothing is waited for but content without a deadline, and the answer is the plain one. Else an
exchange takes the work over where it is, with a call that is told how far it came.
"""

from __future__ import annotations

import types
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from .._codec.payload import RejectedError, decoded
from .._interceptors import MetadataRun
from ..request import ServerContext
from .asgi_call import Exchange, awaitable
from .asgi_request import READER, breaks
from .plain_call import PlainCall
from .response import whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

    from ..interceptor import MetadataInterceptor
    from .access import ASGIEntry
    from .memory import Head
    from .service import Service
    from .verdict import Verdict

    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

__all__ = ["serve_plain"]

_DONE: Final = object()
"""What work waits for that is done."""

_TAKE_OVER: Final = object()
"""What work waits for that cannot go on without an exchange."""


class _Progress:
    """How far the work has come. `chunks` of content have come, and `more` follow; it is `reading` while it waits for them. The
    handler has `taken` the message. `exchange` is who has taken the work over."""

    chunks: list[bytes]
    more: bool
    exchange: Exchange | None = None
    reading = taken = False


async def serve_plain(
    service: Service,
    verdict: Verdict,
    head: Head,
    leading: Sequence[MetadataInterceptor[Any]],
    scope: Any,
    receive: Receive,
    send: Send,
    entry: ASGIEntry | None,
    *,
    more: bool,
    content: bytes | None = None,
) -> None:
    """Serve a call. Of its content this came, if it was asked for, and `more` follows."""
    ctx: ServerContext[Any, Any] = ServerContext(verdict.procedure.method, verdict.request, READER, scope, scope["headers"])
    progress = _Progress()
    progress.chunks = [] if content is None else [content]
    progress.more = more
    work = _work(progress, verdict, ctx, leading, receive)
    reply: bytes | None = None
    error: BaseException | None = None
    waits: Any = _DONE
    closed = False
    try:
        waits = work.send(None)
        while progress.reading and ctx.timeout_ms is None:
            try:
                await _once(waits)
            except GeneratorExit:  # of the server, not of the work
                closed = True
                raise
            except BaseException as raised:  # noqa: BLE001 - it belongs to the work
                waits = work.throw(raised)
            else:
                waits = work.send(None)
    except StopIteration as stop:
        reply, waits = stop.value, _DONE
        if reply is None:
            return  # the peer was gone before it had asked for anything
    except BaseException as raised:
        if closed:
            work.close()
            raise
        error, waits = raised, _DONE
    if reply is not None:
        answer = verdict.plain.answer(reply, ctx)
        if answer is not None:
            if entry is not None:
                entry.opened = verdict
            for message in whole(verdict.plain.status, *answer, verdict.plain.trailers):
                await send(message)
            return
    call = PlainCall(service, head, verdict)
    call.ctx = ctx
    if entry is not None:
        entry.opened = call
    content, more = b"".join(progress.chunks), progress.more
    if progress.taken:
        call.settle(content, ctx)
    elif waits is _DONE:
        call.settle(None if more else content, ctx)
    else:
        call.feed(content, end=not more)
    exchange = Exchange(call, receive, send, more=more, ends_late=True, brittle=breaks(scope), reading=progress.reading)
    progress.exchange = exchange
    if waits is _DONE:
        await exchange.end(reply, error)
    elif waits is _TAKE_OVER:
        await exchange.run(work)
    else:
        await exchange.run(work, waits)


async def _work(
    progress: _Progress,
    verdict: Verdict,
    ctx: ServerContext[Any, Any],
    leading: Sequence[MetadataInterceptor[Any]],
    receive: Receive,
) -> bytes | None:
    """The call's work. Gives the reply; None where there is none to be given, because the call is done already."""
    plain, procedure, codec = verdict.plain, verdict.procedure, verdict.request.codec
    chunks = progress.chunks
    room = plain.limit - len(chunks[0]) if chunks else plain.limit
    run = MetadataRun(leading, ctx) if leading else None
    request: Any = None
    reply: bytes | None = None
    error: BaseException | None = None
    try:
        if run is not None:
            await run.start()
        while progress.more and room >= 0 and progress.exchange is None:
            progress.reading = True
            event = await receive()
            progress.reading = False
            if event["type"] != "http.request" or progress.exchange is not None:
                if run is None and progress.exchange is None:
                    return None
                (await _exchange(progress)).hear(event)
                break
            chunks.append(event.get("body", b""))
            room -= len(chunks[-1])
            progress.more = event.get("more_body", False)
        content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if progress.exchange is None and room >= 0 and (plain.bare or plain.holds(content)):
            try:
                request = decoded(procedure.decoders[codec], content if plain.bare else plain.payload(content))
                progress.taken = True
            except RejectedError:
                pass
        if progress.taken:
            event = None  # a handler that waits would hold it
            response: Any = procedure.function(request, ctx)
            reply = procedure.encoded(codec, await (response if response.__class__ is CoroutineType else awaitable(response)))
        else:  # it has not come, or is not what the verdict is about
            reply = await (await _exchange(progress)).unary()
    except BaseException as raised:  # noqa: BLE001 - it is raised again
        error = raised
        progress.reading = False
    if run is not None:
        error = await run.end(error if progress.exchange is None else progress.exchange.call.decided(error))
    if error is not None:
        raise error
    return reply


@types.coroutine
def _once(waits: Any) -> Generator[Any, Any, None]:
    """Wait for what a part of the work waits for."""
    yield waits


@types.coroutine
def _exchange(progress: _Progress) -> Generator[Any, Any, Exchange]:
    """Wait for an exchange."""
    if progress.exchange is None:
        yield _TAKE_OVER
    assert progress.exchange is not None
    return progress.exchange
