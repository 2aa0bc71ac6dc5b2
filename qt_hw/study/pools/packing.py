"""Folders as bytes, for workers that do not see the study's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from qt_hw.errors import StorageError
from qt_hw.storage import write_bytes

__all__ = ["Files", "pack", "put_back", "unpack"]

Files = dict[str, bytes]
"""Contents by path relative to the study's folder, with forward slashes."""

_NOT_PACKED = (".lock", ".turn")
_INCOMING, _OUTGOING = ".incoming-", ".outgoing-"


def pack(study: Path, folder: str) -> Files:
    """Return the files below ``folder``, which is relative to ``study`` and need not exist.

    Raises:
        StorageError: A file cannot be read.
    """
    try:
        return {
            path.relative_to(study).as_posix(): path.read_bytes()
            for path in sorted((study / folder).rglob("*"))
            if path.is_file() and path.name not in _NOT_PACKED and path.suffix != ".tmp"
        }
    except OSError as error:
        raise StorageError(f"cannot read {study / folder}: {error.strerror or error}") from None


def unpack(study: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` below ``study``, each in one step.

    Raises:
        StorageError: A file cannot be written, or would lie outside of ``study``.
    """
    for name, data in files.items():
        parts = PurePosixPath(name).parts
        if PurePosixPath(name).is_absolute() or ".." in parts:
            raise StorageError(f"{name} lies outside of the study: nothing is written there")
        write_bytes(study / name, data)


def put_back(study: Path, id: str, files: Mapping[str, bytes]) -> None:
    """Write what a worker made of the cell ``id``: its folder in one step, then other files.

    Raises:
        StorageError: The disk refuses; the cell is as it was, or gone and to be computed again.
    """
    own = f"cells/{id}/"
    incoming, outgoing = (study / "cells" / f"{mark}{id}" for mark in (_INCOMING, _OUTGOING))
    inner = {name.removeprefix(own): data for name, data in files.items() if name.startswith(own)}
    try:
        for left in (incoming, outgoing):  # of a pool that was killed while it wrote
            shutil.rmtree(left, ignore_errors=True)
        if inner:
            unpack(incoming, inner)
            if (study / own).exists():
                os.replace(study / own, outgoing)
            os.replace(incoming, study / own)
            shutil.rmtree(outgoing, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"cannot write {study / own}: {error.strerror or error}") from None
    unpack(study, {name: data for name, data in files.items() if not name.startswith(own)})
