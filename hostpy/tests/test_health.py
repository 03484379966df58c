"""gRPC's health service, under both interfaces: a check, the list, watches that other threads wake."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from connectcore._standard.messages import method
from connectcore.client import ConnectClient, ConnectClientSync
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.health import Health, HealthASGIApplication, HealthWSGIApplication, ServingStatus
from connectcore.transport import ASGITransport, WSGITransport
from stream_support import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from connectcore.client import ResponseStream

SERVICE = "grpc.health.v1.Health"
CHECK, LIST, WATCH = (method(SERVICE, name) for name in ("Check", "List", "Watch"))
SERVING, NOT_SERVING, SERVICE_UNKNOWN = ServingStatus.SERVING, ServingStatus.NOT_SERVING, ServingStatus.SERVICE_UNKNOWN


@pytest.fixture
def health() -> Health:
    return Health("a.v1.A", "b.v1.B")


@pytest.fixture
async def client(health: Health) -> AsyncIterator[ConnectClient]:
    async with ConnectClient("http://test", http_client=ASGITransport(HealthASGIApplication(health))) as client:
        yield client


def sync_client(health: Health, **options: Any) -> ConnectClientSync:
    return ConnectClientSync("http://test", http_client=WSGITransport(HealthWSGIApplication(health, **options)))


def unary(interface: str, health: Health, which: Any, **fields: Any) -> Any:
    """The response to a call of a method with one response."""
    request = which.input(**fields)
    if interface == "wsgi":
        with sync_client(health) as client:
            return client.execute_unary(request=request, method=which)

    async def call() -> Any:
        async with ConnectClient("http://test", http_client=ASGITransport(HealthASGIApplication(health))) as client:
            return await client.execute_unary(request=request, method=which)

    return asyncio.run(call())


def test_check(interface: str, health: Health) -> None:
    assert unary(interface, health, CHECK).status == SERVING
    health.set("b.v1.B", NOT_SERVING)
    assert unary(interface, health, CHECK, service="a.v1.A").status == SERVING
    assert unary(interface, health, CHECK, service="b.v1.B").status == NOT_SERVING
    health.set("b.v1.B", ServingStatus.UNKNOWN)
    assert unary(interface, health, CHECK, service="b.v1.B").status == ServingStatus.UNKNOWN


def test_check_of_an_unknown_service(interface: str, health: Health) -> None:
    health.clear("b.v1.B")
    for service in ("c.v1.C", "b.v1.B"):
        with pytest.raises(ConnectError) as raised:
            unary(interface, health, CHECK, service=service)
        assert raised.value.code is Code.NOT_FOUND
        assert raised.value.message == "unknown service"


def test_list(interface: str, health: Health) -> None:
    health.set("b.v1.B", NOT_SERVING)
    statuses = unary(interface, health, LIST).statuses
    assert {name: each.status for name, each in statuses.items()} == {"": 1, "a.v1.A": 1, "b.v1.B": 2}


def test_shutdown_hides_what_is_set(interface: str, health: Health) -> None:
    health.shutdown()
    health.set("a.v1.A", SERVING)
    assert unary(interface, health, CHECK, service="a.v1.A").status == NOT_SERVING
    assert set(health.statuses().values()) == {NOT_SERVING}
    health.resume()
    assert unary(interface, health, CHECK, service="a.v1.A").status == SERVING
    assert health.status() is SERVING


def test_no_service_is_set_unknown(health: Health) -> None:
    with pytest.raises(ValueError, match="clear"):
        health.set("a.v1.A", SERVICE_UNKNOWN)
    with pytest.raises(ValueError, match="7"):
        health.set("a.v1.A", 7)  # type: ignore[arg-type]


def watch(client: ConnectClient, service: str, **options: Any) -> ResponseStream[Any]:
    return client.execute_server_stream(request=WATCH.input(service=service), method=WATCH, **options)


async def test_watch(client: ConnectClient, health: Health) -> None:
    asyncio.get_running_loop().set_debug(True)  # then it refuses what another thread must not do
    async with asyncio.timeout(20), watch(client, "a.v1.A") as statuses:
        assert (await anext(statuses)).status == SERVING
        # What changes nothing for this service is not told.
        health.set("b.v1.B", NOT_SERVING)
        health.set("a.v1.A", SERVING)
        for change, status in (
            (lambda: health.set("a.v1.A", NOT_SERVING), NOT_SERVING),
            (lambda: health.clear("a.v1.A"), SERVICE_UNKNOWN),
            (lambda: health.set("a.v1.A", SERVING), SERVING),
            (health.shutdown, NOT_SERVING),
            (health.resume, SERVING),
        ):
            await asyncio.to_thread(change)
            assert (await anext(statuses)).status == status
    await left_alone(health)


async def test_watch_of_a_service_that_is_not_there_yet(client: ConnectClient, health: Health) -> None:
    async with asyncio.timeout(20), watch(client, "c.v1.C") as statuses:
        assert (await anext(statuses)).status == SERVICE_UNKNOWN
        health.set("c.v1.C", SERVING)
        assert (await anext(statuses)).status == SERVING


async def test_watch_ends_with_its_deadline(client: ConnectClient, health: Health) -> None:
    async with watch(client, "", timeout_ms=1500) as statuses:
        assert (await anext(statuses)).status == SERVING
        with pytest.raises(ConnectError) as raised:
            await anext(statuses)
    assert raised.value.code is Code.DEADLINE_EXCEEDED
    await left_alone(health)


async def test_changes_from_many_threads_reach_many_watches(client: ConnectClient, health: Health) -> None:
    async def last() -> int:
        async with watch(client, "a.v1.A") as statuses:
            async for each in statuses:
                if each.status == ServingStatus.UNKNOWN:
                    return 1
        return 0

    def change(number: int) -> None:
        for turn in range(200):
            health.set("a.v1.A", SERVING if (number + turn) % 2 else NOT_SERVING)

    async with asyncio.timeout(20):
        watching = [asyncio.create_task(last()) for _ in range(10)]
        await asyncio.gather(*(asyncio.to_thread(change, number) for number in range(4)))
        health.set("a.v1.A", ServingStatus.UNKNOWN)
        assert await asyncio.gather(*watching) == [1] * 10
    await left_alone(health)


def test_a_loop_that_has_ended_hinders_no_change(health: Health) -> None:
    async def leave() -> None:
        function = HealthASGIApplication(health)._endpoints(health)[f"/{SERVICE}/Watch"].function
        statuses = function(WATCH.input(), None)
        await anext(statuses)
        kept.append(statuses)

    kept: list[Any] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    assert len(health._watches) == 1
    health.set("", NOT_SERVING)
    assert health.status() is NOT_SERVING


def test_watch_from_threads(health: Health) -> None:
    with sync_client(health) as client, client.execute_server_stream(request=WATCH.input(), method=WATCH) as statuses:
        assert next(statuses).status == SERVING
        for status in (NOT_SERVING, SERVING, NOT_SERVING):
            other = threading.Thread(target=health.set, args=("", status))
            other.start()
            assert next(statuses).status == status
            other.join()


def test_watch_of_a_thread_lasts_no_longer_than_it_may(health: Health) -> None:
    with sync_client(health, watch_seconds=0.05) as client:
        statuses = client.execute_server_stream(request=WATCH.input(), method=WATCH)
        assert [each.status for each in statuses] == [SERVING]
    until(lambda: not health._watches)


def test_watch_of_a_thread_ends_with_its_deadline(health: Health) -> None:
    with sync_client(health) as client:
        statuses = client.execute_server_stream(request=WATCH.input(), method=WATCH, timeout_ms=1500)
        assert next(statuses).status == SERVING
        with pytest.raises(ConnectError) as raised:
            next(statuses)
        assert raised.value.code is Code.DEADLINE_EXCEEDED
    until(lambda: not health._watches)


async def left_alone(health: Health) -> None:
    """Wait until nobody watches any more."""
    await asyncio.to_thread(until, lambda: not health._watches)
