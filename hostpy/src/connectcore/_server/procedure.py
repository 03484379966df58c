"""One method of a service: its path and function, its codecs' functions, the context of its calls."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from .._codec.codec import resolve_decoder, resolve_encoder, writes_protobuf
from .._codec.messages import runtime_of, type_name_of
from .._wasm import abi
from .._wasm.configuration import attributes
from ..method import StreamType
from ..request import ServerContext
from .handlers import wrong_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .._codec.codec import Codec
    from .._wasm import records

__all__ = ["Procedure"]

K = TypeVar("K")


class Procedure:
    """One method: its path and function, with a decoder and an encoder for each codec."""

    __slots__ = ("attributes", "decoders", "encoders", "function", "many_requests", "many_responses", "method", "name", "path")

    def __init__(self, path: str, method: Any, function: Callable[..., Any], codecs: Sequence[Codec]) -> None:
        self.name = path
        self.path = path.encode()
        self.method = method
        self.function = function
        self.many_requests = method.stream_type in (StreamType.CLIENT_STREAM, StreamType.BIDI_STREAM)
        self.many_responses = method.stream_type in (StreamType.SERVER_STREAM, StreamType.BIDI_STREAM)
        self.attributes = attributes(method)
        # The first codec is made ready at once, which finds classes that are no messages; the others, which may want large
        # imports, when they are first used.
        self.decoders = [
            _when_used(resolve_decoder, codec, method.input) if index else resolve_decoder(codec, method.input)
            for index, codec in enumerate(codecs)
        ]
        self.encoders = [
            _when_used(self._encoder, codec, index) if index else self._encoder(codec, index)
            for index, codec in enumerate(codecs)
        ]

    def _encoder(self, codec: Codec, index: int) -> Callable[[Any], bytes]:
        """What serializes replies, and refuses what is none: a runtime would send any message of its own.

        A stream's messages cost little beside this test, so once one was good it is not made again.
        """
        method, kind = self.method, self.method.output
        encode = resolve_encoder(codec, kind)
        if not writes_protobuf(codec):
            return encode

        def check(reply: Any) -> bytes:
            if reply.__class__ is not kind and not _stands_for(kind, reply.__class__):
                raise wrong_reply(method, reply)
            return encode(reply)

        def check_first(reply: Any) -> bytes:
            payload = check(reply)
            self.encoders[index] = encode
            return payload

        return check_first if self.many_responses else check

    def context(
        self,
        request: records.Request,
        http_method: str,
        fields: Iterable[tuple[Any, Any]],
        addresses: Callable[[Any], tuple[str | None, str | None]],
        source: Any,
    ) -> ServerContext[Any, Any]:
        """What the handler of a call that comes now is told beside its messages."""
        timeout = request.timeout_us
        ends = None if timeout == abi.NO_TIMEOUT else monotonic() + timeout / 1e6
        return ServerContext(self.method, http_method, fields, request.hidden, request.binary, ends, addresses, source)


def _stands_for(kind: type[Any], given: type[Any]) -> bool:
    """Whether messages of a class are the same as those of another, of another pool perhaps."""
    runtime = runtime_of(given)
    return runtime is not None and runtime == runtime_of(kind) and type_name_of(given) == type_name_of(kind)


def _when_used(resolve: Callable[[Codec, K], Callable[[Any], Any]], codec: Codec, kind: K) -> Callable[[Any], Any]:
    """The function that `resolve` gives, which is asked for at the first call."""
    function: Callable[[Any], Any] | None = None

    def call(argument: Any) -> Any:
        nonlocal function
        if function is None:
            function = resolve(codec, kind)
        return function(argument)

    return call
