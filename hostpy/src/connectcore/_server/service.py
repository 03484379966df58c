"""What a server offers, how the guest is told, and how a call is opened.

    head, perhaps content -> Service.open -> Verdict, or ServerCall

Most calls are plain: unary, in one piece, answered with one message and no metadata. The guest settles these when it reads the
head ("A prepared call", ABI.md section 9): the `Verdict` says what to do with all calls of that head, and nothing is open.
Every other call is a `ServerCall`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .._codec.codec import default_codecs
from .._wasm import abi, records
from .._wasm.columns import join_names, layout, split_fields, split_text_fields
from .._wasm.configuration import BusyError, Configuration, read_max_of
from .._wasm.instance import GuestError
from .._wasm.pool import POOL
from ..compression.gzip import GzipCompression
from ..request import expired, response_metadata
from .call import ServerCall, announced
from .memory import Memory
from .procedure import Procedure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .._codec.codec import Codec
    from .._wasm.instance import Instance
    from ..compression import Compression
    from ..request import RequestContext

__all__ = ["Head", "Service", "Verdict"]

Head: TypeAlias = "tuple[int, bytes, bytes, bytes, int, bytes]"
"""A request's head: capability flags, HTTP method, path, query, number of fields, fields as a column."""

_START: Final = layout((abi.LAYOUT_DONE, "kind size")).unpack_from


class Verdict:
    """What the guest says of a request's head whose call is prepared; it holds for all requests with this head.

    It says where the one message lies in content of at most `limit` bytes, and what the whole response is, if the call ends
    well, in time, without metadata and with a reply that is not too large.
    """

    __slots__ = (
        "_after",
        "_fields",
        "_length_name",
        "_prefix",
        "_reply_max",
        "limit",
        "procedure",
        "request",
        "status",
        "trailers",
    )

    def __init__(self, service: Service, request: records.Request, prepared: records.Prepared) -> None:
        self.procedure = service.procedures[request.procedure]
        self.request = request
        self._prefix, self._after = prepared.prefix, prepared.data
        self.limit = prepared.limit + self._prefix
        self._reply_max = prepared.reply_max
        self.status = prepared.status
        self._fields = service.fields_of(prepared.fields)
        self._length_name: Any = service.fields_of(prepared.length + b"\0")[0][0] if prepared.length else None
        self.trailers = service.fields_of(prepared.trailers) if prepared.flags & abi.PREPARED_TRAILERS else None

    def message(self, content: bytes) -> bytes | None:
        """The message in a request's content, or None where it is not what the guest prepared for."""
        prefix = self._prefix
        if not prefix:
            return content
        size = len(content) - prefix
        return content[prefix:] if size >= 0 and content[:prefix] == size.to_bytes(prefix, "big") else None

    def answer(self, reply: bytes, ctx: RequestContext[Any, Any]) -> tuple[list[tuple[Any, Any]], bytes] | None:
        """The fields and the content of the response with this reply, or None where the guest is to be asked."""
        size = len(reply)
        leading, trailing = response_metadata(ctx)
        if size > self._reply_max or leading or trailing or expired(ctx):
            return None
        name, prefix = self._length_name, self._prefix
        if prefix:
            reply = size.to_bytes(prefix, "big") + reply + self._after
        if name is None:
            return self._fields, reply
        return [*self._fields, (name, str(size) if name.__class__ is str else b"%d" % size)], reply


