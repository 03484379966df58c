"""What each server that Python people run carries, as measured, and how many cases of the suite that makes.

The suite is told what a server carries; nothing of that is left out but what `skipped` names. How the codings are done
does not depend on the server, so that these runs have gzip only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"


@dataclass(frozen=True)
class Carried:
    cases: int
    http: tuple[int, ...] = (1,)
    tls: bool = True
    trailers: bool = False  # else it has no gRPC
    duplex: bool = False  # over HTTP/2, responses may come before the request's end
    skipped: tuple[str, ...] = ()
    wavers: bool = False  # not all cases pass in every run
    at_once: int = 4  # servers
    codecs: tuple[str, ...] = ("PROTO", "JSON")
    compressions: tuple[str, ...] = ("IDENTITY", "GZIP")
    grpc: str = ""  # where the suite does not try it

    def write(self, path: Path) -> None:
        """The suite's configuration."""
        streams = ["UNARY", "CLIENT_STREAM", "SERVER_STREAM", "HALF_DUPLEX_BIDI_STREAM"]
        features = {
            "versions": [f"HTTP_VERSION_{number}" for number in self.http],
            "protocols": [f"PROTOCOL_{name}" for name in ["CONNECT", "GRPC_WEB"] + ["GRPC"] * self.trailers],
            "codecs": [f"CODEC_{name}" for name in self.codecs],
            "compressions": [f"COMPRESSION_{name}" for name in self.compressions],
            "stream_types": [f"STREAM_TYPE_{name}" for name in streams + ["FULL_DUPLEX_BIDI_STREAM"] * self.duplex],
            "supports_h2c": 2 in self.http,
            "supports_tls": self.tls,
            "supports_tls_client_certs": self.tls,
            "supports_trailers": self.trailers,
            "supports_half_duplex_bidi_over_http1": True,
            "supports_connect_get": True,
            "supports_message_receive_limit": True,
        }
        path.write_text(json.dumps({"features": features}))


def table() -> str:
    """The table of hostpy/README.md: tests/lint compares."""
    return "\n".join(_rows())


def proxies_table() -> str:
    """The table of hostpy/docs/deployment.md: tests/lint compares."""
    rows = ["| proxy, HTTP/2 to the server | HTTP | gRPC | both directions at once | cases passed |", "|---|---|---|---|---|"]
    for name, carried in PROXIES.items():
        often = ", in most runs" if carried.wavers else ""
        rows.append(f"| {name} | {_http(carried)} | yes | over HTTP/2 | {carried.cases:,}{often} |")
    return "\n".join(rows)


def _http(carried: Carried) -> str:
    *others, last = ({1: "1.1", 2: "2", 3: "3"}[number] for number in carried.http)
    return f"{', '.join(others)} and {last}" if others else last


def _rows() -> Iterator[str]:
    versions = dict(re.findall(r"^(\w+)==(\S+)$", CONSTRAINTS.read_text().lower(), re.MULTILINE))
    yield "| server | HTTP | gRPC | both directions at once | cases passed |"
    yield "|---|---|---|---|---|"
    for name, carried in CARRIED.items():
        server, _, more = name.partition("-")
        duplex = "over HTTP/2" + " and 3" * (3 in carried.http) if carried.duplex else "no"
        grpc = "yes" if carried.trailers else "`unimplemented`" if 2 in carried.http else "needs HTTP/2"
        version = versions.get({"uwsgi": "pyuwsgi"}.get(server, server), "")
        title = f"{server} {version}{', ' + more.replace('wsgi', 'WSGI') if more else ''}".strip()
        yield f"| {title} | {_http(carried)} | {carried.grpc or grpc} | {duplex} | {carried.cases:,} |"


# The server ends these streams first, and the suite's client ends its side when it has read the HTTP response's end, if it does
# not reset the stream before. hypercorn has forgotten the request by then: an empty DATA frame is a `KeyError` in its h2.py,
# after which the connection's other calls get no answer, or hang: https://github.com/pgjones/hypercorn/pull/334, issue 329.
# These cases pass themselves; others beside them fail. gRPC's fail nobody: a client wants no more than the trailers, and
# hypercorn remembers the request until it is told that they are complete.
_EARLY = (
    "Connect to HTTP Code Mapping/**/full-duplex/stream-error-returns-success-http-code",
    *(
        f"{suite}/HTTPVersion:2/Protocol:PROTOCOL_{protocol}/**/{case}"
        for protocol in ("CONNECT", "GRPC_WEB")
        for suite, case in (
            ("Duplicate Metadata", "full-duplex/error-no-responses"),
            ("Errors", "full-duplex/error-no-responses"),
            ("Server Message Size", "full-duplex/first-request-exceeds-server-limit"),
            ("Timeouts", "full-duplex"),
        )
    ),
)
CARRIED = {
    # ASGI
    "uvicorn-h11": Carried(1396),
    "uvicorn-zttp": Carried(3820, http=(1, 2), trailers=True, duplex=True),
    # Its HTTP/2 is done in Python: of four at once on a busy machine, one or two calls miss the two seconds that they have.
    "hypercorn": Carried(3756, http=(1, 2), trailers=True, duplex=True, skipped=_EARLY, at_once=2),
    # It has no response trailers, over HTTP/2 either.
    "granian": Carried(2944, http=(1, 2), duplex=True),
    "pyvoy": Carried(4598, http=(1, 2, 3), trailers=True, duplex=True),
    # Its TLS is Twisted's, which this project does not set up; HTTP/2 likewise.
    "daphne": Carried(694, tls=False),
    "gunicorn-asgi": Carried(3820, http=(1, 2), trailers=True, duplex=True),
    # WSGI: it has one direction after the other, and trailers under pyvoy and gunicorn. Over HTTP/2 gunicorn's threads serve a
    # connection's calls one after the other, for which the suite does not wait: tests/deployment calls gRPC there.
    "gunicorn-gthread": Carried(1396, grpc="over HTTP/2"),
    "gunicorn-gevent": Carried(1396),
    "hypercorn-wsgi": Carried(1396),
    "granian-wsgi": Carried(2792, http=(1, 2)),
    "pyvoy-wsgi": Carried(3576, http=(1, 2), trailers=True),
    # The project sets up no TLS for the first two, and the third has none.
    "wsgiref": Carried(694, tls=False),
    "uwsgi": Carried(694, tls=False),
    "waitress": Carried(694, tls=False),
}

# In front of uvicorn, HTTP/2 all the way. A proxy cares for no codec and no coding.
#
# The suite's client may not see why a unary call of Connect came too late: its own deadline passes, too, and a proxy sends an
# error's head and its content one after the other, so that the client may have the one and not the other.
_PROXY = Carried(
    1179,
    at_once=2,  # there are two programs to each
    http=(1, 2),
    trailers=True,
    duplex=True,
    skipped=("Timeouts/**/Protocol:PROTOCOL_CONNECT/**/unary",),
    codecs=("PROTO",),
    compressions=("IDENTITY",),
)
# nginx now and then closes an HTTP/1 connection in the middle of an answer that was ready before it had passed on all of the
# request: one or two cases fail in some runs. So this one is run on demand.
PROXIES = {"nginx": replace(_PROXY, wavers=True), "envoy": _PROXY}
THROUGH = replace(_PROXY, cases=364, tls=False)
"""Called by our own clients."""


if __name__ == "__main__":
    print(table(), proxies_table(), sep="\n\n")
