"""In which order to try the addresses of a name ("happy eyeballs", RFC 8305)."""

from __future__ import annotations

import os
import select
import socket
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ATTEMPT_DELAY", "QUEUE_DELAY", "Address", "in_turn", "numeric", "readable", "tune", "why"]

Address: TypeAlias = "tuple[int, tuple[str, int]]"
"""A family and what `connect` takes."""

ATTEMPT_DELAY: Final = 0.25
"""Seconds until the next address is tried beside one that has not answered (RFC 8305, 8)."""

QUEUE_DELAY: Final = 0.01
"""Seconds until a Unix socket is tried again whose queue was full: the system does not say when there is room."""

_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
"""What OpenSSL's versions call an answer that is no TLS."""


def in_turn(found: Iterable[tuple[int, int, int, str, object]]) -> list[Address]:
    """What `getaddrinfo` found, families alternating, each address once; the first of each family in the resolver's order."""
    families: dict[int, dict[Address, None]] = {}
    for family, _kind, _protocol, _name, address in found:
        if family in (socket.AF_INET, socket.AF_INET6):
            families.setdefault(family, {})[(family, address)] = None  # type: ignore[index]
    return [address for group in zip_longest(*families.values()) for address in group if address is not None]


def numeric(host: str, port: int) -> list[Address]:
    """The address that a host is, without asking a resolver; none where it is a name. Raises OSError."""
    try:
        # As bytes, because text has IDNA looked up for it, whose import takes longer than all else here.
        literal = host.encode() if host.isascii() else host
        return in_turn(socket.getaddrinfo(literal, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except socket.gaierror:
        return []


def tune(sock: socket.socket) -> None:
    """Send what is written at once."""
    if sock.family != getattr(socket, "AF_UNIX", None):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def readable(descriptor: int) -> bool:
    """Whether something has come on a socket, its end included."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([descriptor], [], [], 0)[0])


def why(error: OSError) -> str:
    """What went wrong, in the system's words: event loops put their own into the error, addresses included."""
    if getattr(error, "reason", None) in _NO_TLS:
        return "the server does not answer in TLS: if it serves without, its address begins with http://"
    if type(error) is OSError or isinstance(error, ConnectionError):
        return os.strerror(error.errno) if error.errno else str(error)
    return str(error.args[1] if len(error.args) > 1 else error)
