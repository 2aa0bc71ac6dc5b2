"""A lock on a folder: two processes that fetch the same files wait for each other."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["locked"]

# Each try follows another process that failed and removed the folder.
_TRIES = 100


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder alone; folders made for it that stay empty are removed again."""
    handle, made = _lock(folder)
    try:
        yield
    finally:
        with suppress(OSError):
            for path in made:
                path.rmdir()
        os.close(handle)


def _lock(folder: Path) -> tuple[int, list[Path]]:
    """Return a locked handle of a folder, and the folders made for it, innermost first."""
    for _ in range(_TRIES):
        with suppress(FileNotFoundError, FileExistsError):
            return _try(folder)
    return _try(folder)


def _try(folder: Path) -> tuple[int, list[Path]]:
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems have no locks; the checksum still guards the result there.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        if not os.path.samestat(os.fstat(handle), os.stat(folder)):
            raise FileNotFoundError(errno.ENOENT, "removed by another process", str(folder))
    except BaseException:
        os.close(handle)
        raise
    return handle, made
