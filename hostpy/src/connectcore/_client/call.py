"""One call of a client: everything about it but I/O, the same for async and sync, and for all stream types.

    request = call.begin(...)      the application's call goes in, an HTTP request comes out
    call.send(...)                 where there are many request messages: more of its content
    call.head(...)                 then what the transport brings, in order; from then on `finished` says
    call.content(...) call.ended() whether more is of use: where it is true, read no further
    call.gone(...)                 or what happened instead
    call.next_message()            while there are `messages`; then `resume`, which may bring more of them
    call.error()                   once it is finished: why, if it failed
    call.close()                   at last, always

A step of the module costs as much as all else here. So where one message is wanted, and a response's length is known and small,
the module sees it when it is whole; and where it has heard the same before, it is not asked again (`opening.py`). Otherwise it
sees the head at once and each piece of content when the next one comes, so that a response that cannot become good is dropped
early. Of a stream it sees everything at once. Payloads do not go through the module unless it has to look into them; it names
them by their place in the content.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from .._codec.payload import RejectedError, compressed, decoded, decompressed, encoded
from .._headers import Headers, metadata_columns
from .._transport.transport import Gone, Request, TransportError, fields_column, media_type
from .._wasm import abi, records
from .._wasm.configuration import BusyError
from .._wasm.content import CARRY_STREAM, carried, laid_out
from .._wasm.instance import GuestError
from .config import timeout_microseconds
from .module_call import GOOD, ModuleCall, explained
from .opening import Opening
from .procedure import WrongMessageError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from .._transport.transport import Fields

__all__ = ["ClientCall", "OverError"]

_HELD: Final = 256 << 10
"""Longest content that is waited for before the module sees any of it."""

_GONE: Final = {
    Gone.REFUSED: abi.GONE_REFUSED,
    Gone.CLOSED: abi.GONE_CLOSED,
    Gone.RESET: abi.GONE_RESET,
    Gone.MALFORMED: abi.GONE_BROKEN,
    Gone.TOO_LARGE: abi.GONE_LARGE,
}
_UNSAID: Final = 512
"""So many messages go out before the module is told of them."""

_END: Final = records.end(0)
_NO_PAIRS: Final[list[tuple[bytes, bytes]]] = []


class OverError(Exception):
    """The call is over, and nothing more is sent."""


class ClientCall(ModuleCall):
    """One call. Making one raises ModuleError where the module cannot be loaded.

    `http_status` is the response's status. `raised` is what the application's own stream of requests raised, which the
    application should see in place of the call's outcome. Messages are sent by one thread and all else is done by one, which
    may be another.
    """

    http_status: int | None = None
    raised: BaseException | None = None
    _deadline: float | None = None
    _head = b""  # the command for the response's head, as long as the module has not seen it
    _length: int | None = None
    _waits = False  # whether the module sees the response when it is whole
    _received = 0  # bytes of content that came
    _media: object = None  # status and media type of a response of unknown length
    _held = False  # whether all of the response is to be told at once, with the call's opening
    _piece = b""  # its content, if it comes in one
    _trailers: Fields | None = None  # its trailer section; None where its length says that there is none

    # The request

    def begin(
        self,
        message: Any,
        headers: Headers | Mapping[str, str] | None,
        timeout: float | None,
        deadline: float | None,
        get: bool,
        tries: int | None = None,
    ) -> Request | None:
        """Open the call. None: it has ended at home, and `error` says how.

        Args:
            message: the request message. Where there are many, they are sent later, and the request's content is to be set.
            headers: the request's metadata.
            timeout: seconds that are left, for the server to know.
            deadline: the same as a time, for the transport.
            get: make it an HTTP GET.
            tries: how many tries of this call came before, where `retry` should say what another one may do.

        Raises:
            TypeError: the message is not of the procedure's class.
            ValueError: the procedure cannot be called by GET.

        """
        config, procedure = self._config, self.procedure
        self._deadline = deadline
        count, column, binary = 0, b"", _NO_PAIRS
        if headers:
            count, column, binary = metadata_columns(headers if isinstance(headers, Headers) else Headers(headers))
        payloads: list[bytes] = []
        try:
            if not procedure.many_requests:
                payloads.append(encoded(procedure.encode, message))
            lengths = self._packed(payloads)
            handle = config.handle_in(self._instance)
            flags = (abi.OPEN_GET if get else 0) | (0 if tries is None else abi.OPEN_RETRY)
            timeout_us = timeout_microseconds(timeout)
            inline = config.inline(get)
            alike: Any = None
            if payloads and not (inline or binary):
                alike = (procedure.path, procedure.attributes, handle, flags, tries, timeout_us, column, lengths[0])
                opening = config.openings.find(alike)
                if opening is not None:
                    self._opening = opening
                    content = laid_out(opening.body, payloads)
                    return self._request_of(opening.method, opening.target, opening.fields, content)
            arguments = (flags, procedure.attributes, tries or 0, timeout_us, procedure.path, count, column, binary)
            opening = Opening(handle, arguments, _sending(0, lengths, payloads, inline=inline) + _END if payloads else b"")
        except RejectedError as rejected:
            self._rejected(rejected)
            return None
        except GuestError as error:
            self._lost(error)
            return None
        except BusyError:
            self._fail(abi.REJECT_BUSY, "")
            return None
        content = self._open(opening, payloads, alike)
        head = self._request
        if self.finished or head is None:
            return None
        return self._request_of(head.method.decode("ascii"), head.target.decode("ascii"), head.fields, content)

    def _request_of(self, method: str, target: str, fields: bytes, content: bytes) -> Request:
        config = self._config
        request = Request(method, config.origin, target, fields, content, self._deadline)
        request.http2 = config.http2
        return request

    def send(self, payloads: list[bytes], *, last: bool) -> bytes:
        """Messages of a call that sends many, `last` if no more follow. Gives content to be written. Raises OverError."""
        try:
            with self.lock:
                if self.finished:
                    raise OverError
                lengths = self._packed(payloads)
                inline = self._config.inline(False)
                alone = len(lengths) == 1 and not (last or inline)
                if alone:
                    prefix = self.procedure.prefixes.get(lengths[0])
                    if prefix is not None:
                        self._unsaid.append(lengths[0])
                        if len(self._unsaid) >= _UNSAID:
                            self._say()
                        return prefix + payloads[0]
                batch = _sending(self._handle, lengths, payloads, inline=inline) if payloads else b""
                if last:
                    batch += records.end(self._handle)
                content = self._tell(batch, payloads)
                if alone and not self.finished:
                    self.procedure.learn_prefix(lengths[0], content, payloads[0])
        except RejectedError as rejected:
            self._rejected(rejected)
        else:
            if not self.finished:
                return content
        raise OverError

    def refuse(self, rejected: RejectedError) -> None:
        """A message of the request cannot be encoded. Raises nothing: the call is finished."""
        try:
            self._rejected(rejected)
        except TypeError as error:
            self.stop(error)

    def stop(self, raised: BaseException) -> None:
        """The application's own stream of requests raised this."""
        with self.lock:
            if not self.finished:
                self.raised = raised
                self._tell(records.cancel(self._handle))

    def _packed(self, payloads: list[bytes]) -> list[int]:
        """Compress payloads in their places. Gives their lengths as the module takes them. Raises RejectedError."""
        config = self._config
        lengths = list(map(len, payloads))
        if config.packs_with is not None:
            for index, length in enumerate(lengths):
                if length >= config.compress_min:
                    payloads[index] = compressed(config.packs_with, payloads[index])
                    lengths[index] = len(payloads[index]) | abi.COMPRESSED
        return lengths

    def _rejected(self, rejected: RejectedError) -> None:
        if isinstance(rejected.why, WrongMessageError):
            raise TypeError(str(rejected.why)) from None
        self._fail(rejected.reason, rejected.why)

    # The response

    def head(self, status: int, fields: Fields, length: int | None, *, whole: bool = False) -> None:
        """The response's head came. `length`: see `ResponseHead`. `whole`: the rest of it is there, too."""
        self.http_status, self._fields, self._length = status, fields, length
        stream = self.procedure.many_responses
        self._waits = not stream and (
            (whole and length != 0) or (length is not None and 0 < length <= min(_HELD, self._config.read_max))
        )
        waits = self._waits
        if not waits and not stream and length is None:
            # A head like that of a call which went well goes with what follows: servers often send that a moment later.
            self._media = status, media_type(fields)
            waits = self._media == self.procedure.media
        if waits and self._opening is not None:
            self._held = True
            return
        self._show_head()
        if not waits:
            self._answered(b"")

    def whole(self, status: int, fields: Fields, length: int | None, data: bytes, trailers: Fields) -> None:
        """All of the response came: what `head`, `content` and `ended` would say one after the other."""
        size, opening, first = len(data), self._opening, self.procedure.first
        if opening is None or not size or (length is not None and size < length):
            self.head(status, fields, length, whole=True)
            if data and not self.finished:
                self.content(data)
            if not self.finished:
                self.ended(trailers)
            return
        self.http_status, self._fields, self._length = status, fields, length
        self._piece, self._received = data, size
        self._trailers = trailers if length is None else None
        if first < 0:
            self._whole()
            return
        alike = (status, length is None, size, data[:first], *fields, None, *trailers)
        known = opening.outcomes.get(alike)
        if known is None:
            self._whole(alike)
        else:
            self._good(*known)

    def content(self, data: bytes) -> None:
        """Content came."""
        if self._held:
            if not self._received:
                self._piece = data
                self._received = size = len(data)
                if self._length is not None and size >= self._length:
                    self._whole()
                return
            self._let_go()
        stream = self.procedure.many_responses
        if not (self._waits or stream) and self._received > self._announced:
            self._answered(self._untold())  # the piece before; the last one goes with the end
            if self.finished:
                return
        self._content.add(data)
        self._received += len(data)
        if self._length is not None and self._received >= self._length:
            self._answered(self._untold(abi.CONTENT_END_FLAG))
        elif stream:
            self._answered(self._untold())

    def ended(self, trailers: Fields) -> None:
        """The content ended, with this trailer section."""
        if self._length is not None and self._received < self._length:
            self.gone(TransportError(Gone.CLOSED, "the content is shorter than its declared length"))
        elif self._held and self._received:
            self._trailers = trailers
            self._whole()
        else:
            self._answered(self._rest() + records.content_end(self._handle, len(trailers), fields_column(trailers)))

    def gone(self, error: TransportError) -> None:
        """The transport failed, or the call's time is over, or nobody wants it any more."""
        with self.lock:
            if self.finished:
                return
            self.cause = error
            handle = self._handle
            match error.reason:
                case Gone.CANCELED:
                    record = records.cancel(handle)
                case reason if reason is Gone.TIMEOUT or (self._deadline is not None and monotonic() >= self._deadline):
                    # A server that keeps the same deadline may be the first to act on it.
                    record = records.deadline(handle)
                case reason:
                    record = records.peer_gone(handle, _GONE[reason], error.reset_code, error.text.encode("utf-8", "replace"))
            if error.reason is not Gone.CANCELED:
                record = self._rest() + record  # what came before is looked at first: it may be wrong itself
            self._answered(record)

    def failed(self, error: Exception) -> None:
        """The transport raised what no transport should."""
        with self.lock:
            if not self.finished:
                self._fail(abi.REJECT_LOST, f"the HTTP client failed: {error}")
                self.cause = error

    # Its messages

    def resume(self) -> bool:
        """Let the module see content that it asked for. False where it did not: then it wants what the peer sends next."""
        wanted, self._wanted = self._wanted, None
        if wanted is None or self.finished:
            return False
        self._tell(self._more(wanted))
        return True

    def next_message(self) -> Any:
        """The next message, decoded. Call it only while there are `messages`.

        Raises:
            ConnectError: it is bad, and so the call has failed.

        """
        payload = self.messages.popleft()
        try:
            if isinstance(payload, tuple):
                data, coding, limit = payload
                payload = decompressed(self._config.codings[coding - 1], data, limit)
            return decoded(self.procedure.decode, payload)
        except RejectedError as rejected:
            self.messages.clear()
            with self.lock:
                self.cause = rejected.why
                if self._opening is not None:  # the outcome was known: the module has not heard of the call
                    self._whole()
                    self.messages.clear()
                self._tell(records.reject(self._handle, rejected.reason, explained(rejected.why)))
            raise self.error() or rejected from rejected.why

    def result(self) -> Any:
        """The only message of a call that is finished.

        Raises:
            ConnectError: it failed.

        """
        error = self.error()
        if error is not None:
            raise error
        if self._media is not None:
            self.procedure.media = self._media
        return self.next_message()

    # Inside

    @property
    def _carry(self) -> int:
        return CARRY_STREAM if self.procedure.many_responses else abi.CARRY_WHOLE

    def _show_head(self) -> None:
        """Have the response's head go with what the module is told next."""
        fields = self._fields
        flags = abi.HTTP_END if self._length == 0 else 0
        self._head = records.response_head(self._handle, flags, self.http_status or 0, len(fields), fields_column(fields))

    def _let_go(self) -> None:
        """What has been held for `_whole` goes the long way."""
        self._held = False
        self._show_head()
        self._content.add(self._piece)

    def _whole(self, alike: Hashable | None = None) -> None:
        """The response has come in one piece: one step opens the call and brings the outcome.

        `alike` is what responses have in common that have the same outcome; None where nobody knows.
        """
        self._held = False
        fields, data, length, trailers, procedure = self._fields, self._piece, self._received, self._trailers, self.procedure
        opening, first = self._opening, procedure.first
        assert opening is not None
        if first < 0:
            first = length if length <= abi.CARRY_WHOLE else abi.CARRY_FIRST
        batch = records.response_head(0, 0, self.http_status or 0, len(fields), fields_column(fields)) + records.content(
            0, abi.CONTENT_END_FLAG if trailers is None else 0, length, data[:first]
        )
        if trailers is not None:
            batch += records.content_end(0, len(trailers), fields_column(trailers))
        self._announced = length
        events = self._open_late(batch)
        outcome = self._usual(events)
        if outcome is None:
            procedure.first = -1
            self._content.add(data)
            self._tell(self._take(records.decode(events), None)[1])
            return
        self._good(*outcome)
        _, start, end = outcome
        if end == length:
            # What stands in front of the only message is all that has to be seen of such a response.
            procedure.first = start
            if alike is not None:
                opening.learn(alike, outcome, len(batch))

    def _good(self, response: records.Response, start: int, end: int) -> None:
        """The call ended well, with one message in its content."""
        self._response = response
        self._end = GOOD
        self.messages.append(self._piece[start:end])
        self.finished = True

    def _rest(self) -> bytes:
        """The command for content that was to go with what comes next, if there is any."""
        if self._held:
            self._let_go()
        return self._untold() if self._received > self._announced else b""

    def _untold(self, flags: int = 0) -> bytes:
        """The command for content that the module does not know of: all of its bytes where that is cheap, else the first."""
        start, self._announced = self._announced, self._received
        length = self._received - start
        data = self._content.peek(start, length if self._inline else carried(length, self._carry))
        return records.content(self._handle, flags, length, data)

    def _answered(self, batch: bytes) -> None:
        """Tell what came, behind the response's head if that has waited."""
        batch, self._head = self._head + batch, b""
        with self.lock:
            if not self.finished:  # as the thread that sends may have found
                if self._held:
                    self._let_go()
                    batch, self._head = self._head + batch, b""
                if self._opening is not None:
                    batch = self._take(records.decode(self._open_late(batch)), None)[1]
                self._tell(batch)


def _sending(handle: int, lengths: list[int], payloads: list[bytes], *, inline: bool) -> bytes:
    """The command that sends payloads."""
    if inline:
        return records.send(handle, abi.SEND_INLINE, lengths, b"".join(payloads))
    return records.send(handle, 0, lengths)
