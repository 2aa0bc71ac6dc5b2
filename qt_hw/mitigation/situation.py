"""What noise and shots do to a measured vector, as a forecast models it.

Gates let the signal decay, ``q_s − u ≈ f^s (p − u)`` at the noise scale s, with u uniform: f is
one number, but parts of the signal decay faster and others slower, by the residual ρ of a
``Decay``. The model has two equal parts, f ± ρ. Extrapolation works on both, rescaling by the
mean f leaves the difference. A ρ above 1 − f is no decay (coherent errors): that part stays as it
is at every scale. The readout then confuses q, and shots draw from the result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError
from qt_hw.execution.checks import check_shots
from qt_hw.mitigation.confusion import AnyConfusion, apply_axes
from qt_hw.mitigation.decay import Decay

__all__ = ["RESIDUAL", "Method", "Situation", "calibration_error"]

Array = NDArray[np.float64]

RESIDUAL = 0.4
"""Residual ρ in units of 1 − f where only f is known: rescaling was measured to remove 42 to 72 %
of the bias of depolarizing and thermal noise (shared facts on mitigation, sections 6 and 7)."""


@dataclass(frozen=True)
class Method:
    """What a combination of techniques does to the frequencies of its circuits.

    ``p = rescale?(R?(Σ_i w_i q_{s_i}))`` with R the readout correction, projected at the end.

    Attributes:
        name: Techniques joined by +.
        readout: Whether the readout is corrected.
        weights: w, of each circuit's frequencies.
        scales: s, of the noise of each circuit.
        shares: Of the shots that each circuit gets.
        rescale: Whether the decay is undone.
        twirled: Whether each circuit is spread over Pauli twirls.

    Raises:
        InputError: Not one weight, scale and share for each circuit, or shares that do not add
            up to 1.

    >>> Method("readout+zne", True, (1.5, -0.5), (1.0, 3.0), (0.75, 0.25)).noise_factor
    4.0
    """

    name: str
    readout: bool
    weights: tuple[float, ...] = (1.0,)
    scales: tuple[float, ...] = (1.0,)
    shares: tuple[float, ...] = (1.0,)
    rescale: bool = False
    twirled: bool = False

    def __post_init__(self) -> None:
        """Check that there is one of each for every circuit."""
        if not len(self.weights) == len(self.scales) == len(self.shares) > 0:
            raise InputError(
                f"method {self.name!r}: {len(self.weights)} weights, {len(self.scales)} scales and "
                f"{len(self.shares)} shares; pass one of each for every circuit"
            )
        if min(self.shares) <= 0 or abs(sum(self.shares) - 1.0) > 1e-6:
            raise InputError(
                f"method {self.name!r}: shares of the shots are positive and add up to 1, not "
                f"{list(self.shares)}"
            )

    @property
    def noise_factor(self) -> float:
        """Variance of the weighted sum, in units of one circuit with all shots: ``Σ w²/share``."""
        return sum(w**2 / share for w, share in zip(self.weights, self.shares, strict=True))

    @property
    def complexity(self) -> tuple[int, int]:
        """What the simpler of two methods has less of: circuits, then techniques."""
        return len(self.scales), 0 if self.name == "raw" else 1 + self.name.count("+")

    def at(self, value: Mapping[float, float]) -> float:
        """Return the weighted sum of a number that belongs to each scale."""
        return sum(w * value[s] for w, s in zip(self.weights, self.scales, strict=True))


@dataclass(frozen=True, eq=False)
class Situation:
    """A circuit, its noise and its shots.

    Attributes:
        ideal: Exact vectors ``(D,)`` or ``(B, D)``; a forecast is a mean over them.
        shots: Of one vector, over all its circuits; calibrations come on top.
        confusion: Of the readout; None: perfect, or unknown.
        decay: Of the signal by the gates, after readout correction; None: none, or unknown. One
            that is given, not measured, has the residual ``0.4 (1 − f)``.
        biases: Measured squared biases of methods by name, ``‖v − p‖²/‖p − u‖²``, which replace
            those of the model.

    Raises:
        InputError: The vectors are no distributions or not of the confusion's qubits, the decay
            is not in [0.05, 1], or ``shots`` is not a whole number of at least 1.
    """

    ideal: Array
    shots: int
    confusion: AnyConfusion | None = None
    decay: Decay | float | None = None
    biases: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check and copy."""
        ideal = np.atleast_2d(np.array(self.ideal, dtype=np.float64))
        outcomes = ideal.shape[-1]
        if ideal.ndim != 2 or not ideal.size or outcomes < 2 or outcomes & (outcomes - 1):
            raise InputError(f"exact vectors are (2**n,) or (B, 2**n), not {ideal.shape}")
        if not (ideal.min() > -1e-6 and np.allclose(ideal.sum(axis=1), 1.0, rtol=0, atol=1e-4)):
            raise InputError("exact vectors hold probabilities that add up to 1")
        ideal = ideal.clip(0.0)
        object.__setattr__(self, "ideal", ideal / ideal.sum(axis=1, keepdims=True))
        if self.confusion is not None and 2**self.confusion.n_qubits != outcomes:
            raise InputError(
                f"the confusion is of {self.confusion.n_qubits} qubits, the vectors have "
                f"{outcomes} outcomes: calibrate the qubits that the circuit measures"
            )
        if check_shots(self.shots) is None:
            raise InputError("exact probabilities have no forecast; pass a number of shots")
        object.__setattr__(self, "decay", _known(self.decay))

    @property
    def uniform(self) -> float:
        """u, one entry of the uniform vector."""
        return 1.0 / self.ideal.shape[-1]

    @cached_property
    def squares(self) -> Array:
        """S, ``‖p − u‖²`` of each vector, ``(B,)``."""
        return np.asarray(((self.ideal - self.uniform) ** 2).sum(axis=1))

    @property
    def signal(self) -> Decay:
        """What one run of the circuit leaves of the signal."""
        return _known(self.decay)

    def kept(self, scale: float) -> tuple[float, float]:
        """Return how much of p − u is left at a scale, and how much of the residual's direction.

        Both in units of ``‖p − u‖``; the direction is orthogonal to p − u.
        """
        f, rho = self.signal.value, self.signal.residual
        decaying = min(rho, 1.0 - f, f)
        slow, fast = (f + decaying) ** scale, (f - decaying) ** scale
        return (slow + fast) / 2, (slow - fast) / 2 + rho - decaying

    def gain(self, method: Method) -> float:
        """Return by what a method divides, 1 where it does not rescale.

        Without readout correction the decay that a calibration finds includes the readout.
        """
        if not method.rescale:
            return 1.0
        if method.readout or self.confusion is None:
            return self.signal.value
        centred = self.ideal - self.uniform
        law = self.uniform + self.signal.value * centred
        seen = self.seen(law) - self.uniform
        return float((seen * centred).sum() / max(self.squares.sum(), 1e-300))

    def mean(self, method: Method, direction: Array | float = 0.0) -> Array:
        """Return the vectors of infinitely many shots, not projected, ``(B, D)``.

        Args:
            method: What mitigates them.
            direction: Of the residual, ``(B, D)``, of the norms of p − u.
        """
        kept = {scale: self.kept(scale) for scale in method.scales}
        along = method.at({scale: one[0] for scale, one in kept.items()})
        across = method.at({scale: one[1] for scale, one in kept.items()})
        total, u = sum(method.weights), self.uniform
        v = total * u + along * (self.ideal - u) + across * direction
        if not method.readout:
            v = self.seen(v)
        return np.asarray(u + (v - u) / self.gain(method))

    def seen(self, p: Array) -> Array:
        """Return what the readout makes of vectors ``(…, D)``."""
        return p if self.confusion is None else apply_axes(p, self.confusion.matrices)


