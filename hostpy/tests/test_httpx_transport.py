"""httpx and httpx2 below a client: what of their users' settings holds, and what these libraries lack."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest

from client_support import DATA, GOOD, MESSAGE, METHOD, Exchange, call, open_calls, response, serving
from connectcore.client import Cancellation, ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.compression import GzipCompression
from connectcore.errors import ConnectError
from connectcore.protocol import ProtocolType
from connectcore.transport import Gone, HttpxTransport, HttpxTransportSync, Request, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

LIBRARIES = [httpx, httpx2]


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


def by(mode: str, library: Any, address: str, options: dict[str, Any] | None = None, **of_call: Any) -> Any:
    """One unary call through a client of the library that is made with options, and closed."""
    if mode == "sync":
        with library.Client(**(options or {})) as client:
            return call("sync", address, http_client=client, **of_call)

    timeout = of_call.pop("timeout", None)
    headers = of_call.pop("headers", None)

    async def run() -> Any:
        async with library.AsyncClient(**(options or {})) as client:
            rpc = ConnectClient(address, http_client=client, **of_call)
            return await rpc.execute_unary(request=MESSAGE, method=METHOD, timeout=timeout, headers=headers)

    return asyncio.run(run())


def fields_of(exchange: Exchange) -> dict[str, str]:
    fields = exchange.fields
    assert len(dict(fields)) == len(fields)
    return dict(fields)


def test_fields(mode: str, library: Any) -> None:
    """What the core says and nothing of the library's own, but what its user set."""
    headers = {"authorization": "Bearer x", "x-a": "theirs", "User-Agent": "theirs"}
    with serving(GOOD) as server:
        assert by(mode, library, server.address, {"headers": headers}, headers={"x-a": "ours"}) == MESSAGE
        assert call(mode, server.address, headers={"x-a": "ours", "authorization": "Bearer x"}) == MESSAGE
        theirs, ours = map(fields_of, server.exchanges)
    ours.pop("accept", None)  # which pyqwest adds
    assert theirs == ours
    assert theirs["accept-encoding"] == "gzip"


def test_no_compression_but_ours(mode: str, library: Any) -> None:
    with serving(GOOD) as server:
        by(mode, library, server.address, accept_compression=())
        by(mode, library, server.address, {"headers": {"accept-encoding": "br"}}, accept_compression=[GzipCompression()])
        none, gzip = map(fields_of, server.exchanges)
    assert none["accept-encoding"] == "identity"
    assert gzip["accept-encoding"] == "gzip"


def test_auth_cookies_and_hooks_are_kept(mode: str, library: Any) -> None:
    seen: list[str] = []

    def note(what: Any) -> None:
        seen.append(type(what).__name__)

    async def note_async(what: Any) -> None:
        note(what)

    hook = note if mode == "sync" else note_async
    options = {
        "auth": ("user", "word"),
        "cookies": {"session": "1"},
        "event_hooks": {"request": [hook], "response": [hook]},
        "params": {"left": "out"},
        "base_url": "http://left.out/",
    }
    with serving(GOOD) as server:
        assert by(mode, library, server.address, options) == MESSAGE
        fields = fields_of(server.exchanges[0])
        assert server.exchanges[0].target == "/acme.v1.Service/Get"
    assert fields["authorization"] == "Basic " + base64.b64encode(b"user:word").decode()
    assert fields["cookie"] == "session=1"
    assert seen == ["Request", "Response"]


@pytest.mark.parametrize("compressed", [False, True])
def test_auth_that_reads_the_response(mode: str, library: Any, compressed: bool) -> None:
    class Auth(library.Auth):  # type: ignore[misc]
        requires_response_body = True

        def auth_flow(self, request: Any) -> Any:
            answer = yield request
            if answer.status_code == 401:
                request.headers["x-token"] = answer.text
                yield request

    def answer(exchange: Exchange) -> None:
        if "x-token" not in fields_of(exchange):
            exchange.send(response(b"secret", "content-type: text/plain", status="401 No"))
        elif compressed:
            exchange.send(response(GzipCompression().compress(DATA), "content-encoding: gzip"))
        else:
            exchange.send(GOOD)

    with serving(answer) as server:
        if not compressed:
            assert by(mode, library, server.address, {"auth": Auth()}) == MESSAGE
            return
        with pytest.raises(ConnectError, match="accept_compression=\\(\\)"):
            by(mode, library, server.address, {"auth": Auth()})
    assert open_calls() == 0


def test_proxy(mode: str, library: Any) -> None:
    """The proxy of the library's client is asked, for the whole URL."""
    with serving(GOOD) as proxy:
        assert by(mode, library, "http://example.test", {"proxy": proxy.address}) == MESSAGE
        assert proxy.exchanges[0].target.startswith("http://example.test")


def test_grpc_fails_at_once(mode: str, library: Any) -> None:
    """Without a request, and not by a verdict about a response whose trailers were lost."""
    with serving(GOOD) as server:
        with pytest.raises(ConnectError, match=r"gives no HTTP trailers.*choose another protocol"):
            by(mode, library, server.address, protocol=ProtocolType.GRPC)
        assert server.connections == 0
    assert open_calls() == 0


