"""Where an application is mounted, as far as its own paths are concerned."""

from __future__ import annotations

__all__ = ["below_mount"]


def below_mount(root: str, path: str) -> str:
    """The path of a procedure, in a path of which `root` is where the application is mounted; empty if it is none.

    An application may be mounted at its service's own path, below other mounts: then the service's name stands in `root`.
    What stands before that name belongs to the mounts.
    """
    start = path.rfind("/", 0, max(path.rfind("/"), 0))
    return path[start:] if 0 <= start <= len(root) else ""