def calibration_error(confusion: AnyConfusion, squares: Array) -> float:
    """Return the expected ‖δp‖², ``δp = −A⁻¹ δA p``, of a calibration's own shots.

    A column a of a block of A, measured with M shots, has the covariance ``(diag(a) − a aᵀ)/M``.

    Args:
        confusion: As calibrated.
        squares: p² ``(2**n,)``, at least 0.
    """
    if confusion.shots is None:
        return 0.0
    out, low = 0.0, 1
    for matrix, inverse in zip(confusion.matrices, confusion.inverses, strict=True):
        weights = squares.reshape(-1, len(matrix), low).sum(axis=(0, 2))
        # tr(A⁻¹ diag(a) A⁻ᵀ) − ‖A⁻¹ a‖², where A⁻¹ a is a unit vector.
        out += float(weights @ ((inverse**2).sum(axis=0) @ matrix - 1.0))
        low *= len(matrix)
    return out / confusion.shots


def _known(decay: Decay | float | None) -> Decay:
    """Return a decay with the residual that is usual, where nobody measured it."""
    if decay is None:
        return Decay(value=1.0)
    given = decay if isinstance(decay, Decay) else Decay(value=float(decay))
    if given.n_circuits or given.residual:
        return given
    return dataclasses.replace(given, residual=RESIDUAL * (1.0 - given.value))
