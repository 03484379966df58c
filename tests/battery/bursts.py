"""Bursts of HTTP/2 streams at a steady pace, reset as soon as they are opened, or answered, and good calls beside them.

What a peer writes is made beforehand, and what it reads is hardly looked at, so that it leaves the processors to the server.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import mean, median

import h2.connection
import h2.events
from server_support import BIDI, CLIENT, CONNECT, SERVER, SERVICE, UNARY, envelope, message

from figures import Figure, percentile
from peers import Calls, Good, Server
from proxies import HOST
from served import HANG

SEED = 7
KINDS = (UNARY, CLIENT, SERVER, BIDI)
RATE = 2_000  # streams a second
EACH = 200  # streams on one connection: it would be closed over more resets
AGAIN = 3  # times that rounds are added, where those before were disturbed
DATA, HEADERS, RST_STREAM, PING, GOAWAY = 0, 1, 3, 6, 7
FLAG = 1  # END_STREAM, or a PING's ACK


def opened(kind: str, text: str = HANG) -> tuple[list[tuple[str, str]], bytes]:
    """The fields and the content of a call; with HANG of one that does not end."""
    if kind == UNARY:
        return [("content-type", "application/proto")], message(text)
    return [("content-type", CONNECT["content_type"])], envelope(message(text))


def head(kind: str, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(":method", "POST"), (":scheme", "http"), (":authority", HOST), (":path", f"/{SERVICE}/{kind}"), *fields]


class Peer:
    """One connection, and all that is written to it: bursts of so many streams each."""

    def __init__(self, size: int, *, resets: bool, random_: random.Random) -> None:
        self.size, self.resets = size, resets
        self.h2 = h2.connection.H2Connection()
        self.h2.initiate_connection()
        self.bad = (GOAWAY,) if resets else (GOAWAY, RST_STREAM)
        # Types of frames that tell, with their flag, that the server is done: with the burst, or with one of its streams.
        self.ends = (PING,) if resets else (DATA, HEADERS)
        self.bursts = [self._burst(random_) for _ in range(EACH // size)]

    def _burst(self, random_: random.Random) -> bytes:
        with_content = not self.resets or random_.random() < 0.5
        for kind in random_.choices(KINDS, k=self.size):
            stream = self.h2.get_next_available_stream_id()
            fields, content = opened(kind, HANG if self.resets else "good")
            self.h2.send_headers(stream, head(kind, fields))
            if with_content:
                self.h2.send_data(stream, content, end_stream=not self.resets)
            if self.resets:
                self.h2.reset_stream(stream, 8)
        if self.resets:
            self.h2.ping(b"resetall")
        return self.h2.data_to_send()

    def play(self, server: Server, begin: Callable[[], None]) -> None:
        """Write one burst after the other, each when it is time and the one before has been heard of."""
        with socket.create_connection((HOST, server.port), timeout=20) as sock, sock.makefile("rb") as heard:
            for burst in self.bursts:
                begin()
                sock.sendall(burst)
                missing = 1 if self.resets else self.size
                while missing:
                    frame = heard.read(9)
                    assert len(frame) == 9, "the server closed the connection"
                    heard.read(int.from_bytes(frame[:3], "big"))
                    kind, flags = frame[3], frame[4]
                    assert kind not in self.bad, f"the server sent a frame of type {kind}"
                    missing -= bool(flags & FLAG) and kind in self.ends

    def check(self, server: Server) -> None:
        """That the first burst is answered as it should be."""
        with socket.create_connection((HOST, server.port), timeout=20) as sock:
            sock.sendall(self.bursts[0])
            content: dict[int, bytes] = {}
            ended = 0
            while ended < self.size:
                data = sock.recv(65536)
                assert data, "the server closed the connection"
                for event in self.h2.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        assert (b":status", b"200") in event.headers, event.headers
                        content[event.stream_id] = b""
                    elif isinstance(event, h2.events.DataReceived):
                        content[event.stream_id] += event.data
                    ended += isinstance(event, h2.events.StreamEnded)
        assert all(b"good" in each and b"error" not in each for each in content.values()), content


def played(server: Server, size: int, streams: int, *, resets: bool) -> Calls:
    """Good calls beside so many streams."""
    random_ = random.Random(SEED)
    peers = [Peer(size, resets=resets, random_=random_) for _ in range(streams // EACH)]
    good = Good(server)
    at = time.monotonic()

    def begin() -> None:
        nonlocal at
        at = max(at + size / RATE, time.monotonic())
        time.sleep(max(0, at - time.monotonic()))

    for peer in peers:
        peer.play(server, begin)
    return good.end()


def alone(server: Server, streams: int) -> Calls:
    """Good calls beside nothing, for as long."""
    good = Good(server)
    time.sleep(streams / RATE)
    return good.end()


@dataclass
class Rounds:
    """Good calls alone, beside answered streams and beside resets, in turns: what disturbs the machine disturbs all of them."""

    alone: list[Calls]
    answered: list[Calls]
    reset: list[Calls]

    def add(self, server: Server, size: int, streams: int) -> None:
        self.alone.append(alone(server, streams))
        self.answered.append(played(server, size, streams, resets=False))
        self.reset.append(played(server, size, streams, resets=True))


def took(rounds: list[Calls]) -> float:
    """Milliseconds: the median of the rounds' 99th percentiles."""
    return median(percentile(calls.took, 0.99) for calls in rounds)


def figures(server: Server, size: int, rounds: int, streams: int) -> Iterator[Figure]:
    """Of bursts of this size, in so many rounds of so many streams each."""
    found = Rounds([], [], [])
    Peer(size, resets=False, random_=random.Random(SEED)).check(server)
    for _ in range(AGAIN):
        for _ in range(rounds):
            found.add(server, size, streams)
        reset, answered, idle = took(found.reset), took(found.answered), took(found.alone)
        if reset < 3 * answered:
            break
    what = f"{len(found.reset) * streams:,} resets in bursts of {size}, {RATE:,} a second"
    wrong = [each for part in (found.answered, found.reset) for calls in part for each in calls.wrong]
    yield Figure(f"{what}: wrong among good calls", ", ".join(wrong[:3]) or "none", "none", not wrong)
    yield Figure(
        f"{what}: how long good calls take, against the same bursts answered",
        f"p99 {reset:.1f} ms, beside answered ones {answered:.1f} ms: {reset / answered:.1f} times",
        "below 3 times",
        reset < 3 * answered,
    )
    yield Figure(
        f"{what}: against a server that does nothing else",
        f"p99 {reset:.1f} ms, alone {idle:.1f} ms: {reset / idle:.1f} times",
        "below 3 times, if the machine has time",
        reset < 3 * idle or None,
    )
    yield Figure(f"{what}: where a good call's time goes, around the p99", spent(found.reset), "", None)


def spent(rounds: list[Calls]) -> str:
    """What calls that take about as long as the 99th percentile wait for."""
    calls = sorted(call for each in rounds for call in zip(each.took, each.worked, each.stood, strict=True))
    around = calls[len(calls) * 985 // 1000 : len(calls) * 995 // 1000 + 1]
    took, worked, stood = (mean(part) for part in zip(*around, strict=True))
    rest = f"its caller and the rest {max(0, took - worked - stood):.1f} ms"
    return f"{worked:.1f} ms the server works, {stood:.1f} ms it waits for a processor, {rest}"
