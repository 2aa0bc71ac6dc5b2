"""Mitigation of an evaluation: what is measured in one submission, and what is made of it.

Calibration and circuits go in one submission, so that the calibration is of the same hour as what
it corrects. How the vectors combine is stored with the evaluation: collecting constructs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import PreflightError
from qt_hw.execution.backend import Counts, Item, Limits, Prepared
from qt_hw.hardware.evaluation import Evaluation
from qt_hw.mitigation.calibrating import CalibrationPlan
from qt_hw.mitigation.calibration import Calibration, CircuitCalibration
from qt_hw.mitigation.combination import CANDIDATES, Combination
from qt_hw.mitigation.decay import Decay
from qt_hw.mitigation.expected import choose_by_properties
from qt_hw.mitigation.pipeline import Mitigation
from qt_hw.mitigation.recipe import Recipe
from qt_hw.mitigation.simplex import project
from qt_hw.mitigation.variants import Variant, make_bound, make_variants, split_shots
from qt_hw.mitigation.verdict import Verdict, assess

__all__ = [
    "Mitigated",
    "Stored",
    "calibration_plans",
    "chosen",
    "data_items",
    "mitigated",
    "raw_vectors",
    "stored_of",
]

Array = NDArray[np.float64]
Prepare = Callable[[Ansatz], Prepared]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """How the vectors of one circuit combine: kept in the evaluation's record.

    Attributes:
        recipe: What ``Recipe.to_dict`` gives.
        shots: Of each of its circuits.
    """

    recipe: Mapping[str, Any]
    shots: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, JSON-ready."""
        return {"recipe": dict(self.recipe), "shots": list(self.shots)}


def stored_of(evaluation: Evaluation, n_factors: int) -> list[Stored]:
    """Return how the vectors of an evaluation combine; a record without it has one circuit each."""
    if evaluation.stored:
        return [
            Stored(recipe=one["recipe"], shots=tuple(int(n) for n in one["shots"]))
            for one in evaluation.stored
        ]
    recipe = Recipe(readout=evaluation.mitigation == "readout").to_dict()
    return [Stored(recipe=recipe, shots=(evaluation.shots,))] * n_factors


def chosen(
    wanted: Evaluation,
    ansatz: Ansatz,
    prepare: Prepare,
    angles: Array,
    among: Sequence[Combination] = CANDIDATES,
) -> Evaluation:
    """Return the record of an evaluation with what ``auto`` comes to for it.

    It decides by the errors of readout and gates that the backend's own calibration gives: what
    is measured is known before anything is paid. ``among`` are the combinations that may be taken.

    Raises:
        InputError: The backend says nothing of its errors.
    """
    if wanted.mitigation != "auto" or wanted.chosen:
        return wanted
    names, first = [], 0
    for factor in ansatz.factors():
        own, prepared = angles[first : first + factor.n_angles], prepare(factor)
        first += factor.n_angles
        shots = wanted.shots, wanted.calibration_shots or None
        names.append(choose_by_properties(factor, prepared, own, *shots, among).name)
    # One combination for all factors: the most thorough one.
    name = max(names, key=[one.name for one in CANDIDATES].index)
    return replace(wanted, chosen="none" if name == "raw" else name)


@dataclass(frozen=True, kw_only=True)
class Mitigated:
    """What mitigation made of an evaluation.

    Attributes:
        raw: Frequencies of each factor, ``(2**n,)``, of the circuits whose noise is not scaled.
        vectors: The mitigated ones, on the simplex.
        calibration: With what.
        verdicts: Errors of both, one for each factor.
    """

    raw: list[Array]
    vectors: list[Array]
    calibration: Calibration
    verdicts: list[Verdict] = field(default_factory=list)


def data_items(
    mitigation: Mitigation | None,
    ansatz: Ansatz,
    prepare: Prepare,
    angles: Array,
    shots: int,
    limits: Limits,
    *,
    seed: int = 0,
) -> tuple[list[Item], list[Stored]]:
    """Return what is measured in place of the circuit of each factor, and how it combines.

    Args:
        mitigation: Which techniques, not ``auto``; None for none.
        ansatz: The circuit.
        prepare: Prepares a factor.
        angles: ``(P,)``.
        shots: Of the vector of each factor, spread over its circuits.
        limits: Of the backend.
        seed: Of the circuits that are drawn at random.

    Raises:
        InputError: The techniques do not go with the circuit.
        PreflightError: More circuits than shots.
        MissingExtra: A technique needs mitiq.
    """
    items, stored, first = list[Item](), list[Stored](), 0
    combination = Combination() if mitigation is None else mitigation.combination
    for factor in ansatz.factors():
        prepared = prepare(factor)
        bindings = prepared.form.gate_angles(angles[None, first : first + factor.n_angles])
        first += factor.n_angles
        variants, recipe, bound = _variants(combination, prepared, bindings, limits, seed)
        least = len(variants) * limits.min_shots
        if len(variants) > 1 and shots < least:
            raise PreflightError(
                [
                    f"mitigation {combination.name!r} spreads the shots of a vector over "
                    f"{len(variants)} circuits: ask for {least} shots or more, not {shots}"
                ]
            )
        each = split_shots(shots, [one.share for one in variants], limits.min_shots)
        for one, n in zip(variants, each, strict=True):
            values = np.empty((1, 0)) if bound else bindings
            role = one.role or "base"
            items.append(Item(one.circuit, values, n, role=role, part=len(items)))
        stored.append(Stored(recipe=recipe.to_dict(), shots=each))
    return items, stored


