"""What all calls of a client have in common: checked once, and told to each instance of the module once.

An instance knows a configuration by a handle. Clients with equal settings have equal records, and so share the handle.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from .._codec.codec import proto_binary_codec, resolve_decoder, resolve_encoder
from .._version import __version__
from .._wasm import abi, records
from .._wasm.columns import join_names
from ..code import Code
from ..compression import GzipCompression
from ..errors import ConnectError
from ..protocol import ProtocolType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._codec.codec import Codec
    from .._wasm.instance import Instance
    from ..compression import Compression
    from ..method import MethodInfo

__all__ = ["DEFAULT_READ_MAX_BYTES", "ClientConfig", "timeout_seconds"]

DEFAULT_READ_MAX_BYTES: Final = 4 << 20
"""Bytes in one received message, unless a client is told otherwise."""

_MOST: Final = (1 << 31) - 1  # a length has 31 bits in the module's interface
_MOST_PER_INSTANCE: Final = 512
_MOST_REMEMBERED: Final = 32
_MOST_PLANS: Final = 1024  # generated code has one object per method; other code may make one per call
_SCHEMES: Final = ("http", "https")


class _Key(bytes):
    """A configuration's record, as the name of its handle among those of servers."""

    __slots__ = ()


_lock = threading.Lock()

K = TypeVar("K")
V = TypeVar("V")


class Plan:
    """A method, ready to be called: its path, encoder and decoder. It keeps the method, so that its id stays its own.

    `requests` holds what the module said to calls without metadata, by timeout and length of the message: method, target and
    fields. `replies` holds what it said to responses, by status, fields and length: see `read_success`. `heads` are status and
    fields of responses of unknown length that became good.
    """

    __slots__ = ("decode", "encode", "heads", "method", "procedure", "replies", "requests")

    def __init__(self, method: MethodInfo[Any, Any], codec: Codec[Any, Any]) -> None:
        self.method = method
        self.procedure = f"/{method.service_name}/{method.name}".encode()
        self.encode = resolve_encoder(codec, method.input)
        self.decode = resolve_decoder(codec, method.output)
        self.requests: dict[tuple[int, int], tuple[str, str, bytes]] = {}
        self.replies: dict[tuple[int, bytes, int], tuple[bytes, int, int, int, int]] = {}
        self.heads: dict[tuple[int, bytes], None] = {}

    def remember(self, where: dict[K, V], key: K, value: V) -> None:
        """Put something where it will be found again. There is room for a few: what repeats comes back soon."""
        if len(where) >= _MOST_REMEMBERED:
            where.clear()
        where[key] = value


