"""How a circuit is calibrated: the batches that are run, and what ``auto`` chooses by them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError, MitigationWarning
from qt_hw.execution.backend import Backend, Batch, Counts, Prepared
from qt_hw.mitigation.calibrating import CalibrationPlan, exact_vectors
from qt_hw.mitigation.calibration import Calibration, CircuitCalibration, qubits_of
from qt_hw.mitigation.choice import choose
from qt_hw.mitigation.combination import CANDIDATES, TWIRLED, Combination
from qt_hw.mitigation.decay import Decay
from qt_hw.mitigation.outlook import warning
from qt_hw.mitigation.pipeline import Mitigation
from qt_hw.mitigation.readout import Confusion
from qt_hw.mitigation.situation import Method, Situation
from qt_hw.mitigation.techniques import Readout, Rescale, Twirling, Zne
from qt_hw.mitigation.variants import make_variants, of_kind
from qt_hw.storage import now

__all__ = ["CALIBRATION_STREAM", "Calibrator", "Circuit", "looks_coherent", "named"]

Array = NDArray[np.float64]
Run = Callable[[Batch], Counts]

CALIBRATION_STREAM = 0xCA11B
"""Third number of the entropy of a calibration's batch, where a step's has its part."""

#: Above this part of the squared bias the errors of the gates do not shrink the vector but turn
#: it: half is well above what incoherent noise leaves (a tenth to a third, measured).
_COHERENT_SHARE = 0.5

#: Parts of the second calibration of ``auto``: above those of any first one.
_SECOND_STAGE = 1 << 16

#: Stands in the forecast for no shot noise at all.
_EXACT_SHOTS = 10**12


@dataclass(frozen=True, kw_only=True, eq=False)
class Circuit:
    """One circuit to be mitigated: a factor of an ansatz, as prepared."""

    ansatz: Ansatz
    prepared: Prepared


class Calibrator:
    """Calibrates the circuits of one ansatz on one backend for a mitigation."""

    def __init__(
        self,
        mitigation: Mitigation,
        circuits: Sequence[Circuit],
        backend: Backend,
        shots: int | None,
    ) -> None:
        """See ``Mitigator``."""
        self._mitigation, self._circuits = mitigation, tuple(circuits)
        self._backend, self._shots = backend, shots

    @property
    def needed(self) -> bool:
        """Whether circuits have to be measured."""
        own = self._mitigation.combination
        measured = own.measures_readout or own.measures_decay
        return self._mitigation.auto or measured or self._judged

    def without(self) -> Calibration:
        """Return a calibration that needs no circuits of its own."""
        plans = self._plans((self._mitigation.combination,), (0,), 0)
        return Calibration(
            backend=self._backend.name,
            date=self._circuits[0].prepared.calibration_date or now(),
            circuits=tuple(plan.finish(()) for plan in plans),
        )

    def measure(self, run: Run, seed: int, angles: Sequence[Array], date: str) -> Calibration:
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
        found, batches = self._stage(run, self._first_combinations, entropy, 0)
        # Where circuits cost money, only what was estimated is measured.
        more_allowed = self._mitigation.auto and not self._backend.limits.paid
        if more_allowed and any(looks_coherent(one.biases) for one in found):
            more, second = self._stage(run, TWIRLED, entropy, _SECOND_STAGE)
            found = [_merged(a, b) for a, b in zip(found, more, strict=True)]
            batches += second
        if self._mitigation.auto:
            found = [self._chosen(i, one, angles[i]) for i, one in enumerate(found)]
        else:
            for i, one in enumerate(found):
                self._warn(i, one, angles[i])
        return Calibration(
            backend=self._backend.name,
            date=date,
            circuits=tuple(found),
            n_circuits=sum(batch.n_circuits for batch in batches),
            n_shots=sum(batch.n_shots for batch in batches),
        )

    def first_batch(self, seed: int) -> Batch:
        """Return the (first) batch of a calibration, e.g. to price it."""
        plans = self._plans(self._first_combinations, (seed, 0, CALIBRATION_STREAM), 0)
        items = tuple(item for plan in plans for item in plan.items)
        return Batch(items=items, seed=(seed, 0, CALIBRATION_STREAM))

    def perfect(self) -> Calibration:
        """Return a calibration without errors: to price what would be measured, not to use it.

        ``auto`` is priced as its candidate with the most circuits that are not twirled.
        """
        combination = CANDIDATES[-1] if self._mitigation.auto else self._mitigation.combination
        decay = {combination.decay_key: Decay(value=1.0)}
        return Calibration(
            backend=self._backend.name,
            date=now(),
            circuits=tuple(
                CircuitCalibration(
                    n_qubits=one.prepared.form.n_qubits,
                    qubits=qubits_of(one.prepared),
                    confusion=_perfect(one.prepared.form.n_qubits),
                    decays=decay,
                    choice=combination.name if self._mitigation.auto else "",
                )
                for one in self._circuits
            ),
        )

    def _stage(
        self,
        run: Run,
        combinations: Sequence[Combination],
        seed: tuple[int, ...],
        first_part: int,
    ) -> tuple[list[CircuitCalibration], list[Batch]]:
        """Run the calibration of some combinations for all circuits, in one batch."""
        plans = self._plans(combinations, seed, first_part)
        batch = Batch(items=tuple(item for plan in plans for item in plan.items), seed=seed)
        arrays = list(run(batch).arrays)
        out = []
        for plan in plans:
            own = [arrays.pop(0) for _ in plan.items]
            found = plan.finish(own)
            out.append(dataclasses.replace(found, biases=plan.biases(own, found)))
        return out, [batch]

    @property
    def _first_combinations(self) -> tuple[Combination, ...]:
        """For what is calibrated first.

        Where circuits cost nothing, what needs no calibration gets one too, only to know whether
        it pays.
        """
        own = self._mitigation.combination
        if self._mitigation.auto:
            return CANDIDATES
        if not self._judged:
            return (own,)
        kept = [one for one in own.techniques if isinstance(one, Readout | Twirling)]
        return (own, Combination((*kept, Rescale())))

    def _plans(
        self, combinations: Sequence[Combination], seed: tuple[int, ...], first_part: int
    ) -> list[CalibrationPlan]:
        plans, part = [], first_part
        each = self._mitigation.shots_of_calibration(self._shots, paid=self._backend.limits.paid)
        for one in self._circuits:
            plan = CalibrationPlan(
                ansatz=one.ansatz,
                prepared=one.prepared,
                combinations=combinations,
                shots=None if self._shots is None else each,
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
        own = self._mitigation.combination
        gates = of_kind(own.techniques, Zne) is not None or own.fitted
        unknown = gates and not found.decays
        if self._shots is None or own.bound is not None or unknown:
            return
        line = warning(self._method(number, own), self._situation(number, found, angles))
        if line is not None:
            warnings.warn(line, MitigationWarning, stacklevel=5)

    def _method(self, number: int, combination: Combination) -> Method:
        circuit = self._circuits[number].prepared.circuit
        variants = make_variants(
            combination.techniques, circuit, equal=self._backend.limits.one_shot_count
        )
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
        own = self._mitigation.combination
        gates = of_kind(own.techniques, Zne) is not None or own.fitted
        return gates and self._shots is not None and not self._backend.limits.paid


def looks_coherent(biases: Mapping[str, float]) -> bool:
    """Whether what rescaling leaves is most of the bias: the errors turn the state."""
    left, whole = biases.get("readout+rescale", 0.0), biases.get("readout", 0.0)
    return left > _COHERENT_SHARE * whole


def _perfect(n_qubits: int) -> Confusion:
    """Return the confusion of a readout without errors."""
    return Confusion(matrices=np.tile(np.eye(2), (n_qubits, 1, 1)))


def named(name: str) -> Combination:
    """Return the candidate of ``auto`` with this name.

    Raises:
        InputError: There is none.
    """
    for one in (*CANDIDATES, *TWIRLED):
        if one.name == name:
            return one
    raise InputError(f"the calibration names the unknown combination {name!r}: calibrate anew")


def _merged(a: CircuitCalibration, b: CircuitCalibration) -> CircuitCalibration:
    return dataclasses.replace(a, decays={**a.decays, **b.decays}, biases={**a.biases, **b.biases})
