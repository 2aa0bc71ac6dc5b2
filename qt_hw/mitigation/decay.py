"""The decay of a signal by noise: one number f for all components of a vector.

``q − u = f (p − u)`` with p the ideal vector, q the noisy one and u the uniform one: what global
depolarizing noise does exactly, and other incoherent noise nearly (Vovrosh et al., Phys. Rev. E
104, 035309).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qt_hw.errors import InputError
from qt_hw.mitigation.readout import Vectors

__all__ = ["LEAST", "Decay", "from_folds", "from_known", "undo"]

Array = NDArray[np.float64]

LEAST = 0.05
"""Below this part of the signal, rescaling makes noise twenty times as large: there is no use."""


@dataclass(frozen=True, kw_only=True)
class Decay:
    """How much of the signal is left.

    Attributes:
        value: f, between 0.05 and 1.
        standard_error: Of f, by the shots and the choice of circuits.
        spread: Standard deviation of f from circuit to circuit, shot noise taken out.
        residual: What f leaves, ``‖(q − u) − f (p − u)‖ / ‖p − u‖`` over all circuits, shot noise
            taken out.
        n_circuits: Circuits behind it; 0 where f is given.

    Raises:
        InputError: f is outside its range.
    """

    value: float
    standard_error: float = 0.0
    spread: float = 0.0
    residual: float = 0.0
    n_circuits: int = 0

    def __post_init__(self) -> None:
        """Check f."""
        _check(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, JSON-ready; ``from_dict`` gives the same numbers back."""
        return {
            "value": self.value,
            "standard_error": self.standard_error,
            "spread": self.spread,
            "residual": self.residual,
            "n_circuits": self.n_circuits,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Decay:
        """Return what ``to_dict`` stored.

        Raises:
            InputError: A field is missing or wrong.
        """
        try:
            return cls(**{name: stored[name] for name in cls.__dataclass_fields__})
        except (KeyError, TypeError):
            raise InputError(
                "a stored decay needs the fields "
                f"{', '.join(cls.__dataclass_fields__)}; calibrate anew"
            ) from None


def from_known(measured: ArrayLike, ideal: ArrayLike, variances: ArrayLike) -> Decay:
    """Return f by regression of measured vectors on their exact ones.

    Args:
        measured: Readout-corrected, not projected, ``(K, 2**n)``.
        ideal: The exact vectors, ``(K, 2**n)``.
        variances: Summed variances of the measured vectors by their shots, ``(K,)``.

    Raises:
        InputError: The exact vectors are all uniform, or nothing of the signal is left.
    """
    a, p, noise = _centred(measured), _centred(ideal), np.asarray(variances, dtype=np.float64)
    signal = (p**2).sum(axis=1)
    if signal.sum() < 1e-12:
        raise InputError("the exact vectors of the calibration are uniform: no decay shows in them")
    f = float((a * p).sum() / signal.sum())
    floor = np.maximum(signal, 1e-150)  # its square is still a number
    each = (a * p).sum(axis=1) / floor
    own = _along(p, a, noise) / floor**2
    k = len(a)
    # By their signal: circuits with a nearly uniform vector say nothing about their own f.
    weights = signal / signal.sum()
    several = 1.0 - float((weights**2).sum())
    apart = float((weights * (each - f) ** 2).sum() - (weights * (1.0 - weights) * own).sum())
    spread = float(np.sqrt(max(0.0, apart) / several)) if several > 1e-9 else 0.0
    left = ((a - f * p) ** 2).sum() - noise.sum()
    error = np.sqrt(((weights * (each - f)) ** 2).sum() * k / (k - 1)) if k > 1 else 0.0
    return Decay(
        value=_value(f),
        standard_error=float(error) if k > 1 else float(np.sqrt(own[0])),
        spread=spread,
        residual=float(np.sqrt(max(0.0, left) / signal.sum())),
        n_circuits=k,
    )


def from_folds(a: ArrayLike, b: ArrayLike, scale: float, variances: ArrayLike) -> Decay:
    """Return f from vectors and those of the same circuits with ``scale`` times the noise.

    ``f^(scale − 1) = Σ a·b / (Σ |a|² − variance)``: without the last term f comes out too small.

    Args:
        a: Vectors, readout-corrected and not projected, ``(K, 2**n)``.
        b: Those of the folded circuits.
        scale: Noise scale of b relative to a.
        variances: Summed variances of a by its shots, ``(K,)``.

    Raises:
        InputError: No signal shows above the shot noise.
    """
    if not scale > 1.0:
        raise InputError(f"the folded circuits need more noise than the others, not {scale} times")
    x, y, noise = _centred(a), _centred(b), np.asarray(variances, dtype=np.float64)
    products, squares = (x * y).sum(axis=1), (x**2).sum(axis=1) - noise
    if squares.sum() <= 0:
        raise InputError(
            "no signal shows above the shot noise, so its decay cannot be found: take more shots, "
            "or leave rescale off"
        )
    ratio = float(products.sum() / squares.sum())
    k, power = len(x), 1.0 / (scale - 1.0)
    f = _value(max(ratio, 0.0) ** power)
    residuals = products - ratio * squares
    error = float(np.sqrt((residuals**2).sum() * k / max(k - 1, 1))) / float(squares.sum())
    if k == 1:  # No other circuit to compare with: the shots alone, as above.
        error = float(np.sqrt(_along(x, y, noise) + ratio**2 * _along(x, x, noise))[0])
        error /= float(squares[0])
    # To first order a deviation grows as s f^(s-1): between a and b by (s - 1) f^(s-1).
    left = ((y - ratio * x) ** 2).sum() - (1.0 + ratio**2) * noise.sum()
    return Decay(
        value=f,
        standard_error=error * power * f / max(ratio, 1e-12),
        residual=f * power / max(ratio, 1e-12) * float(np.sqrt(max(0.0, left) / squares.sum())),
        n_circuits=k,
    )


def undo(p: Vectors, decay: float) -> Vectors:
    """Return ``u + (p − u) / f``.

    Args:
        p: Vectors ``(…, 2**n)``, numpy or torch; gradients pass through tensors.
        decay: f.

    Raises:
        InputError: f is outside its range.

    >>> undo(np.array([0.7, 0.3]), 0.8).round(6).tolist()
    [0.75, 0.25]
    """
    _check(decay)
    u = 1.0 / p.shape[-1]
    return u + (p - u) / decay


def _centred(vectors: ArrayLike) -> Array:
    array = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    return array - 1.0 / array.shape[-1]


def _along(directions: Array, centred: Array, noise: Array) -> Array:
    """Return the variance of ``directions · v``, of vectors v by shots, ``(K,)``.

    That of multinomial shots, in the ratio that it has to their summed variance.
    """
    laws = np.clip(centred + 1.0 / centred.shape[1], 0.0, None)
    laws /= laws.sum(axis=1, keepdims=True)
    means = (laws * directions).sum(axis=1, keepdims=True)
    along = (laws * (directions - means) ** 2).sum(axis=1)
    return np.asarray(noise * along / np.maximum(1.0 - (laws**2).sum(axis=1), 1e-12))


def _value(f: float) -> float:
    """Return f, at most 1: noise above it is shot noise."""
    _check(min(f, 1.0))
    return min(f, 1.0)


def _check(f: float) -> None:
    if not LEAST <= f <= 1.0:
        raise InputError(
            f"a decay of {f:.3g}: it must lie between {LEAST:g} (nothing of the signal is left: "
            "use a shallower circuit, or more shots) and 1 (no noise)"
        )
