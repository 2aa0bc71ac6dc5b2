"""Reference values that do not come from this package's engine, and statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from qt_hw.circuits.ansatz import Ansatz

__all__ = ["assert_sampled_from", "finite_difference", "ideal_law"]

Array = NDArray[np.float64]


def ideal_law(ansatz: Ansatz, angles: Array) -> Array:
    """Return the exact noiseless probabilities ``(B, 2**n)`` of ``(B, P)`` angles, by Qiskit."""
    from qiskit.quantum_info import Statevector

    circuit = ansatz.circuit()
    rows = [Statevector(circuit.assign_parameters(row)).probabilities() for row in angles]
    return np.array(rows)


def finite_difference(law: Callable[[Array], Array], angles: Array, cotangent: Array) -> Array:
    """Return ``d(cotangent · law)/d angles``, ``(P,)``, by central differences of order four.

    Args:
        law: From ``(B, P)`` angles to ``(B, 2**n)`` probabilities.
        angles: ``(P,)``, radians.
        cotangent: ``(2**n,)``.
    """
    step = 1e-3
    eye = step * np.eye(len(angles))
    near = (law(angles + eye) - law(angles - eye)) @ cotangent
    far = (law(angles + 2 * eye) - law(angles - 2 * eye)) @ cotangent
    return np.asarray((8 * near - far) / (12 * step))


def assert_sampled_from(counts: NDArray[Any], law: Array, sigmas: float = 6.0) -> None:
    """Check that counts ``(B, D)`` can have come from the laws ``(B, D)``.

    Every bin by Bernstein's bound, and the rows together by Pearson's chi-square over the bins
    in which at least 5 counts are expected; both at ``sigmas`` standard deviations.

    Raises:
        AssertionError: They cannot; names the worst bin.
    """
    shots = counts.sum(axis=1, keepdims=True)
    expected = shots * law
    variance = expected * (1 - law)
    excess = np.abs(counts - expected) - sigmas * np.sqrt(variance) - sigmas**2 / 3
    if excess.max() > 0:
        row, column = np.unravel_index(int(excess.argmax()), excess.shape)
        raise AssertionError(
            f"row {row}, outcome {column}: {counts[row, column]} counts of {shots[row, 0]}, "
            f"expected {expected[row, column]:.1f} ± {variance[row, column] ** 0.5:.1f}"
        )
    full = expected >= 5
    freedom = max(1, int(full.sum() - full.any(axis=1).sum()))
    squares = float(((counts - expected)[full] ** 2 / expected[full]).sum())
    # Wilson and Hilferty: the cube root of a chi-square is close to normal.
    spread = 2 / (9 * freedom)
    score = ((squares / freedom) ** (1 / 3) - (1 - spread)) / spread**0.5
    if score > sigmas:
        raise AssertionError(f"chi-square {squares:.1f} with {freedom} degrees of freedom")
