"""Serves and calls the example service in every way, and shows what went over the wire.

Each step prints the bytes that a recording proxy saw, what the caller got, and whether that is what it should be.
Everything is stopped at the end, also on failure; the exit code is 1 if any answer differs.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tap import Tap
from wire import lines

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXAMPLES = ROOT / "hostpy/examples"
TOOLS = ROOT / ".cache/demo"
CALL_SECONDS = 30
SHOWN = 60  # lines of one step's wire

COLOR = sys.stdout.isatty()
BOLD, DIM, GREEN, RED, SENT, GOT = "1", "2", "32", "31", "36", "33"


def paint(text: str, color: str) -> str:
    return f"\x1b[{color}m{text}\x1b[0m" if COLOR else text


@dataclass(frozen=True)
class Step:
    """One call: who makes it, how, and the answer that is right."""

    title: str
    call: Callable[[str], str]
    answer: str


class Demo:
    def __init__(self) -> None:
        self.differing = 0
        self.steps = 0

    def play(self, tap: Tap, step: Step) -> None:
        self.steps += 1
        print(paint(f"\n{self.steps}. {step.title}", BOLD))
        try:
            answer = step.call(tap.url)
        except Exception as error:  # whatever goes wrong is this step's answer
            answer = f"{type(error).__name__}: {error}"
        shown = [line for connection in tap.take() for line in lines(connection)]
        for line in shown[:SHOWN]:
            print("   " + paint(line, SENT if line.startswith(">") else GOT))
        if len(shown) > SHOWN:
            print(f"   ... and {len(shown) - SHOWN} lines more")
        right = answer == step.answer
        self.differing += not right
        mark = paint("ok", GREEN) if right else paint("DIFFERS", RED)
        print(f"   {mark}: {answer!r}" + ("" if right else f", wanted {step.answer!r}"))


# --- who calls ----------------------------------------------------------------------------------------------------


def program(*command: str | Path) -> str:
    """What a program prints; its complaint if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=CALL_SECONDS, stdin=subprocess.DEVNULL)
    if done.returncode:
        return f"exit code {done.returncode}: {done.stdout}{done.stderr}".strip()
    return done.stdout.strip()


def python_client(name: str, script: str) -> Callable[[str], str]:
    return lambda url: program(sys.executable, EXAMPLES / script, url, name)


def go_client(*arguments: str, flags: tuple[str, ...] = ()) -> Callable[[str], str]:
    return lambda url: program(TOOLS / "goclient", *flags, url, *arguments)


def own_go_client(*arguments: str, flags: tuple[str, ...] = ()) -> Callable[[str], str]:
    return lambda url: program(TOOLS / "goown", *flags, url, *arguments)


