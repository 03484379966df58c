"""A request's content as a transport pulls it: made of the messages that the application streams.

Several messages that are ready without waiting go into one step of the module and one chunk. An async iterator shows whether
it waits; of a sync one nobody can know that, unless it is that of a list or a tuple.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._codec.payload import RejectedError
from .._lazy import asyncio
from .call import OverError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .call import ClientCall
    from .requests import AsyncRequests, SyncRequests

__all__ = ["AsyncContent", "SyncContent"]


class AsyncContent:
    """The chunks of one try's content, to be pulled by one task. `OverError` from it says that the call is over.

    Attributes:
        taken: how many messages it has taken.
        over: whether it takes no more.

    """

    __slots__ = ("_call", "_requests", "over", "taken")

    def __init__(self, call: ClientCall, requests: AsyncRequests) -> None:
        self._call = call
        self._requests = requests
        self.taken = 0
        self.over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.over:
            raise StopAsyncIteration
        try:
            payloads, last = await self._requests.take(self)
            self.taken += len(payloads)
            self.over = self.over or last
            content = self._call.send(payloads, last=last)
        except RejectedError as rejected:
            self.over = True
            self._call.refuse(rejected)
            raise OverError from rejected
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.over = True
            if not isinstance(error, OverError):
                self._call.stop(error)
            raise
        if last and not content:
            raise StopAsyncIteration
        return content

    async def aclose(self) -> None:
        """No more is pulled. The stream of requests ends with that, unless it may be needed for another try."""
        self.over = True
        if not self._requests.keeps:
            await self._requests.aclose()


class SyncContent:
    """The chunks of one try's content, to be pulled by one thread, closed by any. `OverError` from it says that the call is
    over.

    Attributes:
        taken: how many messages it has taken.
        over: whether it takes no more.

    """

    __slots__ = ("_call", "_requests", "over", "taken")

    def __init__(self, call: ClientCall, requests: SyncRequests) -> None:
        self._call = call
        self._requests = requests
        self.taken = 0
        self.over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.over:
            raise StopIteration
        try:
            got = self._requests.take(self)
            if got is None:
                self.over = True
            else:
                payloads, last = got
                self.taken += len(payloads)
                self.over = self.over or last
                content = self._call.send(payloads, last=last)
                if content or not last:
                    return content
        except RejectedError as rejected:
            self.over = True
            self._call.refuse(rejected)
            raise OverError from rejected
        except BaseException as error:
            self.over = True
            if not isinstance(error, OverError):
                self._call.stop(error)
            raise
        raise StopIteration

    def close(self) -> None:
        """No more is pulled. The stream of requests ends with that, unless it may be needed for another try."""
        self.over = True
        if not self._requests.keeps:
            self._requests.close()
