"""A call in the module: commands go in, and what the events say is kept. `ClientCall` is what a client makes of it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from .._codec.payload import RejectedError, decompressed
from .._headers import Headers, headers_from_fields
from .._wasm import abi, columns, records
from .._wasm.columns import layout
from .._wasm.configuration import BusyError
from .._wasm.content import Content, laid_out, payloads_of
from .._wasm.instance import GuestError
from .._wasm.pool import POOL
from ..code import Code
from ..errors import ConnectError, ErrorDetail
from .opening import START

if TYPE_CHECKING:
    from collections.abc import Hashable

    from .._transport.transport import Fields
    from .._wasm.content import Payload
    from .config import ClientConfig
    from .opening import Opening, Outcome
    from .procedure import Procedure

__all__ = ["GOOD", "ModuleCall", "explained"]

_log: Final = logging.getLogger("connectcore")

# What most responses come to: a head, one message that is not compressed, and a good end with nothing to say.
_RESPONSE: Final = layout((abi.LAYOUT_RESPONSE, "kind size"))
_MESSAGE: Final = layout(
    (abi.LAYOUT_MESSAGES, "kind flags base coding spans_count data_size"),
    ("start:I length:I", "start length"),
    (abi.LAYOUT_END_OF_CALL, "kind code"),
)
_ONE: Final = 2  # words of a span
GOOD: Final = records.EndOfCall(bytes(layout((abi.LAYOUT_END_OF_CALL, "")).size), 0)

_TRIES: Final = 3
"""How many instances may fail under one call before that is given up."""


class ModuleCall:
    """One call, as far as the module knows of it.

    `messages` are payloads that came, `finished` says that the outcome is there, and `cause` what to raise an error from.
    `lock` is held while the module is asked: the request's messages may be sent by another thread than reads the response.
    """

    # What a call starts with; most never change most of it.
    finished = False
    cause: BaseException | None = None
    retry: records.Retry | None = None  # what another try may do, where that was asked
    _handle = 0
    _opening: Opening | None = None  # what the module is told when something has come back
    _fields: Fields = ()  # of the response
    _inline = False  # whether the module wants all of its content
    _announced = 0  # bytes of content that the module knows of
    _wanted: records.More | None = None
    _request: records.HttpRequestHead | None = None
    _response: records.Response | None = None
    _end: records.EndOfCall | None = None

    def __init__(self, config: ClientConfig, procedure: Procedure) -> None:
        self.procedure = procedure
        self.lock = threading.RLock()
        self.messages: deque[Payload] = deque()
        self._config = config
        # Where the module has to be compiled first, that takes a second or two: before the call's clock starts.
        self._instance = POOL.pick()
        self._content = Content()
        self._unsaid: list[int] = []  # lengths of messages that are sent, of which the module is told later

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

    def _open(self, opening: Opening, payloads: list[bytes], alike: Hashable | None) -> bytes:
        """Open the call in its instance, and send its message, where it has one. Gives the content that follows at once.

        Args:
            opening: the commands.
            payloads: what they send.
            alike: what all calls have in common that these commands open; None where that does not matter.

        Raises:
            ValueError: the application asks for what makes no sense.

        """
        try:
            self._handle, data = self._opened(opening.batch)
        except GuestError as error:
            self._lost(error)
            return b""
        except BusyError:
            self._fail(abi.REJECT_BUSY, "")
            return b""
        events = records.decode(data)
        if alike is not None:
            self._config.openings.keep(alike, opening, events, len(data))
        return self._take(events, payloads)[0]

    def _opened(self, batch: bytes, skipped: int = 0) -> tuple[int, bytes]:
        """Give the instance a batch that opens a call: the call's handle, and the events behind the first `skipped` bytes.

        Raises GuestError, BusyError, and ValueError where the application asks for what makes no sense.
        """
        data = self._instance.step(batch)
        kind, handle = START.unpack_from(data)
        if kind == abi.EV_FAULT:
            (fault, *_) = self._instance.read(data)  # raises where the instance has failed
            assert isinstance(fault, records.Fault)
            if fault.fault == abi.FAULT_BUSY:
                raise BusyError
            if fault.fault == abi.FAULT_ARGUMENT:
                raise ValueError(f"{self.procedure.path.decode()}: {_text(fault.text)}")
            raise RuntimeError(f"the protocol module refuses a call: {_text(fault.text)}")
        return handle, data[skipped:]

    def _open_late(self, batch: bytes) -> bytes:
        """Open a call whose request is out already, with what came back for it behind. Gives what the module says to that."""
        opening, self._opening = self._opening, None
        assert opening is not None
        commands = opening.batch
        for _ in range(_TRIES):
            try:
                self._handle, events = self._opened(commands + batch, opening.size)
            except GuestError as error:
                self._lost(error)
                return b""
            except BusyError:  # but the response is there: another instance has to read it
                self._instance = POOL.other(self._instance)
                commands = opening.batch_for(self._config.handle_in(self._instance))
            else:
                return events
        self._fail(abi.REJECT_BUSY, "")
        return b""

    def _usual(self, events: bytes) -> Outcome | None:
        """What events say where they say the usual: a response, one message in its content, and a good end. Else None."""
        if not events:
            return None
        kind, size = _RESPONSE.unpack_from(events)
        if kind != abi.EV_RESPONSE or len(events) != size + _MESSAGE.size:
            return None
        kind, flags, base, coding, words, inline, start, length, end, code = _MESSAGE.unpack_from(events, size)
        if kind != abi.EV_MESSAGES or flags or coding or words != _ONE or inline or end != abi.EV_END_OF_CALL or code:
            return None
        start += base
        return records.Response(events, 0), start, start + length

    def _tell(self, batch: bytes, payloads: list[bytes] | None = None) -> bytes:
        """Give commands, which may send messages, and do what the events say. Gives content to be written."""
        written = b""
        with self.lock:
            if self._unsaid:
                self._say()
            while batch:
                try:
                    events = self._instance.tell(batch)
                except GuestError as error:
                    self._lost(error)
                    break
                more, batch = self._take(events, payloads)
                written += more
        return written

    def _say(self) -> None:
        """Tell of messages that are sent already. What is to be written for them was known."""
        lengths, self._unsaid = self._unsaid, []
        if not self.finished:
            try:
                events = self._instance.tell(records.send(self._handle, 0, lengths))
            except GuestError as error:
                self._lost(error)
            else:
                self._take([event for event in events if not isinstance(event, records.HttpBody)], None)

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
            self._wanted = self._opening = None
            rejection = records.reject(0, reason, explained(why))
            busy = reason == abi.REJECT_BUSY
            for _ in range(_TRIES):
                self._instance = POOL.other(self._instance) if busy else POOL.pick()
                try:
                    handle = self._config.handle_in(self._instance)
                    opening = records.open_client(handle, 0, 0, 0, abi.NO_TIMEOUT, self.procedure.path)
                    self._handle, events = self._opened(opening + rejection)
                except GuestError as error:
                    POOL.discard(self._instance, error)
                except BusyError:
                    busy = True
                else:
                    self._take(records.decode(events), None)
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
