"""Mitigation at work: circuits constructed once per ansatz, calibrated once, results combined.

Everything that depends on the circuit alone is made when it is first needed and kept; a step of
a training then only binds angles.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError, MitigationWarning, PreflightError
from qt_hw.execution.backend import Backend, Batch, Counts, Prepared
from qt_hw.mitigation.calibrating import CalibrationPlan, exact_vectors
from qt_hw.mitigation.calibration import Calibration, CircuitCalibration, qubits_of
from qt_hw.mitigation.choice import choose
from qt_hw.mitigation.combination import CANDIDATES, TWIRLED, Combination
from qt_hw.mitigation.decay import Decay
from qt_hw.mitigation.outlook import warning
from qt_hw.mitigation.pipeline import Mitigation
from qt_hw.mitigation.readout import Confusion
from qt_hw.mitigation.recipe import Recipe
from qt_hw.mitigation.simplex import project
from qt_hw.mitigation.situation import Method, Situation
from qt_hw.mitigation.techniques import Readout, Rescale, Twirling, Zne
from qt_hw.mitigation.variants import (
    Variant,
    make_bound,
    make_variants,
    of_kind,
    split_shots,
)
from qt_hw.storage import now

__all__ = ["CALIBRATION_STREAM", "Circuit", "Mitigator", "looks_coherent"]

Array = NDArray[np.float64]

CALIBRATION_STREAM = 0xCA11B
"""Third number of the entropy of a calibration's batch, where a step's has its part."""

#: Above this part of the squared bias the errors of the gates do not shrink the vector but turn
#: it: half is well above what incoherent noise leaves (a tenth to a third, measured).
_COHERENT_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Circuit:
    """One circuit to be mitigated: a factor of an ansatz, as prepared."""

    ansatz: Ansatz
    prepared: Prepared


class Mitigator:
    """Constructs and combines for the circuits of one ansatz on one backend.

    Attributes:
        mitigation: What was asked for.
        calibration: What was measured, None before.
    """

    def __init__(
        self,
        mitigation: Mitigation,
        circuits: Sequence[Circuit],
        backend: Backend,
        shots: int | None,
    ) -> None:
        """Check that what was asked for can be done; nothing is run.

        Args:
            mitigation: What is asked for.
            circuits: The factors.
            backend: Where they run.
            shots: Of each vector, spread over its circuits; None: exact.

        Raises:
            InputError: The calibration is of something else.
            PreflightError: More circuits than shots.
        """
        self.mitigation, self._circuits = mitigation, tuple(circuits)
        self._backend, self._shots = backend, shots
        self._variants: dict[int, tuple[Variant, ...]] = {}
        self._known: dict[int, CircuitCalibration] = {}
        self.calibration: Calibration | None = None
        if mitigation.calibration is not None:
            self.use(mitigation.calibration)
        elif not (mitigation.auto or self._measures(mitigation.combination) or self._judged):
            self._finish_without()
        if not (mitigation.auto or self.bound):
            for number in range(len(self._circuits)):
                self.shots(number)

    @property
    def bound(self) -> bool:
        """Whether the circuits of a vector depend on its angles."""
        return self.mitigation.combination.bound is not None

    # Calibration

    @property
    def ready(self) -> bool:
        """Whether nothing has to be calibrated any more."""
        return self.calibration is not None

    def use(self, calibration: Calibration) -> None:
        """Take a calibration that was measured earlier.

        Raises:
            InputError: It is of something else, or lacks what the techniques need.
        """
        calibration.check(self._backend.name, [one.prepared for one in self._circuits])
        for one in calibration.circuits:
            if self.mitigation.auto and not one.choice:
                raise InputError("the calibration was not made for mitigation 'auto': leave it out")
            own = self.mitigation.combination
            combination = _named(one.choice) if self.mitigation.auto else own
            if combination.measures_readout and one.confusion is None:
                raise InputError("the calibration says nothing of the readout: calibrate anew")
            if combination.measures_decay and combination.decay_key not in one.decays:
                raise InputError(
                    f"the calibration has no decay for {combination.name!r}: calibrate anew"
                )
        self.calibration = calibration
        if self.mitigation.auto:  # another choice, other circuits
            self._variants.clear()

    def calibrate(
        self, run: Callable[[Batch], Counts], seed: int, angles: Sequence[Array], date: str
    ) -> Calibration:
        """Measure what is needed; ``auto`` then chooses, and measures more if it has to.

        Args:
            run: Runs a batch.
            seed: Of the calibration.
            angles: One vector of angles ``(P,)`` of each factor, for which ``auto`` chooses.
            date: ISO 8601.

        Raises:
            InputError: The readout cannot be corrected, or nothing is left of the signal.
        """
        entropy = (seed, 0, CALIBRATION_STREAM)
        found = self._stage(run, self._first_combinations, entropy, 0)
        if self.mitigation.auto and any(looks_coherent(one.biases) for one in found):
            more = self._stage(run, TWIRLED, entropy, _SECOND_STAGE)
            found = [_merged(a, b) for a, b in zip(found, more, strict=True)]
        if self.mitigation.auto:
            found = [self._chosen(i, one, angles[i]) for i, one in enumerate(found)]
        else:
            for i, one in enumerate(found):
                self._warn(i, one, angles[i])
        batches = self._batches
        calibration = Calibration(
            backend=self._backend.name,
            date=date,
            circuits=tuple(found),
            n_circuits=sum(batch.n_circuits for batch in batches),
            n_shots=sum(batch.n_shots for batch in batches),
        )
        self.use(calibration)
        return calibration

    def calibration_batch(self, seed: int) -> Batch:
        """Return the (first) batch of a calibration, e.g. to price it."""
        plans = self._plans(self._first_combinations, (seed, 0, CALIBRATION_STREAM), 0)
        items = tuple(item for plan in plans for item in plan.items)
        return Batch(items=items, seed=(seed, 0, CALIBRATION_STREAM))

    def assume(self) -> None:
        """Go on as if calibrated, without errors: to price what would be measured, not to use it.

        ``auto`` is priced as its candidate with the most circuits that are not twirled.
        """
        combination = CANDIDATES[-1] if self.mitigation.auto else self.mitigation.combination
        decay = {combination.decay_key: Decay(value=1.0)}
        self.use(
            Calibration(
                backend=self._backend.name,
                date=now(),
                circuits=tuple(
                    CircuitCalibration(
                        n_qubits=one.prepared.form.n_qubits,
                        qubits=qubits_of(one.prepared),
                        confusion=_perfect(one.prepared.form.n_qubits),
                        decays=decay,
                        choice=combination.name if self.mitigation.auto else "",
                    )
                    for one in self._circuits
                ),
            )
        )

    def _stage(
        self,
        run: Callable[[Batch], Counts],
        combinations: Sequence[Combination],
        seed: tuple[int, ...],
        first_part: int,
    ) -> list[CircuitCalibration]:
        """Run the calibration of some combinations for all circuits, in one batch."""
        plans = self._plans(combinations, seed, first_part)
        batch = Batch(items=tuple(item for plan in plans for item in plan.items), seed=seed)
        arrays = list(run(batch).arrays)
        if first_part == 0:
            self._batches = list[Batch]()
        self._batches.append(batch)
        out = []
        for plan in plans:
            own = [arrays.pop(0) for _ in plan.items]
            found = plan.finish(own)
            out.append(dataclasses.replace(found, biases=plan.biases(own, found)))
        return out

    @property
    def _first_combinations(self) -> tuple[Combination, ...]:
        """For what is calibrated first.

        Where circuits cost nothing, what needs no calibration gets one too, only to know whether
        it pays.
        """
        own = self.mitigation.combination
        if self.mitigation.auto:
            return CANDIDATES
        if not self._judged:
            return (own,)
        kept = [one for one in own.techniques if isinstance(one, Readout | Twirling)]
        return (own, Combination((*kept, Rescale())))

    def _plans(
        self, combinations: Sequence[Combination], seed: tuple[int, ...], first_part: int
    ) -> list[CalibrationPlan]:
        plans, part = [], first_part
        for one in self._circuits:
            plan = CalibrationPlan(
                ansatz=one.ansatz,
                prepared=one.prepared,
                combinations=combinations,
                shots=None if self._shots is None else self.mitigation.calibration_shots,
                seed=seed,
                first_part=part,
            )
            part += len(plan.items)
            plans.append(plan)
        return plans

    def _chosen(self, number: int, found: CircuitCalibration, angles: Array) -> CircuitCalibration:
        """Return the calibration of a circuit with the combination that ``auto`` takes for it."""
        twirled = any(one.decay_key in found.decays for one in TWIRLED if one.rescale is not None)
        candidates = (*CANDIDATES, *TWIRLED) if twirled else CANDIDATES
        methods = [self._method(number, one) for one in candidates]
        choice = choose(methods, self._situation(number, found, angles))
        return dataclasses.replace(found, choice=choice.method.name, reason=choice.reason)

    def _warn(self, number: int, found: CircuitCalibration, angles: Array) -> None:
        """Warn of techniques that are expected to hurt at these shots."""
        own = self.mitigation.combination
        gates = of_kind(own.techniques, Zne) is not None or own.fitted
        unknown = gates and not found.decays
        if self._shots is None or self.bound or unknown:
            return
        line = warning(self._method(number, own), self._situation(number, found, angles))
        if line is not None:
            warnings.warn(line, MitigationWarning, stacklevel=4)

    def _method(self, number: int, combination: Combination) -> Method:
        circuit = self._circuits[number].prepared.circuit
        variants = make_variants(combination.techniques, circuit, equal=self._equal)
        return combination.method(variants)

    def _situation(self, number: int, found: CircuitCalibration, angles: Array) -> Situation:
        decays = [found.decays.get(key) for key in ("readout+twirling", "readout", "raw")]
        return Situation(
            ideal=exact_vectors(self._circuits[number].ansatz, angles[None])[0],
            shots=self._shots or _EXACT_SHOTS,
            confusion=found.confusion,
            decay=next((decay for decay in decays if decay is not None), None),
            # What the readout does to a raw vector depends on the vector: the model knows it.
            biases={name: value for name, value in found.biases.items() if name != "raw"},
        )

    @property
    def _judged(self) -> bool:
        """Whether circuits are measured only to know whether a technique pays."""
        own = self.mitigation.combination
        gates = of_kind(own.techniques, Zne) is not None or own.fitted
        return gates and self._shots is not None and not self._backend.limits.paid

    def _measures(self, combination: Combination) -> bool:
        return combination.measures_readout or combination.measures_decay

    def _finish_without(self) -> None:
        """Take a calibration that needs no circuits of its own."""
        plans = self._plans((self.mitigation.combination,), (0,), 0)
        date = self._circuits[0].prepared.calibration_date or ""
        self.calibration = Calibration(
            backend=self._backend.name,
            date=date or _NO_DATE,
            circuits=tuple(plan.finish(()) for plan in plans),
        )

    # Circuits

    @property
    def _equal(self) -> bool:
        return self._backend.limits.one_shot_count

    def combination(self, number: int) -> Combination:
        """Return the techniques of circuit ``number``; for ``auto`` those that it chose."""
        if not self.mitigation.auto:
            return self.mitigation.combination
        if self.calibration is None:
            raise InputError("mitigation 'auto' has not been calibrated yet")
        return _named(self.calibration.circuits[number].choice)

    def variants(self, number: int) -> tuple[Variant, ...]:
        """Return what is measured in place of circuit ``number``; made once."""
        if number not in self._variants:
            techniques = self.combination(number).techniques
            circuit = self._circuits[number].prepared.circuit
            self._variants[number] = make_variants(techniques, circuit, equal=self._equal)
        return self._variants[number]

    def bound_variants(self, number: int, angles: Array, seed: int) -> tuple[Variant, ...]:
        """Return what is measured for one vector of circuit ``number``, for bound circuits.

        Args:
            number: Of the circuit.
            angles: Of its gates, radians, ``(gate angles,)``.
            seed: Of the circuits that are drawn at random.
        """
        technique = self.mitigation.combination.bound
        assert technique is not None
        return make_bound(technique, self._circuits[number].prepared.circuit, angles, seed=seed)

    def shots(self, number: int) -> tuple[int | None, ...]:
        """Return the shots of each variant.

        Raises:
            PreflightError: Fewer shots than the variants need.
        """
        return self.shots_of(self.variants(number))

    def shots_of(self, variants: Sequence[Variant]) -> tuple[int | None, ...]:
        """Return the shots of each of ``variants``; see ``shots``."""
        if self._shots is None:
            return (None,) * len(variants)
        least = len(variants) * self._backend.limits.min_shots
        if self._shots < least:
            raise PreflightError(
                [
                    f"mitigation {self.mitigation.name!r} spreads the shots of a vector over "
                    f"{len(variants)} circuits: ask for {least} shots or more, not {self._shots}"
                ]
            )
        shares = [one.share for one in variants]
        return split_shots(self._shots, shares, self._backend.limits.min_shots)

    def recipe(self, number: int) -> Recipe:
        """Return how the vectors of the variants are combined."""
        return self.combination(number).recipe(self.variants(number))

    # Results

    def combine(
        self, number: int, vectors: Sequence[Array], variants: Sequence[Variant] | None = None
    ) -> Array:
        """Return the mitigated vectors of circuit ``number``, on the simplex, ``(B, 2**n)``.

        Args:
            number: Of the circuit.
            vectors: Frequencies of its variants, ``(B, 2**n)``.
            variants: Those, where they are bound.
        """
        used = self.variants(number) if variants is None else variants
        recipe = self.combination(number).recipe(used)
        return project(recipe.combine(vectors, self.shots_of(used), *self._found(number)))

    def pull_back(self, number: int, cotangent: Array) -> Array:
        """Return the cotangent of the weighted sum of the variants' vectors, without projection."""
        return self.recipe(number).pull_back(cotangent, *self._found(number))

    def _found(self, number: int) -> tuple[Any, Decay | None]:
        """Return confusion and decay of circuit ``number``."""
        combination = self.combination(number)
        if self.calibration is None:
            raise InputError("the mitigation has not been calibrated yet")
        known = self.calibration.circuits[number]
        rescale = combination.rescale
        if rescale is not None and rescale.decay is not None:
            return known.confusion, Decay(value=rescale.decay)
        return known.confusion, known.decays.get(combination.decay_key)

    def describe(self) -> dict[str, Any]:
        """Return what the manifest records, JSON-ready."""
        out = self.mitigation.describe()
        if self.calibration is not None:
            out["calibration"] = self.calibration.to_dict()
        if not self.mitigation.auto or self.calibration is not None:
            numbers = range(len(self._circuits))
            out["circuits_per_vector"] = [len(self.variants(i)) for i in numbers]
            out["combinations"] = [self.combination(i).name for i in numbers]
        return out


#: Parts of the second calibration of ``auto``: above those of any first one.
_SECOND_STAGE = 1 << 16

#: Stands in the forecast for no shot noise at all.
_EXACT_SHOTS = 10**12

_NO_DATE = "1970-01-01T00:00:00+00:00"


def looks_coherent(biases: Mapping[str, float]) -> bool:
    """Whether what rescaling leaves is most of the bias: the errors turn the state."""
    left, whole = biases.get("readout+rescale", 0.0), biases.get("readout", 0.0)
    return left > _COHERENT_SHARE * whole


def _perfect(n_qubits: int) -> Confusion:
    """Return the confusion of a readout without errors."""
    return Confusion(matrices=np.tile(np.eye(2), (n_qubits, 1, 1)))


def _named(name: str) -> Combination:
    for one in (*CANDIDATES, *TWIRLED):
        if one.name == name:
            return one
    raise InputError(f"the calibration names the unknown combination {name!r}: calibrate anew")


def _merged(a: CircuitCalibration, b: CircuitCalibration) -> CircuitCalibration:
    return dataclasses.replace(a, decays={**a.decays, **b.decays}, biases={**a.biases, **b.biases})
