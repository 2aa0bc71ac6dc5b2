"""The record of an evaluation on hardware: written before anything is sent, found again by all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import StorageError
from qt_hw.hardware.home import Home
from qt_hw.mitigation.pipeline import Mitigation
from qt_hw.storage import read_json, write_json
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import config_from_dict

__all__ = ["Evaluation", "angles_digest", "load", "next_number", "records", "save"]

_NAME = re.compile(r"(\d{3,})\.json")

#: What makes two evaluations ask for the same thing.
_SAME = (
    "backend",
    "options",
    "account",
    "shots",
    "mitigation",
    "mitigation_options",
    "calibration_shots",
    "source",
    "angles_sha256",
)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A run's circuit, measured once on a device.

    Attributes:
        number: Counts the evaluations of a home from 1.
        backend: Name of the backend.
        options: Of the backend.
        account: Bucket, region or instance; no secrets.
        shots: Of each circuit.
        mitigation: ``"none"``, ``"auto"``, or techniques joined by +.
        mitigation_options: Of the techniques, by their names.
        calibration_shots: Of each calibration circuit; 0 without mitigation.
        chosen: What ``auto`` came to.
        stored: How the vector of each factor is combined (``qt_hw.hardware.mitigated.Stored``).
        max_usd: Cap on everything in the home's journal; so ``max_qpu_seconds``.
        rehearsal: Options of the rehearsal; None: for real.
        source: Key of the run's configuration.
        angles_sha256: Of the trained angles.
        request: Id of the request in the journal.
        created: ISO 8601.
        refused: Why nothing was sent, after which it is over; empty otherwise.
    """

    number: int = 0
    backend: str
    options: Mapping[str, Any] = field(default_factory=dict)
    account: Mapping[str, Any] = field(default_factory=dict)
    shots: int
    mitigation: str = "none"
    mitigation_options: Mapping[str, Any] = field(default_factory=dict)
    calibration_shots: int = 0
    chosen: str = ""
    stored: Sequence[Mapping[str, Any]] = ()
    max_usd: float | None = None
    max_qpu_seconds: float | None = None
    rehearsal: Mapping[str, Any] | None = None
    source: str = ""
    angles_sha256: str = ""
    request: str = ""
    created: str = ""
    refused: str = ""

    @property
    def made(self) -> Mitigation | None:
        """The mitigation; what ``auto`` came to, where that is known."""
        return Mitigation.of(
            self.chosen or self.mitigation,
            options=self.mitigation_options,
            calibration_shots=self.calibration_shots or None,
        )

    @property
    def label(self) -> str:
        """What a user sees of it."""
        return f"evaluation {self.number}"

    @property
    def step(self) -> int:
        """Its place in tokens, where a training has its steps: these count downwards."""
        return -self.number

    @property
    def scope(self) -> str:
        """What its circuits are prepared for: no two evaluations share a calibration by chance."""
        asked = [self.options, self.account, self.created]
        return f"{self.label} {json.dumps(asked, sort_keys=True)}"

    def same(self, other: Evaluation) -> bool:
        """Whether both ask for the same thing."""
        return all(getattr(self, name) == getattr(other, name) for name in _SAME)

    def config(self, run: RunConfig) -> RunConfig:
        """Return the run's configuration with this backend, account and cap.

        Raises:
            ConfigError: A value is wrong; the message names the key.
        """
        tables = run.model_dump(mode="json", exclude_none=True)
        tables["backend"] = {
            "name": self.backend,
            "shots": self.shots,
            "options": dict(self.options),
        }
        tables["account"] = {k: v for k, v in self.account.items() if v is not None}
        caps = {"max_usd": self.max_usd, "max_qpu_seconds": self.max_qpu_seconds}
        tables["budget"] = {k: v for k, v in caps.items() if v is not None}
        return config_from_dict(tables, "evaluation")

    def folder(self, home: Home) -> Path:
        """Return where its results go."""
        return home.path / "evaluations" / f"{self.number:03d}"

    def finished(self, home: Home) -> bool:
        """Whether its results are written."""
        return (self.folder(home) / "result.json").exists()


def angles_digest(angles: NDArray[np.float64]) -> str:
    """Return the sha256 of angles, radians, ``(P,)``."""
    return hashlib.sha256(np.ascontiguousarray(angles, dtype="<f8").tobytes()).hexdigest()


def save(home: Home, evaluation: Evaluation) -> None:
    """Write the record; it is on the disk when this returns."""
    write_json(_path(home, evaluation.number), dataclasses.asdict(evaluation))


def load(home: Home, number: int) -> Evaluation:
    """Return the record of evaluation ``number``.

    Raises:
        StorageError: It is missing or damaged.
    """
    path = _path(home, number)
    try:
        return Evaluation(**read_json(path))
    except TypeError as error:
        raise StorageError(f"{path} is damaged ({error}); put a copy of it back") from None


def records(home: Home) -> list[Evaluation]:
    """Return all evaluations of a home, oldest first.

    Raises:
        StorageError: A record is damaged.
    """
    found = (_NAME.fullmatch(path.name) for path in (home.path / "evaluations").glob("*.json"))
    return [load(home, number) for number in sorted(int(match[1]) for match in found if match)]


def next_number(home: Home) -> int:
    """Return a number that no evaluation has, nor any request of one whose record is lost."""
    used = [evaluation.number for evaluation in records(home)]
    if home.journal.exists():
        used += [-request.step for request, _ in home.requests() if request.step < 0]
    return max(used, default=0) + 1


def _path(home: Home, number: int) -> Path:
    return home.path / "evaluations" / f"{number:03d}.json"
