"""What mitigation is expected to bring to an evaluation, before anything is paid for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import MitigationWarning
from qt_hw.execution.backend import Prepared
from qt_hw.hardware.evaluation import Evaluation
from qt_hw.mitigation.combination import Combination
from qt_hw.mitigation.expected import outlook

__all__ = ["Outlook", "foretell", "outlook_of"]

Array = NDArray[np.float64]
Prepare = Callable[[Ansatz], Prepared]


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What the errors that a backend gives of itself let expect of an evaluation.

    Attributes:
        mitigation: What is measured: the techniques, or what ``auto`` came to.
        chosen: Whether ``auto`` chose it.
        lines: What each technique would bring, a line each; empty where the backend says nothing
            of its errors.
        warnings: Where the mitigation is expected to hurt.
    """

    mitigation: str
    chosen: bool = False
    lines: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def text(self) -> list[str]:
        """All of it for a user."""
        chosen = [f"auto takes {self.mitigation}"] if self.chosen else []
        lines = list(self.lines) or [
            "no forecast of mitigation: the backend's properties say nothing of its errors"
        ]
        return [*chosen, *lines, *(f"warning: {line}" for line in self.warnings)]


def outlook_of(evaluation: Evaluation, ansatz: Ansatz, prepare: Prepare, angles: Array) -> Outlook:
    """Return what is expected of an evaluation.

    Args:
        evaluation: What is asked for, with what ``auto`` came to.
        ansatz: The circuit.
        prepare: Prepares a factor of it.
        angles: Radians, ``(P,)``.

    Raises:
        InputError: The readout that the backend describes cannot be corrected.
    """
    made = evaluation.made
    own = Combination() if made is None else made.combination
    given = own.readout is not None and not own.measures_readout
    calibrated = None if given else evaluation.calibration_shots or evaluation.shots
    lines, hurting, first = list[str](), list[str](), 0
    factors = ansatz.factors()
    for number, factor in enumerate(factors, start=1):
        where = f"circuit {number} of {len(factors)}: " if len(factors) > 1 else ""
        at = angles[first : first + factor.n_angles]
        first += factor.n_angles
        known, warning = outlook(own, factor, prepare(factor), at, evaluation.shots, calibrated)
        lines += [f"{where}{line}" for line in known]
        if own.bound is not None and known:
            lines.append(f"{where}{own.name}: there is no forecast of {own.bound.name}")
        if warning is not None:
            hurting.append(f"{where}{warning}")
    return Outlook(
        mitigation="none" if made is None else own.name,
        chosen=bool(evaluation.chosen),
        lines=tuple(lines),
        warnings=tuple(hurting),
    )


def foretell(
    evaluation: Evaluation,
    ansatz: Ansatz,
    prepare: Prepare,
    angles: Array,
    say: Callable[[str], None],
) -> None:
    """Say what ``auto`` came to, and warn of mitigation that is expected to hurt.

    Args:
        evaluation: See ``outlook_of``, as the next three.
        ansatz: The circuit.
        prepare: Prepares a factor of it.
        angles: Radians, ``(P,)``.
        say: Told in one line what a user should know.
    """
    seen = outlook_of(evaluation, ansatz, prepare, angles)
    if seen.chosen:
        say(f"mitigation auto takes {seen.mitigation}")
    for line in seen.warnings:
        warnings.warn(line, MitigationWarning, stacklevel=4)
