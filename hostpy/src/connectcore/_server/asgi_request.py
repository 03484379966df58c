"""An ASGI scope as a request: its head and addresses."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from .._wasm import abi
from ..request import Reader
from .mount import below_mount, found

if TYPE_CHECKING:
    from .memory import Head
    from .procedure import Procedure
    from .service import Service

__all__ = ["HALF_DUPLEX", "READER", "addresses", "breaks", "has_content", "head_of", "length_of"]

_TRAILERS: Final = "http.response.trailers"
_PUSH: Final = "http.response.push"

_LENGTH: Final = b"content-length"
_CODING: Final = b"transfer-encoding"

HALF_DUPLEX: Final = ("1.1", "1.0")
"""The versions of HTTP in which a response comes after its request."""


def head_of(service: Service, scope: Any) -> tuple[Procedure | None, Head]:
    """The procedure that a request names, if it does, and the request's head."""
    procedure = service.routes.get(scope["path"])
    raw_path = scope.get("raw_path")
    if procedure is None or (raw_path is not None and b"%" in raw_path):
        procedure, path = found(
            service.routes, _candidates(scope), raw_path or b"", scope["path"].encode("utf-8", "surrogateescape")
        )
    else:
        path = procedure.path
    fields: list[Any] = scope["headers"]
    if type(fields) is not list:
        fields = scope["headers"] = list(fields)  # they are read once more, where a handler looks at them
    extensions = scope.get("extensions")
    flags = abi.OPEN_TRAILERS if extensions and _TRAILERS in extensions else 0
    if scope["http_version"] not in HALF_DUPLEX:
        flags |= abi.OPEN_DUPLEX
    method = scope["method"]
    method = b"POST" if method == "POST" else method.encode("latin-1")
    names, values = zip(*fields) if fields else ((), ())  # noqa: B905 - pairs, and to say so costs a tenth of this function
    return procedure, ((flags, method, path, scope.get("query_string", b""), names), values)


def length_of(head: Head) -> bytes | None:
    """The content's length as the head says it: b"" where a POST says none, None where content is not to be waited for.

    A server may have none to give there: uvicorn with zttp, where an HTTP/2 head has ended the request, gives no more than the
    news that the peer is gone, in the end. A POST that says no length is waited for there in vain.
    """
    (_, method, _, _, names), values = head
    if method != b"POST":
        return None
    try:
        length: bytes = values[names.index(_LENGTH)]
    except ValueError:
        return b""
    return length


def has_content(head: Head) -> bool:
    """Whether a request has content that may not have been read: a POST, or any other whose head says so."""
    (_, method, _, _, names), _ = head
    return method == b"POST" or _LENGTH in names or _CODING in names


def breaks(scope: Any) -> bool:
    """Whether a connection breaks, with all its calls, when content comes after an answer's end.

    It does under hypercorn over HTTP/2, which is known by its offer to push: https://github.com/pgjones/hypercorn/pull/334.
    """
    return scope["http_version"] == "2" and _PUSH in (scope.get("extensions") or ())


def _candidates(scope: Any) -> tuple[str, ...]:
    """What the path may be below a mount: servers and frameworks disagree on whether `path` includes `root_path`."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    inside = path.startswith(root + "/")
    below = path[len(root) :] if inside else root + path
    return path, below, root + path, below_mount(root, path), below_mount(root, root + path)


def addresses(scope: Any) -> tuple[str | None, str | None]:
    """The server's and the client's address, as far as the HTTP side tells them."""
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), None)
    if host is not None and ":" not in host.rpartition("]")[2]:
        host = f"{host}:{443 if scope.get('scheme') == 'https' else 80}"
    if host is None and scope.get("server"):
        host = "{}:{}".format(*scope["server"])
    client = scope.get("client")
    return host, f"{client[0]}:{client[1]}" if client else None


READER: Final = Reader(itemgetter("method"), addresses, list)