class ClientConfig:
    """Where a client calls, and how.

    Args:
        address: scheme, host, port if it is not the scheme's own, and a path that stands before all procedures, if any.
        codec: how messages become bytes; None for protobuf's binary form.
        protocol: what to speak.
        accept_compression: compressions that responses may have, most preferred first; None for gzip, empty for none.
        send_compression: what requests are compressed with; None for nothing.
        timeout: seconds that a call may take when it does not say itself; None for no limit.
        read_max_bytes: longest message to receive, before and after decompression; None for no limit.

    Raises:
        TypeError: the address is no text, or the protocol none.
        ValueError: an argument makes no sense; the text says which and why.

    """

    __slots__ = ("_plans", "codec", "codings", "origin", "read_max", "record", "send_compression", "server_address", "timeout")

    def __init__(
        self,
        *,
        address: str,
        codec: Codec[Any, Any] | None,
        protocol: ProtocolType,
        accept_compression: Iterable[Compression] | None,
        send_compression: Compression | None,
        timeout: float | None,
        read_max_bytes: int | None,
    ) -> None:
        self.origin, prefix, self.server_address = _parse_address(address)
        if not isinstance(protocol, ProtocolType):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"protocol must be a connectcore.protocol.ProtocolType, not {protocol!r}")
        self.codec: Codec[Any, Any] = proto_binary_codec() if codec is None else codec
        codings: list[Compression] = [GzipCompression()] if accept_compression is None else list(accept_compression)
        names = [coding.name() for coding in codings]
        if len(set(names)) != len(names):
            raise ValueError(f"accept_compression names one compression twice: {', '.join(names)}")
        send = 0
        if send_compression is not None:
            name = send_compression.name()
            # The interface knows one list. What a client can compress it can read, so offering it does no harm.
            if name not in names:
                codings.append(send_compression)
                names.append(name)
            send = names.index(name) + 1
        if read_max_bytes is not None and not 0 < read_max_bytes <= _MOST:
            raise ValueError(f"read_max_bytes must be from 1 to {_MOST}, not {read_max_bytes}")
        self.codings = codings
        self._plans: dict[int, Plan] = {}
        self.send_compression = send_compression
        self.timeout = timeout
        self.read_max = read_max_bytes or _MOST
        self.record = _Key(
            records.configure_client(
                protocol=protocol.value,
                read_max=self.read_max,
                send_max=0,
                compress_min=0,
                send_coding=send,
                get_max=0,
                codec=self.codec.name().encode(),
                codings=join_names(names),
                native=bytes([True] * len(names)),
                prefix=prefix.encode(),
                user_agent=f"connectcore-python/{__version__}".encode(),
            )
        )

    def plan(self, method: MethodInfo[Any, Any]) -> Plan:
        """What this client's calls of a method have in common."""
        plan = self._plans.get(id(method))
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[id(method)] = Plan(method, self.codec)
        return plan

    def handle_in(self, instance: Instance) -> int:
        """This configuration's handle in an instance.

        Raises:
            ConnectError: `INTERNAL`, the module refuses it.
            GuestError: the instance failed.

        """
        handle = instance.handles.get(self.record)
        return self._configure(instance) if handle is None else handle

    def forget_in(self, instance: Instance) -> None:
        """The instance does not know the handle any more."""
        instance.handles.pop(self.record, None)

    def _configure(self, instance: Instance) -> int:
        key = self.record
        with _lock:
            handle = instance.handles.get(key)
            if handle is not None:
                return handle
            ours = [other for other in instance.handles if isinstance(other, _Key)]
            if len(ours) >= _MOST_PER_INSTANCE:
                # Many clients with settings of their own: the oldest configuration goes. Its open calls go on, and a
                # later one of that client configures it anew.
                instance.step(records.close_config(instance.handles.pop(ours[0])))
            for event in records.decode(instance.step(self.record)):
                if isinstance(event, records.Configured):
                    instance.handles[key] = event.handle
                    return event.handle
                if isinstance(event, records.Fault):
                    raise ConnectError(Code.INTERNAL, f"this client's settings: {event.text.decode('utf-8', 'replace')}")
        raise ConnectError(Code.INTERNAL, "the protocol module gave no answer to this client's settings")


def timeout_seconds(timeout: float | None, timeout_ms: float | None) -> float | None:
    """The two spellings of a timeout as seconds; None for none.

    Raises:
        ValueError: both are given, or it is not a number.

    """
    if timeout_ms is not None:
        if timeout is not None:
            raise ValueError("give timeout (seconds) or timeout_ms (milliseconds), not both")
        timeout = timeout_ms / 1000
    if timeout is None:
        return None
    if math.isnan(timeout):
        raise ValueError("a timeout must be a number of seconds, not NaN")
    return None if timeout == math.inf else timeout


def timeout_microseconds(timeout: float | None) -> int:
    """The same as the module takes it; a deadline that has passed is zero."""
    if timeout is None:
        return abi.NO_TIMEOUT
    return min(max(math.ceil(timeout * 1e6), 0), abi.NO_TIMEOUT - 1)


def _parse_address(address: str) -> tuple[str, str, str]:
    """Origin, path prefix without a slash at its end, and `host:port`."""

    if not isinstance(address, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the address must be str, not {type(address).__name__}")
    shown = "" if "@" in address else f" {address!r}"  # a password does not belong into an error's text

    def wrong(why: str) -> ValueError:
        return ValueError(f"the address{shown} {why}; it must look like https://example.com or http://localhost:8080/prefix")

    if any(c <= " " or c == "\x7f" for c in address):
        raise wrong("has spaces or control characters")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise wrong(f"is no URL ({error})") from None
    if "://" not in address:
        raise wrong("has no scheme")
    if parts.scheme not in _SCHEMES:
        raise wrong(f"has the scheme {parts.scheme!r}, but only {' and '.join(_SCHEMES)} are served")
    if not host:
        raise wrong("has no host")
    if "@" in parts.netloc:
        raise wrong("holds a user name or password, which would be sent nowhere: pass credentials as metadata")
    if "?" in address or "#" in address:
        raise wrong("has a query or a fragment, and a procedure's path must follow")
    if not parts.path.isascii():
        raise wrong("has a path that is not ASCII: percent-encode it")
    named = f"[{host}]" if ":" in host else host
    server = f"{named}:{port or (443 if parts.scheme == 'https' else 80)}"
    return f"{parts.scheme}://{named}" + ("" if port is None else f":{port}"), parts.path.rstrip("/"), server
