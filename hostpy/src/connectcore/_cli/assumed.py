"""What the module itself sends: heads for content that came without one, and what stands before each message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._codec.codec import proto_binary_codec, proto_json_codec
from .._wasm import abi, records
from .._wasm.columns import join_names, join_text_fields, split_fields
from .._wasm.configuration import Configuration
from .._wasm.pool import POOL
from ..client import ConnectClientSync
from ..compression import native
from ..protocol import ProtocolType
from .connection import COMPRESSIONS, PROTOCOLS
from .recorder import Captured

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._client.config import ClientConfig
    from .._client.procedure import Procedure

__all__ = ["NUMBERS", "UNKNOWN", "assumed_request", "assumed_response", "calling", "prefix_of", "serving", "texts"]

UNKNOWN: Final = "/unknown.Service/Method"
"""The procedure of bytes that do not say theirs."""

NUMBERS: Final = {
    ProtocolType.CONNECT: abi.PROTOCOL_CONNECT,
    ProtocolType.GRPC: abi.PROTOCOL_GRPC,
    ProtocolType.GRPC_WEB: abi.PROTOCOL_GRPC_WEB,
    ProtocolType.GRPC_WEB_TEXT: abi.PROTOCOL_GRPC_WEB,
}
"""The module's numbers of protocols."""

_LENGTH: Final = "content-length"  # HTTP's own, and of other content


def calling(protocol: str, codec: str, *, plain: bool = False) -> ClientConfig:
    """A client that understands every compression; `plain`: none."""
    client = ConnectClientSync(
        "http://localhost",
        codec=proto_json_codec() if codec == "json" else proto_binary_codec(),
        protocol=PROTOCOLS[protocol],
        accept_compression=[] if plain else [make() for make in COMPRESSIONS.values()],
    )
    return client._config


def serving(path: str, kind: int, codecs: Iterable[str]) -> Configuration:
    """A server with one procedure, which understands every compression. Keep it until its call is open."""
    return Configuration.of(
        records.configure_server(
            codecs=join_names(codecs),
            codings=join_names(COMPRESSIONS),
            native=native([make() for make in COMPRESSIONS.values()]),
            procedures=join_names([path]),
            attributes=bytes([kind]),
        )
    )


def prefix_of(config: ClientConfig, procedure: Procedure) -> int:
    """How many bytes stand before each message of a call; 0 where content is one message, or text. Raises ValueError."""
    return _request(config, procedure.attributes, procedure.path)[2]


def assumed_request(protocol: str, codec: str, kind: int, path: str) -> tuple[Captured, int]:
    """A request with an empty message, and what stands before the message."""
    head, body, prefix = _request(calling(protocol, codec, plain=True), kind, path.encode("latin-1"))
    found = Captured()
    found.method, found.target = head.method.decode("latin-1"), head.target.decode("latin-1")
    found.request_fields = [each for each in texts(head.fields) if each[0] != _LENGTH]
    found.content = body
    return found, prefix


def assumed_response(request: Captured, codec: str, kind: int) -> Captured:
    """What a server says to an assumed request when all is well: its head and trailers."""
    instance = POOL.pick()
    configuration = serving(request.target, kind, [codec])
    config = configuration.handle_in(instance)
    fields, content = request.request_fields, request.content
    head = request.method.encode("latin-1"), request.target.encode("latin-1"), b""
    flags = abi.OPEN_TRAILERS | abi.OPEN_DUPLEX
    batch = records.open_server(config, flags, *head, len(fields), join_text_fields(fields))
    events = instance.tell(batch + records.content(0, abi.CONTENT_END_FLAG, len(content), content))
    handle = events[0].handle
    events = instance.tell(records.send(handle, abi.SEND_INLINE, [0]) + records.end(handle))
    found = Captured()
    found.trailers = []
    for event in events:
        if isinstance(event, records.HttpResponseHead):
            found.status = event.status
            found.fields = [each for each in texts(event.fields) if each[0] != _LENGTH]
        elif isinstance(event, records.HttpTrailers):
            found.trailers = texts(event.fields)
    return found


def texts(column: bytes) -> list[tuple[str, str]]:
    """Fields of an event, a character for each byte."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in split_fields(column)]


def _request(config: ClientConfig, kind: int, path: bytes) -> tuple[records.HttpRequestHead, bytes, int]:
    """What a client sends for an empty message: head and content, and what of that stands before the message."""
    instance = POOL.pick()
    batch = records.open_client(config.handle_in(instance), 0, kind, 0, abi.NO_TIMEOUT, path)
    inline = abi.SEND_INLINE if config.inline(0) else 0
    events = instance.tell(batch + records.send(0, inline, [0]) + records.end(0))
    instance.later(records.close(events[0].handle))
    head = next(event for event in events if isinstance(event, records.HttpRequestHead))
    bodies = [event for event in events if isinstance(event, records.HttpBody)]
    return head, b"".join(event.data for event in bodies), max((event.prefix for event in bodies), default=0)
