"""Files of a run folder, written so that a crash or a full disk never leaves half of one."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qt_hw.errors import StorageError

try:
    import fcntl
except ImportError:  # no advisory locks on this system
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "append_line",
    "locked",
    "now",
    "read_json",
    "taking_turns",
    "write_bytes",
    "write_json",
    "write_text",
]


def now() -> str:
    """Return the present time as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` in one step: after a crash there is the old file or the new one.

    Raises:
        StorageError: The disk is full or the folder not writable; an older file stays as it was.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:  # a signal too leaves nothing half-written behind
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 in one step; see ``write_bytes``."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON in one step; see ``write_bytes``."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the JSON in ``path``.

    Raises:
        StorageError: There is no such file, or it holds something else.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}") from None


def append_line(path: Path, line: str) -> None:
    """Append one line and push it to the disk.

    Raises:
        StorageError: The disk is full or the folder not writable.
    """
    try:
        with open(path, "a", encoding="utf-8", newline="") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from None


@contextlib.contextmanager
def locked(folder: Path, hint: str = "wait for it, or choose another --out") -> Iterator[None]:
    """Hold the run folder: one writer at a time. The lock ends with the process.

    Args:
        folder: The run folder; made if missing.
        hint: What to do if another process holds it, for the message.

    Raises:
        StorageError: Another process is writing to ``folder``, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "wb")  # noqa: SIM115 - closed below, after the yield
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error.strerror or error}") from None
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StorageError(f"another process is writing to {folder}; {hint}") from None
        yield


@contextlib.contextmanager
def taking_turns(folder: Path) -> Iterator[None]:
    """Wait for other processes that are in such a block for ``folder``: for short writes.

    Raises:
        StorageError: The folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".turn", "wb")  # noqa: SIM115 - closed below, after the yield
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error.strerror or error}") from None
    with file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync_folder(folder: Path) -> None:
    """Push a rename to the disk, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
