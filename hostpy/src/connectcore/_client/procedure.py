"""What a client knows of a method, looked up once: its path, its codec's functions, which sides send streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._codec.codec import resolve_decoder, resolve_encoder
from .._codec.messages import described, runtime_of
from .._wasm.configuration import attributes
from ..method import StreamType

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._codec.codec import Codec
    from ..method import MethodInfo

__all__ = ["Procedure", "WrongMessageError"]


_PREFIXES: Final = 1024
_SHORT: Final = 4 << 10
"""Longest message for which it pays to remember that."""


class WrongMessageError(TypeError):
    """A request message is not of the method's class. The application sees a TypeError."""


class Procedure:
    """One method as a client with one codec calls it."""

    __slots__ = (
        "_codec",
        "_encoders",
        "attributes",
        "decode",
        "first",
        "many_requests",
        "many_responses",
        "media",
        "method",
        "path",
        "prefixes",
    )

    def __init__(self, method: MethodInfo[Any, Any], codec: Codec[Any, Any]) -> None:
        self.method = method
        self.path = f"/{method.service_name}/{method.name}".encode()
        self.attributes = attributes(method)
        self.many_requests = method.stream_type in (StreamType.CLIENT_STREAM, StreamType.BIDI_STREAM)
        self.many_responses = method.stream_type in (StreamType.SERVER_STREAM, StreamType.BIDI_STREAM)
        self._codec = codec
        self._encoders: dict[type[Any], Callable[[Any], bytes]] = {}
        self.prefixes: dict[int, bytes] = {}  # what stands before a message of a stream, by its length
        self.media: object = None  # status and media type of the response to a call that went well
        # How many bytes the module has to see of the content of a response that is like the one before: those in front of its
        # message. Negative as long as nobody knows.
        self.first = -1
        self.decode = resolve_decoder(codec, method.output)

    def learn_prefix(self, length: int, content: bytes, payload: bytes) -> None:
        """The module wants `content` written for a message in the middle of a stream. It says the same to all of its length."""
        if len(payload) <= _SHORT and content.endswith(payload):
            if len(self.prefixes) >= _PREFIXES:
                self.prefixes.clear()
            self.prefixes[length] = content[: len(content) - len(payload)]

    def encode(self, message: Any) -> bytes:
        """A message as a payload. Finding the function that serializes it is what checks its class.

        Raises:
            WrongMessageError: it is of another class than the method's input.

        """
        encode = self._encoders.get(message.__class__)
        if encode is None:
            encode = self._encoder_for(message)
        return encode(message)

    def _encoder_for(self, message: Any) -> Callable[[Any], bytes]:
        wanted, given = self.method.input, message.__class__
        if not isinstance(message, wanted):
            name = f"{self.method.service_name}.{self.method.name}"
            runtimes = runtime_of(wanted), runtime_of(given)
            hint = ""
            if None not in runtimes and runtimes[0] != runtimes[1]:
                hint = f", which is of {runtimes[1]}: this client's code was generated for {runtimes[0]}"
            raise WrongMessageError(f"{name} takes {described(wanted)}, not {described(given)}{hint}")
        encode = self._encoders[given] = resolve_encoder(self._codec, given)
        return encode
