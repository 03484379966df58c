"""A call in the module: commands go in, and what the events say is kept. `ClientCall` is what a client makes of it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from .._codec.payload import RejectedError, decompressed
from .._headers import Headers, headers_from_fields
from .._wasm import abi, columns, records
from .._wasm.configuration import BusyError
from .._wasm.content import Content, laid_out, payloads_of
from .._wasm.instance import GuestError
from .._wasm.pool import POOL
from ..code import Code
from ..errors import ConnectError, ErrorDetail

if TYPE_CHECKING:
    from .._transport.transport import Fields
    from .._wasm.content import Payload
    from .config import ClientConfig
    from .procedure import Procedure

__all__ = ["ModuleCall"]

_log: Final = logging.getLogger("connectcore")

_TRIES: Final = 3
"""How many instances may fail under one call before that is given up."""


class ModuleCall:
    """One call, as far as the module knows of it.

    `messages` are payloads that came, `finished` says that the outcome is there, and `cause` what to raise an error from.
    `lock` is held while the module is asked: the request's messages may be sent by another thread than reads the response.
    """

    def __init__(self, config: ClientConfig, procedure: Procedure) -> None:
        self.procedure = procedure
        self.lock = threading.RLock()
        self.messages: deque[Payload] = deque()
        self.finished = False
        self.cause: BaseException | None = None
        self._config = config
        # Where the module has to be compiled first, that takes a second or two: before the call's clock starts.
        self._instance = POOL.pick()
        self._handle = 0
        self._content = Content()
        self._fields: Fields = ()  # of the response
        self._inline = False  # whether the module wants all of its content
        self._announced = 0  # bytes of content that the module knows of
        self._wanted: records.More | None = None
        self._request: records.HttpRequestHead | None = None
        self._response: records.Response | None = None
        self._end: records.EndOfCall | None = None
        self.retry: records.Retry | None = None  # what another try may do, where that was asked

    # What it came to

    def error(self) -> ConnectError | None:
        """What the call failed with, with all metadata that came; None where it ended well. It is finished."""
        end = self._end
        if end is None:
            raise RuntimeError("the protocol module gave this call no outcome")
        if not end.code:
            return None
        fields: list[tuple[Any, Any]] = columns.split_fields(end.fields)
        binary = end.binary
        hidden = b""
        if self._response is not None:
            # The mask says nothing about what follows the response's own fields.
            fields = [*self._fields, *fields]
            hidden = self._response.hidden
            binary = [*self._response.binary, *binary]
        error = ConnectError(
            Code(abi.CODES[end.code]),
            _text(end.message),
            [ErrorDetail.from_bytes(_text(name), value) for name, value in end.details],
            metadata=headers_from_fields(fields, hidden, binary) if fields or binary else None,
        )
        error.__cause__ = self.cause
        return error

    @property
    def code(self) -> Code | None:
        """What the call failed with; None where it ended well. It is finished."""
        return Code(abi.CODES[self._end.code]) if self._end is not None and self._end.code else None

    @property
    def answered(self) -> bool:
        """Whether a response came."""
        return self._response is not None

    def leading(self) -> Headers | None:
        """The response's leading metadata; None where no response came."""
        response = self._response
        return None if response is None else headers_from_fields(self._fields, response.hidden, response.binary)

    def http_headers(self) -> Headers | None:
        """All fields of the response's head; None where there are none."""
        return headers_from_fields(self._fields, b"", ()) if self._fields else None

    def trailing(self) -> Headers | None:
        """The response's trailing metadata; None where there is none."""
        end = self._end
        if end is None or not (end.fields or end.binary):
            return None
        return headers_from_fields(columns.split_fields(end.fields), b"", end.binary)

    def close(self) -> None:
        """Nobody needs the call any more. Never raises."""
        with self.lock:
            self.finished = True
            if self._handle and not self._instance.failed:
                self._instance.later(records.close(self._handle))
                self._instance.settle()
            self._handle = 0

    def abandon(self) -> None:
        """The same from a finalizer: makes no step, takes no lock."""
        self.finished = True
        handle, self._handle = self._handle, 0
        if handle and not self._instance.failed:
            self._instance.later(records.close(handle))

    # For the class that derives from this one

    def _open(self, opening: bytes, payloads: list[bytes]) -> bytes:
        """Open the call in its instance with a batch, which may send messages. Gives the content that follows at once.

        Raises ValueError where the application asks for what makes no sense.
        """
        try:
            events = self._opened(opening)
        except GuestError as error:
            self._lost(error)
            return b""
        except BusyError:
            self._fail(abi.REJECT_BUSY, "")
            return b""
        first = events[0]
        if isinstance(first, records.Fault):
            raise ValueError(f"{self.procedure.path.decode()}: {_text(first.text)}")
        self._handle = first.handle
        return self._take(events, payloads)[0]

    def _opened(self, batch: bytes) -> list[records.Event]:
        """What the instance says to a batch that opens a call. Raises GuestError and BusyError."""
        events = self._instance.tell(batch)
        first = events[0]
        if isinstance(first, records.Fault) and first.fault != abi.FAULT_ARGUMENT:
            if first.fault == abi.FAULT_BUSY:
                raise BusyError
            raise RuntimeError(f"the protocol module refuses a call: {_text(first.text)}")
        return events

    def _tell(self, batch: bytes, payloads: list[bytes] | None = None) -> bytes:
        """Give commands, which may send messages, and do what the events say. Gives content to be written."""
        written = b""
        with self.lock:
            while batch:
                try:
                    events = self._instance.tell(batch)
                except GuestError as error:
                    self._lost(error)
                    break
                more, batch = self._take(events, payloads)
                written += more
        return written

    def _take(self, events: list[records.Event], payloads: list[bytes] | None) -> tuple[bytes, bytes]:
        """Keep what events say. Gives content that they want written, and the answer that they ask for."""
        written = answer = b""
        for event in events:
            match event:
                case records.HttpBody():
                    written += laid_out(event, payloads or [])
                case records.Messages():
                    self.messages.extend(payloads_of(event, self._content))
                case records.More():
                    if self.procedure.many_responses:
                        self._wanted = event
                    else:
                        answer = self._more(event)
                case records.Response():
                    self._response = event
                    self._inline = bool(event.flags & abi.CONTENT_INLINE)
                case records.Retry():
                    self.retry = event
                case records.EndOfCall():
                    self._end = event
                    self.finished = True
                case records.HttpRequestHead():
                    self._request = event
                case records.Decompress():
                    coding = self._config.codings[event.coding - 1]
                    try:
                        answer = records.decompressed(self._handle, decompressed(coding, event.data, event.limit))
                    except RejectedError as rejected:
                        answer = records.reject(self._handle, rejected.reason)
                case records.Fault():
                    _log.error("The protocol module refused a command of a client: %s", _text(event.text))
                    self._fail(abi.REJECT_LOST, "")
                    return b"", b""
                case _:
                    pass
        return written, b"" if self.finished else answer

    def _more(self, event: records.More) -> bytes:
        """The command for content that the module asks for."""
        size = self._announced - event.offset
        data = self._content.peek(event.offset, size if self._inline else min(size, max(event.want, self._carry)))
        return records.content(self._handle, abi.CONTENT_RESUME, len(data), data)

    @property
    def _carry(self) -> int:
        """Up to how many bytes of content the module is given whole."""
        raise NotImplementedError

    def _fail(self, reason: int, why: BaseException | str) -> None:
        """End the call with what the module says to `reason`, in place of what it is or would become."""
        with self.lock:
            if isinstance(why, BaseException):
                self.cause = why
            self.close()
            self._wanted = None
            rejection = records.reject(0, reason, explained(why))
            busy = reason == abi.REJECT_BUSY
            for _ in range(_TRIES):
                self._instance = POOL.other(self._instance) if busy else POOL.pick()
                try:
                    handle = self._config.handle_in(self._instance)
                    opening = records.open_client(handle, 0, 0, 0, abi.NO_TIMEOUT, self.procedure.path)
                    events = self._opened(opening + rejection)
                except GuestError as error:
                    POOL.discard(self._instance, error)
                except BusyError:
                    busy = True
                else:
                    self._handle = events[0].handle
                    self._take(events, None)
                    return
            raise RuntimeError("no instance of the protocol module serves this call")

    def _lost(self, error: GuestError) -> None:
        """The instance failed, and this call with it."""
        POOL.discard(self._instance, error)
        self._fail(abi.REJECT_LOST, "")


def explained(error: BaseException | str) -> bytes:
    """What the application should read of a failure."""
    if isinstance(error, ConnectError):
        error = error.message
    return str(error).encode("utf-8", "replace")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
