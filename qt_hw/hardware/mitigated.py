"""Mitigation of an evaluation: what is measured in one submission, and what is made of it.

Calibration and circuits go in one submission, so that the calibration is of the same hour as what
it corrects. How the vectors combine is stored with the evaluation: collecting constructs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError, PreflightError
from qt_hw.execution.backend import Counts, Item, Limits, Prepared
from qt_hw.mitigation.calibrating import CalibrationPlan
from qt_hw.mitigation.calibration import Calibration, CircuitCalibration
from qt_hw.mitigation.combination import Combination
from qt_hw.mitigation.decay import Decay
from qt_hw.mitigation.pipeline import Mitigation
from qt_hw.mitigation.recipe import Recipe
from qt_hw.mitigation.simplex import project
from qt_hw.mitigation.variants import Variant, make_bound, make_variants, split_shots
from qt_hw.mitigation.verdict import Verdict, assess

__all__ = ["Mitigated", "Stored", "data_items", "mitigated", "plans_of", "raw_vectors"]

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
    mitigation: Mitigation,
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
        mitigation: Which techniques; not ``auto``.
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
    for factor in ansatz.factors():
        prepared = prepare(factor)
        bindings = prepared.form.gate_angles(angles[None, first : first + factor.n_angles])
        first += factor.n_angles
        variants, recipe, bound = _variants(
            mitigation.combination, prepared, bindings, limits, seed
        )
        least = len(variants) * limits.min_shots
        if shots < least:
            raise PreflightError(
                [
                    f"mitigation {mitigation.name!r} spreads the shots of a vector over "
                    f"{len(variants)} circuits: ask for {least} shots or more, not {shots}"
                ]
            )
        each = split_shots(shots, [one.share for one in variants])
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


def plans_of(
    mitigation: Mitigation, ansatz: Ansatz, prepare: Prepare, first_part: int
) -> list[CalibrationPlan]:
    """Return the calibration of each factor, whose items follow the data; empty where not needed."""
    one, plans = mitigation.combination, list[CalibrationPlan]()
    for factor in ansatz.factors():
        plan = CalibrationPlan(
            ansatz=factor,
            prepared=prepare(factor),
            combinations=(one,),
            shots=mitigation.calibration_shots,
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
    n_data = sum(len(one.shots) for one in stored)
    data, rest = list(counts.arrays[:n_data]), list(counts.arrays[n_data:])
    vectors, raws, found, verdicts = [], [], list[CircuitCalibration](), []
    for one, plan, exact in zip(stored, plans, ideal, strict=True):
        own = [np.asarray(data.pop(0), dtype=np.float64) for _ in one.shots]
        calibration = [np.asarray(rest.pop(0), dtype=np.float64) for _ in plan.items]
        reading = _Reading(mitigation.combination, plan, one)
        vectors.append(reading(own, calibration))
        raws.append(_raw([a[0] for a in own], reading.recipe))
        found.append(plan.finish(calibration))
        verdicts.append(
            assess(
                exact,
                [*own, *calibration],
                raw=lambda arrays, r=reading, n=len(own): _raw(
                    [a[0] for a in arrays[:n]], r.recipe
                ),
                mitigate=lambda arrays, r=reading, n=len(own): r(arrays[:n], arrays[n:]),
            )
        )
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
    """From all counts of one factor to its mitigated vector."""

    combination: Combination
    plan: CalibrationPlan
    stored: Stored

    @property
    def recipe(self) -> Recipe:
        """How the vectors combine."""
        return Recipe.from_dict(self.stored.recipe)

    def __call__(self, data: Sequence[Array], calibration: Sequence[Array]) -> Array:
        found = self.plan.finish(calibration)
        rescale = self.combination.rescale
        decay = found.decays.get(self.combination.decay_key)
        if rescale is not None and rescale.decay is not None:
            decay = Decay(value=rescale.decay)
        vectors = [a / a.sum(axis=1, keepdims=True) for a in data]
        mixed = self.recipe.combine(vectors, self.stored.shots, found.confusion, decay)
        return np.asarray(project(mixed)[0])


def checked(
    mitigation: str, calibration_shots: int | None, options: Mapping[str, Any]
) -> Mitigation | None:
    """Return the mitigation that a command asks for, None for none.

    Raises:
        InputError: There is no such technique, or it does not go with something else.
    """
    made = Mitigation.of(mitigation, options=options, calibration_shots=calibration_shots)
    if made is None and calibration_shots is not None:
        raise InputError("--calibration-shots belongs to --mitigation")
    return made
