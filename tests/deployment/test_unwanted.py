"""Under each server: a request that is refused by its head gets its answer although its content comes later.

A server that closes the connection before the content has come breaks the client's sending, and the answer may be lost. A
server closes it when it takes an answer for complete: at the latest when the application is done, and some as soon as the
length that the head says has been written, which may be none.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator

import pytest

from proxies import HOST, backend
from servers import ASGI, WSGI

HTTP2 = {"gunicorn-asgi-http2", "gunicorn-gthread-http2"}
PROXIES = {"nginx", "envoy"}
SERVERS = sorted(({*ASGI, *WSGI}) - HTTP2 - PROXIES)
GREET, GREET_MANY = "/greet.v1.GreetService/Greet", "/greet.v1.GreetService/GreetMany"
REFUSED = {
    "path": ("POST", "/none", "application/proto", 404),
    "method of none": ("PUT", "/none", "application/proto", 404),
    "method": ("PUT", GREET, "application/proto", 405),
    "type": ("POST", GREET, "text/plain", 415),
    "type of a stream": ("POST", GREET_MANY, "text/plain", 415),
    "version": ("POST", GREET, "application/json", 400),
    "version of a stream": ("POST", GREET_MANY, "application/connect+json", 200),
}
PIECE = b"\0\0\0\0\0" * 20
PAUSE = 0.03


@pytest.fixture(scope="module", params=SERVERS)
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with backend(request.param, f"told:{'asgi' if request.param in ASGI else 'wsgi'}") as (port, _):
        yield port


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("refused", REFUSED)
def test_an_answer_arrives(port: int, refused: str, chunked: bool) -> None:
    method, path, content_type, status = REFUSED[refused]
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    try:
        connection.putrequest(method, path)
        connection.putheader("content-type", content_type)
        connection.putheader("connect-protocol-version", "9" if "version" in refused else "1")
        connection.putheader(*(("transfer-encoding", "chunked") if chunked else ("content-length", str(2 * len(PIECE)))))
        connection.endheaders()
        for _ in range(2):
            time.sleep(PAUSE)
            connection.send(b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
        time.sleep(PAUSE)
        if chunked:
            connection.send(b"0\r\n\r\n")
        response = connection.getresponse()
        assert response.status == status
        response.read()
    finally:
        connection.close()
