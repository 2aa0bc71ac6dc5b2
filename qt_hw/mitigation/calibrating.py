"""The circuits of a calibration, and what is estimated from their counts.

For the readout: every measured qubit in known states. For the decay: the circuit itself with
known angles, whose exact vectors this machine computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.execution.backend import Batch, Item, Prepared
from qt_hw.execution.statevector_backend import StatevectorBackend
from qt_hw.mitigation.calibration import CircuitCalibration, qubits_of
from qt_hw.mitigation.combination import Combination
from qt_hw.mitigation.decay import Decay, from_folds, from_known
from qt_hw.mitigation.readout import (
    AnyConfusion,
    Confusion,
    construct,
    correct,
    estimate,
    patterns,
    variance,
)
from qt_hw.mitigation.techniques import Readout, Rescale, Twirling, Zne
from qt_hw.mitigation.variants import Variant, make_variants, split_shots

__all__ = ["CalibrationPlan", "exact_vectors"]

Array = NDArray[np.float64]

#: Folded circuits alone, for a decay that is found from folds.
_FOLDED = Zne(scales=(1.0, 3.0))

#: Standard deviations by which a measured bias stands out.
_SIGMAS = 3.0

#: Which training circuits: scale of the noise, and whether they are twirled.
Level = tuple[float, bool]


def exact_vectors(ansatz: Ansatz, angles: Array) -> Array:
    """Return the noiseless vectors ``(B, 2**n)`` of angles ``(B, P)``, by the exact engine."""
    engine = StatevectorBackend()
    form = engine.prepare(ansatz).form
    item = Item(circuit=form.circuit, bindings=form.gate_angles(angles), shots=None)
    return np.asarray(engine.submit(Batch(items=(item,)), "exact").result().arrays[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class CalibrationPlan:
    """What is run to calibrate one circuit for some combinations of techniques.

    Attributes:
        ansatz: The circuit's ansatz (a factor).
        prepared: The circuit.
        combinations: For which the calibration is.
        shots: Of each calibration circuit; None: exact vectors.
        seed: Entropy of the angles and patterns.
        first_part: Stream of the first item; the others follow.
    """

    ansatz: Ansatz
    prepared: Prepared
    combinations: Sequence[Combination]
    shots: int | None
    seed: tuple[int, ...]
    first_part: int = 0

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """The items: those of the readout, then those of the training circuits."""
        out: list[Item] = []
        if self._patterns is not None:
            n = len(self._patterns)
            parts = range(self.first_part, self.first_part + n)
            out += construct(self.prepared, self.shots, parts=parts, patterns=self._patterns)
        bindings = self.prepared.form.gate_angles(self._angles)
        for level in self._levels:
            variants = self._variants[level]
            for variant, shots in zip(variants, self._shots(variants), strict=True):
                role = variant.role or "training"
                part = self.first_part + len(out)
                out.append(Item(variant.circuit, bindings, shots, role=role, part=part))
        return tuple(out)

    def finish(self, counts: Sequence[Array]) -> CircuitCalibration:
        """Return what the counts of ``items`` (probabilities where exact) say.

        Raises:
            InputError: The readout cannot be corrected, or nothing is left of the signal.
        """
        confusion, rest = self._confusion(counts)
        if confusion is not None:
            _ = confusion.inverses  # now, not after the vectors have been paid for
        raw = self._vectors(rest)
        decays = {
            one.decay_key: self._decay(one, raw, confusion)
            for one in self.combinations
            if one.measures_decay
        }
        return CircuitCalibration(
            n_qubits=self.prepared.form.n_qubits,
            qubits=qubits_of(self.prepared),
            confusion=confusion,
            decays=decays,
        )

    def biases(self, counts: Sequence[Array], found: CircuitCalibration) -> dict[str, float]:
        """Return the squared biases of the combinations over the training circuits.

        Relative to ``‖p − u‖²``; what the shots add to the squares is taken out. One that does not
        show above their noise is left out: what the decay says of it is then nearer to the truth.
        """
        out = dict[str, float]()
        if not self._levels:
            return out
        _, rest = self._confusion(counts)
        raw = self._vectors(rest)
        for one in self.combinations:
            variants = make_variants(one.techniques, self.prepared.circuit, equal=True)
            levels = {(v.scale, one.twirling is not None): v.weight for v in variants}
            if one.twirling is not None:
                levels = {
                    level: sum(v.weight for v in variants if v.scale == level[0])
                    for level in levels
                }
            if not set(levels) <= set(raw):
                continue
            used = found.confusion if one.readout else None
            vectors, noise = np.zeros_like(self._ideal), np.zeros(len(self._ideal))
            for level, weight in levels.items():
                vectors += weight * raw[level][0]
                noise += weight**2 * self._noise(raw[level], used)
            vectors = vectors if used is None else correct(vectors, used)
            decay = found.decays[one.decay_key].value if one.measures_decay else 1.0
            u = 1.0 / vectors.shape[-1]
            error = ((vectors - u) / decay - (self._ideal - u)) ** 2
            signal = ((self._ideal - u) ** 2).sum()
            noise /= decay**2
            bias = float(error.sum() - noise.sum())
            # Its own standard deviation, with the noise in half of all directions.
            if bias > _SIGMAS * float(np.sqrt(4.0 * (noise**2).sum() / error.shape[-1])):
                out[one.name] = float(bias / signal)
        return out

    # What is needed

    @cached_property
    def _readout(self) -> Readout | None:
        return next((c.readout for c in self.combinations if c.measures_readout), None)

    @cached_property
    def _patterns(self) -> NDArray[np.bool_] | None:
        if self._readout is None:
            return None
        n, pairs = self.prepared.form.n_qubits, self._readout.pairs
        return patterns(n, pairs, correlated=self._readout.correlated, seed=self.seed[0])

    @cached_property
    def _rescale(self) -> Rescale:
        given = [c.rescale for c in self.combinations if c.rescale is not None]
        return given[0] if given else Rescale()

    @cached_property
    def _levels(self) -> tuple[Level, ...]:
        return tuple(self._variants)

    @cached_property
    def _variants(self) -> dict[Level, tuple[Variant, ...]]:
        """The circuits of each level, all of whose shares add up to one."""
        out: dict[Level, tuple[Variant, ...]] = {}
        for one in self.combinations:
            if not (one.measures_decay or len(self.combinations) > 1):
                continue
            made = make_variants(one.techniques, self.prepared.circuit, equal=True)
            if one.measures_decay and one.rescale is not None and one.rescale.fit == "folding":
                kept = [t for t in one.techniques if isinstance(t, Twirling)]
                made += make_variants([*kept, _FOLDED], self.prepared.circuit, equal=True)
            for scale in dict.fromkeys(variant.scale for variant in made):
                level = (scale, one.twirling is not None)
                if level not in out:
                    out[level] = tuple(v for v in made if v.scale == scale)
        return out

    @cached_property
    def _angles(self) -> Array:
        # One number more than the streams of the items have, which draw their shots.
        stream = np.random.SeedSequence([*self.seed, self.first_part, 1])
        rng = np.random.default_rng(stream)
        shape = (self._rescale.circuits, self.ansatz.n_angles)
        if self._rescale.fit == "clifford":
            return np.asarray(rng.integers(0, 4, shape) * (np.pi / 2), dtype=np.float64)
        return rng.uniform(-np.pi, np.pi, shape)

    @cached_property
    def _ideal(self) -> Array:
        return exact_vectors(self.ansatz, self._angles)

    def _shots(self, variants: Sequence[Variant]) -> Sequence[int | None]:
        if self.shots is None:
            return [None] * len(variants)
        return split_shots(self.shots, [1.0 / len(variants)] * len(variants))

    # What is found

    def _confusion(self, counts: Sequence[Array]) -> tuple[AnyConfusion | None, Sequence[Array]]:
        """Return the confusion, and the counts after those of the readout."""
        if self._patterns is None or self._readout is None:
            return self._known_confusion(), counts
        n = len(self._patterns)
        found = estimate(
            counts[:n],
            patterns=self._patterns,
            correlated=self._readout.correlated,
            exact=self.shots is None,
        )
        return found, counts[n:]

    def _known_confusion(self) -> AnyConfusion | None:
        for one in self.combinations:
            if one.readout is not None and one.readout.confusion is not None:
                return one.readout.confusion
            if one.readout is not None and one.readout.source == "properties":
                return Confusion.of_properties(self.prepared)
        return None

    def _vectors(self, counts: Sequence[Array]) -> dict[Level, tuple[Array, int | None]]:
        """Return the mean frequencies of each level and the shots behind them."""
        out, at = dict[Level, tuple[Array, int | None]](), 0
        for level in self._levels:
            n = len(self._variants[level])
            total = np.sum([np.asarray(c, dtype=np.float64) for c in counts[at : at + n]], axis=0)
            out[level] = total / total.sum(axis=1, keepdims=True), self.shots
            at += n
        return out

    @staticmethod
    def _noise(measured: tuple[Array, int | None], confusion: AnyConfusion | None) -> Array:
        vectors, shots = measured
        return np.zeros(len(vectors)) if shots is None else variance(vectors, confusion) / shots

    def _decay(
        self,
        one: Combination,
        raw: dict[Level, tuple[Array, int | None]],
        confusion: AnyConfusion | None,
    ) -> Decay:
        twirled = one.twirling is not None
        used = confusion if one.readout is not None else None
        first = raw[1.0, twirled]
        vectors = first[0] if used is None else correct(first[0], used)
        noise = self._noise(first, used)
        if one.rescale is None or one.rescale.fit != "folding":
            return from_known(vectors, self._ideal, noise)
        scale = next(s for s, t in raw if t == twirled and s > 1.0)
        folded = raw[scale, twirled][0]
        return from_folds(vectors, folded if used is None else correct(folded, used), scale, noise)
