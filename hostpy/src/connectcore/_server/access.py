"""The access log: a record for each request that an application answered, where it is asked for one.

Records go to the logger `connectcore.access` at level INFO, when the request is over. Besides their text they have these
attributes, for formatters of structured logs (`extra` of `logging`):

    procedure       path of the procedure that was called, `/pkg.Service/Method`; None where none of the application's was
    protocol        `connect`, `grpc` or `grpc_web`; None where the request was refused by its HTTP status alone
    code            `ok`, or the name of the code that the client was told, as in `connectcore.code.Code`; where the request was
                    refused by its HTTP status, what clients take that for; None where the exchange broke off before the end
    http_status     the response's HTTP status; None where none was sent
    milliseconds    from the request's head to the response's last byte, as far as the application sees them
    received_bytes  of the request's content, without HTTP's framing, compressed as it came
    sent_bytes      of the response's content, likewise
    peer            the client's `host:port`; None where the server does not tell it
"""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from .._wasm import abi
from .outcome import log
from .wsgi_request import RequestContent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from .call import ServerCall
    from .procedure import Procedure
    from .verdict import Verdict

__all__ = ["ASGIEntry", "WSGIEntry"]

access: Final = logging.getLogger("connectcore.access")

_PROTOCOLS: Final = {abi.PROTOCOL_CONNECT: "connect", abi.PROTOCOL_GRPC: "grpc", abi.PROTOCOL_GRPC_WEB: "grpc_web"}
_TEXT: Final = "%s %s %s, HTTP %s, in %.1f ms, %d bytes received, %d sent, from %s"


class _Entry:
    """One request. Whoever serves it sets `procedure` and `opened`; `write` logs it, the first time it is called."""

    def __init__(self, addresses: Callable[[Any], tuple[str | None, str | None]], source: Any) -> None:
        self.procedure: Procedure | None = None
        self.opened: ServerCall | Verdict | None = None
        self._addresses = addresses
        self._source = source
        self._start = perf_counter()
        self._end: float | None = None
        self._status: int | None = None
        self._received = self._sent = 0
        self._written = False

    def write(self) -> None:
        """Log the request. Never raises an Exception: what goes wrong in a logging filter is no business of the call's."""
        if self._written:
            return
        self._written = True
        end = perf_counter() if self._end is None else self._end
        try:
            protocol, code = (None, None) if self.opened is None else self.opened.outcome
            fields = {
                "procedure": None if self.procedure is None else self.procedure.name,
                "protocol": None if protocol is None else _PROTOCOLS.get(protocol),
                "code": None if code is None else abi.CODES[code],
                "http_status": self._status,
                "milliseconds": (end - self._start) * 1000,
                "received_bytes": self._received,
                "sent_bytes": self._sent,
                "peer": self._addresses(self._source)[1],
            }
            shown = ["-" if value is None else value for value in fields.values()]
            access.info(_TEXT, shown[1], shown[0], *shown[2:], extra=fields)
        except Exception as error:  # noqa: BLE001
            log.error("A request cannot be logged", exc_info=error)


class ASGIEntry(_Entry):
    """A request under ASGI, which counts what passes through its `receive` and `send`."""

    def __init__(
        self,
        addresses: Callable[[Any], tuple[str | None, str | None]],
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        super().__init__(addresses, scope)
        self._receive = receive
        self._send = send

    async def receive(self) -> Any:
        """Wait for what the server has."""
        event = await self._receive()
        self._received += len(event.get("body", b""))
        return event

    async def send(self, message: Any) -> None:
        """Give the server something to write."""
        await self._send(message)
        self._status = message.get("status", self._status)
        self._sent += len(message.get("body", b""))
        self._end = perf_counter()


class WSGIEntry(_Entry):
    """A request under WSGI."""

    def started(self, start_response: Callable[..., Any]) -> Callable[..., Any]:
        """The server's function, which notes the status."""

        def start(status: str, fields: list[tuple[str, str]]) -> Any:
            self._status = int(status[:3])
            return start_response(status, fields)

        return start

    def content(self, environ: dict[str, Any]) -> RequestContent:
        """The request's content, which counts what is read of it."""
        return _Counted(environ, self)

    def taken(self, data: bytes) -> bytes:
        """Count what was read."""
        self._received += len(data)
        return data

    def around(self, response: Iterable[bytes]) -> Iterable[bytes]:
        """The response's content, at whose end the request is logged."""
        if isinstance(response, list):
            self._sent += sum(map(len, response))
            self.write()
            return response
        return _Parts(response, self)

    def given(self, part: bytes) -> bytes:
        """Count what the server takes."""
        self._sent += len(part)
        return part


class _Counted(RequestContent):
    __slots__ = ("_entry",)

    def __init__(self, environ: dict[str, Any], entry: WSGIEntry) -> None:
        super().__init__(environ)
        self._entry = entry

    def read(self, size: int, *, some: bool = False) -> bytes:
        return self._entry.taken(super().read(size, some=some))


class _Parts:
    """Content that the server iterates, and closes."""

    def __init__(self, parts: Iterable[bytes], entry: WSGIEntry) -> None:
        self._parts = parts
        self._entry = entry

    def __iter__(self) -> Iterator[bytes]:
        yield from map(self._entry.given, self._parts)
        self._entry.write()

    def close(self) -> None:
        close = getattr(self._parts, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._entry.write()
