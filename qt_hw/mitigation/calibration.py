"""What was measured of a device's errors: dated, saved, and used again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qt_hw.errors import InputError, StorageError
from qt_hw.execution.backend import Prepared
from qt_hw.mitigation.decay import Decay
from qt_hw.mitigation.readout import AnyConfusion, load_confusion
from qt_hw.storage import read_json, write_json

__all__ = ["MAX_AGE_HOURS", "Calibration", "CircuitCalibration", "qubits_of"]

MAX_AGE_HOURS = 24.0
"""Older calibrations of a device are warned of: devices are calibrated anew about daily."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CircuitCalibration:
    """What was measured for one circuit (one factor of the ansatz).

    Attributes:
        qubits: Physical qubits that it measures, empty where the backend names none.
        n_qubits: Number of measured qubits.
        confusion: Of their readout.
        decays: By what else is corrected: ``"raw"``, ``"readout"``, ``"readout+twirling"``, …
        biases: Squared bias of combinations of techniques, relative to ``‖p − u‖²``, by name.
        choice: The combination that ``auto`` took, by name; empty without it.
        reason: Why, in one line.
    """

    n_qubits: int
    qubits: tuple[int, ...] = ()
    confusion: AnyConfusion | None = None
    decays: Mapping[str, Decay] = field(default_factory=dict)
    biases: Mapping[str, float] = field(default_factory=dict)
    choice: str = ""
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        return {
            "n_qubits": self.n_qubits,
            "qubits": list(self.qubits),
            "confusion": None if self.confusion is None else self.confusion.to_dict(),
            "decays": {name: decay.to_dict() for name, decay in self.decays.items()},
            "biases": dict(self.biases),
            "choice": self.choice,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> CircuitCalibration:
        """Return what ``to_dict`` stored."""
        confusion = stored["confusion"]
        return cls(
            n_qubits=int(stored["n_qubits"]),
            qubits=tuple(int(q) for q in stored["qubits"]),
            confusion=None if confusion is None else load_confusion(confusion),
            decays={name: Decay.from_dict(one) for name, one in stored["decays"].items()},
            biases={name: float(value) for name, value in stored["biases"].items()},
            choice=str(stored["choice"]),
            reason=str(stored["reason"]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """A dated calibration of all circuits of an ansatz on one backend.

    Attributes:
        backend: Its name.
        date: When it was measured, ISO 8601.
        circuits: One for each factor of the ansatz.
        n_circuits: Circuits that were run for it.
        n_shots: Shots of all of them.
    """

    backend: str
    date: str
    circuits: tuple[CircuitCalibration, ...]
    n_circuits: int = 0
    n_shots: int = 0

    def check(self, backend: str, prepared: Sequence[Prepared]) -> None:
        """Check that this calibration is of the given circuits.

        Raises:
            InputError: It is of another device, of other qubits, or of other circuits.
        """
        if backend != self.backend:
            raise InputError(
                f"the calibration is of {self.backend}, the circuits run on {backend}: "
                "calibrate anew"
            )
        if len(prepared) != len(self.circuits):
            raise InputError(
                f"the calibration is of {len(self.circuits)} circuits, the ansatz has "
                f"{len(prepared)}: calibrate anew"
            )
        for one, circuit in zip(self.circuits, prepared, strict=True):
            n, qubits = circuit.form.n_qubits, qubits_of(circuit)
            if one.n_qubits != n or one.qubits != qubits:
                raise InputError(
                    f"the calibration is of {_named(one.n_qubits, one.qubits)}, the circuit "
                    f"measures {_named(n, qubits)}: calibrate anew"
                )

    def age_hours(self, now: datetime | None = None) -> float:
        """Return how many hours ago it was measured."""
        then = datetime.fromisoformat(self.date)
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        return ((now or datetime.now(UTC)) - then).total_seconds() / 3600.0

    def warning(self, now: datetime | None = None) -> str | None:
        """Return a line that says that it is old, None if it is not."""
        hours = self.age_hours(now)
        if hours <= MAX_AGE_HOURS:
            return None
        return (
            f"the calibration of {self.backend} is {hours:.0f} hours old: devices drift, calibrate "
            "anew"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything, JSON-ready; ``from_dict`` gives the same numbers back."""
        return {
            "format": 1,
            "backend": self.backend,
            "date": self.date,
            "n_circuits": self.n_circuits,
            "n_shots": self.n_shots,
            "circuits": [one.to_dict() for one in self.circuits],
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Calibration:
        """Return what ``to_dict`` stored.

        Raises:
            InputError: A field is missing or wrong.
        """
        try:
            return cls(
                backend=str(stored["backend"]),
                date=datetime.fromisoformat(stored["date"]).isoformat(),
                circuits=tuple(CircuitCalibration.from_dict(one) for one in stored["circuits"]),
                n_circuits=int(stored["n_circuits"]),
                n_shots=int(stored["n_shots"]),
            )
        except InputError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InputError("this is not a calibration: calibrate anew") from None

    def save(self, path: str | Path) -> None:
        """Write it as JSON.

        Raises:
            StorageError: The file cannot be written.
        """
        write_json(Path(path), self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Return what ``save`` wrote.

        Raises:
            StorageError: The file is missing or damaged.
        """
        try:
            return cls.from_dict(read_json(Path(path)))
        except InputError as error:
            raise StorageError(f"{path}: {error}") from None

    def __repr__(self) -> str:
        names = [json.dumps(sorted(one.decays)) for one in self.circuits]
        return f"Calibration(backend={self.backend!r}, date={self.date!r}, decays={names})"


def qubits_of(prepared: Prepared) -> tuple[int, ...]:
    """Return the physical qubits that a circuit measures, empty where its backend names none."""
    physical = (prepared.circuit.metadata or {}).get("physical_qubits", ())
    return tuple(int(q) for q in physical[: prepared.form.n_qubits])


def _named(n_qubits: int, qubits: tuple[int, ...]) -> str:
    return f"the qubits {list(qubits)}" if qubits else f"{n_qubits} qubits"
