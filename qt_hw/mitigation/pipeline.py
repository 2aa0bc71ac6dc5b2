"""``mitigation=``: what a user asks for, read and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qt_hw.errors import InputError
from qt_hw.execution.checks import check_shots
from qt_hw.mitigation.calibration import Calibration
from qt_hw.mitigation.combination import Combination
from qt_hw.mitigation.techniques import Pec, Technique, technique

__all__ = ["CALIBRATION_SHOTS", "Mitigation"]

CALIBRATION_SHOTS = 8192
"""Shots of each calibration circuit; the error left by them is then below that of the vectors."""


@dataclass(frozen=True, kw_only=True)
class Mitigation:
    """Which techniques mitigate a measured vector, and with which calibration.

    Attributes:
        combination: The techniques; empty for ``auto`` until it has chosen.
        auto: Whether a calibration decides which techniques are used.
        calibration: One measured earlier; None measures what is needed, once.
        calibration_shots: Shots of each calibration circuit; None: 8,192, for ``auto`` at least as
            many as the vectors get, where circuits cost nothing.

    Raises:
        InputError: The techniques do not go together, or a number is wrong.
    """

    combination: Combination = field(default_factory=Combination)
    auto: bool = False
    calibration: Calibration | None = None
    calibration_shots: int | None = None

    def __post_init__(self) -> None:
        """Check the shots."""
        check_shots(self.calibration_shots)
        if not isinstance(self.calibration, Calibration | None):
            raise InputError(
                "Mitigation(calibration=…) takes a Calibration; for a file use "
                "Mitigation.of(…, calibration=PATH) or Calibration.load(PATH)"
            )

    @classmethod
    def of(
        cls,
        value: Any,
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        calibration: Calibration | str | Path | None = None,
        calibration_shots: int | None = None,
    ) -> Mitigation | None:
        """Return the mitigation that ``value`` asks for, None for none.

        Args:
            value: None or ``"none"``; ``"auto"``; a name or several (``"readout+zne"``, or a list
                of names and technique objects); or a ``Mitigation``.
            options: By the name of a technique.
            calibration: A calibration or its file.
            calibration_shots: See the class.

        Raises:
            UnknownName: No such technique or option.
            InputError: They do not go together.
            StorageError: The calibration cannot be read.

        >>> Mitigation.of(["zne", "readout"]).name
        'readout+zne'
        """
        given = dict(_checked(options))
        if isinstance(value, Mitigation):
            return value
        parts = _parts(value)
        names = [part for part in parts if isinstance(part, str)]
        if "none" in names or "auto" in names or not parts:
            if len(parts) > 1:
                alone = next(name for name in names if name in ("none", "auto"))
                raise InputError(f"mitigation {alone!r} goes alone, without other techniques")
            if given:
                raise InputError(f"mitigation: options of {next(iter(given))}, which is not used")
            if "auto" not in names:
                return None
        techniques = [
            technique(part, given.pop(part, None)) if isinstance(part, str) else part
            for part in parts
            if part != "auto"
        ]
        if given:
            raise InputError(f"mitigation: options of {next(iter(given))}, which is not used")
        known = calibration if isinstance(calibration, Calibration | None) else None
        return cls(
            combination=Combination(tuple(techniques)),
            auto="auto" in names,
            calibration=known if known is calibration else Calibration.load(str(calibration)),
            calibration_shots=calibration_shots,
        )

    @property
    def name(self) -> str:
        """``"auto"``, or the names of the techniques joined by +."""
        return "auto" if self.auto else self.combination.name

    def shots_of_calibration(self, shots: int | None, *, paid: bool) -> int:
        """Return the shots of each calibration circuit for vectors of ``shots``.

        A calibration with fewer shots than the vectors would blur the choice of ``auto``.
        """
        if self.calibration_shots is not None:
            return self.calibration_shots
        return max(CALIBRATION_SHOTS, shots or 0 if self.auto and not paid else 0)

    @property
    def options(self) -> dict[str, dict[str, Any]]:
        """The options of the techniques that differ from the default, by name; JSON-ready."""
        out = {}
        for one in self.combination.techniques:
            given, default = one.to_dict(), _default(one)
            changed = {k: v for k, v in given.items() if v != default.get(k, None)}
            if changed:
                out[one.name] = changed
        return out

    @property
    def differentiable(self) -> bool:
        """Whether gradients pass through it."""
        return self.auto or self.combination.differentiable

    def describe(self) -> dict[str, Any]:
        """Return names, options and shots, JSON-ready."""
        return {
            "name": self.name,
            "techniques": [one.to_dict() for one in self.combination.techniques],
            "calibration_shots": self.calibration_shots,
            "calibration_date": None if self.calibration is None else self.calibration.date,
        }


def _default(one: Technique) -> dict[str, Any]:
    """Return the options of a technique as it is by default; ``pec`` has no default noise."""
    return type(one)(noise=0.5).to_dict() if isinstance(one, Pec) else type(one)().to_dict()


def _checked(options: Any) -> Mapping[str, Mapping[str, Any]]:
    """Return the options of techniques, if they are a mapping of mappings."""
    known = {} if options is None else options
    if not isinstance(known, Mapping) or not all(isinstance(o, Mapping) for o in known.values()):
        raise InputError(
            f"mitigation: options map the name of a technique to its options, not {options!r}"
        )
    return known


def _parts(value: Any) -> list[str | Technique]:
    if value is None:
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.replace(",", "+").split("+")]
    if isinstance(value, Technique):
        return [value]
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        parts = list(value)
        if all(isinstance(part, str | Technique) for part in parts):
            return parts
    raise InputError(
        "mitigation is None, 'auto', a name such as 'readout', a list of names and techniques, or "
        f"a Mitigation, not {value!r}"
    )
