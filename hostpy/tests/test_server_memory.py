"""What a server remembers, and that it lets go of what nobody uses any more."""

from __future__ import annotations

import gc

import pytest

from connectcore._server import memory
from connectcore._server.memory import Memory
from connectcore._wasm.pool import POOL
from server_support import ALL, BIDI, UNARY, Request, Server, echo, envelope, message


class TestMemory:
    def test_kept_from_the_second_time_on(self) -> None:
        kept: Memory[int] = Memory()
        kept.offer("a", 1, 10)
        assert kept.get("a") is None
        kept.offer("a", 1, 10)
        assert kept.get("a") == 1

    def test_what_comes_once_pushes_nothing_out(self) -> None:
        kept: Memory[int] = Memory()
        for _ in range(2):
            kept.offer("a", 1, 10)
        for number in range(10 * memory.MOST):
            kept.offer(number, number, 10)
        assert kept.get("a") == 1
        assert len(kept) == 1

    def test_bounded_in_number(self) -> None:
        kept: Memory[int] = Memory()
        for number in range(3 * memory.MOST):
            for _ in range(2):
                kept.offer(number, number, 1)
            assert kept.get(number) == number
            assert len(kept) <= memory.MOST

    def test_bounded_in_bytes(self) -> None:
        kept: Memory[int] = Memory()
        for number in range(3 * memory.MOST):
            for _ in range(2):
                kept.offer(number, number, memory.LARGEST)
            assert len(kept) * memory.LARGEST <= memory.MOST_BYTES
        for _ in range(3):
            kept.offer("large", 1, memory.LARGEST + 1)
        assert kept.get("large") is None


class TestHeads:
    def test_within_bounds(self, interface: str) -> None:
        server = Server(interface, {UNARY: echo})
        service = server.application._service
        for number in range(memory.MOST + 100):
            assert server.call(fields=[("x-request-id", str(number))]).status == 200
        assert len(service._verdicts) == 0
        for number in range(memory.MOST + 100):
            for _ in range(2):
                assert server.call(fields=[("x-request-id", f"again {number}")]).status == 200
        assert 0 < len(service._verdicts) <= memory.MOST
        assert 0 < len(service._answers) <= memory.MOST

    def test_large_ones_are_not_kept(self, interface: str) -> None:
        server = Server(interface, {UNARY: echo})
        for _ in range(3):
            assert server.call(fields=[("x-long", "x" * (memory.LARGEST + 1))]).status == 200
        assert len(server.application._service._verdicts) == 0


@pytest.mark.parametrize("cycles", [False, True])
def test_applications_one_after_the_other(interface: str, cycles: bool) -> None:
    """Each has a configuration of its own, of which an instance holds 2,048; it is closed with its application."""
    for number in range(3000):
        server = Server(interface, ALL, {"read_max_bytes": 1000 + number})
        assert server.call().status == 200
        answer = server.call(Request(BIDI, [envelope(message("a"))], "application/connect+proto", http_version="2"))
        assert answer.content.startswith(envelope(message("A")))
        if cycles:  # only the garbage collector finds it
            server.options["itself"] = server
    del server
    gc.collect()
    Server(interface, ALL).call()
    for instance in POOL.instances():
        assert len(instance.handles) < 100
