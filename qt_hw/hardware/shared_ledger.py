"""The paid jobs of a study: one journal in its folder for the runs of all its cells."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from qt_hw.errors import InputError, StorageError
from qt_hw.execution.journal import RequestRow
from qt_hw.storage import read_json, write_text
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import config_from_dict, load_config
from qt_hw.training.paid import Ledger

__all__ = [
    "caps_in",
    "cell_folder",
    "cell_ledger",
    "cell_source",
    "is_study",
    "raise_caps_in",
    "refuse_study",
]


def is_study(folder: Path) -> bool:
    """Whether ``folder`` is a study's."""
    return (folder / "study.json").is_file()


def refuse_study(folder: Path) -> None:
    """Refuse a command that goes on with single runs.

    Raises:
        InputError: ``folder`` is a study's.
    """
    if is_study(folder):
        raise InputError(f"{folder} is a study; go on with: qt-hw study {folder}")


def cell_folder(study: Path, request: RequestRow) -> Path:
    """Return the run folder that a request belongs to."""
    return study / "cells" / _cell(request)


def cell_ledger(journal: Path, request: RequestRow) -> Ledger:
    """Return the study's journal as that of the request's run."""
    return Ledger(journal=journal, run=_cell(request))


def cell_source(study: Path, request: RequestRow) -> tuple[RunConfig, Mapping[str, Any] | None]:
    """Return configuration (with the study's caps) and rehearsal behind a request.

    Raises:
        StorageError: A file of the study is missing or damaged.
    """
    path = cell_folder(study, request) / "config.toml"
    if not path.is_file():
        raise StorageError(f"{path} is missing; qt-hw study {study} writes it anew")
    tables = load_config(path).model_dump(mode="json", exclude_none=True)
    tables["budget"] = caps_in(study)
    rehearsal = read_json(study / "study.json").get("rehearsal")
    return config_from_dict(tables, str(path)), rehearsal


def caps_in(study: Path) -> dict[str, float]:
    """Return the caps of a study, by their names.

    Raises:
        StorageError: ``study.toml`` cannot be read.
    """
    found: dict[str, float] = _tables(study).get("budget", {})
    return found


def raise_caps_in(study: Path, caps: Mapping[str, float]) -> None:
    """Record new caps of a study; those that are not given stay."""
    tables = _tables(study)
    tables["budget"] = {**tables.get("budget", {}), **caps}
    write_text(study / "study.toml", tomli_w.dumps(tables))


def _tables(study: Path) -> dict[str, Any]:
    path = study / "study.toml"
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}") from None


def _cell(request: RequestRow) -> str:
    """Return the part of the run's identity after the journal's own (see ``Ledger.identity``)."""
    return request.run.partition("/")[2]