def test_time_limits_of_the_library(mode: str, library: Any) -> None:
    """Theirs hold beside a call's own, and the error says whose it was."""
    with serving(lambda exchange: exchange.wait_for_close()) as server:
        with pytest.raises(ConnectError) as caught:
            by(mode, library, server.address, {"timeout": library.Timeout(20, read=0.2)})
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        assert "ReadTimeout" in str(caught.value.__cause__)
        start = time.monotonic()
        with pytest.raises(ConnectError) as caught:
            by(mode, library, server.address, {"timeout": 20}, timeout=0.2)
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        assert time.monotonic() - start < 10


@pytest.mark.parametrize(("limit", "reason"), [(None, Gone.CLOSED), (5, Gone.TIMEOUT)])
def test_a_time_limit_of_another_call(mode: str, library: Any, limit: float | None, reason: Gone) -> None:
    """On one HTTP/2 connection it ends all of them. It is not taken for a limit of this one's."""

    def handler(request: Any) -> Any:
        raise library.ReadTimeout("")

    request = Request("POST", "http://a", "/", b"", b"", time.monotonic() + 30)
    options = {"transport": library.MockTransport(handler), "timeout": limit}

    def send() -> Any:
        if mode == "sync":
            return HttpxTransportSync(library.Client(**options)).open_sync(request)
        return asyncio.run(HttpxTransport(library.AsyncClient(**options)).open(request))

    with pytest.raises(TransportError) as caught:
        send()
    assert caught.value.reason is reason


def test_a_pool_that_is_full(mode: str, library: Any) -> None:
    """Nothing of the call has reached a server."""
    reached, released = threading.Event(), threading.Event()

    def answer(exchange: Exchange) -> None:
        reached.set()
        released.wait(10)
        exchange.send(GOOD)

    limits = library.Limits(max_connections=1)
    timeout = library.Timeout(None, pool=0.1)

    async def run_async() -> None:
        async with library.AsyncClient(limits=limits, timeout=timeout) as client:
            rpc = ConnectClient(server.address, http_client=client)
            first = asyncio.create_task(rpc.execute_unary(request=MESSAGE, method=METHOD))
            assert await asyncio.to_thread(reached.wait, 10)
            with pytest.raises(ConnectError) as caught:
                await rpc.execute_unary(request=MESSAGE, method=METHOD)
            assert caught.value.code is Code.UNAVAILABLE
            released.set()
            assert await first == MESSAGE

    def run_sync() -> None:
        with library.Client(limits=limits, timeout=timeout) as client:
            rpc = ConnectClientSync(server.address, http_client=client)
            replies: list[Any] = []
            first = threading.Thread(target=lambda: replies.append(rpc.execute_unary(request=MESSAGE, method=METHOD)))
            first.start()
            assert reached.wait(10)
            with pytest.raises(ConnectError) as caught:
                rpc.execute_unary(request=MESSAGE, method=METHOD)
            assert caught.value.code is Code.UNAVAILABLE
            released.set()
            first.join()
            assert replies == [MESSAGE]

    with serving(answer) as server:
        if mode == "sync":
            run_sync()
        else:
            asyncio.run(run_async())


def test_cancellation_between_two_pieces(library: Any) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(GOOD[:-3])
        cancellation.cancel()
        exchange.send(GOOD[-3:-1])  # not all of it: that could come at once, and be a good response
        exchange.wait_for_close()

    with serving(answer) as server, Cancellation() as cancellation, pytest.raises(ConnectError) as caught:
        by("sync", library, server.address)
    assert caught.value.code is Code.CANCELED
    assert open_calls() == 0


def test_a_closed_client(mode: str, library: Any) -> None:
    client: Any
    if mode == "sync":
        client = library.Client()
        client.close()
    else:
        client = library.AsyncClient()
        asyncio.run(client.aclose())
    with serving(GOOD) as server, pytest.raises(ConnectError, match="closed"):
        call(mode, server.address, http_client=client)


def test_clients_of_the_other_mode(library: Any) -> None:
    with pytest.raises(TypeError, match=r"an httpx.AsyncClient, an httpx2.AsyncClient or an async transport .* not Client"):
        ConnectClient("http://a", http_client=library.Client())
    with pytest.raises(TypeError, match=r"an httpx.Client, an httpx2.Client or a sync transport .* not AsyncClient"):
        ConnectClientSync("http://a", http_client=library.AsyncClient())
    wrong: list[tuple[Callable[..., Any], Any]] = [(HttpxTransport, library.Client()), (HttpxTransportSync, object())]
    for transport, client in wrong:
        with pytest.raises(TypeError, match="takes an httpx"):
            transport(client)


def test_a_class_derived_from_theirs(mode: str, library: Any) -> None:
    class Mine(library.Client if mode == "sync" else library.AsyncClient):  # type: ignore[misc]
        pass

    with serving(GOOD) as server:
        assert call(mode, server.address, http_client=Mine()) == MESSAGE


def test_neither_library_is_imported() -> None:
    program = "import sys, connectcore.client, connectcore.transport; print({'httpx', 'httpx2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout == "set()\n"


# What type checkers make of these: mypy runs over this file.


def typed() -> list[Any]:
    return [
        ConnectClient("http://a", http_client=httpx.AsyncClient()),
        ConnectClient("http://a", http_client=httpx2.AsyncClient()),
        ConnectClient("http://a", http_client=httpx.Client()),  # type: ignore[arg-type]
        ConnectClientSync("http://a", http_client=httpx.Client()),
        ConnectClientSync("http://a", http_client=httpx2.Client()),
        ConnectClientSync("http://a", http_client=httpx2.AsyncClient()),  # type: ignore[arg-type]
    ]