class Service:
    """What a server offers.

    With `text` fields are given and taken as text, a character per byte, as WSGI has them; else as bytes. Without `prepare` no
    call is taken for plain.
    """

    __slots__ = (
        "_answers",
        "_configuration",
        "_prepare",
        "_verdicts",
        "codings",
        "fields_of",
        "procedures",
        "routes",
    )

    def __init__(
        self,
        endpoints: Mapping[str, tuple[Any, Callable[..., Any]]],
        *,
        codecs: Iterable[Codec] | None,
        compressions: Iterable[Compression] | None,
        read_max_bytes: int | None,
        text: bool,
        prepare: bool,
    ) -> None:
        known = list(default_codecs() if codecs is None else codecs)
        self.codings: list[Compression] = [GzipCompression()] if compressions is None else list(compressions)
        self.procedures = [Procedure(path, *endpoint, known) for path, endpoint in endpoints.items()]
        self.routes = {procedure.name: procedure for procedure in self.procedures}
        record = records.configure_server(
            read_max=read_max_of(read_max_bytes),
            compress_min=abi.DEFAULT_COMPRESS_MIN,
            codecs=join_names(codec.name() for codec in known),
            codings=join_names(coding.name() for coding in self.codings),
            native=bytes([True] * len(self.codings)),
            procedures=join_names(self.routes),
            attributes=bytes(procedure.attributes for procedure in self.procedures),
        )
        self._configuration = Configuration.of(record)
        self.fields_of: Callable[[bytes], list[tuple[Any, Any]]] = split_text_fields if text else split_fields
        self._prepare = prepare
        self._verdicts: Memory[Verdict] = Memory()
        self._answers: Memory[Verdict] = Memory()

    def open(self, head: Head, content: bytes | None = None, *, end: bool = False) -> Verdict | ServerCall:
        """Open a call: with its head alone, or with content that came, and may have ended. Raises ModuleError.

        Where the answer is a verdict, nothing is open, and it holds for the content that is here.
        """
        if content is not None and self._prepare:
            verdict = self._verdicts.get(head)
            if verdict is None:
                opened = self._open(head, content, end, abi.OPEN_PREPARE)
                if isinstance(opened, ServerCall):
                    return opened
                verdict = opened
            # Content that is still to come is waited for by the call where that has a deadline.
            if len(content) <= verdict.limit and (
                verdict.message(content) is not None if end else verdict.request.timeout_us == abi.NO_TIMEOUT
            ):
                return verdict
        return self._open(head, content, end, 0)

    def _open(self, head: Head, content: bytes | None, end: bool, flags: int) -> Verdict | ServerCall:
        instance = POOL.pick()
        try:
            events = instance.step(self.opening(instance, head, flags, content, end=end))
        except (GuestError, BusyError) as error:
            call = ServerCall(self, head, instance)
            call.lose(error)
            return call
        second = _START(events)[1]  # where the second event begins
        if second < len(events) and _START(events, second)[0] == abi.EV_PREPARED:
            return self._verdict(head, events, second)
        call = ServerCall(self, head, instance)
        call.begin(events, second, content)
        return call

    def opening(self, instance: Instance, head: Head, flags: int, content: bytes | None, *, end: bool) -> bytes:
        """The records that open a call in an instance, and show it content if there is some.

        Raises GuestError, and BusyError where there is no room for the configuration.
        """
        own, method, path, query, count, fields = head
        config = instance.handles.get(self._configuration.key)
        if config is None:
            config = self._configuration.handle_in(instance)
        if end and not content:
            flags |= abi.OPEN_END
        batch = records.open_server(config, own | flags, method, path, query, count, fields)
        return batch + announced(content, end=end) if content else batch

    def _verdict(self, head: Head, events: bytes, second: int) -> Verdict:
        """What was said of the head of a prepared call."""
        # All but the handles is the same as for many heads before.
        answer = events[abi.HEADER_SIZE : second] + events[second + abi.HEADER_SIZE : -abi.HEADER_SIZE]
        verdict = self._answers.get(answer)
        if verdict is None:
            request, prepared, *_ = records.decode(events)
            assert isinstance(request, records.Request)
            assert isinstance(prepared, records.Prepared)
            verdict = Verdict(self, request, prepared)
            self._answers.offer(answer, verdict, len(events))
        self._verdicts.offer(head, verdict, len(head[3]) + len(head[5]))
        return verdict