def post_json(body: dict[str, str]) -> Callable[[str], str]:
    """A plain HTTP POST by the standard library: no client of ours, no message class."""

    def call(url: str) -> str:
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=CALL_SECONDS)
        with contextlib.closing(connection):
            connection.request("POST", "/greet.v1.GreetService/Greet", json.dumps(body), {"content-type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        return f"{response.status} {json.dumps(answer)}"

    return call


HELLO = "Hello, World!"
NAMELESS = "error: invalid_argument: a greeting needs a name"

UNARY = [
    Step("our async client", python_client("World", "greet_client.py"), HELLO),
    Step("our sync client", python_client("World", "greet_client_sync.py"), HELLO),
    Step("connect-go's client, protobuf by POST", go_client("greet", "World"), HELLO),
    Step(
        "connect-go's client, by GET (the procedure has no side effects)", go_client("greet", "World", flags=("-get",)), HELLO
    ),
    Step("plain HTTP: a POST of JSON", post_json({"name": "World"}), '200 {"greeting": "Hello, World!"}'),
    Step("an error, seen by our async client", python_client("", "greet_client.py"), NAMELESS),
    Step("the same error, seen by connect-go's client", go_client("greet", ""), NAMELESS),
    Step(
        "the same error, plain HTTP",
        post_json({"name": ""}),
        '400 {"code": "invalid_argument", "message": "a greeting needs a name"}',
    ),
]
STREAMS = [
    Step(
        "connect-go's client, Connect server stream",
        go_client("many", "World", "3"),
        "Hello 1, World!\nHello 2, World!\nHello 3, World!",
    ),
    Step(
        "connect-go's client, Connect client stream",
        go_client("group", "World", "all the others"),
        "Hello, World and all the others!",
    ),
    Step(
        "connect-go's client, Connect bidi stream: each line is answered before the next is sent",
        go_client("chat", "one", "two", flags=("-h2",)),
        "You said: one\nYou said: two",
    ),
    Step("connect-go's client, gRPC unary", go_client("greet", "World", flags=("-grpc",)), HELLO),
    Step(
        "connect-go's client, gRPC server stream",
        go_client("many", "World", "2", flags=("-grpc",)),
        "Hello 1, World!\nHello 2, World!",
    ),
    Step("connect-go's client, a gRPC error", go_client("greet", "", flags=("-grpc",)), NAMELESS),
    Step(
        "connect-go's client, gRPC bidi stream",
        go_client("chat", "one", "two", flags=("-grpc",)),
        "You said: one\nYou said: two",
    ),
    Step(
        "connect-go's client, gRPC-Web server stream: its trailers are the last envelope",
        go_client("many", "World", "2", flags=("-web",)),
        "Hello 1, World!\nHello 2, World!",
    ),
    Step(
        "our Go client, gRPC-Web as text: the same in base64",
        own_go_client("many", "World", "2", flags=("-text",)),
        "Hello 1, World!\nHello 2, World!",
    ),
]
THREADS = [
    Step("connect-go's client, gRPC-Web unary", go_client("greet", "World", flags=("-web",)), HELLO),
    Step(
        "our Go client, gRPC-Web as text, server stream",
        own_go_client("many", "World", "2", flags=("-text",)),
        "Hello 1, World!\nHello 2, World!",
    ),
    Step(
        "connect-go's client, Connect client stream",
        go_client("group", "World", "all the others"),
        "Hello, World and all the others!",
    ),
    Step(
        "connect-go's client, gRPC: this server has no trailers, and the answer says so in gRPC's way",
        go_client("greet", "World", flags=("-grpc",)),
        "error: unimplemented: this server cannot send trailers, and gRPC needs them: use the Connect protocol",
    ),
]
THREADS_WITH_TRAILERS = [
    Step("connect-go's client, gRPC unary", go_client("greet", "World", flags=("-grpc",)), HELLO),
    Step(
        "connect-go's client, gRPC client stream",
        go_client("group", "World", "all the others", flags=("-grpc",)),
        "Hello, World and all the others!",
    ),
]
TO_GO = [
    Step("our async client", python_client("World", "greet_client.py"), "Hello from Go, World!"),
    Step("our sync client", python_client("World", "greet_client_sync.py"), "Hello from Go, World!"),
    Step("an error, seen by our sync client", python_client("", "greet_client_sync.py"), NAMELESS),
    Step("our Go client, gRPC unary", own_go_client("greet", "World", flags=("-grpc",)), "Hello from Go, World!"),
    Step(
        "our Go client, Connect server stream",
        own_go_client("many", "World", "2"),
        "Hello 1 from Go, World!\nHello 2 from Go, World!",
    ),
    Step(
        "our Go client, gRPC-Web client stream",
        own_go_client("group", "World", "all the others", flags=("-web",)),
        "Hello from Go, World and all the others!",
    ),
    Step(
        "our Go client, Connect bidi stream",
        own_go_client("chat", "one", "two", flags=("-h2",)),
        "You said: one\nYou said: two",
    ),
    Step(
        "our Go client, gRPC bidi stream",
        own_go_client("chat", "one", "two", flags=("-grpc",)),
        "You said: one\nYou said: two",
    ),
    Step("our Go client, a gRPC error", own_go_client("greet", "", flags=("-grpc",)), NAMELESS),
]
OWN_GO = [
    Step("our async client", python_client("World", "greet_client.py"), "Hello from Go, World!"),
    Step("connect-go's client, gRPC unary", go_client("greet", "World", flags=("-grpc",)), "Hello from Go, World!"),
    Step(
        "connect-go's client, gRPC-Web client stream",
        go_client("group", "World", "all the others", flags=("-web",)),
        "Hello from Go, World and all the others!",
    ),
    Step(
        "our Go client, Connect bidi stream over HTTP/1.1, in both directions at once",
        own_go_client("chat", "one", "two"),
        "You said: one\nYou said: two",
    ),
    Step(
        "our Go client, gRPC-Web as text, server stream",
        own_go_client("many", "World", "2", flags=("-text",)),
        "Hello 1 from Go, World!\nHello 2 from Go, World!",
    ),
]


# --- what is called -----------------------------------------------------------------------------------------------


class NotServingError(Exception):
    """A server's process ended before it took requests."""


@contextlib.contextmanager
def serving(title: str, *command: str | Path) -> Iterator[Tap]:
    """A server's process with a tap before it, until the block ends."""
    print(paint(f"\n== {title}", BOLD), flush=True)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise NotServingError(f"the server did not start (exit code {process.wait(CALL_SECONDS)})")
        print(paint(f"   serving on {url}", DIM))
        with contextlib.closing(Tap(int(url.rpartition(":")[2]))) as tap:
            yield tap
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def build() -> None:
    print("building connect-go's and our own clients and servers in Go (the first time takes half a minute)", flush=True)
    TOOLS.mkdir(parents=True, exist_ok=True)
    for name in ("goclient", "goserver", "goown"):
        subprocess.run(["go", "build", "-o", TOOLS / name, f"./tests/demo/{name}"], cwd=ROOT, check=True)


def main() -> int:
    start = time.monotonic()
    build()
    demo = Demo()
    python: tuple[str | Path, ...] = (sys.executable, HERE / "serve.py")
    plan: list[tuple[str, tuple[str | Path, ...], list[Step]]] = [
        ("our service under uvicorn, HTTP/1.1", (*python, "uvicorn-httptools", "greet_server"), UNARY),
        ("our service under uvicorn with zttp, HTTP/1.1 and HTTP/2", (*python, "uvicorn-zttp", "greet_server"), STREAMS),
        ("our service under granian's WSGI, HTTP/1.1 and HTTP/2", (*python, "granian-wsgi", "greet_server_wsgi"), THREADS),
        ("our service under pyvoy's WSGI, with trailers", (*python, "pyvoy-wsgi", "greet_server_wsgi"), THREADS_WITH_TRAILERS),
        ("connect-go's server", (TOOLS / "goserver",), TO_GO),
        ("our service in Go", (TOOLS / "goown", "serve"), OWN_GO),
    ]
    for title, command, steps in plan:
        try:
            with serving(title, *command) as tap:
                for step in steps:
                    demo.play(tap, step)
        except NotServingError as error:
            print(f"   {paint('DIFFERS', RED)}: {error}")
            demo.steps += len(steps)
            demo.differing += len(steps)
    seconds = time.monotonic() - start
    if demo.differing:
        print(paint(f"\n{demo.differing} of {demo.steps} answers differ ({seconds:.0f} s)", RED))
        return 1
    print(paint(f"\nAll {demo.steps} answers are what they should be ({seconds:.0f} s).", GREEN))
    return 0


if __name__ == "__main__":
    sys.exit(main())
