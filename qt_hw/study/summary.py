"""A study in figures: every statistic of its report, computed from the table alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from math import isfinite
from typing import Any

from qt_hw.errors import InputError
from qt_hw.study.statistics.cells import read_cells
from qt_hw.study.statistics.groups import Group, groups_of
from qt_hw.study.statistics.notes import notes_of
from qt_hw.study.statistics.paired import smallest_p
from qt_hw.study.statistics.plateau import Plateau, plateaus_of
from qt_hw.study.statistics.series import Series, series_of
from qt_hw.study.statistics.sizes import Sizes, sizes_of

__all__ = ["Group", "Plateau", "Series", "Sizes", "Summary", "summarise"]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a report says.

    Attributes:
        groups: All of them, in the order of the table.
        twins: The noiseless ones.
        controls: The controls of the base circuits (not the targets of ``sizes``).
        series: Curves over shots, of evaluations and of trainings.
        plateaus: Gradients against qubits.
        sizes: Approximation errors against target size.
        alpha: Level of the tests.
        seeds: The largest number of pairs of any comparison; of seeds, where there is none.
        smallest_p: The smallest two-sided p that so many seeds allow.
        n_comparisons: Of all families together.
        notes: What the reader must know, in whole sentences.
    """

    groups: tuple[Group, ...]
    twins: tuple[Group, ...]
    controls: tuple[Group, ...]
    series: tuple[Series, ...]
    plateaus: tuple[Plateau, ...]
    sizes: tuple[Sizes, ...]
    alpha: float
    seeds: int
    smallest_p: float
    n_comparisons: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything JSON-ready.

        Infinite ends become null and the resamples of the laws are left out; laws carry
        ``shots_for`` by loss, of the fit that agrees with the data as in the report, conditions
        their ``label``.
        """
        made = _plain(self)
        assert isinstance(made, dict)
        return made


def summarise(rows: Sequence[Mapping[str, Any]], *, alpha: float = 0.05) -> Summary:
    """Return the statistics of a study from the rows of its table.

    The same rows give the same summary; every bootstrap has a fixed seed.

    Args:
        rows: With the columns of ``qt_hw.study.table.COLUMNS``; none at all gives an empty
            summary.
        alpha: Level of the tests, between 0 and 1.

    Raises:
        InputError: ``alpha`` is out of range.
    """
    if not 0.0 < alpha < 1.0:
        raise InputError(f"alpha: between 0 and 1, e.g. 0.05, not {alpha}")
    table = read_cells(rows)
    groups = groups_of(table, alpha=alpha)
    series, plateaus = series_of(table, groups), plateaus_of(table.cells)
    paired = [one for group in groups for one in group.paired.values()]
    seeds = max([one.difference.n for one in paired] or [group.n for group in groups] or [0])
    return Summary(
        groups=groups,
        twins=tuple(group for group in groups if group.condition.kind == "noiseless"),
        controls=tuple(group for group in groups if _is_control(group)),
        series=series,
        plateaus=plateaus,
        sizes=sizes_of(groups),
        alpha=alpha,
        seeds=seeds,
        smallest_p=smallest_p(seeds),
        n_comparisons=len(paired),
        notes=notes_of(table, groups, series, plateaus, alpha=alpha),
    )


def _is_control(group: Group) -> bool:
    return group.condition.kind == "control" and group.condition.width is None


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        shown = {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.compare}
        return shown | _derived(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


def _derived(value: Any) -> dict[str, Any]:
    """Return what a reader of the file cannot work out from the fields alone."""
    if not hasattr(value, "condition"):
        return {}
    label = {"label": value.condition.label}
    return label | ({"laws": _laws(value)} if isinstance(value, Series) else {})


def _laws(series: Series) -> dict[str, Any]:
    """Return the laws with the shots that the losses of their metric need."""
    return {
        metric: _plain(law)
        | {
            "shots_for": {
                f"{loss:g}": _plain(law.shots_for(loss, free=not law.consistent))
                for loss in series.losses(metric)
            }
        }
        for metric, law in series.laws.items()
    }