def _variants(
    combination: Combination, prepared: Prepared, bindings: Array, limits: Limits, seed: int
) -> tuple[tuple[Variant, ...], Recipe, bool]:
    """Return the circuits, how they combine, and whether they are bound."""
    technique = combination.bound
    if technique is not None:
        made = make_bound(technique, prepared.circuit, bindings[0], seed=seed)
    else:
        made = make_variants(combination.techniques, prepared.circuit, equal=limits.one_shot_count)
    return made, combination.recipe(made), technique is not None


def calibration_plans(
    mitigation: Mitigation | None, ansatz: Ansatz, prepare: Prepare, *, first_part: int
) -> list[CalibrationPlan]:
    """Return the calibration of each factor, whose items follow the data."""
    if mitigation is None:
        return []
    plans = list[CalibrationPlan]()
    for factor in ansatz.factors():
        plan = CalibrationPlan(
            ansatz=factor,
            prepared=prepare(factor),
            combinations=(mitigation.combination,),
            shots=mitigation.shots_of_calibration(None, paid=True),
            seed=(0,),
            first_part=first_part,
        )
        first_part += len(plan.items)
        plans.append(plan)
    return plans


def raw_vectors(counts: Counts, stored: Sequence[Stored]) -> list[Array]:
    """Return the frequencies of each factor, ``(2**n,)``, where the noise is not scaled."""
    out, at = list[Array](), 0
    for one in stored:
        arrays = [
            np.asarray(a[0], dtype=np.float64) for a in counts.arrays[at : at + len(one.shots)]
        ]
        out.append(_raw(arrays, Recipe.from_dict(one.recipe)))
        at += len(one.shots)
    return out


def _raw(arrays: Sequence[Array], recipe: Recipe) -> Array:
    """Return the frequencies of the circuits with the least noise that enter the result."""
    least = min(recipe.scales)
    plain = [a for a, s in zip(arrays, recipe.scales, strict=True) if s == least]
    if recipe.rule == "known":
        plain = plain[:1]
    total = np.sum(plain, axis=0)
    return np.asarray(total / total.sum())


def mitigated(
    mitigation: Mitigation,
    plans: Sequence[CalibrationPlan],
    stored: Sequence[Stored],
    counts: Counts,
    ideal: Sequence[Array],
    *,
    backend: str,
    date: str,
) -> Mitigated:
    """Return the mitigated vectors of an evaluation, and how far they are off.

    Args:
        mitigation: Which techniques.
        plans: The calibrations.
        stored: How the vectors combine.
        counts: Of the data, then of the calibrations.
        ideal: Exact vector of each factor, ``(2**n,)``.
        backend: Name of the backend.
        date: Of the calibration, ISO 8601.

    Raises:
        InputError: The calibration says that a qubit's readout tells nothing, or that nothing is
            left of the signal.
    """
    combination = mitigation.combination
    n_data = sum(len(one.shots) for one in stored)
    data, rest = list(counts.arrays[:n_data]), list(counts.arrays[n_data:])
    vectors, raws, found, verdicts = [], [], list[CircuitCalibration](), []
    for one, plan, exact in zip(stored, plans, ideal, strict=True):
        own = [np.asarray(data.pop(0), dtype=np.float64) for _ in one.shots]
        calibration = [np.asarray(rest.pop(0), dtype=np.float64) for _ in plan.items]
        reading = _Reading(combination, plan, one)
        vectors.append(reading.mitigated([*own, *calibration]))
        raws.append(reading.raw(own))
        found.append(plan.finish(calibration))
        verdicts.append(assess(exact, [*own, *calibration], reading.mitigated, raw=reading.raw))
    calibration_made = Calibration(
        backend=backend,
        date=date,
        circuits=tuple(found),
        n_circuits=sum(len(item.bindings) for plan in plans for item in plan.items),
        n_shots=sum(len(i.bindings) * (i.shots or 0) for plan in plans for i in plan.items),
    )
    return Mitigated(raw=raws, vectors=vectors, calibration=calibration_made, verdicts=verdicts)


@dataclass(frozen=True)
class _Reading:
    """From all counts of one factor, data before calibration, to its vectors."""

    combination: Combination
    plan: CalibrationPlan
    stored: Stored

    @cached_property
    def recipe(self) -> Recipe:
        """How the vectors combine."""
        return Recipe.from_dict(self.stored.recipe)

    def raw(self, counts: Sequence[Array]) -> Array:
        """Return the frequencies of the circuits whose noise is not scaled, ``(2**n,)``."""
        return _raw([one[0] for one in counts[: len(self.stored.shots)]], self.recipe)

    def mitigated(self, counts: Sequence[Array]) -> Array:
        """Return the mitigated vector, on the simplex, ``(2**n,)``."""
        n_data = len(self.stored.shots)
        found = self.plan.finish(counts[n_data:])
        rescale = self.combination.rescale
        decay = found.decays.get(self.combination.decay_key)
        if rescale is not None and rescale.decay is not None:
            decay = Decay(value=rescale.decay)
        vectors = [one / one.sum(axis=1, keepdims=True) for one in counts[:n_data]]
        mixed = self.recipe.combine(vectors, self.stored.shots, found.confusion, decay)
        return np.asarray(project(mixed)[0])
