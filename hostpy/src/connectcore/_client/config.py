"""What all calls of a client have in common, checked once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from .._codec.codec import checked_codec, proto_binary_codec
from .._version import __version__
from .._wasm import abi, records
from .._wasm.columns import join_names
from .._wasm.configuration import Configuration, compress_min_of, read_max_of, send_max_of
from ..compression import GzipCompression, ModuleCompression, checked, native
from ..protocol import ProtocolType
from .opening import Openings
from .procedure import Procedure

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from .._codec.codec import Codec
    from .._wasm.instance import Instance
    from ..compression import AnyCompression
    from ..method import MethodInfo

__all__ = ["ClientConfig", "timeout_seconds"]

_LONGEST: Final = 1e9
"""Seconds, 31 years, that a longer timeout is cut to: more is more than the clocks of some systems take."""

_PROCEDURES: Final = 1024
"""Methods that are remembered; whoever makes them anew for each call must not fill the memory."""

_PROTOCOLS: Final = {
    ProtocolType.CONNECT: abi.PROTOCOL_CONNECT,
    ProtocolType.GRPC: abi.PROTOCOL_GRPC,
    ProtocolType.GRPC_WEB: abi.PROTOCOL_GRPC_WEB,
    ProtocolType.GRPC_WEB_TEXT: abi.PROTOCOL_GRPC_WEB,
}
_SCHEMES: Final = ("http", "https")


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
        send_max_bytes: longest message to send, after compression; None for no limit.
        compress_min_bytes: smallest message that is compressed.

    Raises:
        TypeError: the address is no text, or the protocol none.
        ValueError: an argument makes no sense; the text says which and why.

    """

    __slots__ = (
        "_configuration",
        "_procedures",
        "codec",
        "codings",
        "compress_min",
        "http2",
        "openings",
        "origin",
        "packs_with",
        "read_max",
        "server_address",
        "timeout",
    )

    def __init__(
        self,
        *,
        address: str,
        codec: Codec[Any, Any] | None,
        protocol: ProtocolType,
        accept_compression: Iterable[AnyCompression] | None,
        send_compression: AnyCompression | None,
        timeout: float | None,
        read_max_bytes: int | None,
        send_max_bytes: int | None,
        compress_min_bytes: int,
    ) -> None:
        self.origin, prefix, self.server_address = _parse_address(address)
        if not isinstance(protocol, ProtocolType):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"protocol must be a connectcore.protocol.ProtocolType, not {protocol!r}")
        # gRPC is defined over HTTP/2 alone: servers speak it at once over cleartext, and in no other version.
        self.http2 = True if protocol is ProtocolType.GRPC else None
        self.codec: Codec[Any, Any] = proto_binary_codec() if codec is None else checked_codec(codec)
        codings: list[Any] = [GzipCompression()] if accept_compression is None else [*map(checked, accept_compression)]
        names = [coding.name() for coding in codings]
        if len(set(names)) != len(names):
            raise ValueError(f"accept_compression names one compression twice: {', '.join(names)}")
        send = 0
        if send_compression is not None:
            name = checked(send_compression).name()
            # The interface knows one list. What a client can compress it can read, so offering it does no harm.
            if name not in names:
                codings.append(send_compression)
                names.append(name)
            send = names.index(name) + 1
            codings[send - 1] = send_compression
        self._procedures: dict[int, Procedure] = {}
        self.openings = Openings()
        self.codings = codings
        # What Python compresses requests with.
        self.packs_with = None if isinstance(send_compression, ModuleCompression) else send_compression
        self.timeout = timeout
        self.read_max = read_max_of(read_max_bytes)
        self.compress_min = compress_min_of(compress_min_bytes)
        self._configuration = Configuration.of(
            records.configure_client(
                flags=abi.CLIENT_TEXT if protocol is ProtocolType.GRPC_WEB_TEXT else 0,
                protocol=_PROTOCOLS[protocol],
                read_max=self.read_max,
                send_max=send_max_of(send_max_bytes),
                compress_min=self.compress_min,
                send_coding=send,
                get_max=0,
                codec=self.codec.name().encode(),
                codings=join_names(names),
                native=native(codings),
                prefix=prefix.encode(),
                user_agent=f"connectcore-python/{__version__}".encode(),
            )
        )

    def procedure(self, method: MethodInfo[Any, Any]) -> Procedure:
        """What is known of a method. Looked up by identity: generated code has one object for each."""
        known = self._procedures.get(id(method))
        if known is None:
            if len(self._procedures) >= _PROCEDURES:
                self._procedures.clear()
            known = self._procedures[id(method)] = Procedure(method, self.codec)  # which keeps the method, and so its id
        return known

    def handle_in(self, instance: Instance) -> int:
        """What an instance calls this configuration.

        Raises:
            ValueError: the module refuses it; the text says why.
            BusyError: the instance has no room for more.
            GuestError: the instance failed.

        """
        try:
            return self._configuration.handle_in(instance)
        except ValueError as error:
            raise ValueError(f"this client's settings: {error}") from None

    def inline(self, get: int) -> bool:
        """Whether the module must see the bytes of a payload that is sent, by GET perhaps. Known once there is a handle."""
        flags = self._configuration.flags
        return bool(flags & (abi.CONFIGURED_SEND_INLINE | abi.CONFIGURED_GET_INLINE if get else abi.CONFIGURED_SEND_INLINE))


def timeout_seconds(timeout: float | timedelta | None, timeout_ms: float | None) -> float | None:
    """The spellings of a timeout as seconds; None for none.

    Raises:
        ValueError: both are given, or it is not a number.
        TypeError: it is neither a number nor a `timedelta`.

    """
    if timeout_ms is None:
        if timeout is None:
            return None
        if not isinstance(timeout, int | float):
            from datetime import timedelta  # who gives one has imported it

            if isinstance(timeout, timedelta):  # pyright: ignore[reportUnnecessaryIsInstance]
                timeout = timeout.total_seconds()
        return _number(timeout, 1, "timeout must be a number of seconds, or a timedelta")
    if timeout is not None:
        raise ValueError("give timeout (seconds) or timeout_ms (milliseconds), not both")
    return _number(timeout_ms, 1000, "timeout_ms must be a number of milliseconds")


def _number(given: float, unit: int, wanted: str) -> float | None:
    """A timeout in seconds; None where it is endless."""
    try:
        no_number, seconds = math.isnan(given), given / unit
    except TypeError:
        raise TypeError(f"{wanted}, not {given!r}") from None
    except OverflowError:  # an integer that is more than a float holds
        no_number, seconds = False, math.inf if given > 0 else -math.inf
    if no_number:
        raise ValueError(f"{wanted}, not NaN")
    return None if seconds == math.inf else min(float(seconds), _LONGEST)


def timeout_microseconds(timeout: float | None) -> int:
    """The same as the module takes it; a deadline that has passed is zero."""
    if timeout is None:
        return abi.NO_TIMEOUT
    return math.ceil(min(max(timeout * 1e6, 0), abi.NO_TIMEOUT - 1))


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
    if not host.isascii():
        raise wrong("has a host that is not ASCII: write it as DNS does, xn--…")
    if port == 0 or not all(0 < len(label) < 64 for label in host.removesuffix(".").split(".")):
        raise wrong("has the port 0" if port == 0 else "has a host with an empty label, or one of more than 63 characters")
    named = f"[{host}]" if ":" in host else host
    server = f"{named}:{port or (443 if parts.scheme == 'https' else 80)}"
    return f"{parts.scheme}://{named}" + ("" if port is None else f":{port}"), parts.path.rstrip("/"), server
