"""Readout correction of an evaluation: its calibration circuits, and what they correct.

Each factor of the circuit is calibrated on its own qubits, in the same submission, so that the
calibration is of the same hour as what it corrects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError
from qt_hw.execution.backend import Counts, Item, Prepared
from qt_hw.mitigation import Confusion, advice, construct, correct, estimate, project

__all__ = ["METHODS", "Corrected", "calibration_items", "checked_method", "corrected"]

Array = NDArray[np.float64]

METHODS = ("none", "readout")


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """What readout correction made of the measured vectors.

    Attributes:
        vectors: One probability vector for each factor, on the simplex.
        confusions: What was measured of the readout, one for each factor.
        advice: One line where the correction is expected to hurt at these shots, else None.
    """

    vectors: list[Array]
    confusions: list[Confusion]
    advice: str | None


def checked_method(method: str, calibration_shots: int | None, shots: int) -> int:
    """Return the shots of each calibration circuit; 0 without mitigation.

    Raises:
        InputError: There is no such method, or it has no calibration.
    """
    if method not in METHODS:
        raise InputError(
            f"mitigation {method!r} is not in this version; use --mitigation none or readout"
        )
    if method == "none":
        if calibration_shots is not None:
            raise InputError("--calibration-shots belongs to --mitigation readout")
        return 0
    wanted = shots if calibration_shots is None else calibration_shots
    if wanted < 1:
        raise InputError(f"--calibration-shots must be at least 1, not {wanted}")
    return wanted


def calibration_items(
    ansatz: Ansatz, prepare: Callable[[Ansatz], Prepared], shots: int
) -> list[Item]:
    """Return the two calibration circuits of each factor of ``ansatz``; none for 0 shots."""
    factors = ansatz.factors() if shots else ()
    first = len(ansatz.factors())
    return [
        item
        for number, factor in enumerate(factors)
        for item in construct(
            prepare(factor), shots, parts=(first + 2 * number, first + 2 * number + 1)
        )
    ]


def corrected(counts: Counts, n_factors: int, shots: int, date: str | None) -> Corrected:
    """Return the vectors of an evaluation with the errors of the readout taken out.

    Args:
        counts: The vectors of the factors, then the calibration circuits of each.
        n_factors: Number of factors.
        shots: Of each vector.
        date: Of the calibration, ISO 8601.

    Raises:
        InputError: The calibration says that a qubit's readout tells nothing.
    """
    vectors, confusions, lines = [], [], []
    for number in range(n_factors):
        zero, one = counts.arrays[n_factors + 2 * number : n_factors + 2 * number + 2]
        confusion = estimate(zero, one, date=date)
        raw = counts.frequencies(number)
        lines.append(advice(confusion, shots, raw))
        vectors.append(np.asarray(project(correct(raw, confusion)))[0])
        confusions.append(confusion)
    return Corrected(vectors=vectors, confusions=confusions, advice=_first(lines))


def _first(lines: Sequence[str | None]) -> str | None:
    return next((line for line in lines if line), None)
