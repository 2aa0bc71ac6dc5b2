"""Whether readout correction helps at a number of shots.

Correction trades a bias for noise: it removes ‖(A - 1)p‖ and amplifies the shot noise. Squared
Euclidean errors, expected: raw b² + V/N; corrected C + V'/N. The variances of one shot, summed
over outcomes, are V = 1 - ‖f‖² and V' = Σ_x f_x w_x - ‖A⁻¹f‖² with w the column sums of the
squared entries of A⁻¹; C is what the calibration's own shots leave, to first order. Both break
even at N* = (V' - V)/(b² - C). Vectors are compared as training uses them: not projected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qt_hw.errors import InputError
from qt_hw.execution.checks import check_shots
from qt_hw.mitigation.confusion import AnyConfusion, apply_axes
from qt_hw.mitigation.readout import correct
from qt_hw.mitigation.situation import calibration_error

__all__ = ["BreakEven", "advice", "break_even"]

Array = NDArray[np.float64]

#: Relative difference of two errors that counts as none.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """Expected squared Euclidean errors, means over the measured vectors.

    Attributes:
        bias: Of the raw vector, b².
        raw_noise: Variance of one shot, V.
        corrected_noise: The same after correction, V'.
        calibration: Of the corrected vector by the calibration's shot noise, C.
        shots: Of each vector, N.
    """

    bias: float
    raw_noise: float
    corrected_noise: float
    calibration: float
    shots: int

    @property
    def raw(self) -> float:
        """Expected error without correction, L2."""
        return math.sqrt(self.bias + self.raw_noise / self.shots)

    @property
    def corrected(self) -> float:
        """Expected error with correction, L2."""
        return math.sqrt(self.calibration + self.corrected_noise / self.shots)

    @property
    def break_even(self) -> float:
        """Shots from which correction pays; infinite where it never does."""
        gain, price = self.bias - self.calibration, self.corrected_noise - self.raw_noise
        if gain > 0:
            return max(price, 0.0) / gain
        return math.inf


def break_even(confusion: AnyConfusion, shots: int, p: ArrayLike) -> BreakEven:
    """Return the expected errors of measured vectors and of their correction.

    What noise adds to the squares is subtracted; at few shots the bias may come out as 0.

    Args:
        confusion: Of the qubits that were measured.
        shots: Shots of each vector.
        p: Measured frequencies, ``(2**n,)`` or ``(B, 2**n)``.

    Raises:
        InputError: See ``correct``; or ``shots`` is not a whole number of at least 1.
    """
    n_shots = check_shots(shots)
    if n_shots is None:
        raise InputError("exact probabilities have no break-even; pass a number of shots")
    f = np.atleast_2d(np.asarray(p, dtype=np.float64))
    inverses, scale = list(confusion.inverses), n_shots / max(n_shots - 1, 1)
    corrected = correct(f, confusion)
    # Of one shot, the second moments of each outcome's corrected entry, and of its change.
    second = apply_axes(f, [inverse**2 for inverse in inverses])
    diagonal = reduce(np.kron, [np.diag(inverse) for inverse in inverses[::-1]])
    variance = scale * (second - corrected**2)
    change_variance = scale * (f * (1 - 2 * diagonal) + second - (f - corrected) ** 2)
    squares = (corrected**2 - variance / n_shots).mean(axis=0)
    calibration = calibration_error(confusion, np.maximum(squares, 0.0))
    change = ((f - corrected) ** 2 - change_variance / n_shots).sum(axis=1).mean()
    return BreakEven(
        bias=max(float(change) - calibration, 0.0),
        raw_noise=float(scale * (1 - (f**2).sum(axis=1)).mean()),
        corrected_noise=float(variance.sum(axis=1).mean()),
        calibration=calibration,
        shots=n_shots,
    )


def advice(confusion: AnyConfusion, shots: int, p: ArrayLike) -> str | None:
    """Return a one-line warning where readout correction is expected to hurt, else None.

    Args:
        confusion: See ``break_even``.
        shots: See ``break_even``.
        p: See ``break_even``.

    Raises:
        InputError: See ``break_even``.
    """
    found = break_even(confusion, shots, p)
    if found.corrected <= found.raw * (1 + _ROUNDING):
        return None
    start = (
        f"readout correction is expected to hurt at {found.shots:,} shots: L2 error "
        f"{found.corrected:.2g} with it, {found.raw:.2g} without"
    )
    if math.isfinite(found.break_even):
        return f"{start}; it pays from about {math.ceil(found.break_even):,} shots"
    if found.bias and confusion.shots:
        least = math.ceil(confusion.shots * found.calibration / found.bias)
        return f"{start}; calibrate with more than {least:,} shots"
    return f"{start}; no bias shows above the noise: leave it off, or take more shots"
