"""Slow peers: they send, or read, a byte a second. Each call ends on its deadline, and takes little memory."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator

from server_support import CONNECT, SERVER, SERVICE, UNARY, envelope, message

from figures import Figure, at_most, none, resident
from peers import Server, serving
from proxies import HOST

Peer = Callable[[int, int], Coroutine[None, None, str]]
LATE = 10  # seconds after it that a busy machine may need
EACH = {
    "write": 64,
    "read": 384,
}  # KiB that a connection may take; a reader's are what is written at once, and what waits for it


def head(kind: str, content_type: str, length: int, deadline: int) -> bytes:
    return (
        f"POST /{SERVICE}/{kind} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: {content_type}\r\n"
        f"connect-timeout-ms: {deadline * 1000}\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


async def slow_writer(port: int, deadline: int) -> str:
    """How a call ends whose request comes a byte a second; nothing where that is as it should be."""
    begun = time.monotonic()
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(head(UNARY, "application/proto", 1000, deadline))
        answer = asyncio.ensure_future(reader.readuntil(b"}"))
        while not answer.done():
            writer.write(b"\n")
            await asyncio.wait([answer], timeout=1)
            if time.monotonic() - begun > deadline + LATE:
                answer.cancel()
                return "no answer in time"
        said = answer.result()
        after = time.monotonic() - begun
    except (OSError, asyncio.IncompleteReadError) as error:
        return repr(error)
    finally:
        writer.close()
    if after < deadline - 0.1:
        return f"an answer after {after:.1f} s"
    return "" if b'"deadline_exceeded"' in said else said.decode()


async def slow_reader(port: int, deadline: int) -> str:
    """The same of one that reads a byte a second of a response of 100 MiB: what then still comes is what was under way."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=1024)
    content = envelope(message("100000"))
    try:
        writer.write(head(SERVER, CONNECT["content_type"], len(content), deadline) + content)
        for _ in range(deadline + 1):
            await reader.readexactly(1)
            await asyncio.sleep(1)
    except (OSError, asyncio.IncompleteReadError) as error:
        return repr(error)
    finally:
        writer.close()
    return ""


PEERS: dict[str, Peer] = {"write": slow_writer, "read": slow_reader}


async def play(peer: Peer, server: Server, count: int, deadline: int) -> tuple[list[str], float]:
    """What was wrong with so many peers, and the server's MiB shortly before their deadline."""
    process = server.status()["process"]
    peers = [asyncio.create_task(peer(server.port, deadline)) for _ in range(count)]
    await asyncio.sleep(deadline - 1)
    held = resident(process)
    return [each for each in await asyncio.gather(*peers) if each], held


def figures(whole: bool) -> Iterator[Figure]:
    count, deadline = (500, 5) if whole else (50, 2)
    names = ("uvicorn-httptools", "uvicorn-zttp") if whole else ("uvicorn-httptools",)
    for name, (kind, peer) in itertools.product(names, PEERS.items()):
        what = f"{name}: {count} peers that {kind} a byte a second"
        with serving(name) as server:
            before = server.status()
            wrong, held = asyncio.run(play(peer, server, count, deadline))
            yield none(f"{what}: ended otherwise than on their deadline", wrong)
            yield at_most(f"{what}: memory for each", (held - before["resident"]) * 1024 / count, EACH[kind], "KiB")
            yield from server.left(before, what, most=EACH[kind] * count / 1024)
