"""Which folder a run gets, and whether what is there already may be gone on with."""

from __future__ import annotations

import json
import logging
import shlex
from pathlib import Path
from typing import Any, Literal

from qt_hw.errors import ConfigError, InputError
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import load_config

__all__ = ["PAIR", "check_folder", "check_same", "free_folder", "run_folder"]

PAIR = ("noiseless", "sampled")
"""The two run folders inside the folder of a pair."""

# Of a run that was killed before its first file.
_LEFTOVERS = {
    ".lock",
    "config.toml.tmp",
    "journal.sqlite",
    "journal.sqlite-shm",
    "journal.sqlite-wal",
    "rehearsal",
    "results",
}

logger = logging.getLogger(__name__)


def run_folder(config: object, out: str | Path | None, *, resume: bool) -> Path:
    """Return ``out`` or, without it, a new folder under ``runs``, called as the configuration.

    Raises:
        InputError: A run is to be resumed and ``out`` does not say which.
    """
    if out is not None:
        return Path(out)
    if resume:
        raise InputError("resume=True needs out=, the folder of the run to go on with")
    return free_folder(Path(config).stem if isinstance(config, str | Path) else "run")


def free_folder(name: str) -> Path:
    """Return ``runs/name``, or ``runs/name-2`` and so on if that is taken."""
    folder, number = Path("runs") / name, 2
    while folder.exists():
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder


def check_folder(
    folder: Path, config: RunConfig, *, resume: bool, kind: Literal["run", "pair"] = "run"
) -> None:
    """Refuse a folder that is in use, or one to resume that holds something else.

    Raises:
        InputError: The folder holds something that is no run, or the other kind, or, if
            ``resume`` is false, a run.
        ConfigError: The configurations differ; the message names the keys.
    """
    found = _contents(folder)
    if found == "other":
        raise InputError(f"{folder} is not a run folder; choose another --out")
    if resume and found is None:
        logger.warning("nothing to resume in %s: starting anew", folder)
    elif found is not None and found != kind:
        what = "a single run, not a pair" if found == "run" else "a pair of runs, not a single one"
        raise InputError(f"{folder} holds {what}; choose another --out")
    elif found is not None and not resume:
        raise InputError(
            f"{folder} already exists; add --resume to go on with it, or choose another --out"
        )
    elif found == "run":
        check_same(folder, config)


def check_same(folder: Path, config: RunConfig) -> None:
    """Refuse to go on with the run in ``folder`` if it was made with another configuration.

    Raises:
        ConfigError: The configurations differ; the message says how to set the keys as before.
    """
    old, new = _flat(load_config(folder / "config.toml")), _flat(config)
    if keys := [key for key in new if new[key] != old[key]]:
        changes = ", ".join(f"{key} (was {old[key]}, now {new[key]})" for key in keys)
        options = " ".join(f"--set {shlex.quote(f'{key}={_toml(old[key])}')}" for key in keys)
        raise ConfigError(
            f"{folder} was made with another configuration: {changes}; "
            f"resume with {options}, or choose another --out"
        )


def _contents(folder: Path) -> Literal["run", "pair", "other"] | None:
    """Return what ``folder`` holds; None if nothing hinders a new run there."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        return "other"
    if (folder / "config.toml").is_file():
        return "run"
    inner = [folder / name for name in PAIR]
    if any((path / "config.toml").is_file() for path in inner):
        return "pair"
    rest = [path for path in folder.iterdir() if path.name not in _LEFTOVERS]
    free = all(path in inner and _contents(path) is None for path in rest)
    return None if free else "other"


def _flat(config: RunConfig) -> dict[str, Any]:
    """Return ``{"table.key": value}`` of everything that determines the run; caps may change."""
    tables = config.model_dump(mode="json", exclude={"description", "budget", "logging"})
    return {f"{table}.{key}": value for table, t in tables.items() for key, value in t.items()}


def _toml(value: Any) -> str:
    """Return ``value`` as ``--set`` reads it; nothing for None, which takes the key out."""
    if value is None:
        return ""
    if isinstance(value, dict):
        pairs = (f"{key} = {_toml(v)}" for key, v in value.items() if v is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
