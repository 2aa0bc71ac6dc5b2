"""From the measured vectors of all variants to one mitigated vector: pure numbers, no circuits.

A recipe is stored beside what was sent, so that results can be combined, or combined anew, by a
later process that constructs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError
from qt_hw.mitigation.decay import Decay, from_folds, from_known, undo
from qt_hw.mitigation.readout import AnyConfusion, correct, pull_back, variance
from qt_hw.mitigation.variants import Variant

__all__ = ["Recipe", "Rule"]

Array = NDArray[np.float64]

Rule = Literal["linear", "exponential", "folds", "known"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe:
    """How the vectors of V variants become one.

    Attributes:
        rule: ``"linear"``: the weighted sum; ``"exponential"``: extrapolation by mitiq;
            ``"folds"``: the first kind of variant (scale 1), with the decay found from the folded
            one; ``"known"``: the first variant, with the decay found from those after it, whose
            exact vectors are in ``ideal``.
        weights: ``(V,)``.
        scales: ``(V,)``.
        readout: Whether the readout is corrected.
        rescale: Whether the decay of a calibration is undone.
        ideal: ``(V - 1, 2**n)`` for the rule ``"known"``.
    """

    rule: Rule = "linear"
    weights: tuple[float, ...] = (1.0,)
    scales: tuple[float, ...] = (1.0,)
    readout: bool = False
    rescale: bool = False
    ideal: Array | None = None

    @classmethod
    def of(cls, variants: Sequence[Variant], **fields: Any) -> Recipe:
        """Return the recipe of ``variants``."""
        weights, scales = (one.weight for one in variants), (one.scale for one in variants)
        return cls(weights=tuple(weights), scales=tuple(scales), **fields)

    def combine(
        self,
        vectors: Sequence[Array],
        shots: Sequence[int | None],
        confusion: AnyConfusion | None = None,
        decay: Decay | None = None,
    ) -> Array:
        """Return the mitigated vectors ``(B, 2**n)``, not projected.

        Args:
            vectors: Frequencies of each variant, ``(B, 2**n)``.
            shots: Of each of its vectors; None: exact.
            confusion: Of the readout.
            decay: Of the circuit.

        Raises:
            InputError: A calibration that the recipe needs is missing.
        """
        if self.readout and confusion is None:
            raise InputError("the readout was not calibrated: pass a confusion")
        if self.rescale and decay is None:
            raise InputError("the decay was not calibrated: pass one")
        used = confusion if self.readout else None
        if self.rule == "linear":
            # The correction is linear: once, after the sum, is enough.
            out = _corrected(self._sum(vectors), used)
        else:
            out = self._fitted([_corrected(v, used) for v in vectors], vectors, shots, used)
        return undo(out, decay.value) if self.rescale and decay is not None else out

    def pull_back(
        self, cotangent: Array, confusion: AnyConfusion | None, decay: Decay | None
    ) -> Array:
        """Return ``g·∂p/∂v`` ``(B, 2**n)`` of the weighted sum v of the variants' vectors.

        Raises:
            InputError: The recipe is not linear.
        """
        if self.rule != "linear":
            raise InputError(f"the rule {self.rule!r} is not linear: it has no gradient")
        g = cotangent / decay.value if self.rescale and decay is not None else cotangent
        return pull_back(g, confusion) if self.readout and confusion is not None else g

    def _sum(self, vectors: Sequence[Array]) -> Array:
        out = np.zeros_like(vectors[0])
        for weight, vector in zip(self.weights, vectors, strict=True):
            out += weight * vector
        return out

    def _fitted(
        self,
        corrected: Sequence[Array],
        raw: Sequence[Array],
        shots: Sequence[int | None],
        confusion: AnyConfusion | None,
    ) -> Array:
        noise = [
            np.zeros(len(f)) if n is None else variance(f, confusion) / n
            for f, n in zip(raw, shots, strict=True)
        ]
        if self.rule == "known":
            return self._slope(corrected, noise)
        levels = sorted(set(self.scales))
        groups = [[i for i, scale in enumerate(self.scales) if scale == s] for s in levels]
        means = [np.mean([corrected[i] for i in group], axis=0) for group in groups]
        if self.rule == "folds":
            spread = np.sum([noise[i] for i in groups[0]], axis=0) / len(groups[0]) ** 2
            found = from_folds(means[0], means[1], levels[1] / levels[0], spread)
            return undo(means[0], found.value)
        from qt_hw.mitigation.bound.exponential import exponential

        rows = np.stack(means)
        return np.stack([exponential(levels, rows[:, b])[0] for b in range(rows.shape[1])])

    def _slope(self, corrected: Sequence[Array], noise: Sequence[Array]) -> Array:
        assert self.ideal is not None
        measured, variances = np.concatenate(corrected[1:]), np.concatenate(noise[1:])
        return undo(corrected[0], from_known(measured, self.ideal, variances).value)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, JSON-ready; ``from_dict`` gives the same numbers back."""
        return {
            "rule": self.rule,
            "weights": list(self.weights),
            "scales": list(self.scales),
            "readout": self.readout,
            "rescale": self.rescale,
            "ideal": None if self.ideal is None else self.ideal.tolist(),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Recipe:
        """Return what ``to_dict`` stored.

        Raises:
            InputError: A field is missing or wrong.
        """
        try:
            ideal = stored["ideal"]
            return cls(
                rule=stored["rule"],
                weights=tuple(float(w) for w in stored["weights"]),
                scales=tuple(float(s) for s in stored["scales"]),
                readout=bool(stored["readout"]),
                rescale=bool(stored["rescale"]),
                ideal=None if ideal is None else np.asarray(ideal, dtype=np.float64),
            )
        except (KeyError, TypeError, ValueError):
            raise InputError("a stored mitigation recipe is damaged: submit anew") from None


def _corrected(vectors: Array, confusion: AnyConfusion | None) -> Array:
    return vectors if confusion is None else correct(vectors, confusion)
