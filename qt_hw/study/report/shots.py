"""Plots of one setting against shots: headline metric, differences, vectors, gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qt_hw.study.figures.shots import VERDICTS, paired_points
from qt_hw.study.figures.style import BLACK, COLOURS, GREY
from qt_hw.study.figures.views import (
    KINDS,
    Curve,
    Point,
    Setting,
    control_points,
    intervals,
    law_line,
    spread_out,
)
from qt_hw.study.report.plot import (
    Plot,
    Trace,
    axis,
    bars,
    log_axis,
    look,
    polygon,
    shots_axis,
    twin_traces,
)
from qt_hw.study.statistics.intervals import Interval
from qt_hw.tasks import Metric

__all__ = ["gap_plot", "metric_plot", "paired_plot", "sampling_plot"]

_LABEL = 15.0  # pixels that a name beside the plot needs
_HEIGHT = 380
_BESIDE = 190
_SAMPLING = {
    "total_variation": (
        "Total variation",
        "Total variation distance of the vector to the exact one",
    ),
    "empty_bins": ("Empty bins", "Share of outcomes that were never seen"),
}


def metric_plot(setting: Setting, kind: str, note: str) -> Plot:
    """Return the headline metric against shots with bands, twin, laws and controls beside."""
    curves, metric = setting.of_kind(kind), setting.metric
    points = [p for p in control_points(setting) if p.group is not setting.twin]
    edge = max(x for curve in curves for x in curve.x)
    right = edge + (1.4 if points else 0.6)
    known = setting.twin_value is not None
    traces = _twin(setting, metric.test, metric.factor, curves, right) if known else []
    for curve in curves:
        traces += _curve(curve, metric.test, metric.factor, metric.unit)
    traces += _laws(curves, setting)
    span = _span(traces)
    layout: dict[str, Any] = {"xaxis": shots_axis(curves, right - edge)}
    layout["yaxis"] = axis(metric.axis, range=span)
    if points:
        traces.append(_controls(points, edge + 1.0, metric))
        span = layout["yaxis"]["range"] = _span(traces)
        layout["annotations"] = _names(points, edge + 1.0, span, metric)
    shown = f"mean {metric.title} with its interval as a band, the noiseless twin as a line"
    beside = ", the controls as grey dots on the right" if points else ""
    return Plot(
        name=f"{metric.slug}-{kind}",
        title=f"{metric.label[0].upper()}{metric.label[1:]} against shots: {KINDS[kind].lower()}",
        caption=f"Lines: {shown}{beside}; dotted: the fitted law; {note}.",
        traces=traces,
        layout=layout,
        height=_HEIGHT,
        beside=_BESIDE if points else 0,
    )


def gap_plot(setting: Setting, kind: str, note: str) -> Plot:
    """Return the generalisation gap against shots."""
    curves = setting.of_kind(kind)
    traces: list[Trace] = []
    if setting.twin is not None and "generalisation_gap" in setting.twin.metrics:
        right = max(x for curve in curves for x in curve.x) + 0.6
        traces += _twin(setting, "generalisation_gap", 1.0, curves, right)
    for curve in curves:
        traces += _curve(curve, "generalisation_gap", 1.0, "")
    return Plot(
        name=f"gap-{kind}",
        title=f"Generalisation gap: {KINDS[kind].lower()}",
        caption=f"Test loss minus training loss, mean with its interval as a band; {note}.",
        traces=traces,
        layout={"xaxis": shots_axis(curves), "yaxis": axis("test loss − training loss")},
    )


def paired_plot(setting: Setting, kind: str, note: str) -> Plot:
    """Return the paired differences in the headline metric to the noiseless twin."""
    curves, metric = setting.of_kind(kind), setting.metric
    unit = {"%": "points"}.get(metric.unit, metric.unit)
    traces = []
    for i, curve in enumerate(curves):
        points, shown = paired_points(curve), look(curve)
        values = [paired.difference for _, paired in points]
        shift = 0.5 * (i - (len(curves) - 1) / 2.0) / len(curves)
        symbol = shown["marker"]["symbol"].removesuffix("-open")
        hollow = [symbol if p.significant else f"{symbol}-open" for _, p in points]
        traces.append(
            {
                "type": "scatter",
                "name": curve.name,
                "x": [x + shift for x, _ in points],
                "y": [metric.factor * value.mean for value in values],
                "error_y": bars(values, metric.factor),
                "mode": "markers",
                "marker": {**shown["marker"], "symbol": hollow},
                "text": [f"p = {p.p_adjusted:.3g}, {VERDICTS[p.significant]}" for _, p in points],
                "hovertemplate": f"%{{y:.{metric.digits}f}} {unit}<br>%{{text}}",
            }
        )
    zero: dict[str, Any] = {"zeroline": True, "zerolinecolor": BLACK, "zerolinewidth": 1.5}
    filled = "filled where significant after Holm's correction"
    said = f"{metric.heading} minus the twin's, seed by seed: mean and interval, {filled}"
    return Plot(
        name=f"paired-{kind}",
        title=f"Differences to the noiseless twin: {KINDS[kind].lower()}",
        caption=f"{said}; {note}.",
        traces=traces,
        layout={
            "xaxis": shots_axis(curves),
            "yaxis": axis(_difference(metric), rangemode="tozero", **zero),
        },
    )


def sampling_plot(setting: Setting, metric: str, note: str) -> Plot:
    """Return total variation or empty bins against shots, measured and by theory."""
    curves = [curve for curve in setting.curves if intervals(curve, metric)[0]]
    traces: list[Trace] = []
    for curve in curves:
        x, values = intervals(curve, metric)
        verb = "trained" if curve.kind == "train" else "evaluated"
        own = {"name": f"{verb}: {curve.name}", "mode": "markers", "marker": look(curve)["marker"]}
        means = [value.mean for value in values]
        traces.append({"type": "scatter", "x": x, "y": means, "error_y": bars(values), **own})
    for i, curve in enumerate(curves):
        x, values = intervals(curve, f"expected_{metric}")
        line = {"color": COLOURS[curve.colour % len(COLOURS)], "dash": "dot", "width": 1.2}
        own = {"name": "expected from the shots alone", "line": line, "mode": "lines"}
        own |= {"showlegend": i == 0}
        means = [value.mean for value in values]
        traces.append({"type": "scatter", "x": x, "y": means, **own})
    title, meaning = _SAMPLING[metric]
    kind = log_axis(traces) if metric == "total_variation" else {}
    return Plot(
        name=f"sampling-{metric.replace('_', '-')}",
        title=title,
        caption=f"{meaning}: measured (marks, with intervals) and by theory (dotted); {note}.",
        traces=traces,
        layout={"xaxis": shots_axis(curves), "yaxis": axis(title.lower(), **kind)},
    )


def _curve(curve: Curve, metric: str, scale: float, unit: str) -> list[Trace]:
    x, values = intervals(curve, metric)
    shown = look(curve)
    means = [scale * value.mean for value in values]
    line: Trace = {"type": "scatter", "name": curve.name, "x": x, "y": means}
    line |= {"mode": "lines+markers"}
    line |= {"text": [_ends(value, scale) for value in values], **shown}
    line |= {"hovertemplate": f"%{{y:.4g}} {unit} %{{text}}"}
    if len(x) == 1:  # a band needs two places
        line["error_y"] = bars(values, scale)
    return [polygon(x, values, scale, shown["line"]["color"]), line]


def _ends(value: Interval, scale: float) -> str:
    return f"[{scale * value.low:.4g}, {scale * value.high:.4g}], n = {value.n}"


def _twin(
    setting: Setting, metric: str, scale: float, curves: Sequence[Curve], right: float
) -> list[Trace]:
    assert setting.twin is not None
    left = min(x for curve in curves for x in curve.x) - 0.6
    return twin_traces(setting.twin.metrics[metric], scale, left, right)


def _laws(curves: Sequence[Curve], setting: Setting) -> list[Trace]:
    traces: list[Trace] = []
    for curve in curves:
        x, y = law_line(curve, setting.twin)
        if x:
            line = {"color": COLOURS[curve.colour % len(COLOURS)], "dash": "dot", "width": 1.2}
            own = {"name": "fitted law", "showlegend": not traces, "hoverinfo": "skip"}
            y = [curve.metric.factor * value for value in y]
            traces.append({"type": "scatter", "x": x, "y": y, "mode": "lines", "line": line, **own})
    return traces


def _span(traces: Sequence[Trace]) -> list[float]:
    """Return a range of the vertical axis that shows all of them."""
    values = [y for trace in traces for y in trace["y"]]
    room = 0.05 * (max(values) - min(values)) or 1.0
    return [min(values) - room, max(values) + room]


def _controls(points: Sequence[Point], x: float, metric: Metric) -> Trace:
    values = [point.value for point in points]
    return {
        "type": "scatter",
        "name": "controls",
        "x": [x] * len(points),
        "y": [metric.factor * value.mean for value in values],
        "error_y": bars(values, metric.factor),
        "mode": "markers",
        "marker": {"color": GREY, "symbol": "circle", "size": 7},
        "text": [point.name for point in points],
        "hovertemplate": f"%{{text}}: %{{y:.4g}} {metric.unit}<extra></extra>",
    }


def _names(
    points: Sequence[Point], x: float, span: Sequence[float], metric: Metric
) -> list[dict[str, Any]]:
    """Return the names of the controls right of the plot, moved apart where they would overlap."""
    points = sorted(points, key=lambda point: point.value.mean)
    means = [metric.factor * point.value.mean for point in points]
    gap = _LABEL / (_HEIGHT - 20) * (span[1] - span[0])
    places = spread_out(means, gap, span[0] + gap / 2.0, span[1] - gap / 2.0)
    look = {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": "#999999"}
    look |= {"xanchor": "left", "align": "left", "ax": 45, "ayref": "y", "font": {"size": 12}}
    return [
        {"x": x, "y": mean, "ay": place, "text": _named(point, mean, metric), **look}
        for point, mean, place in zip(points, means, places, strict=True)
    ]


def _named(point: Point, mean: float, metric: Metric) -> str:
    return f"{point.name}, {metric.short(mean)} {metric.unit}".rstrip()


def _difference(metric: Metric) -> str:
    unit = metric.difference_unit
    return f"difference ({unit})" if unit else "difference"
