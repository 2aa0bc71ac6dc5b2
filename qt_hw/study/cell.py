"""One cell of a study: what is computed, and what its rows in the table say of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

from qt_hw.study.condition import Condition
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import config_from_dict

__all__ = ["Cell", "Kind"]

Kind = Literal["noiseless", "control", "train", "evaluate", "gradient", "approximation"]

#: Tables of a run that change nothing of its numbers.
_NOT_NUMBERS = ("description", "budget", "logging")

PERMUTED = "permuted"
"""The control that is measured on the trained twin instead of being trained."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is computed once, in a folder of its own.

    Attributes:
        kind: See ``Condition``.
        base: Preset or file that it starts from.
        config: The run, or the run that is evaluated, with the seeds of the cell.
        twin: Id of the noiseless cell that it is compared with; of the directly trained target
            for an approximation; empty if there is none.
        mitigation: Of an evaluation, whose run is trained without.
        calibration_shots: Of each calibration circuit; None: as ``prepared`` in
            ``qt_hw.study.measuring`` says.
        repeats: How often an evaluation or a gradient is measured.
        steps: Of an approximation's fit.
        control: ``"permuted"``; other controls are named in ``config``.
        width: Of the target's hidden layer, where that is varied.
    """

    kind: Kind
    base: str
    config: RunConfig
    twin: str = ""
    mitigation: str = "none"
    calibration_shots: int | None = None
    repeats: int = 1
    steps: int = 0
    control: str = ""
    width: int | None = None

    @property
    def seed(self) -> int:
        """Seed of data, initialisation and sampling."""
        return self.config.seeds.init

    @property
    def needs(self) -> tuple[str, ...]:
        """Ids of the cells that must be finished before."""
        after = self.kind in ("evaluate", "approximation") or self.control == PERMUTED
        return (self.twin,) if after else ()

    @property
    def condition(self) -> Condition:
        """What it is computed under, but for the seed."""
        config = self.config
        options = config.backend.options
        scale = options.get("noise_scale", 1.0)
        assert isinstance(scale, int | float)
        control = self.control or config.control.name
        return Condition(
            kind=self.kind,
            base=self.base,
            task=config.task.name,
            ansatz=config.ansatz.name,
            qubits=config.ansatz.n_qubits or sum(f.n_qubits for f in config.ansatz.factors or ()),
            layers=config.ansatz.n_layers or 0,
            width=self.width,
            backend=config.backend.name,
            noise=_noise(config),
            noise_scale=float(scale),
            shots=config.backend.shots,
            mitigation=self.mitigation if self.kind == "evaluate" else _method(config),
            gradient=config.gradient.method,
            control="" if control == "none" else control,
        )

    @cached_property
    def id(self) -> str:
        """Name of its folder; the same for whatever gives the same numbers."""
        values = self.to_dict()
        # Without defaults, so that an option of a later version changes no id.
        tables = self.config.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        config = {name: table for name, table in tables.items() if name not in _NOT_NUMBERS}
        text = json.dumps({**values, "config": config}, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        return f"{self.kind}-{self._slug()}-s{self.seed}-{digest}"

    def _slug(self) -> str:
        condition = self.condition
        shots = () if condition.shots is None else (str(condition.shots),)
        mitigation = () if condition.mitigation == "none" else (condition.mitigation,)
        noisy = (condition.backend, *shots, *mitigation)
        size = (f"{condition.ansatz}-{condition.qubits}x{condition.layers}",)
        parts = {
            "noiseless": size,
            "control": (condition.control,),
            "gradient": (*size, *shots),
            "approximation": (f"w{condition.width}",),
        }.get(self.kind, noisy)
        return re.sub(r"[^A-Za-z0-9_.+-]+", "_", "-".join(parts))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-ready."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "config"}
        config = self.config.model_dump(mode="json", exclude_none=True)
        return {**own, "config": config}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """Undo ``to_dict``.

        Raises:
            ConfigError: It is not a cell of this version.
        """
        return cls(**{**values, "config": config_from_dict(values["config"], "cell")})

    def to_json(self) -> str:
        """Return ``to_dict`` as text, for a worker."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Cell:
        """Undo ``to_json``."""
        return cls.from_dict(json.loads(text))


def _noise(config: RunConfig) -> str:
    """Return the noise as text; what comes as an option of the backend counts too."""
    options = config.backend.options
    given = [f"{key} {options[key]}" for key in ("noise", "calibration") if key in options]
    return config.backend.noise or ", ".join(given)


def _method(config: RunConfig) -> str:
    method = config.mitigation.method
    return method if isinstance(method, str) else "+".join(method)
