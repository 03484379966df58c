"""`connectcore inspect`: captures of all kinds, broken in all ways that have a rule, and a live exchange."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from cli_support import SERVICE, Ran, reflecting, run, serving
from connectcore._cli import sources
from connectcore._cli.rules import cited
from connectcore._cli.schema import Schema
from server_support import envelope

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Inspect = Callable[..., Ran]

SAY = b"\n\x01a"  # text: "a"
TALK = f"{SERVICE}/Talk"
UNARY = """\
POST /cli.v1.TalkService/Talk HTTP/1.1
host: x
content-type: application/json
x-mine: 1
content-length: 12
connect-timeout-ms: 1500

{"text":"a"}HTTP/1.1 200 OK
content-type: application/json
transfer-encoding: chunked

c
{"text":"A"}
0

"""
UNARY_SAID = """\
request POST /cli.v1.TalkService/Talk
  host: x                         protocol
  content-type: application/json  protocol
  x-mine: 1                       metadata
  content-length: 12              protocol
  connect-timeout-ms: 1500        protocol
  connect, json, unary, timeout 1.5 s
  at 0: [12 bytes] message
    {"text":"a"}
  good
response 200
  content-type: application/json  protocol
  transfer-encoding: chunked      protocol
  connect, json, unary
  at 0: [12 bytes] message
    {"text":"A"}
  good
"""
BROKEN_SAID = """\
response 200
  content-type: application/connect+proto  protocol
  connect, proto, server stream
  at 0: [flags 00, 3 bytes] message
    {"text":"a"}
  at 8: [flags 02, 1 bytes] no message
    {
  broken: internal: the end marker is malformed
    Connect protocol, "Error and EndStreamResponse" https://connectrpc.com/docs/protocol#error-end-stream
    core/RULES.md, rule 7: Connect errors
"""


def http(text: str) -> bytes:
    """HTTP/1.1 as it goes over a connection."""
    return text.replace("\n", "\r\n").encode()


@pytest.fixture(scope="module")
def known(proto: Path) -> list[str]:
    """The options that name the schema: a descriptor set, which needs no compiler."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    path = proto.parent / "set.binpb"
    files = sources.compiled([str(proto)], [str(proto.parents[2])])
    path.write_bytes(FileDescriptorSet(file=files).SerializeToString())
    return ["--descriptor-set", str(path)]


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Inspect:
    def inspect(data: bytes, *words: str) -> Ran:
        path = tmp_path / "capture"
        path.write_bytes(data)
        return run(capsys, "inspect", path, *words)

    return inspect


def test_an_exchange(inspect: Inspect, known: list[str]) -> None:
    ran = inspect(http(UNARY), *known)
    assert (ran.out, ran.code) == (UNARY_SAID, 0)
    assert inspect(http(UNARY + UNARY)).out == f"{UNARY_SAID}\n{UNARY_SAID}"


def test_one_side_alone(inspect: Inspect) -> None:
    request, response = UNARY_SAID.split("response")
    at = UNARY.index("HTTP/1.1 200")
    assert inspect(http(UNARY[:at])).out == request
    assert inspect(http(UNARY[at:])).out == f"response{response}"


def test_what_is_broken(inspect: Inspect, known: list[str]) -> None:
    ran = inspect(envelope(SAY) + envelope(b"{", 2), "--response", "-m", "TalkMany", *known)
    assert ran.code == 4
    assert ran.out.splitlines()[:-2] == BROKEN_SAID.splitlines()[:-2]
    assert ran.out.splitlines()[-1] == BROKEN_SAID.splitlines()[-1]


STREAM = ("-H", "content-type: application/connect+proto")
# What is wrong, where, and the rule that stands behind it: content, words, verdict, rule.
FAULTS: list[tuple[bytes, tuple[str, ...], str, str]] = [
    (envelope(SAY, 4), ("--request", "-p", "grpc"), "invalid_argument: an envelope has flags", "rule 2"),
    (envelope(SAY)[:-1], ("--request", "-p", "grpc"), "invalid_argument: the content ends within an envelope", "rule 1"),
    (envelope(SAY, 1), ("--request", "-p", "grpc"), "internal: a message is compressed, but the request names no", "rule 2"),
    (SAY, ("--request", "-H", "connect-timeout-ms: -1"), "invalid_argument: the timeout is not a number", "rule 3"),
    (envelope(SAY), ("--request", "-p", "grpc", "-H", "grpc-timeout: 1"), "the timeout is not a number", "rule 3"),
    (SAY, ("--request", "-H", "content-type: text/plain"), "refused with HTTP status 415", "rule 10"),
    (b"!!!!", ("--request", "-p", "grpc-web-text"), "invalid_argument: the content is not base64", "rule 2"),
    (envelope(SAY), ("--response", *STREAM), "internal: the response ends without its end marker", "rule 1"),
    (envelope(SAY), ("--response", "-p", "grpc-web"), "internal: the response ends without a status", "rule 1"),
    (envelope(SAY, 9), ("--response", "-p", "grpc"), "internal: an envelope has flags", "rule 2"),
    (SAY, ("--response", "-H", "content-type: text/html"), "unknown: the response's content type is not one", "rule 7"),
    (b"<html>", ("--response", "--status", "503", "-H", "content-type: text/html"), "has the HTTP status 503", "rule 10"),
]


@pytest.mark.parametrize(("content", "words", "verdict", "rule"), FAULTS)
def test_every_fault_has_a_verdict_and_a_rule(
    inspect: Inspect, content: bytes, words: tuple[str, ...], verdict: str, rule: str
) -> None:
    ran = inspect(content, *words)
    assert ran.code == 4, ran.out
    broken, *rules = ran.out[ran.out.index("  broken: ") :].splitlines()
    assert verdict in broken
    assert any(f"core/RULES.md, {rule}: " in line for line in rules), ran.out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (SAY, ()),
        (b'{"text": "a"}', ("--codec", "json")),
        (envelope(SAY), ("-p", "grpc")),
        (envelope(SAY) * 3, ("-p", "grpc")),
        (envelope(SAY), ("-p", "connect", "-H", "content-type: application/connect+proto")),
        (envelope(SAY), ("-p", "grpc-web")),
        (b64encode(envelope(SAY)), ("-p", "grpc-web-text")),
        (envelope(gzip.compress(SAY), 1), ("-p", "grpc", "-H", "grpc-encoding: gzip")),
        (gzip.compress(SAY), ("-H", "content-encoding: gzip")),
    ],
)
def test_good_requests_of_all_kinds(inspect: Inspect, known: list[str], content: bytes, words: tuple[str, ...]) -> None:
    ran = inspect(content, "--request", *words)
    assert ran.code == 0, ran.out
    method = "TalkGroup" if content == envelope(SAY) * 3 or "application/connect+proto" in str(words) else "Talk"
    [said] = json.loads(inspect(content, "--request", *words, *known, "-m", method, "--json").out)
    messages = [part["message"] for part in said["request"]["content"] if "message" in part]
    assert messages == [{"text": "a"}] * content.count(envelope(SAY)) or messages == [{"text": "a"}]


