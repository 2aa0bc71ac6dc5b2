"""The folder of a study: what belongs to it, and where each cell stands."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from qt_hw.errors import ConfigError, InputError, StorageError, UnknownName
from qt_hw.execution.journal import Journal
from qt_hw.storage import now, read_json, write_json, write_text
from qt_hw.study.cell import Cell
from qt_hw.study.config import StudyConfig
from qt_hw.study.grid import cells_of, read_bases
from qt_hw.study.loading import load_study, study_to_toml
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import config_from_dict, load_config
from qt_hw.training.provenance import run_key, versions

__all__ = ["Failure", "State", "StudyFolder"]

State = Literal["open", "done", "failed", "unreadable"]

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a cell has no result.

    Attributes:
        cell: Its id.
        error: What went wrong, in one line.
        kind: Class of the error.
    """

    cell: str
    error: str
    kind: str


class StudyFolder:
    """A study on the disk.

    ``study.toml`` and ``study.json`` say what it is, ``cells`` holds a folder for each cell with
    its ``cell.json`` once it is finished, ``errors`` a file for each that failed, and
    ``journal.sqlite`` the paid jobs of all.
    """

    def __init__(self, path: Path) -> None:
        """Use ``path``, which need not exist."""
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether there is a study in it."""
        return (self.path / "study.json").exists()

    def changed_bases(self, study: StudyConfig) -> list[str]:
        """Return the bases whose file or preset is not any more what the study began with."""
        stored, changed = self.bases, []
        for name in study.base:
            try:
                now_there = load_config(name, study.set)
            except (ConfigError, UnknownName):  # it is gone, which hinders nothing
                continue
            if run_key(now_there) != run_key(stored[name]):
                changed.append(name)
        return changed

    @property
    def begun(self) -> bool:
        """Whether cells were computed or jobs sent."""
        return (self.path / "cells").exists() or self.ledger.exists()

    def create(
        self, study: StudyConfig, name: str, rehearsal: Mapping[str, Any] | None = None
    ) -> None:
        """Make the folder of a new study, or change what an old one consists of.

        Its bases are kept as they are now, so that later changes of a file or a preset do not
        change the study.

        Raises:
            InputError: The folder holds something else.
            ConfigError: A base is wrong.
        """
        if not self.exists and self.path.exists() and not self._is_free():
            raise InputError(f"{self.path} is not a study; choose another --out")
        old = self.about if self.exists and self.begun else {}
        bases = self.bases if old else read_bases(study)
        cells_of(study, bases)  # what makes no sense shows before anything is written
        about = {
            "format": _FORMAT,
            "id": old.get("id", uuid4().hex),
            "name": old.get("name", name),
            "created": old.get("created", now()),
            "command": old.get("command", shlex.join(["qt-hw", *sys.argv[1:]])),
            "rehearsal": old.get("rehearsal", None if rehearsal is None else dict(rehearsal)),
            "versions": _both(old.get("versions", {}), versions()),
            "bases": {
                base: config.model_dump(mode="json", exclude_none=True)
                for base, config in bases.items()
            },
        }
        write_text(self.path / "study.toml", study_to_toml(study))
        write_json(self.path / "study.json", about)
        for name in ("about", "config", "cells"):
            self.__dict__.pop(name, None)

    def _is_free(self) -> bool:
        """Whether nothing is in the folder but what a killed ``create`` may have left."""
        left = {".lock", "study.toml", "study.toml.tmp", "study.json.tmp"}
        return self.path.is_dir() and all(entry.name in left for entry in self.path.iterdir())

    @cached_property
    def about(self) -> dict[str, Any]:
        """What ``study.json`` says.

        Raises:
            StorageError: It is missing or damaged, or of another version.
        """
        path = self.path / "study.json"
        if not path.exists():
            raise StorageError(f"{self.path} is not a study: it has no study.json")
        about = read_json(path)
        if not isinstance(about, dict) or about.get("format") != _FORMAT:
            raise StorageError(f"{path} is damaged, or of another version of qt-hw")
        return about

    @cached_property
    def config(self) -> StudyConfig:
        """What ``study.toml`` says.

        Raises:
            StorageError: There is no study.
            ConfigError: It is damaged; the message names the key.
        """
        assert self.about
        return load_study(self.path / "study.toml")

    @property
    def bases(self) -> dict[str, RunConfig]:
        """The bases as they were when the study began."""
        return {
            name: config_from_dict(tables, f"{self.path / 'study.json'}: {name}")
            for name, tables in self.about["bases"].items()
        }

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of the study, those that others need first."""
        return cells_of(self.config, self.bases)

    @property
    def rehearsal(self) -> dict[str, Any] | None:
        """Options of the rehearsal that it is, None for a real study."""
        found: dict[str, Any] | None = self.about["rehearsal"]
        return found

    @property
    def home(self) -> Path:
        """Where the paid jobs are recorded."""
        return self.path if self.rehearsal is None else self.path / "rehearsal"

    @property
    def ledger(self) -> Path:
        """The journal of the paid jobs of all cells."""
        return self.home / "journal.sqlite"

    def cell_folder(self, id: str) -> Path:
        """Return where a cell's files are."""
        return self.path / "cells" / id

    def state(self, id: str) -> State:
        """Return where a cell stands."""
        folder = self.cell_folder(id)
        try:
            if (folder / "cell.json").exists():
                self.result(id)
                return "done"
            if folder.exists() and not folder.is_dir():
                return "unreadable"
        except (StorageError, OSError):
            return "unreadable"
        return "failed" if (self.path / "errors" / f"{id}.json").exists() else "open"

    def result(self, id: str) -> dict[str, Any]:
        """Return what a finished cell came to.

        Raises:
            StorageError: Its file cannot be read, or is damaged.
        """
        path = self.cell_folder(id) / "cell.json"
        found = read_json(path)
        if not isinstance(found, dict) or not _is_whole(found):
            raise StorageError(f"{path} is damaged; delete it, then --resume computes it anew")
        return found

    def record_failure(self, id: str, error: str, kind: str, details: str = "") -> None:
        """Write down why a cell failed."""
        body = {"cell": id, "error": error, "kind": kind, "details": details, "time": now()}
        write_json(self.path / "errors" / f"{id}.json", body)

    def forget_failure(self, id: str) -> None:
        """Remove what was written down of an earlier failure."""
        (self.path / "errors" / f"{id}.json").unlink(missing_ok=True)

    def failures(self) -> list[Failure]:
        """Return why cells have no result, in the study's order; unreadable ones included."""
        found = []
        for cell in self.cells:
            state = self.state(cell.id)
            if state == "unreadable":
                own = self.cell_folder(cell.id)
                text = f"{own} cannot be read; --resume computes it anew"
                if own.exists() and not own.is_dir():
                    text = f"{own} is not a folder; move it away, then --resume"
                found.append(Failure(cell=cell.id, error=text, kind="StorageError"))
            elif state == "failed":
                found.append(self._failure(cell.id))
        return found

    def _failure(self, id: str) -> Failure:
        try:
            body = read_json(self.path / "errors" / f"{id}.json")
            return Failure(cell=id, error=str(body["error"]), kind=str(body["kind"]))
        except (StorageError, KeyError, TypeError):
            return Failure(cell=id, error="its error cannot be read", kind="StorageError")

    def check_same(self, study: StudyConfig) -> None:
        """Refuse to go on with a study that is another one.

        More seeds, shots or blocks are no other study: their cells are added.

        Raises:
            ConfigError: A base or what is changed in it differs, or cells that were begun are not
                in the study any more.
        """
        old, new = self.config, study
        if (old.base, old.set) != (new.base, new.set):
            raise ConfigError(
                f"{self.path} holds a study of {', '.join(old.base)} "
                f"(set = {json.dumps(list(old.set))}); choose another --out"
            )
        kept = {cell.id for cell in cells_of(new, self.bases)}
        if lost := [id for id in self._begun_cells() if id not in kept]:
            raise ConfigError(
                f"{self.path} holds {len(lost)} cells that this study has not (first: {lost[0]}); "
                "keep its seeds, controls and blocks, or choose another --out"
            )

    def _begun_cells(self) -> list[str]:
        """Return the cells of the present study that have a folder or jobs."""
        asked = self.asked()
        return [c.id for c in self.cells if self.cell_folder(c.id).exists() or c.id in asked]

    def asked(self) -> set[str]:
        """Return the cells of which the ledger holds requests."""
        if not self.ledger.exists():
            return set()
        with Journal(self.ledger) as journal:
            return {request.run.partition("/")[2] for request in journal.requests()}


def _is_whole(found: Mapping[str, Any]) -> bool:
    """Return whether a finished cell's file has all that a report asks of it."""
    values, about = found.get("values"), (found.get("cell"), found.get("backend"))
    if not isinstance(values, dict) or not all(isinstance(one, dict) for one in about):
        return False
    pairs = [pair if isinstance(pair, list) else [] for pair in values.values()]
    return all(
        len(pair) == 2 and all(isinstance(one, int | float) for one in pair) for pair in pairs
    )


def _both(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Return versions; those that changed since an earlier call, one after the other."""
    return {name: _then(old.get(name, version), version) for name, version in new.items()}


def _then(old: str, new: str) -> str:
    return old if old.rpartition(", then ")[2] == new else f"{old}, then {new}"
