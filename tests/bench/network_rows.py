"""What the network benchmark compares: servers, calls, and the ratios that are wanted.

A row is data; network.py plays it.
"""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from cases import CASES, Case

sys.path.append(str(Path(__file__).resolve().parents[1] / "serving"))

from servers import WSGI

__all__ = ["ROWS", "Row", "plan"]

PATH = "/bench.v1.EchoService/"
CLIENTS = (("connect-protocol-version", "1"), ("connect-timeout-ms", "5000"), ("accept-encoding", "gzip"))  # as connect-go, say
OWN = ("grpcio aio", "grpcio sync", "connect-go")  # contenders that are servers themselves
GRPC = {"Unary": "grpc52", "ServerStream": "grpcserverstream", "ClientStream": "grpcclientstream"}
CALLERS = {"Unary": 8, "ServerStream": 2, "ClientStream": 2}  # connections, each with one call at a time


@dataclass(frozen=True)
class Row:
    """One call under one server, and the other contenders: the wanted ratio of our speed to each, or None."""

    server: str
    call: str
    wanted: dict[str, float | None]
    http2: bool = False
    quick: bool = False
    fields: tuple[tuple[str, str], ...] = ()  # of the request's head, beside the case's

    @property
    def case(self) -> Case:
        return CASES[self.call]

    @property
    def name(self) -> str:
        return f"{self.server} {self.call}" + (" fields" if self.fields else "")

    @property
    def title(self) -> str:
        what = self.case.title.partition(" ")[2].removesuffix(", a message")
        how = ", h2" if self.http2 and self.server == "pyvoy" else ""
        return f"{self.server}{how}: {what}{', more fields' if self.fields else ''}"

    def served(self) -> Case:
        """What this row's application answers."""
        return replace(self.case, interface="wsgi" if self.server in WSGI else "asgi")


def plan(row: Row, contender: str) -> str:
    """What the load generator sends to a contender. grpcio speaks gRPC alone."""
    case, http2, fields = row.case, row.http2, [*row.case.fields, *row.fields]
    if contender.startswith("grpcio"):
        case, http2 = CASES[GRPC[case.procedure]], True
        fields = [*case.fields]
    reply = case.reply
    if case.content_type.startswith("application/connect"):
        reply = reply[:-7]  # the end, which the load generator knows
    return json.dumps(
        {
            "HTTP2": http2,
            "Path": PATH + case.procedure,
            "ContentType": case.content_type,
            "Fields": fields,
            "Content": base64.b64encode(case.content).decode(),
            "Reply": base64.b64encode(reply).decode(),
            "Messages": case.messages if case.procedure == "ClientStream" else 1,
            "Length": case.procedure == "Unary" and not case.content_type.startswith("application/grpc+"),
            "Connections": CALLERS[case.procedure],
        }
    )


def _unary(server: str, small: float, large: float, bare: float | None = None, *, quick: bool = False) -> list[Row]:
    return [
        Row(server, "unary52", {"bare": bare, "peer": small}, quick=quick),
        Row(server, "unary64k", {"bare": None, "peer": large}),
    ]


def _streams(server: str, protocol: str, down: float, up: float, *, http2: bool = False, quick: bool = False) -> list[Row]:
    others: dict[str, float | None] = {"grpcio aio": 3.0, "grpcio sync": 3.0, "connect-go": 1.0}
    return [
        Row(server, f"{protocol}serverstream", {"peer": down, **others}, http2=http2, quick=quick),
        Row(server, f"{protocol}clientstream", {"peer": up, **others}, http2=http2),
    ]


def _grpc(server: str) -> Row:
    # gunicorn's HTTP/2 is written in Python.
    best = server != "gunicorn-asgi-http2"
    wanted = {"peer": 1.0, "grpcio aio": 2.0 if best else None, "grpcio sync": 1.0 if best else None, "connect-go": None}
    return Row(server, "grpc52", wanted, http2=True)


ROWS: dict[str, Row] = {
    row.name: row
    for row in [
        *_unary("uvicorn-httptools", 2.0, 1.0, 0.70, quick=True),
        Row("uvicorn-httptools", "unary52", {"bare": 0.70, "peer": 2.0}, fields=CLIENTS),
        *_unary("granian", 1.2, 1.2),
        *_unary("granian-wsgi", 1.2, 1.1, 0.75, quick=True),
        *_unary("pyvoy", 1.2, 1.2),
        *_unary("pyvoy-wsgi", 1.2, 1.2),
        *_unary("gunicorn-asgi", 1.2, 1.2),
        *_unary("gunicorn-sync", 1.2, 1.2),
        *_unary("gunicorn-gthread", 1.2, 1.2),
        *_streams("uvicorn-httptools", "", 1.5, 1.5, quick=True),
        *_streams("uvicorn-httptools", "web", 1.5, 1.5),
        *_streams("pyvoy", "", 5.0, 1.0, http2=True),
        *_streams("pyvoy", "grpc", 5.0, 1.0, http2=True),
        *_streams("uvicorn-zttp", "grpc", 1.0, 1.0, http2=True),
        *map(_grpc, ("uvicorn-zttp", "pyvoy", "pyvoy-wsgi", "gunicorn-asgi-http2")),
    ]
}
