"""What a server remembers, and that it lets go of what nobody uses any more."""

from __future__ import annotations

import gc

import pytest

from connectcore._server import memory
from connectcore._server.memory import Memory
from connectcore._wasm.pool import POOL
from server_support import ALL, BIDI, UNARY, Request, Server, echo, envelope, message, watched_steps


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
        """Bounded in shapes, and in values that matter, of which those that come once are not kept."""
        server = Server(interface, {UNARY: echo})
        service = server.application._service

        def call(name: str, value: str) -> None:
            assert server.call(fields=[(name, value)]).status == 200

        for number in range(memory.MOST + 100):
            call(f"x-{number}", "1")
            call("connect-timeout-ms", str(10_000 + number))
        assert len(service._verdicts) == 1
        for number in range(memory.MOST + 100):
            for _ in range(2):
                call(f"x-again-{number}", "1")
                call("connect-timeout-ms", str(20_000 + number))
        assert 0 < len(service._verdicts) <= memory.MOST
        assert 0 < sum(len(form.kept) for form in service._verdicts._kept.values()) <= len(service._verdicts)
        assert 0 < len(service._plains) <= memory.MOST

    def test_large_ones_are_not_kept(self, interface: str) -> None:
        server = Server(interface, {UNARY: echo})
        for name in (f"x-{'x' * memory.LARGEST}", "x-long-bin"):
            for _ in range(3):
                assert server.call(fields=[(name, "x" * memory.LARGEST)]).status == 200
        assert len(server.application._service._verdicts) == 0

    def test_unlike_only_where_it_does_not_matter(self, interface: str) -> None:
        """One that has only been heard of twice serves all."""
        server = Server(interface, {UNARY: echo}, {"read_max_bytes": 12_345})  # a configuration that no other test has opened
        with watched_steps() as steps:
            for number in range(10):
                content = message("x" * number)
                answer = server.call(
                    Request(UNARY, [content], fields=[("traceparent", f"00-{number:032x}"), ("x-a", "y" * (number + 1))])
                )
                assert (answer.status, answer.content) == (200, content)
            assert len(steps.batches) == 3  # the configuration, too
        assert len(server.application._service._verdicts) == 1


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