def test_an_error_of_the_peer_breaks_no_rule(inspect: Inspect) -> None:
    words = ("--response", "-p", "grpc", "--trailer", "grpc-status: 5", "--trailer", "grpc-message: nobody%20here")
    ran = inspect(envelope(SAY), *words)
    assert ran.code == 0
    assert ran.lines[-1] == "  good, and says that the call failed: not_found: nobody here"
    assert "  grpc-status: 5  trailer" in ran.lines


def test_a_message_that_does_not_decode(inspect: Inspect, known: list[str]) -> None:
    for role, code in (("--request", "invalid_argument"), ("--response", "internal")):
        ran = inspect(b"\n\x07a", role, "-m", "Talk", *known)
        assert ran.code == 4
        assert f"  broken: {code}: a message does not decode" in ran.out


def test_forms(inspect: Inspect) -> None:
    for form, data in (("--hex", b"0a 01\n61"), ("--hex", b"0a:01:61"), ("--base64", b64encode(SAY) + b"\n")):
        assert inspect(data, "--request", form).code == 0
    for form in ("--hex", "--base64"):
        assert f"the input is not {form[2:]}" in inspect(b"zz!", "--request", form).err


@pytest.mark.parametrize(
    ("content", "words", "text"),
    [
        (b"", (), "there is no input"),
        (b"\0\0", (), "is it the content of a --request or of a --response?"),
        (b"PRI * HTTP/2.0\r\n\r\nSM", (), "give the content of one stream"),
        (http("POST / HTTP/1.1\nhost: x\n\n") + b"garbage", (), "these bytes are no HTTP/1.1"),
        (http("GET / HTTP/1.1\nhost:"), (), "the input ends within a head"),
        (SAY, ("--request", "-H", "a"), "the field 'a' is not 'name: value'"),
        (SAY, ("--request", "--live", "localhost"), "there is no input beside"),
    ],
)
def test_what_makes_no_sense(inspect: Inspect, content: bytes, words: tuple[str, ...], text: str) -> None:
    ran = inspect(content, *words)
    assert (ran.code, ran.out) == (2, "")
    assert text in ran.err


def test_half_a_capture(inspect: Inspect) -> None:
    ran = inspect(http(UNARY[: UNARY.index("HTTP/1.1 200") - 3]))
    assert ran.code == 4
    assert ran.lines[-1] == "  broken off: the request does not end here"
    ran = inspect(http(UNARY[:-12]))
    assert ran.code == 4
    assert "broken: unavailable: the connection ended before the response did" in ran.out


def test_a_live_exchange(capsys: pytest.CaptureFixture[str], proto: Path) -> None:
    schema = Schema(sources.compiled([str(proto)], [str(proto.parents[2])]), "talk.proto")
    with serving(reflecting(schema)) as server:
        words = ("inspect", "--live", server, "-m", TALK, "-p", "grpc")
        said: Any = json.loads(run(capsys, *words, "-d", '{"text": "a"}', "--json").out)[0]
        assert [part["message"] for part in said["request"]["content"]] == [{"text": "a"}]
        assert [part["message"] for part in said["response"]["content"]] == [{"text": "A"}]
        assert {"name": "grpc-status", "value": "0"} in said["response"]["trailers"]
        ran = run(capsys, *words, "-d", '{"text": "aborted: m"}')
        assert ran.code == 0
        assert "  good, and says that the call failed: aborted: m" in ran.lines
    ran = run(capsys, "inspect", "--live", server, "-m", TALK, "-p", "grpc")
    assert ran.code == 3


def test_the_rules_are_those_of_the_core() -> None:
    """Texts that the core no longer says would be of no use: `python tests/tapes/citations.py` writes them anew."""
    for text in ("the end marker is malformed", "an envelope has flags that this protocol does not know"):
        assert cited(text, None)
    assert cited("nobody here", "grpc") is None
