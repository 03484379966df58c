"""An exchange explained: as JSON's values, and as lines for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import guest
from .output import DIM, GOOD, HEAD, NAME, PROBLEM, RECEIVED, SENT, compact, paint
from .rules import cited
from .wire import Envelopes, dump

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..method import MethodInfo
    from .guest import Message, Play
    from .recorder import Captured
    from .schema import Schema

__all__ = ["Explanation", "explained"]


@dataclass
class Explanation:
    """What was found. `good`: no rule is broken."""

    said: dict[str, Any] = field(default_factory=dict[str, Any])
    good: bool = True

    def lines(self) -> Iterator[str]:
        """It for people."""
        for role in ("request", "response"):
            if role in self.said:
                yield from _side(role, self.said[role])


def explained(
    captured: Captured,
    method: MethodInfo[Any, Any] | None,
    schema: Schema | None,
    *,
    protocols: Sequence[str],
    codecs: Sequence[str],
    path: str,
) -> Explanation:
    """Play both sides to the module, and say what it says. `protocols` and `codecs`: what a lone response may be of."""
    found = Explanation()
    kinds: list[int] | None = None
    if captured.method:
        play = guest.as_server(captured, schema, method)
        side = found.said["request"] = {
            "head": f"{captured.method} {captured.target}",
            **_described(play, captured.request_fields, captured.content, schema),
        }
        if not play.good:
            found.good = False
            # Where the answer is HTTP alone, its status says most.
            text = f"http-response-head status={play.refused}" if play.foreign else play.text
            side["broken"] = cited(text, play.known.get("protocol")) or []
        elif not captured.complete:
            found.good = False
            side["incomplete"] = True
        if play.known:
            # The module does not say of a request whether it is a protocol's text form.
            protocols = guest.spoken(play.known["protocol"])
            codecs = [play.known["codec"]]
            # Of one message the request does not say how many responses there are.
            kinds = [play.kind, *(() if method is not None else guest.KINDS)]
    if captured.status is not None:
        play = guest.as_client(captured, path, schema, method, protocols, codecs, kinds)
        side = found.said["response"] = {
            "head": str(captured.status),
            **_described(play, captured.fields, captured.answer, schema),
        }
        if captured.trailers:
            side["trailers"] = [{"name": name, "value": value} for name, value in captured.trailers]
        rules = None if play.good else cited(play.text, play.known["protocol"])
        if rules is not None:
            found.good = False
            side["broken"] = rules
    return found


def _described(play: Play, fields: list[tuple[str, str]], content: bytes, schema: Schema | None) -> dict[str, Any]:
    said: dict[str, Any] = {**play.known}
    said["fields"] = [
        {"name": name, "value": value, **({} if play.own is None else {"of": "protocol" if place in play.own else "metadata"})}
        for place, (name, value) in enumerate(fields)
    ]
    said["content"] = list(_parts(play, content, schema))
    said["code"] = play.code
    if play.text:
        said["message"] = play.text
    if play.refused is not None:
        said["refused"] = play.refused
    if play.details:
        said["details"] = [name.decode("utf-8", "replace") for name, _ in play.details]
    return said


def _parts(play: Play, content: bytes, schema: Schema | None) -> Iterator[dict[str, Any]]:
    """The content part by part: envelopes as they lie there, and which of them the module gave out as messages."""
    placed = {each.place[0]: each for each in play.messages if each.place is not None}
    at = 0
    envelopes = Envelopes(play.prefix)
    for flags, payload in envelopes.feed(content):
        start = at + play.prefix
        said: dict[str, Any] = {"at": at, "flags": flags.hex(), "size": len(payload)}
        message = placed.pop(start, None)
        yield {**said, **(_payload(payload) if message is None else _message(message, schema))}
        at = start + len(payload)
    for start, message in sorted(placed.items()):
        yield {"at": start, "size": (message.place or (0, 0))[1], **_message(message, schema)}
        at = start + (message.place or (0, 0))[1]
    for message in play.messages:
        if message.place is None:
            yield {"size": len(message.payload), **_message(message, schema)}
    if at < len(content):
        rest = content[at:]
        yield {"at": at, "size": len(rest), **_payload(rest)}


def _message(message: Message, schema: Schema | None) -> dict[str, Any]:
    said: dict[str, Any] = {"message": None}
    if message.coding is not None:
        said["compression"] = message.coding
    if message.value is not None and schema is not None:
        from .messages import message_json

        said["message"] = message_json(message.value, schema)
    else:
        said.update(_payload(message.payload))
    return said


def _payload(data: bytes) -> dict[str, Any]:
    return {"bytes": data.hex()}


def _side(role: str, said: dict[str, Any]) -> Iterator[str]:
    yield paint(f"{role} {said['head']}", {**HEAD, **(SENT if role == "request" else RECEIVED)})
    width = max((len(each["name"]) + len(each["value"]) for each in said["fields"]), default=0) + 2
    for each in said["fields"]:
        of = each.get("of", "")
        gap = " " * (width - len(each["name"]) - len(each["value"]))
        yield f"  {paint(each['name'], NAME)}: {each['value']}{gap + paint(of, DIM) if of else ''}"
    known = [said[name] for name in ("protocol", "codec", "stream_type") if name in said]
    if "timeout" in said:
        known.append(f"timeout {said['timeout']:g} s")
    if known:
        yield f"  {', '.join(known)}"
    for part in said["content"]:
        yield from _part(part)
    for each in said.get("trailers", ()):
        yield f"  {paint(each['name'], NAME)}: {each['value']}  {paint('trailer', DIM)}"
    yield from _verdict(said)


def _part(part: dict[str, Any]) -> Iterator[str]:
    where = f"at {part['at']}: " if "at" in part else ""
    flags = f"flags {part['flags']}, " if "flags" in part else ""
    kind = "message" if "message" in part else "no message"
    packed = f", {part['compression']}" if "compression" in part else ""
    yield f"  {where}[{flags}{part['size']} bytes{packed}] {kind}"
    if "bytes" in part:
        yield from (f"  {line}" for line in dump(bytes.fromhex(part["bytes"])))
    else:
        yield f"    {compact(part['message'])}"


def _verdict(said: dict[str, Any]) -> Iterator[str]:
    if "broken" in said:
        refused = f" (refused with HTTP status {said['refused']})" if "refused" in said else ""
        yield f"  {paint('broken', PROBLEM)}: {said['code']}: {said['message']}{refused}"
        yield from (f"    {rule}" for rule in said["broken"])
    elif "incomplete" in said:
        yield f"  {paint('broken off', PROBLEM)}: the request does not end here"
    elif "message" in said:
        yield f"  {paint('good', GOOD)}, and says that the call failed: {said['code']}: {said['message']}"
    else:
        yield f"  {paint('good', GOOD)}"
    yield from (f"    detail {name}" for name in said.get("details", ()))
