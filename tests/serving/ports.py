"""Ports for servers that are told a number and bind it themselves, maybe much later."""

from __future__ import annotations

import fcntl
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

__all__ = ["take_port"]

_PORTS = range(20_000, 30_000)  # below those that systems choose themselves, for servers and clients
_held: list[IO[str]] = []


def take_port(host: str) -> int:
    """A port that no other process takes by this function as long as this one lives.

    A port that was free a moment ago is not enough: granian and Envoy bind it with SO_REUSEPORT, so that two of them that were
    given the same one would share its connections.
    """
    folder = Path(tempfile.gettempdir()) / "connectcore-ports"
    folder.mkdir(exist_ok=True)
    for port in random.sample(_PORTS, len(_PORTS)):
        lock = (folder / str(port)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            socket.create_server((host, port)).close()
        except OSError:
            lock.close()
        else:
            _held.append(lock)
            return port
    raise OSError(f"no port of {_PORTS} is free")
