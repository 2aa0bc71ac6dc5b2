"""Mitigation at work: circuits constructed once per ansatz, calibrated once, results combined.

Everything that depends on the circuit alone is made when it is first needed and kept; a step of
a training then only binds angles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError, PreflightError
from qt_hw.execution.backend import Backend, Batch, Counts
from qt_hw.mitigation.calibration import Calibration
from qt_hw.mitigation.calibrator import Calibrator, Circuit, named
from qt_hw.mitigation.combination import Combination
from qt_hw.mitigation.decay import Decay
from qt_hw.mitigation.pipeline import Mitigation
from qt_hw.mitigation.recipe import Recipe
from qt_hw.mitigation.simplex import project
from qt_hw.mitigation.variants import (
    Variant,
    make_bound,
    make_variants,
    split_shots,
)

__all__ = ["Mitigator"]

Array = NDArray[np.float64]


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
            MissingExtra: A technique needs mitiq.
        """
        mitigation.combination.check_installed()
        self.mitigation, self._circuits = mitigation, tuple(circuits)
        self._backend, self._shots = backend, shots
        self._variants: dict[int, tuple[Variant, ...]] = {}
        self._calibrator = Calibrator(mitigation, self._circuits, backend, shots)
        self.calibration: Calibration | None = None
        if mitigation.calibration is not None:
            self.use(mitigation.calibration)
        elif not self._calibrator.needed:
            self.calibration = self._calibrator.without()
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
            combination = named(one.choice) if self.mitigation.auto else own
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
        calibration = self._calibrator.measure(run, seed, angles, date)
        self.use(calibration)
        return calibration

    def calibration_batch(self, seed: int) -> Batch:
        """Return the (first) batch of a calibration, e.g. to price it."""
        return self._calibrator.first_batch(seed)

    def assume(self) -> None:
        """Go on as if calibrated, without errors: to price what would be measured, not to use it.

        ``auto`` is priced as its candidate with the most circuits that are not twirled.
        """
        self.use(self._calibrator.perfect())

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
        return named(self.calibration.circuits[number].choice)

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
