"""The suite's service, as the comments in its service.proto ask, for both kinds of handler.

What a handler says is worked out here without waiting; the handlers only wait and iterate.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import setup

setup.ensure()

from connectcore.code import Code  # noqa: E402
from connectcore.errors import ConnectError  # noqa: E402
from connectrpc.conformance.v1 import service_pb2 as pb  # type: ignore[import-not-found]  # noqa: E402
from connectrpc.conformance.v1.service_connectcore import (  # type: ignore[import-not-found]  # noqa: E402
    ConformanceService,
    ConformanceServiceSync,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from connectcore.request import RequestContext

    Context = RequestContext[Any, Any]

CODES = (None, *Code)


class Replies:
    """The messages of one call, and its error."""

    def __init__(self, definition: Any, kind: type[Any], ctx: Context, requests: list[Any]) -> None:
        self.delay = definition.response_delay_ms / 1000
        self._definition = definition
        self._kind = kind
        self._ctx = ctx
        self._requests = requests
        self._sent = 0
        for field in definition.response_headers:
            for value in field.value:
                ctx.response_headers.add(field.name, value)
        for field in definition.response_trailers:
            for value in field.value:
                ctx.response_trailers.add(field.name, value)

    def one(self) -> Any:
        """The only message. Raises the error that is asked for."""
        if self._definition.HasField("error"):
            raise self._error(self._info())
        return self._kind(payload=pb.ConformancePayload(data=self._definition.response_data, request_info=self._info()))

    def left(self) -> bool:
        """Whether there is another message."""
        return self._sent < len(self._definition.response_data)

    def next(self, received: list[Any] | None = None) -> Any:
        """The next message; `received` are the requests since the last, where each is to be told."""
        payload = pb.ConformancePayload(data=self._definition.response_data[self._sent])
        if not self._sent:
            payload.request_info.CopyFrom(self._info())
        elif received is not None:
            _pack(payload.request_info, received)
        self._sent += 1
        return self._kind(payload=payload)

    def end(self) -> None:
        """Raises the error that is asked for, if any."""
        if self._definition.HasField("error"):
            raise self._error(None if self._sent else self._info())

    def _info(self) -> Any:
        info = pb.ConformancePayload.RequestInfo()
        headers = self._ctx.request_headers
        for name in headers:
            info.request_headers.add(name=name, value=headers.getall(name))
        timeout = self._ctx.timeout_ms
        if timeout is not None:
            info.timeout_ms = max(0, int(timeout))
        if self._ctx.http_method == "GET":
            info.connect_get_info.SetInParent()
        _pack(info, self._requests)
        return info

    def _error(self, info: Any) -> ConnectError:
        asked = self._definition.error
        details = [*asked.details, *([] if info is None else [info])]
        return ConnectError(CODES[asked.code] or Code.UNKNOWN, asked.message, details)


def _pack(info: Any, requests: list[Any]) -> None:
    for request in requests:
        info.requests.add().Pack(request)


def _unary(request: Any, kind: type[Any], ctx: Context) -> Replies:
    return Replies(request.response_definition, kind, ctx, [request])


def _many(requests: list[Any], kind: type[Any], ctx: Context) -> Replies:
    definition = requests[0].response_definition if requests else pb.UnaryResponseDefinition()
    return Replies(definition, kind, ctx, requests)


class Service(ConformanceService):  # type: ignore[misc]
    async def unary(self, request: Any, ctx: Context) -> Any:
        return await _wait_for_one(_unary(request, pb.UnaryResponse, ctx))

    async def idempotent_unary(self, request: Any, ctx: Context) -> Any:
        return await _wait_for_one(_unary(request, pb.IdempotentUnaryResponse, ctx))

    async def client_stream(self, request: AsyncIterator[Any], ctx: Context) -> Any:
        return await _wait_for_one(_many([each async for each in request], pb.ClientStreamResponse, ctx))

    async def server_stream(self, request: Any, ctx: Context) -> AsyncIterator[Any]:
        replies = _unary(request, pb.ServerStreamResponse, ctx)
        while replies.left():
            if replies.delay:
                await asyncio.sleep(replies.delay)
            yield replies.next()
        replies.end()

    async def bidi_stream(self, request: AsyncIterator[Any], ctx: Context) -> AsyncIterator[Any]:
        first = await anext(aiter(request), None)
        if first is None:
            return
        requests = [first]
        if not first.full_duplex:
            requests += [each async for each in request]
        replies = _many(requests, pb.BidiStreamResponse, ctx)
        received: list[Any] | None = None
        while replies.left():
            if replies.delay:
                await asyncio.sleep(replies.delay)
            yield replies.next(received)
            if first.full_duplex and received != []:
                following = await anext(aiter(request), None)
                received = [] if following is None else [following]
        replies.end()


class ServiceSync(ConformanceServiceSync):  # type: ignore[misc]
    def unary(self, request: Any, ctx: Context) -> Any:
        return _one_after_delay(_unary(request, pb.UnaryResponse, ctx))

    def idempotent_unary(self, request: Any, ctx: Context) -> Any:
        return _one_after_delay(_unary(request, pb.IdempotentUnaryResponse, ctx))

    def client_stream(self, request: Iterator[Any], ctx: Context) -> Any:
        return _one_after_delay(_many(list(request), pb.ClientStreamResponse, ctx))

    def server_stream(self, request: Any, ctx: Context) -> Iterator[Any]:
        replies = _unary(request, pb.ServerStreamResponse, ctx)
        while replies.left():
            time.sleep(replies.delay)
            yield replies.next()
        replies.end()

    def bidi_stream(self, request: Iterator[Any], ctx: Context) -> Iterator[Any]:
        first = next(request, None)
        if first is None:
            return
        requests = [first]
        if not first.full_duplex:
            requests += request
        replies = _many(requests, pb.BidiStreamResponse, ctx)
        received: list[Any] | None = None
        while replies.left():
            time.sleep(replies.delay)
            yield replies.next(received)
            if first.full_duplex and received != []:
                following = next(request, None)
                received = [] if following is None else [following]
        replies.end()


async def _wait_for_one(replies: Replies) -> Any:
    if replies.delay:
        await asyncio.sleep(replies.delay)
    return replies.one()


def _one_after_delay(replies: Replies) -> Any:
    time.sleep(replies.delay)
    return replies.one()
