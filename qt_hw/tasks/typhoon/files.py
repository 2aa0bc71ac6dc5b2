"""Best-track files of either format, found out from their first line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from qt_hw.errors import DataError
from qt_hw.tasks.typhoon.cma import is_cma, read_cma
from qt_hw.tasks.typhoon.ibtracs import is_ibtracs, read_ibtracs
from qt_hw.tasks.typhoon.storm import Storm

__all__ = ["read_tracks", "track_files"]

_KNOWN = (
    "an IBTrACS v04 CSV file begins with 'SID,SEASON,…', a CMA best-track text file with '66666 …'"
)


def track_files(file: str) -> list[Path]:
    """Return the file, or the ``.csv`` and ``.txt`` files of a folder by name.

    Raises:
        DataError: There are none.
    """
    path = Path(os.path.expanduser(file))
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in (".csv", ".txt"))
        if not found:
            raise DataError(f"{path} holds no .csv or .txt files: name a best-track file or folder")
        return found
    if not path.is_file():
        raise DataError(f"{path} does not exist: set file to a best-track file or a folder of them")
    return [path]


def read_tracks(paths: Sequence[Path], basin: str | None) -> tuple[list[Storm], dict[str, object]]:
    """Return the storms of all files, oldest first, and facts for the manifest.

    Args:
        paths: IBTrACS or CMA files.
        basin: See ``read_ibtracs``; CMA files are of the western North Pacific anyway.

    Raises:
        DataError: A file is of another format or damaged, two hold the same storm, or there is
            no storm.
    """
    storms: list[Storm] = []
    places: dict[str | bytes, Path] = {}
    formats, spurs = set(), 0
    for path in paths:
        kind, found, left_out = _read(path, basin)
        formats.add(kind)
        # A CMA file gives ids by its own name: there the same positions tell.
        keys = {key: storm for storm in found for key in (storm.id, _positions(storm))}
        if twice := next((key for key in keys if key in places), None):
            raise DataError(
                f"{path} holds the storm {keys[twice].id} ({keys[twice].name}), as "
                f"{places[twice]} does: leave out one of the files"
            )
        places |= dict.fromkeys(keys, path)
        storms += found
        spurs += left_out
    if not storms:
        of = "" if basin is None else f" of the basin {basin!r}; set basin, e.g. basin = 'NA'"
        raise DataError(f"{paths[0]} holds no storms{of}")
    storms.sort(key=lambda storm: (int(storm.hours[0]), storm.id))
    return storms, {"format": " + ".join(sorted(formats)), "spur_tracks_left_out": spurs}


def _positions(storm: Storm) -> bytes:
    return b"".join(part.tobytes() for part in (storm.hours, storm.latitude, storm.longitude))


def _read(path: Path, basin: str | None) -> tuple[str, list[Storm], int]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text file (byte {error.start}): {_KNOWN}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    first = lines[0] if lines else ""
    if is_cma(first):
        return "CMA", read_cma(path, lines), 0
    if is_ibtracs(first):
        return "IBTrACS", *read_ibtracs(path, lines, basin)
    raise DataError(f"{path}, line 1: {first[:40]!r} is neither of the known formats: {_KNOWN}")
