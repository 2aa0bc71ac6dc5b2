"""Parameter-shift rules with the fewest bindings.

Two terms for every angle whose generator has one gap (all rotations, phases and controlled
phases), four for a controlled rotation: Wierichs et al., Quantum 6, 677 (2022).
The rule holds for the probabilities, not for a loss of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qt_hw.circuits.form import Form

__all__ = ["ShiftRows", "shift_rows"]

_ROOT = math.sqrt(2.0)
_PLUS, _MINUS = (_ROOT + 1) / (4 * _ROOT), (_ROOT - 1) / (4 * _ROOT)

#: (shift, coefficient) of each rule, by its number of terms.
RULES: dict[int, tuple[tuple[float, float], ...]] = {
    0: (),
    2: ((math.pi / 2, 0.5), (-math.pi / 2, -0.5)),
    4: (
        (math.pi / 2, _PLUS),
        (-math.pi / 2, -_PLUS),
        (3 * math.pi / 2, -_MINUS),
        (-3 * math.pi / 2, _MINUS),
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class ShiftRows:
    """The shifted bindings of a gradient: row r shifts gate angle ``index[r]`` by ``shift[r]``.

    ``dp/da_i = Σ_r [index[r] = i] · coefficient[r] · p(row r)``; all arrays are ``(R,)``.
    """

    index: NDArray[np.int64]
    shift: NDArray[np.float64]
    coefficient: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.index)

    def bindings(self, base: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the shifted bindings ``(B·R, gate angles)`` of ``base`` ``(B, gate angles)``."""
        rows = np.repeat(base[:, None, :], len(self), axis=1)
        rows[:, np.arange(len(self)), self.index] += self.shift
        return rows.reshape(-1, base.shape[1])

    def contract(
        self, cotangent_dot_p: NDArray[np.float64], n_gate_angles: int
    ) -> NDArray[np.float64]:
        """Return ``dL/da``, ``(B, gate angles)``, of ``g·p(row)``, ``(B, R)``."""
        out = np.zeros((n_gate_angles, len(cotangent_dot_p)))
        np.add.at(out, self.index, (self.coefficient * cotangent_dot_p).T)
        return out.T


def shift_rows(
    form: Form, angles: NDArray[np.int64] | None = None, weight: float = 1.0
) -> ShiftRows:
    """Return the rows of one gradient.

    Args:
        form: The form to differentiate; dead angles have no rows.
        angles: Gate angles to take, default all.
        weight: Factor on every coefficient (a random subset is weighted by its inverse share).
    """
    chosen = np.arange(len(form.terms)) if angles is None else angles
    rows = [(int(i), s, c * weight) for i in chosen for s, c in RULES[int(form.terms[i])]]
    index, shift, coefficient = zip(*rows, strict=True) if rows else ((), (), ())
    return ShiftRows(
        index=np.array(index, dtype=np.int64),
        shift=np.array(shift, dtype=float),
        coefficient=np.array(coefficient, dtype=float),
    )
