"""A lock on a folder: two processes that fetch the same files wait for each other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["locked"]

_MOST_TRIES = 100  # each follows another process that failed and removed the folder


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
    attempt = 0
    while True:
        attempt += 1
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        # Some network file systems have no locks; the checksum still guards the result there.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        # Whoever held the lock before may have removed the folder; then a new one is needed.
        with suppress(FileNotFoundError):
            if attempt == _MOST_TRIES or os.path.samestat(os.fstat(handle), os.stat(folder)):
                return handle, made
        os.close(handle)
