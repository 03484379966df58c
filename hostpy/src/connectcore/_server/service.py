"""What a server offers, how the guest is told, and how a call is opened.

    head, perhaps content -> Service.open -> Verdict, or ServerCall

Most calls are plain: unary, in one piece, answered with one message and no metadata. The guest settles these when it reads the
head ("A prepared call", ABI.md section 9): the `Verdict` says what to do with all calls of that head, and nothing is open.
Every other call is a `ServerCall`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._codec.codec import checked_codec, default_codecs
from .._wasm import abi, records
from .._wasm.columns import join_fields, join_names, join_text_fields, layout, split_fields, split_text_fields
from .._wasm.configuration import BusyError, Configuration
from .._wasm.instance import GuestError
from .._wasm.pool import POOL
from ..compression import GzipCompression, checked, native
from .call import ServerCall, announced
from .memory import Heads, Memory
from .outcome import log
from .plain_call import PlainCall
from .procedure import Procedure
from .verdict import Plain, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .._codec.codec import Codec
    from .._wasm.instance import Instance
    from ..compression import AnyCompression
    from .memory import Head
    from .options import Options

__all__ = ["Service"]

_START: Final = layout((abi.LAYOUT_DONE, "kind size")).unpack_from


class Service:
    """What a server offers.

    With `watched` a call is told what it ended with where its handler was not called, for interceptors that began before. With
    `text` fields are given and taken as text, a character per byte, as WSGI has them; else as bytes. `able` names servers that
    send trailers.
    """

    __slots__ = (
        "_able",
        "_column",
        "_configuration",
        "_plains",
        "_told",
        "_verdicts",
        "access_log",
        "codings",
        "fields_of",
        "on_error",
        "procedures",
        "routes",
    )

    def __init__(
        self,
        endpoints: Mapping[str, tuple[Any, Callable[..., Any]]],
        *,
        codecs: Iterable[Codec] | None,
        compressions: Iterable[AnyCompression] | None,
        options: Options,
        watched: bool,
        text: bool,
        able: str,
    ) -> None:
        known = [*default_codecs()] if codecs is None else [*map(checked_codec, codecs)]
        self.codings: list[Any] = [GzipCompression()] if compressions is None else [*map(checked, compressions)]
        self.procedures = [Procedure(path, *endpoint, known) for path, endpoint in endpoints.items()]
        self.routes = {procedure.name: procedure for procedure in self.procedures}
        flags = options.flags | (abi.SERVER_OUTCOMES if watched else 0)
        record = records.configure_server(
            flags=flags,
            **options.columns,
            codecs=join_names(codec.name() for codec in known),
            codings=join_names(coding.name() for coding in self.codings),
            native=native(self.codings),
            procedures=join_names(self.routes),
            attributes=bytes(procedure.attributes for procedure in self.procedures),
        )
        self._configuration = Configuration.of(record)
        self.fields_of: Callable[[bytes], list[tuple[Any, Any]]] = split_text_fields if text else split_fields
        self._column: Callable[[Iterable[tuple[Any, Any]]], bytes] = join_text_fields if text else join_fields
        self._able = able
        self.access_log = options.access_log
        self.on_error = options.on_error
        self._verdicts: Heads[Verdict] = Heads(text=text)
        self._plains: Memory[tuple[Plain, records.Prepared]] = Memory()
        self._told = False

    def lacks_trailers(self) -> None:
        """A call failed because this server sends no trailers. The log is told once."""
        if not self._told:
            self._told = True
            log.warning(
                "A client calls by gRPC, which needs a server that sends trailers, and this one does not: the call fails. "
                "Serve the application under one that does (%s), or let the client call by another protocol",
                self._able,
            )

    def known(self, head: Head, size: int | None) -> Verdict | None:
        """The verdict on a unary call with `size` bytes of content, or nobody knows how many, if there is one and they are not
        too many. Nothing is open, and the caller sees whether it holds for the content."""
        verdict = self._verdicts.find(head)
        return None if verdict is None or (size is not None and size > verdict.plain.limit) else verdict

    def settle(self, head: Head, size: int | None) -> Verdict | ServerCall:
        """Open a unary call with its head alone. Raises ModuleError.

        Where the answer is a verdict, nothing is open, and the caller sees whether it holds for the content: this may have
        `size` bytes, or nobody knows how many.
        """
        verdict = self._verdicts.find(head)
        if verdict is None:
            opened = self._open(head, None, size == 0, abi.OPEN_PREPARE)
            if isinstance(opened, ServerCall):
                return opened
            verdict = opened
        if size is not None and size > verdict.plain.limit:
            return self._open(head, None, False, 0)  # it may be refused for that before anything else is done
        return verdict

    def open(self, head: Head, content: bytes | None, *, end: bool) -> Verdict | ServerCall:
        """Open a call on which no verdict is known with what came of its content, which may have ended. Raises ModuleError.

        Where the answer is a verdict, nothing is open, and it holds for the content that is here.
        """
        opened = self._open(head, content, end, 0 if content is None else abi.OPEN_PREPARE)
        if content is None or isinstance(opened, ServerCall):
            return opened
        plain = opened.plain
        # Content that is still to come is waited for by the call where that has a deadline.
        if len(content) <= plain.limit and (
            plain.bare or plain.holds(content) if end else opened.request.timeout_us == abi.NO_TIMEOUT
        ):
            return opened
        call = PlainCall(self, head, opened)
        call.feed(content, end=end)
        return call

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
        (own, method, path, query, names), values = head
        config = instance.handles.get(self._configuration.key)
        if config is None:
            config = self._configuration.handle_in(instance)
        if end and not content:
            flags |= abi.OPEN_END
        fields = self._column(zip(names, values, strict=True))
        batch = records.open_server(config, own | flags, method, path, query, len(names), fields)
        return batch + announced(content, end=end) if content else batch

    def _verdict(self, head: Head, events: bytes, second: int) -> Verdict:
        """What was said of the head of a prepared call."""
        # All of it but the handle is the same as for many heads before, whose requests differ in their timeouts, say.
        request = records.Request(events, 0)
        said = request.coding, request.compress_min, events[second + abi.HEADER_SIZE : -abi.HEADER_SIZE]
        known = self._plains.get(said)
        if known is None:
            prepared = records.Prepared(events, second)
            known = Plain(request, prepared, self.fields_of, self.codings), prepared
            self._plains.offer(said, known, 2 * len(said[2]))
        plain, prepared = known
        verdict = Verdict(self.procedures[request.procedure], request, plain)
        self._verdicts.saw(head, prepared.matters, prepared.head_max, verdict)
        return verdict
