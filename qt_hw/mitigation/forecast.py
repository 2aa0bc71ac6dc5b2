"""The error that mitigation will have, before anything is spent.

Two numbers for each method. The L2 error without projection is analytic: ``√(b² + V/N)`` with the
bias b of infinitely many shots and the summed variance V of one shot; two methods break even at
``N* = (V_a − V_b)/(b_b² − b_a²)``. The total variation after projection onto the simplex has no
formula: it is a mean over simulated measurements with a fixed seed, the same draws for all methods.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qt_hw.mitigation.confusion import AnyConfusion
from qt_hw.mitigation.readout import correct, variance
from qt_hw.mitigation.simplex import project
from qt_hw.mitigation.situation import Method, Situation, calibration_error

__all__ = ["Forecast", "Method", "Situation", "break_even", "forecast", "forecasts"]

Array = NDArray[np.float64]

_SEED = 0

#: Simulated measurements: many entries average the distance by themselves.
_ENTRIES, _FEWEST, _MOST = 24_576, 12, 200


@dataclass(frozen=True)
class Forecast:
    """Expected errors of one method, means over the vectors of a situation.

    Attributes:
        method: The method.
        shots: N, of one vector.
        bias2: b², squared L2 error of infinitely many shots, with the calibrations' own errors.
        noise: V, summed variance of one shot.
        l2: ``√(b² + V/N)``, without projection.
        total_variation: To the ideal vector, after projection.
    """

    method: Method
    shots: int
    bias2: float
    noise: float
    l2: float
    total_variation: float


def forecast(method: Method, situation: Situation) -> Forecast:
    """Return the expected errors of one method; see ``forecasts``."""
    return forecasts([method], situation)[0]


def forecasts(methods: Sequence[Method], situation: Situation) -> list[Forecast]:
    """Return the expected errors of some methods, in their order.

    Raises:
        InputError: A readout that cannot be corrected.
    """
    simulated, out = _Simulated(situation), []
    for method in methods:
        bias2, noise = bias_squared(method, situation), noise_of(method, situation)
        out.append(
            Forecast(
                method=method,
                shots=situation.shots,
                bias2=bias2,
                noise=noise,
                l2=math.sqrt(bias2 + noise / situation.shots),
                total_variation=simulated.total_variation(method),
            )
        )
    return out


def break_even(a: Method, b: Method, situation: Situation) -> float:
    """Return the shots from which the L2 error of ``a`` is below that of ``b``, not projected.

    0 if it always is, infinity if it is not however many the shots.
    """
    gain = bias_squared(b, situation) - bias_squared(a, situation)
    price = noise_of(a, situation) - noise_of(b, situation)
    if gain > 1e-15:
        return max(price, 0.0) / gain
    return 0.0 if gain > -1e-15 and price < 0 else math.inf


def noise_of(method: Method, situation: Situation) -> float:
    """Return V, the summed variance of one shot, mean over the vectors."""
    used = situation.confusion if method.readout else None
    out, u = 0.0, situation.uniform
    for weight, scale, share in zip(method.weights, method.scales, method.shares, strict=True):
        if weight:
            law = u + situation.kept(scale)[0] * (situation.ideal - u)
            out += weight**2 / share * float(np.mean(variance(situation.seen(law), used)))
    return out / situation.gain(method) ** 2


def bias_squared(method: Method, situation: Situation) -> float:
    """Return b², measured or modelled, with what the calibrations' own shots leave."""
    squares = float(situation.squares.mean())
    # A measured bias was measured with the same calibration: its error is in it already.
    if method.name in situation.biases:
        return situation.biases[method.name] * squares
    out = float(((situation.mean(method) - situation.ideal) ** 2).sum(axis=1).mean())
    across = method.at({scale: situation.kept(scale)[1] for scale in method.scales})
    out += squares * (across / situation.gain(method)) ** 2 * _passed(method, situation)
    if method.rescale:
        out += squares * (situation.signal.standard_error / situation.gain(method)) ** 2
    if method.readout and situation.confusion is not None:
        out += calibration_error(situation.confusion, (situation.ideal**2).mean(axis=0))
    return out


def _passed(method: Method, situation: Situation) -> float:
    """Return how much the readout leaves of the square of a vector without known direction."""
    if method.readout or situation.confusion is None:
        return 1.0
    return math.prod(float((m**2).sum()) / len(m) for m in situation.confusion.matrices)


