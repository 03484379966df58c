"""Which procedure a path names, wherever the application is mounted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .procedure import Procedure

__all__ = ["below_mount", "found"]


def found(
    routes: Mapping[str, Procedure], candidates: Iterable[str], raw_path: bytes, path: bytes
) -> tuple[Procedure | None, bytes]:
    """The first procedure that one of the candidates names, and the path that the guest should see.

    Args:
        routes: the procedures by path.
        candidates: what the path may be, seen from inside of the mounts.
        raw_path: the path before its escapes were decoded, or nothing. One with escapes is another path, whatever it decodes
            to.
        path: the path that the server gives.

    """
    escaped = b"%" in raw_path
    for candidate in candidates:
        procedure = routes.get(candidate)
        if procedure is not None and (not escaped or raw_path.endswith(procedure.path)):
            return procedure, procedure.path
    return None, raw_path or path


def below_mount(root: str, path: str) -> str:
    """The path of a procedure, in a path of which `root` is where the application is mounted; empty if it is none.

    An application may be mounted at its service's own path, below other mounts: then the service's name stands in `root`.
    What stands before that name belongs to the mounts. A proxy may have taken the first of these out of the path, of which
    the framework has been told (FastAPI's `root_path`): then the path begins somewhere in `root`.
    """
    start = path.rfind("/", 0, max(path.rfind("/"), 0))
    at = 0
    while at >= 0 and not path.startswith(root[at:] + "/"):
        at = root.find("/", at + 1)
    mounts = len(root) - at if at >= 0 else 0
    return path[start:] if 0 <= start <= mounts else ""
