"""Where compiled modules are kept between processes.

A compiled module is native code that the engine loads without checking it, so a file is used only where nobody but this
user (or the superuser) can have written it: the directory and the file belong to one of the two, and neither group nor
others may write. Files are written aside and renamed, so that a reader sees a whole file or none.

A cache that cannot be used costs time and nothing else: one warning says what to do about it.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_log: Final = logging.getLogger("connectcore")

ENVIRONMENT: Final = "CONNECTCORE_CACHE"
"""Names the cache directory; `off` turns the cache off."""

KEPT: Final = 16
"""Compiled modules, of any version, that the cache holds at most."""

_SUFFIX: Final = ".cwasm"
_warned = False


def directory() -> str | None:
    """The cache directory that this process uses: absolute path, or None where the cache is off."""
    chosen = os.environ.get(ENVIRONMENT, "")
    if chosen.lower() == "off":
        return None
    if chosen:
        return os.path.abspath(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(os.path.expanduser("~"), "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join(os.path.expanduser("~"), "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or ""
        if not os.path.isabs(base):
            base = os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(base):  # no home directory is known
        _warn("there is no home directory")
        return None
    return os.path.join(base, "connectcore")


def path_of(key: str) -> str | None:
    """The path of the compiled module for `key`, or None where the cache is off. Nothing is looked up."""
    where = directory()
    return None if where is None else os.path.join(where, key + _SUFFIX)


def find(key: str) -> int | None:
    """Open the compiled module for `key`: a file descriptor that the caller closes, or None.

    What is returned was checked on the open file, so a file swapped afterwards is not what gets loaded.
    """
    path = path_of(key)
    if path is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        _warn(f"{path} cannot be opened ({error.strerror})")
        return None
    try:
        fault = _fault(os.stat(os.path.dirname(path)), directory=True) or _fault(os.fstat(descriptor), directory=False)
    except OSError as error:
        fault = f"cannot be examined ({error.strerror})"
    if fault is None:
        return descriptor
    os.close(descriptor)
    _warn(f"{path} or its directory {fault}")
    return None


def store(key: str, compiled: bytes | bytearray, *, shared: bool = False) -> str:
    """Keep a compiled module under `key` and return its path.

    `shared` lets other users of the machine or image read it; otherwise it is for this user alone. Raises OSError where
    that cannot be done.
    """
    path = path_of(key)
    if path is None:
        raise OSError(f"the cache is off ({ENVIRONMENT}=off)")
    where = os.path.dirname(path)
    os.makedirs(where, mode=0o755 if shared else 0o700, exist_ok=True)
    fault = _fault(os.stat(where), directory=True)
    if fault is not None:
        raise OSError(f"{where} {fault}")
    aside = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(compiled)
            file.flush()
            os.fsync(file.fileno())
        if shared:
            os.chmod(where, 0o755)  # noqa: S103
            os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        _unlink(aside)
        raise
    _prune(path)
    return path


def keep(key: str, compiled: bytes | bytearray) -> None:
    """Like `store`, but a cache that cannot be written only warns, once per process."""
    if directory() is None:
        return
    try:
        store(key, compiled)
    except OSError as error:
        _warn(str(error))


def entries() -> Iterator[tuple[str, int]]:
    """The paths and sizes in bytes of all compiled modules in the cache, of this version or others."""
    where = directory()
    if where is None:
        return
    try:
        names = sorted(os.listdir(where))
    except OSError:
        return
    for name in names:
        if name.endswith(_SUFFIX):
            path = os.path.join(where, name)
            try:
                yield path, os.stat(path).st_size
            except OSError:
                continue


def _fault(status: os.stat_result, *, directory: bool) -> str | None:
    """What speaks against trusting a file or directory, as the end of a sentence; None where nothing does."""
    if directory != stat.S_ISDIR(status.st_mode) or not (directory or stat.S_ISREG(status.st_mode)):
        return "is not a directory" if directory else "is not a regular file"
    if sys.platform == "win32":  # the profile directory's access list protects it
        return None
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to another user ({status.st_uid})"
    if status.st_mode & 0o022:
        return "can be written by others"
    return None


def _prune(new: str) -> None:
    """Drop what older versions left behind, oldest first. A process that has one of them open keeps it."""
    try:
        old = sorted((path for path, _ in entries() if path != new), key=os.path.getmtime)
        for path in old[: max(0, len(old) + 1 - KEPT)]:
            os.unlink(path)
    except OSError:
        pass


def _warn(what: str) -> None:
    global _warned
    if _warned:
        return
    _warned = True
    _log.warning(
        "The compile cache is not in use: %s. Each process compiles the module again, which takes a second or two. "
        "Point %s to a directory that this user owns, or set it to 'off' to stop this warning.",
        what,
        ENVIRONMENT,
    )


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