class _Simulated:
    """Simulated measurements of a situation, shared by the methods."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        ideal = situation.ideal
        n_draws = max(_FEWEST, min(_MOST, _ENTRIES // ideal.shape[1]), len(ideal))
        self._rows = np.arange(n_draws) % len(ideal)
        self._ideal = ideal[self._rows]
        self._direction = self._directions(np.random.default_rng([_SEED, 0]))
        self._drawn: dict[tuple[float, int], Array] = {}
        self._misread: Array | None = None

    def total_variation(self, method: Method) -> float:
        """Return the mean total variation distance to the ideal vectors, after projection."""
        situation, u = self._situation, self._situation.uniform
        v = np.zeros_like(self._ideal)
        for weight, scale, share in zip(method.weights, method.scales, method.shares, strict=True):
            if weight:
                v += weight * self._frequencies(scale, max(1, round(situation.shots * share)))
        if method.readout and situation.confusion is not None:
            v = correct(v, situation.confusion)
            if method.name not in situation.biases:
                v = v + sum(method.weights) * self._calibration(situation.confusion)
        v = u + (v - u) / self._gains(method)
        v += self._measured_bias(method)
        return 0.5 * float(np.abs(project(v) - self._ideal).sum(axis=1).mean())

    def _directions(self, rng: np.random.Generator) -> Array:
        """Return random directions of the residual: zero-sum, orthogonal to p − u, of its norm."""
        centred = self._ideal - self._situation.uniform
        random = rng.standard_normal(centred.shape) * np.sqrt(self._ideal)
        random -= random.mean(axis=1, keepdims=True)
        norms = np.maximum((centred**2).sum(axis=1, keepdims=True), 1e-300)
        random -= centred * (random * centred).sum(axis=1, keepdims=True) / norms
        lengths = np.maximum((random**2).sum(axis=1, keepdims=True), 1e-300)
        return np.asarray(random * np.sqrt(norms / lengths))

    def _frequencies(self, scale: float, shots: int) -> Array:
        """Return simulated frequencies at a noise scale, ``(R, D)``."""
        if (scale, shots) not in self._drawn:
            situation, u = self._situation, self._situation.uniform
            along, across = situation.kept(scale)
            law = u + along * (self._ideal - u) + across * self._direction
            law = law.clip(0.0)
            law /= law.sum(axis=1, keepdims=True)
            law = situation.seen(law)
            law /= law.sum(axis=1, keepdims=True)
            rng = np.random.default_rng([_SEED, 1, round(1000 * scale)])
            self._drawn[scale, shots] = rng.multinomial(shots, law) / shots
        return self._drawn[scale, shots]

    def _calibration(self, confusion: AnyConfusion) -> Array:
        """Return what errors of the calibration add to the corrected vectors, ``(R, D)``."""
        if self._misread is None:
            out, low = np.zeros_like(self._ideal), 1
            rng = np.random.default_rng([_SEED, 2])
            for matrix, inverse in zip(confusion.matrices, confusion.inverses, strict=True):
                if confusion.shots is None:
                    break
                size = len(matrix)
                errors = rng.standard_normal((len(out), size, size)) * np.sqrt(matrix)
                errors -= matrix * errors.sum(axis=1, keepdims=True)
                errors = -inverse @ errors / math.sqrt(confusion.shots)
                parts = self._ideal.reshape(len(out), -1, size, low)
                out += np.einsum("rij,rajb->raib", errors, parts).reshape(out.shape)
                low *= size
            self._misread = out
        return self._misread

    def _gains(self, method: Method) -> Array | float:
        """Return by what each draw divides: the decay as a calibration found it."""
        gain, error = self._situation.gain(method), self._situation.signal.standard_error
        if not (method.rescale and error) or method.name in self._situation.biases:
            return gain
        rng = np.random.default_rng([_SEED, 3])
        draws = gain + error * rng.standard_normal((len(self._rows), 1))
        return np.asarray(draws.clip(gain / 2, 2 * gain))

    def _measured_bias(self, method: Method) -> Array | float:
        """Return what brings the modelled bias of a method to the measured size."""
        situation = self._situation
        if method.name not in situation.biases:
            return 0.0
        wanted = situation.biases[method.name] * situation.squares.mean()
        draws = Situation(
            self._ideal, situation.shots, situation.confusion, situation.decay, situation.biases
        )
        modelled = draws.mean(method, self._direction) - self._ideal
        size = float((modelled**2).sum(axis=1).mean())
        if size < 1e-12:
            scale = math.sqrt(wanted / max(float(draws.squares.mean()), 1e-300))
            return self._direction * scale
        return np.asarray(modelled * (math.sqrt(wanted / size) - 1.0))
