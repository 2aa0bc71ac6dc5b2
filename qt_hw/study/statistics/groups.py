"""The seeds of one condition together: metrics with intervals, differences to the twins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qt_hw.study.condition import Condition
from qt_hw.study.statistics.cells import CellValues, Table, gathered
from qt_hw.study.statistics.intervals import Interval, interval
from qt_hw.study.statistics.paired import Paired, compare

__all__ = ["COMPARED_KINDS", "Group", "family_of", "groups_of", "lone_cells", "paired_metrics"]

COMPARED_KINDS = ("evaluate", "train", "control")
"""Kinds of cell that are compared with the noiseless twin."""

Pairs = tuple[list[float], list[float]]


@dataclass(frozen=True, kw_only=True)
class Group:
    """All cells that differ by their seed alone.

    Attributes:
        condition: What they share.
        n: Number of seeds.
        seeds: Theirs, rising.
        metrics: Mean over the seeds with its interval, by metric.
        paired: Differences to the noiseless twins, by metric (those of ``paired_metrics`` that
            both have); for a control, control minus quantum. Empty for the twins themselves and
            for gradient and approximation cells.
        twins: Ids of the noiseless cells that they are compared with.
    """

    condition: Condition
    n: int
    seeds: tuple[int, ...]
    metrics: Mapping[str, Interval]
    paired: Mapping[str, Paired]
    twins: tuple[str, ...] = ()


def paired_metrics(condition: Condition) -> tuple[str, ...]:
    """Return the metrics that are compared with the noiseless twin.

    >>> paired_metrics(Condition(kind="train", task="digits"))
    ('test_accuracy', 'test_loss', 'train_accuracy', 'generalisation_gap')
    """
    if condition.kind not in COMPARED_KINDS:
        return ()
    headline = condition.metric
    names = (headline.test, "test_loss", headline.train, "generalisation_gap")
    return tuple(dict.fromkeys(names))


def groups_of(table: Table, *, alpha: float) -> tuple[Group, ...]:
    """Return the groups of a study, in the order of the table."""
    alike = gathered(table.cells, lambda cell: cell.condition)
    paired = _compared(alike, table.twins, alpha)
    return tuple(_group(cells, paired[condition]) for condition, cells in alike.items())


def _group(cells: Sequence[CellValues], paired: Mapping[str, Paired]) -> Group:
    metrics = dict.fromkeys(name for cell in cells for name in cell.values)
    return Group(
        condition=cells[0].condition,
        n=len(cells),
        seeds=tuple(sorted(cell.seed for cell in cells)),
        metrics={
            name: interval([cell.values[name] for cell in cells if name in cell.values])
            for name in metrics
        },
        paired=paired,
        twins=tuple(cell.twin for cell in cells if cell.twin),
    )


def family_of(condition: Condition, metric: str) -> str:
    """Return the name of the comparisons that are corrected together.

    A family answers one question of a reader: does this backend with this mitigation change this
    metric anywhere (over shots, noise, circuits and gradient rules)? Do any of the controls
    differ from the circuit? All comparisons of a report at once would ask ten seeds for more
    than they can ever say.

    >>> family_of(Condition(kind="evaluate", base="digits", backend="aer"), "test_loss")
    'digits, evaluate on aer, test_loss'
    """
    if condition.kind == "control":
        return f"{condition.base}, controls, {metric}"
    mitigation = "" if condition.mitigation == "none" else f" with {condition.mitigation}"
    return f"{condition.base}, {condition.kind} on {condition.backend}{mitigation}, {metric}"


def _compared(
    alike: Mapping[Condition, Sequence[CellValues]],
    twins: Mapping[str, CellValues],
    alpha: float,
) -> dict[Condition, dict[str, Paired]]:
    families: dict[str, dict[tuple[Condition, str], Pairs]] = {}
    for condition, cells in alike.items():
        for metric in paired_metrics(condition):
            pairs = _pairs(cells, twins, metric)
            if pairs[0]:
                family = families.setdefault(family_of(condition, metric), {})
                family[condition, metric] = pairs
    found: dict[Condition, dict[str, Paired]] = {condition: {} for condition in alike}
    for name, members in families.items():
        for (condition, metric), paired in compare(members, alpha=alpha, family=name).items():
            found[condition][metric] = paired
    return found


def _pairs(cells: Sequence[CellValues], twins: Mapping[str, CellValues], metric: str) -> Pairs:
    both = [
        (cell.values[metric], twins[cell.twin].values[metric])
        for cell in cells
        if metric in cell.values and cell.twin in twins and metric in twins[cell.twin].values
    ]
    return [value for value, _ in both], [twin for _, twin in both]


def lone_cells(table: Table) -> tuple[str, ...]:
    """Return the ids of cells whose noiseless twin is missing, so that they have no pair."""
    return tuple(
        cell.cell
        for cell in table.cells
        if cell.condition.kind in COMPARED_KINDS and cell.twin and cell.twin not in table.twins
    )
