"""One method of a service: its path and function, its codecs' functions, the context of its calls."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from .._codec.codec import resolve_decoder, resolve_encoder
from .._wasm import abi
from .._wasm.configuration import attributes
from ..method import StreamType
from ..request import ServerContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .._codec.codec import Codec
    from .._wasm import records

__all__ = ["Procedure"]


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
            _when_used(resolve_encoder, codec, method.output) if index else resolve_encoder(codec, method.output)
            for index, codec in enumerate(codecs)
        ]

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


def _when_used(
    resolve: Callable[[Codec, type[Any]], Callable[[Any], Any]], codec: Codec, kind: type[Any]
) -> Callable[[Any], Any]:
    """The function that `resolve` gives, which is asked for at the first call."""
    function: Callable[[Any], Any] | None = None

    def call(argument: Any) -> Any:
        nonlocal function
        if function is None:
            function = resolve(codec, kind)
        return function(argument)

    return call
