"""One plain call under ASGI: unary, and the guest has said how it is answered when it saw the head.

    head -> interceptors that see it first -> content -> handler -> answer

No exchange is made where nothing is waited for but content without a deadline, and the answer is the plain one. Else an
exchange goes on from the part that waits, with a call that is told how far it has come.
"""

from __future__ import annotations

from types import CoroutineType
from typing import TYPE_CHECKING, Any

from .._codec.payload import RejectedError, decoded
from .._interceptors import MetadataRun
from .._wasm import abi
from ..request import ServerContext
from .asgi_call import Exchange, awaitable
from .asgi_peer import behind
from .asgi_request import READER, breaks
from .plain_call import PlainCall
from .response import whole
from .started import awaited, begun, gone_on

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..interceptor import MetadataInterceptor
    from .access import ASGIEntry
    from .memory import Head
    from .service import Service
    from .verdict import Verdict

    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

__all__ = ["serve_plain"]


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
    plain, procedure, codec = verdict.plain, verdict.procedure, verdict.request.codec
    ctx: ServerContext[Any, Any] = ServerContext(procedure.method, verdict.request, READER, scope, scope["headers"])
    run = MetadataRun(leading, ctx) if leading else None
    untimed = verdict.request.timeout_us == abi.NO_TIMEOUT
    chunks = [] if content is None else [content]
    room = plain.limit - len(chunks[0]) if chunks else plain.limit
    work: Any
    waiting: Any = None  # what goes on with a part that waits
    starts = taken = False  # interceptors still start; the handler has the message
    bad: RejectedError | None = None
    reply: bytes | None = None
    error: BaseException | None = None
    try:
        if run is not None:
            _, waiting = begun(run.start())
            starts = waiting is not None
        while more and room >= 0 and waiting is None:
            if untimed and run is None:
                event = await receive()
            else:
                event, waiting = begun(receive())
                if waiting is not None:
                    break
            if event["type"] != "http.request":
                if run is None:
                    return  # gone before it asked for anything
                waiting = _told(event)  # the interceptors hear of it
                break
            chunks.append(event.get("body", b""))
            room -= len(chunks[-1])
            more = event.get("more_body", False)
        event = None  # a handler that waits would hold it
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        request: Any = None
        if waiting is None and room >= 0 and (plain.bare or plain.holds(data)):
            try:
                request = decoded(procedure.decoders[codec], data if plain.bare else plain.payload(data))
                taken = True
            except RejectedError as rejected:
                bad = rejected  # the module is to say what is wrong
        if taken:
            work = procedure.function(request, ctx)
            del request
            if work.__class__ is not CoroutineType:
                work = awaited(awaitable(work))
            response: Any = None
            try:
                waiting = gone_on(work, work.send(None))
            except StopIteration as stop:
                response = stop.value
            if waiting is None:
                reply = procedure.encoded(codec, response)
    except BaseException as raised:
        if run is None and not taken:
            raise  # by the server, whose peer is gone
        error = raised
    done = reply is not None or error is not None
    if done and run is not None:
        error, waiting = begun(run.end(error))
        if error is not None:
            reply = None
    if reply is not None and waiting is None:
        answer = plain.answer(reply, ctx)
        if answer is not None:
            if entry is not None:
                entry.opened = verdict
            for message in whole(plain.status, *answer):
                await send(message)
            return
    call = PlainCall(service, head, verdict)
    call.ctx = ctx
    if entry is not None:
        entry.opened = call
    data = b"".join(chunks)
    if bad is not None:
        call.refuse(data, ctx, bad)
        bad = None  # what it was raised in has it
    elif taken or done:
        call.settle(None if more else data, ctx)
    else:
        call.feed(data, end=not more)
        if waiting is not None and not starts:
            receive = behind(waiting, receive)
    exchange = Exchange(call, receive, send, more=more, ends_late=True, brittle=breaks(scope))
    if done and waiting is None:
        await exchange.end(reply, error)
        return
    if waiting is None or not (done or taken):
        work = exchange.unary()
    else:
        work = _ended(waiting, reply) if done else exchange.encoded(waiting)
    if run is not None and not done:
        work = exchange.led(run, waiting if starts else None, work)
    await exchange.run(work)


async def _told(event: Any) -> Any:
    """What came already."""
    return event


async def _ended(ending: Awaitable[BaseException | None], reply: bytes | None) -> bytes | None:
    """The reply, once the interceptors have ended."""
    error = await ending
    if error is not None:
        raise error
    return reply
