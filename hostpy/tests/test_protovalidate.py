"""Messages are held against their rules: both runtimes, all stream types, on servers and in clients."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from protovalidate import ViolationsPb

from connectcore.client import ConnectClientSync
from connectcore.code import Code
from connectcore.errors import ConnectError
from connectcore.protovalidate import ValidateInterceptor
from connectcore.transport import ASGITransport, WSGITransport
from protoc import Protoc, rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

ORDERS = """
syntax = "proto3";
package acme.v1;
import "buf/validate/validate.proto";

service OrderService {
  rpc Put(Order) returns (Receipt);
  rpc PutAll(stream Order) returns (Receipt);
  rpc Follow(Order) returns (stream Receipt);
  rpc PutEach(stream Order) returns (stream Receipt);
  rpc Judge(Broken) returns (Receipt);
}
message Item {
  string sku = 1 [(buf.validate.field).string.min_len = 2];
}
message Order {
  option (buf.validate.message).cel = {id: "order.total" message: "too much" expression: "this.total < 100u"};
  string id = 1 [(buf.validate.field).string.max_len = 4];
  uint32 total = 2;
  repeated Item items = 3;
  map<string, uint32> counts = 4 [(buf.validate.field).map.values.uint32.gt = 0];
  uint32 answer = 5;
}
message Receipt {
  uint32 number = 1 [(buf.validate.field).uint32.lt = 10];
}
message Broken {
  uint32 number = 1 [(buf.validate.field).cel = {id: "broken" message: "no" expression: "this.none > "}];
}
"""

ONE_REQUEST, ONE_RESPONSE = ("put", "follow", "judge"), ("put", "put_all", "judge")


class Orders:
    """The generated code for one runtime, and a service that answers with the number that it is given."""

    def __init__(self, messages: Any, stubs: Any) -> None:
        self.messages, self.stubs = messages, stubs
        self.seen: list[str] = []

    def receipt(self, order: Any) -> Any:
        self.seen.append(order.id)
        return self.messages.Receipt(number=order.answer)

    def client(self, mode: str, *, server: Sequence[Any] = (), client: Sequence[Any] = ()) -> Any:
        """A client of the service in this process, with interceptors on both sides."""
        self.seen.clear()
        if mode == "sync":
            wsgi = self.stubs.OrderServiceWSGIApplication(ServiceSync(self), interceptors=server)
            return self.stubs.OrderServiceClientSync("http://acme", http_client=WSGITransport(wsgi), interceptors=client)
        asgi = self.stubs.OrderServiceASGIApplication(Service(self), interceptors=server)
        return self.stubs.OrderServiceClient("http://acme", http_client=ASGITransport(asgi), interceptors=client)

    def call(self, client: Any, kind: str, *orders: Any) -> list[int]:
        """Make one call, and give the numbers that come."""
        numbers: list[int] = []
        if isinstance(client, ConnectClientSync):
            request = orders[0] if kind in ONE_REQUEST else iter(orders)
            answer = getattr(client, kind)(request)
            numbers.extend(each.number for each in ([answer] if kind in ONE_RESPONSE else answer))
            return numbers

        async def requests() -> AsyncIterator[Any]:
            for order in orders:
                yield order

        async def called() -> None:
            work = getattr(client, kind)(orders[0] if kind in ONE_REQUEST else requests())
            if kind in ONE_RESPONSE:
                numbers.append((await work).number)
            else:
                numbers.extend([each.number async for each in work])

        asyncio.run(called())
        return numbers

    def refused(self, client: Any, kind: str, *orders: Any) -> ConnectError:
        with pytest.raises(ConnectError) as refused:
            self.call(client, kind, *orders)
        return refused.value


class Service:
    def __init__(self, orders: Orders) -> None:
        self.orders = orders

    async def put(self, request: Any, ctx: Any) -> Any:
        return self.orders.receipt(request)

    async def judge(self, request: Any, ctx: Any) -> Any:
        raise AssertionError

    async def put_all(self, request: AsyncIterator[Any], ctx: Any) -> Any:
        return [self.orders.receipt(order) async for order in request][-1]

    async def follow(self, request: Any, ctx: Any) -> AsyncIterator[Any]:
        yield self.orders.receipt(request)

    async def put_each(self, request: AsyncIterator[Any], ctx: Any) -> AsyncIterator[Any]:
        async for order in request:
            yield self.orders.receipt(order)


class ServiceSync:
    def __init__(self, orders: Orders) -> None:
        self.orders = orders

    def put(self, request: Any, ctx: Any) -> Any:
        return self.orders.receipt(request)

    def judge(self, request: Any, ctx: Any) -> Any:
        raise AssertionError

    def put_all(self, request: Iterator[Any], ctx: Any) -> Any:
        return [self.orders.receipt(order) for order in request][-1]

    def follow(self, request: Any, ctx: Any) -> Iterator[Any]:
        yield self.orders.receipt(request)

    def put_each(self, request: Iterator[Any], ctx: Any) -> Iterator[Any]:
        for order in request:
            yield self.orders.receipt(order)


@pytest.fixture(scope="module", params=["google", "protobuf-py"])
def orders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orders]:
    google = request.param == "google"
    folder = tmp_path_factory.mktemp("validated")
    protoc = Protoc(folder / "generated", {"acme/orders.proto": ORDERS}, rules())
    protoc.generate(request.param)
    protoc.make_messages(request.param, only=["buf/validate/validate.proto"])
    with pytest.MonkeyPatch.context() as patch:
        # The code for Google's runtime imports from the top, the other one's from beside it.
        patch.syspath_prepend(str(protoc.out if google else folder))
        prefix = "acme" if google else "generated.out.acme"
        messages = importlib.import_module(f"{prefix}.orders_{'pb2' if google else 'pb'}")
        yield Orders(messages, importlib.import_module(f"{prefix}.orders_connectcore"))


KINDS = ("put", "put_all", "follow", "put_each")


@pytest.mark.parametrize("kind", KINDS)
def test_good_messages_pass(mode: str, kind: str, orders: Orders) -> None:
    around = [ValidateInterceptor(validate_responses=True)]
    client = orders.client(mode, server=around, client=around)
    assert orders.call(client, kind, orders.messages.Order(id="one", answer=7)) == [7]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_request_does_not_reach_the_handler(mode: str, kind: str, orders: Orders) -> None:
    client = orders.client(mode, server=[ValidateInterceptor()])
    error = orders.refused(client, kind, orders.messages.Order(id="too long"))
    assert (error.code, error.message) == (Code.INVALID_ARGUMENT, "id: must be at most 4 characters")
    [detail] = error.details
    assert detail.type_name == "buf.validate.Violations"
    violations: Any = detail.value(ViolationsPb)
    [violation] = violations.violations
    assert (violation.rule_id, violation.field.elements[0].field_name) == ("string.max_len", "id")
    assert orders.seen == []


@pytest.mark.parametrize("kind", ["put_all", "put_each"])
def test_each_message_of_a_stream_is_checked(mode: str, kind: str, orders: Orders) -> None:
    client = orders.client(mode, server=[ValidateInterceptor()])
    error = orders.refused(client, kind, orders.messages.Order(id="one"), orders.messages.Order(total=100))
    assert (error.code, error.message) == (Code.INVALID_ARGUMENT, "too much")
    assert orders.seen == ["one"]


@pytest.mark.parametrize("kind", KINDS)
def test_responses_are_checked_where_asked_for(mode: str, kind: str, orders: Orders) -> None:
    order = orders.messages.Order(answer=10)
    assert orders.call(orders.client(mode, server=[ValidateInterceptor()]), kind, order) == [10]
    around = [ValidateInterceptor(validate_responses=True)]
    for sides in ({"server": around}, {"client": around}):
        error = orders.refused(orders.client(mode, **sides), kind, order)
        assert (error.code, error.message) == (Code.INTERNAL, "number: must be less than 10")


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_refuses_before_it_sends(mode: str, kind: str, orders: Orders) -> None:
    client = orders.client(mode, client=[ValidateInterceptor()])
    error = orders.refused(client, kind, orders.messages.Order(id="too long"))
    assert error.code is Code.INVALID_ARGUMENT
    assert orders.seen == []


def test_a_stream_fails_when_it_is_read(orders: Orders) -> None:
    client = orders.client("sync", client=[ValidateInterceptor()])
    stream = client.follow(orders.messages.Order(id="too long"))
    with pytest.raises(ConnectError):
        next(stream)


def test_what_an_error_says(orders: Orders) -> None:
    bad = [orders.messages.Item(sku="s")] * 100
    many = orders.messages.Order(id="too long", total=100, items=bad, counts={"a": 0})
    for options, count in (({}, 20), ({"max_violations": 2}, 2), ({"error_details": False}, 0)):
        error = orders.refused(orders.client("sync", server=[ValidateInterceptor(**options)]), "put", many)
        where = "too much; id: must be at most 4 characters; items[0].sku: must be at least 2 characters"
        assert error.message == f"{where}; and 100 more"
        details: list[Any] = [detail.value(ViolationsPb) for detail in error.details]
        assert [len(detail.violations) for detail in details] == ([count] if count else [])
    error = orders.refused(orders.client("sync", server=[ValidateInterceptor()]), "put", orders.messages.Order(counts={"a": 0}))
    assert error.message == 'counts["a"]: must be greater than 0'
    with pytest.raises(ValueError, match="max_violations must be at least 1, not 0"):
        ValidateInterceptor(max_violations=0)


def test_broken_rules_are_the_services_fault(mode: str, orders: Orders, caplog: pytest.LogCaptureFixture) -> None:
    error = orders.refused(orders.client(mode, server=[ValidateInterceptor()]), "judge", orders.messages.Broken(number=1))
    assert error.code is Code.UNKNOWN
    assert "this.none" not in error.message
    assert "CompilationError" in caplog.text


def test_a_missing_library_is_named() -> None:
    program = "import sys; sys.modules['protovalidate'] = None; import connectcore.protovalidate"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert "pip install 'connectcore[protovalidate]'" in done.stderr
