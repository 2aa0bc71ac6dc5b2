"""What a cell of a study was made under: all but its seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from qt_hw.tasks import Metric, headline_of

__all__ = ["Condition", "condition_of"]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """The columns of the table that say under what a figure was obtained.

    Attributes:
        kind: ``noiseless``, ``control``, ``train``, ``evaluate``, ``gradient``, ``approximation``.
        base: Preset or file that the cell starts from.
        task: Name of the task.
        ansatz: Name of the circuit.
        qubits: Its qubits.
        layers: Its layers.
        width: Of the target's hidden layer, where that is varied.
        backend: Name of the backend.
        noise: Its noise, as text; empty for the backend's own or none.
        noise_scale: Factor on all error rates.
        shots: Of each circuit; None: exact.
        mitigation: As in ``[mitigation] method``.
        gradient: As in ``[gradient] method``.
        control: Name of the control; empty for the quantum generator.
    """

    kind: str
    base: str = ""
    task: str = ""
    ansatz: str = ""
    qubits: int = 0
    layers: int = 0
    width: int | None = None
    backend: str = ""
    noise: str = ""
    noise_scale: float = 1.0
    shots: int | None = None
    mitigation: str = "none"
    gradient: str = "auto"
    control: str = ""

    @property
    def metric(self) -> Metric:
        """The headline metric of its task."""
        return headline_of(self.task)

    @property
    def where(self) -> str:
        """Backend, noise and mitigation in a few words.

        >>> Condition(kind="train", backend="aer", shots=64).where
        'aer, ideal'
        """
        parts = [self.backend]
        if self.noise:
            parts.append(self.noise)
        elif self.backend in ("aer", "statevector", "braket:local"):
            parts.append("ideal")
        if self.noise_scale != 1.0:
            parts.append(f"noise x {self.noise_scale:g}")
        if self.mitigation != "none":
            parts.append(self.mitigation)
        if self.gradient != "auto":
            parts.append(self.gradient)
        return ", ".join(parts)

    @property
    def label(self) -> str:
        """A name for tables and legends, with the shots.

        >>> Condition(kind="control", control="uniform").label
        'control: uniform'
        >>> Condition(kind="evaluate", backend="aer:fake_torino", shots=4096).label
        'evaluated on aer:fake_torino, 4,096 shots'
        """
        size = f"{self.ansatz}({self.qubits}, {self.layers})"
        if self.kind == "control":
            width = "" if self.width is None else f", {self.width} wide"
            return f"control: {self.control}{width}"
        if self.kind == "approximation":
            return f"approximation by {size}, {self.width} wide"
        if self.kind == "noiseless":
            return "noiseless" if self.gradient == "auto" else f"noiseless, {self.gradient}"
        verb = {"train": "trained on", "evaluate": "evaluated on"}.get(self.kind, self.kind)
        shots = "exact" if self.shots is None else f"{self.shots:,} shots"
        if self.kind == "gradient":
            return f"gradient of {size} on {self.where}, {shots}"
        return f"{verb} {self.where}, {shots}"

    def without(self, *names: str) -> Condition:
        """Return the condition with some fields back at their defaults."""
        defaults: dict[str, Any] = {f.name: f.default for f in fields(self)}
        return replace(self, **{name: defaults[name] for name in names})


def condition_of(row: Mapping[str, Any]) -> Condition:
    """Return the condition of a row of the table."""
    return Condition(**{f.name: row[f.name] for f in fields(Condition)})
