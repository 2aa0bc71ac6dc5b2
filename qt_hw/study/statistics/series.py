"""Curves over shots: the groups of one condition by their shots, and the laws fitted to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qt_hw.study.condition import Condition
from qt_hw.study.statistics.cells import CellValues, Table, gathered
from qt_hw.study.statistics.groups import Group
from qt_hw.study.statistics.law import FEWEST_SHOT_COUNTS, Law, fit_law

__all__ = ["Series", "is_ideal", "law_metrics", "series_of"]

Array = NDArray[np.float64]

_LOSSES = (0.005, 0.01, 0.02, 0.05)
_SHARES = (0.01, 0.02, 0.05, 0.1)

_IDEAL_BACKENDS = ("aer", "statevector", "braket:local")


@dataclass(frozen=True, kw_only=True)
class Series:
    """The groups of one curve: equal but for their shots.

    Attributes:
        condition: What they share; its ``shots`` is None.
        groups: By rising shots.
        twin: The noiseless group that they are compared with; None if it is missing.
        laws: Of what the headline metric and ``test_loss`` lose against the twin (``law_metrics``),
            with at least three shot counts and two seeds that have all of them.
    """

    condition: Condition
    groups: tuple[Group, ...]
    twin: Group | None
    laws: Mapping[str, Law]

    @property
    def shots(self) -> tuple[int, ...]:
        """Shot counts, rising."""
        return tuple(group.condition.shots or 0 for group in self.groups)

    def losses(self, metric: str) -> tuple[float, ...]:
        """Return the losses whose shots a report tells, in the unit of ``metric``.

        Those that the headline metric names, else 1, 2, 5 and 10 % of the twin's value.
        """
        headline = self.condition.metric
        if metric != headline.test:
            return _LOSSES
        if headline.drops or self.twin is None or metric not in self.twin.metrics:
            return headline.drops
        mean = abs(self.twin.metrics[metric].mean)
        return tuple(float(f"{share * mean:.2g}") for share in _SHARES if mean)


def law_metrics(condition: Condition) -> dict[str, float]:
    """Return what laws are fitted to, and the sign that makes a loss of value minus twin.

    >>> law_metrics(Condition(kind="train", task="digits"))
    {'test_accuracy': -1.0, 'test_loss': 1.0}
    """
    return {condition.metric.test: -condition.metric.sign} | {"test_loss": 1.0}


def series_of(table: Table, groups: Sequence[Group]) -> tuple[Series, ...]:
    """Return the curves over shots of evaluations and of trainings."""
    noisy = [
        group
        for group in groups
        if group.condition.kind in ("evaluate", "train") and group.condition.shots is not None
    ]
    curves = gathered(noisy, lambda group: group.condition.without("shots"))
    return tuple(_series(condition, own, table, groups) for condition, own in curves.items())


def is_ideal(condition: Condition) -> bool:
    """Return whether shots are all that disturbs, so that no floor is left by infinitely many."""
    silent = condition.noise == "" and condition.backend in _IDEAL_BACKENDS
    return silent or condition.noise_scale == 0.0


def _series(
    condition: Condition, own: Sequence[Group], table: Table, groups: Sequence[Group]
) -> Series:
    rising = tuple(sorted(own, key=lambda group: group.condition.shots or 0))
    cells = [cell for cell in table.cells if cell.condition.without("shots") == condition]
    found = {
        metric: _law(condition, cells, table.twins, metric, sign)
        for metric, sign in law_metrics(condition).items()
    }
    twins = {table.twins[name].condition for name in rising[0].twins if name in table.twins}
    return Series(
        condition=condition,
        groups=rising,
        twin=next((group for group in groups if group.condition in twins), None),
        laws={metric: law for metric, law in found.items() if law is not None},
    )


def _law(
    condition: Condition,
    cells: Sequence[CellValues],
    twins: Mapping[str, CellValues],
    metric: str,
    sign: float,
) -> Law | None:
    drops = _drops(cells, twins, metric, sign)
    shots = sorted(drops)
    seeds = sorted(set.intersection(*(set(drops[s]) for s in shots))) if shots else []
    if len(shots) < FEWEST_SHOT_COUNTS or len(seeds) < 2:
        return None
    matrix = np.array([[drops[s][seed] for s in shots] for seed in seeds])
    return fit_law(shots, matrix, floor=not is_ideal(condition))


def _drops(
    cells: Sequence[CellValues], twins: Mapping[str, CellValues], metric: str, sign: float
) -> dict[int, dict[int, float]]:
    """Return the loss against the twin by shots and seed; cells that lack a value left out."""
    found: dict[int, dict[int, float]] = {}
    for cell in cells:
        twin = twins.get(cell.twin)
        if twin is None or metric not in cell.values or metric not in twin.values:
            continue
        drop = sign * (cell.values[metric] - twin.values[metric])
        found.setdefault(cell.condition.shots or 0, {})[cell.seed] = drop
    return found
