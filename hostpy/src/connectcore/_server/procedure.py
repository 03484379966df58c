"""One method of a service: its path and function, and its codecs' functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from .._codec.codec import resolve_decoder, resolve_encoder, writes_protobuf
from .._codec.messages import runtime_of, type_name_of
from .._codec.payload import FATAL, RejectedError
from .._wasm import abi
from .._wasm.configuration import attributes
from ..method import StreamType
from .handlers import wrong_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._codec.codec import Codec

__all__ = ["Procedure"]

K = TypeVar("K")


class Procedure:
    """One method: its path and function, with a decoder and an encoder for each codec."""

    __slots__ = (
        "_checked",
        "_encoders",
        "_output",
        "attributes",
        "decoders",
        "function",
        "many_requests",
        "many_responses",
        "method",
        "name",
        "path",
        "unary",
    )

    def __init__(self, path: str, method: Any, function: Callable[..., Any], codecs: Sequence[Codec]) -> None:
        self.name = path
        self.path = path.encode()
        self.method = method
        self.function = function
        self.many_requests = method.stream_type in (StreamType.CLIENT_STREAM, StreamType.BIDI_STREAM)
        self.many_responses = method.stream_type in (StreamType.SERVER_STREAM, StreamType.BIDI_STREAM)
        self.unary = not self.many_requests and not self.many_responses
        self.attributes = attributes(method)
        # The first codec is made ready at once, which finds classes that are no messages; the others, which may want large
        # imports, when they are first used.
        self.decoders = [
            _when_used(resolve_decoder, codec, method.input) if index else resolve_decoder(codec, method.input)
            for index, codec in enumerate(codecs)
        ]
        self._encoders = [
            _when_used(resolve_encoder, codec, method.output) if index else resolve_encoder(codec, method.output)
            for index, codec in enumerate(codecs)
        ]
        # A runtime would send any message of its own, and a codec that a user wrote may take anything.
        self._output = method.output
        self._checked = [writes_protobuf(codec) for codec in codecs]

    def encoded(self, codec: int, reply: Any) -> bytes:
        """A reply as a payload. Raises RejectedError, also where it is no message of the method's class."""
        try:
            if reply.__class__ is not self._output and self._checked[codec]:
                self._check(reply)
            return self._encoders[codec](reply)
        except FATAL:
            raise
        except BaseException as error:
            raise RejectedError(abi.REJECT_ENCODE, error) from error

    def encoder(self, codec: int) -> Callable[[Any], bytes]:
        """What serializes a stream's replies, and raises anything.

        They cost little beside a look at their class, so once one was good none is looked at any more.
        """
        encode = self._encoders[codec]
        if not self._checked[codec]:
            return encode

        def first(reply: Any) -> bytes:
            self._check(reply)
            payload = encode(reply)
            self._checked[codec] = False
            return payload

        return first

    def _check(self, reply: Any) -> None:
        if reply.__class__ is not self._output and not _stands_for(self._output, reply.__class__):
            raise wrong_reply(self.method, reply)


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
