"""The tables of the page: laws, groups, gradients, failed cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qt_hw.study.condition import Condition
from qt_hw.study.figures.shots import VERDICTS
from qt_hw.study.figures.views import condition_name
from qt_hw.study.report.table import Cell, Table, count, digits_of, number, ranged, text
from qt_hw.study.statistics.groups import Group
from qt_hw.study.statistics.law import Estimate, Law
from qt_hw.study.statistics.series import Series
from qt_hw.study.summary import Summary
from qt_hw.tasks import Metric

__all__ = ["failures_table", "gradients_table", "groups_table", "laws_table"]

_LAST = 1e308  # sorts what is never reached behind all counts


def laws_table(summary: Summary) -> Table | None:
    """Return the fitted laws with the shots that a given loss needs; None without any law."""
    conditions = [series.condition for series in summary.series]
    fitted = [(series, metric) for series in summary.series for metric in series.laws]
    losses = sorted({loss for series, metric in fitted for loss in series.losses(metric)})
    rows = [_law_row(series, conditions, metric, losses) for series, metric in fitted]
    if not rows:
        return None
    needs = [f"shots for a drop of {loss:g}" for loss in losses]
    heads = ["kind", "where", "metric", "floor", "a", "exponent b", "1/2 agrees"]
    return Table(
        name="laws",
        caption="Laws of shots: drop = floor + a / √shots, beside floor' + a' / shots^b; "
        "shots needed by the first where 1/2 agrees, else by the second",
        columns=[*heads, *needs],
        rows=rows,
    )


def _law_row(
    series: Series, others: Sequence[Condition], metric: str, losses: Sequence[float]
) -> list[Cell]:
    """Return one law; losses that are told of other metrics stay empty."""
    c, law = series.condition, series.laws[metric]
    circuit = condition_name(c, others)
    where = f"{c.where} ({circuit})" if circuit else c.where
    floor = _estimate(law.floor) if law.with_floor else Cell("0 (not fitted)", 0.0, True)
    fitted = [floor, _estimate(law.coefficient), _estimate(law.exponent)]
    own = series.losses(metric)
    needed = [_needed(law, loss) if loss in own else Cell("", numeric=True) for loss in losses]
    agrees = text("yes" if law.consistent else "no")
    return [text(c.kind), text(where), text(_words(metric)), *fitted, agrees, *needed]


def _estimate(value: Estimate) -> Cell:
    shown, low, high = (digits_of(v, 3) for v in (value.value, value.low, value.high))
    return Cell(f"{shown} [{low}, {high}]", value.value, True)


def _needed(law: Law, loss: float) -> Cell:
    return _shots(law.shots_for(loss, free=not law.consistent))


def _shots(value: Estimate) -> Cell:
    ends = [_rounded(v) for v in (value.value, value.low, value.high)]
    shown = ends[0] if len(set(ends)) == 1 else f"{ends[0]} [{ends[1]}, {ends[2]}]"
    return Cell(shown, min(value.value, _LAST), True)


def _rounded(shots: float) -> str:
    return "never" if shots == float("inf") else f"{float(f'{shots:.3g}'):,.0f}"


def groups_table(summary: Summary) -> Table | None:
    """Return all trained and evaluated groups with their differences; None without any."""
    groups = [g for g in summary.groups if g.condition.metric.test in g.metrics]
    groups = [g for g in groups if g.condition.kind != "approximation"]
    conditions = [group.condition for group in groups]
    if not groups:
        return None
    metrics = list(dict.fromkeys(condition.metric for condition in conditions))
    single = metrics[0] if len(metrics) == 1 else None
    unit = single.difference_unit if single else "the metric's unit"
    return Table(
        name="groups",
        caption="Every condition: mean over seeds [95 % interval]; difference to the noiseless "
        f"twin{f' in {unit}' if unit else ''}; p after Holm's correction",
        columns=[
            "condition",
            "circuit",
            "shots",
            "n",
            *([single.axis] if single else ["metric", "test value"]),
            _difference(single),
            "adjusted p",
            "verdict",
            "test loss",
            "generalisation gap",
            "parameters",
        ],
        rows=[_group_row(group, conditions, several=single is None) for group in groups],
        filtered=True,
    )


def _difference(metric: Metric | None) -> str:
    unit = "" if metric is None else {"%": "points"}.get(metric.unit, metric.unit)
    return f"difference ({unit})" if unit else "difference"


def _group_row(group: Group, others: Sequence[Condition], *, several: bool) -> list[Cell]:
    metrics, condition = group.metrics, group.condition
    metric = condition.metric
    paired = group.paired.get(metric.test)
    parameters = metrics.get("trained_parameters")
    circuit = f"{condition.ansatz}, {condition.qubits} × {condition.layers}"
    target = "" if condition.width is None else f", width {condition.width}"
    return [
        text(condition.label + target),
        text(condition_name(condition, others) or circuit),
        count(condition.shots, "exact"),
        count(group.n),
        *([text(metric.axis)] if several else []),
        ranged(metrics[metric.test], scale=metric.factor),
        ranged(paired.difference if paired else None, 3, metric.factor),
        number(paired.p_adjusted if paired else None),
        text(VERDICTS[paired.significant] if paired else ""),
        ranged(metrics.get("test_loss")),
        ranged(metrics.get("generalisation_gap"), 3),
        count(round(parameters.mean) if parameters else None),
    ]


def gradients_table(summary: Summary) -> Table | None:
    """Return gradients at random angles; None without any."""
    groups = [g for g in summary.groups if g.condition.kind == "gradient"]
    if not groups:
        return None
    metrics = ["gradient_variance", "noise_variance", "snr", "cosine", "gradient_norm"]
    metrics += ["local_gradient_variance", "global_gradient_variance"]
    known = [m for m in metrics if any(m in group.metrics for group in groups)]
    return Table(
        name="gradients",
        caption="Gradients at random angles: mean over seeds [95 % interval]",
        columns=["base", "where", "circuit", "layers", "qubits", "shots", "n", *map(_words, known)],
        rows=[
            [
                text(group.condition.base),
                text(group.condition.where),
                text(group.condition.ansatz),
                count(group.condition.layers),
                count(group.condition.qubits),
                count(group.condition.shots, "exact"),
                count(group.n),
                *(ranged(group.metrics.get(metric), 3) for metric in known),
            ]
            for group in groups
        ],
        filtered=True,
    )


def failures_table(failures: Iterable[Mapping[str, Any]]) -> Table | None:
    """Return the failed cells with their errors; None without any."""
    rows = [[text(failure["cell"]), text(failure["error"])] for failure in failures]
    if not rows:
        return None
    return Table(name="failures", caption="Failed cells", columns=["cell", "error"], rows=rows)


def _words(metric: str) -> str:
    return metric.replace("snr", "signal-to-noise").replace("_", " ")
