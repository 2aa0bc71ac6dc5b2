"""Figures against the number of shots: headline metric, generalisation gap, differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from qt_hw.study.figures.style import (
    BLACK,
    GREY,
    LINES,
    Entries,
    band,
    colour_of,
    errors,
    figure,
    label,
    legend,
    marker_of,
    shots_axis,
    title,
)
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
from qt_hw.study.statistics.paired import Paired
from qt_hw.tasks import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["gap_figure", "metric_figure", "paired_figure", "paired_points"]

TWIN = "noiseless twin"
VERDICTS: Mapping[bool | None, str] = {
    True: "significant",
    False: "not significant",
    None: "too few seeds to decide",
}


def metric_figure(setting: Setting) -> Figure:
    """Return the headline metric against shots, beside the noiseless twin and the controls."""
    kinds, metric = setting.kinds(), setting.metric
    controls = [p for p in control_points(setting) if p.group is not setting.twin]
    drawn = figure(3.9 * len(kinds) + (2.6 if controls else 0.4), 4.9)
    ratios = [3.0] * len(kinds) + [1.7] * bool(controls)
    panels = drawn.subplots(1, len(ratios), sharey=True, squeeze=False, width_ratios=ratios)[0]
    for axes, kind in zip(panels, kinds, strict=False):
        curves = setting.of_kind(kind)
        _twin_band(axes, setting, metric.test, metric.factor)
        for curve in curves:
            _curve(axes, curve, metric.test, metric.factor)
            x, y = law_line(curve, setting.twin)
            y = (metric.factor * np.array(y)).tolist()
            axes.plot(x, y, color=colour_of(curve), linewidth=1.0, dashes=(2, 2))
        shots_axis(axes, curves)
        label(axes, KINDS[kind], "shots (log scale)", "")
    panels[0].set_ylabel(metric.axis)
    if controls:
        _twin_band(panels[-1], setting, metric.test, metric.factor, right=0.1)
        _controls_beside(panels[-1], controls, metric)
    fits = any(law_line(curve, setting.twin)[0] for curve in setting.curves)
    legend(drawn, panels, _law_entry(panels[0]) if fits else [])
    title(drawn, f"{metric.heading} against shots", setting)
    return drawn


def gap_figure(setting: Setting) -> Figure:
    """Return the generalisation gap (test loss minus training loss) against shots."""
    kinds = setting.kinds("generalisation_gap")
    drawn = figure(3.9 * len(kinds) + 0.6, 4.2)
    panels = drawn.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        _twin_band(axes, setting, "generalisation_gap", 1.0)
        for curve in setting.of_kind(kind):
            _curve(axes, curve, "generalisation_gap", 1.0)
        shots_axis(axes, setting.of_kind(kind))
        label(axes, KINDS[kind], "shots (log scale)", "")
    panels[0].set_ylabel("test loss − training loss")
    legend(drawn, panels, [])
    title(drawn, "Generalisation gap", setting)
    return drawn


def paired_figure(setting: Setting) -> Figure:
    """Return the paired differences in the headline metric to the noiseless twin."""
    kinds = [kind for kind in KINDS if any(paired_points(c) for c in setting.of_kind(kind))]
    drawn = figure(4.4 * len(kinds) + 0.6, 4.4)
    panels = drawn.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds, strict=True):
        curves = setting.of_kind(kind)
        axes.axhline(0.0, color=BLACK, linewidth=1.0)
        for curve, shift in zip(curves, _shifts(curves), strict=True):
            _differences(axes, curve, shift)
        shots_axis(axes, curves)
        label(axes, KINDS[kind], "shots (log scale)", "")
    unit = setting.metric.difference_unit
    panels[0].set_ylabel("difference to the noiseless twin" + (f"\n({unit})" if unit else ""))
    legend(drawn, panels, _verdict_entries(panels[0]))
    title(drawn, f"Paired differences in {setting.metric.title}", setting)
    return drawn


def paired_points(curve: Curve) -> list[tuple[float, Paired]]:
    """Return place (log2 of shots) and paired difference in the headline metric of each group."""
    pairs, name = zip(curve.x, curve.groups, strict=True), curve.metric.test
    return [(x, g.paired[name]) for x, g in pairs if name in g.paired]


def _curve(axes: Axes, curve: Curve, metric: str, scale: float) -> None:
    x, values = intervals(curve, metric)
    colour, style = colour_of(curve), LINES[curve.style % len(LINES)]
    means = [scale * value.mean for value in values]
    low, high = [scale * v.low for v in values], [scale * v.high for v in values]
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    if len(x) == 1:  # a band needs two places
        bar = {"fmt": "none", "capsize": 2.0, "linewidth": 1.0}
        axes.errorbar(x, means, errors(values, scale), ecolor=colour, **bar)  # type: ignore[arg-type]
    marker = {"marker": marker_of(curve), "markersize": 5.0}
    filled = {"markerfacecolor": colour if curve.style == 0 else "white"}
    axes.plot(x, means, color=colour, linestyle=style, label=curve.name, **marker, **filled)  # type: ignore[arg-type]


def _twin_band(axes: Axes, setting: Setting, metric: str, scale: float, right: float = 1.0) -> None:
    if setting.twin is not None and metric in setting.twin.metrics:
        band(axes, setting.twin.metrics[metric], scale, TWIN, right)


def _controls_beside(axes: Axes, points: Sequence[Point], metric: Metric) -> None:
    """Draw the controls as dots with their names, moved apart where they would overlap."""
    points = sorted(points, key=lambda point: point.value.mean)
    values = [point.value for point in points]
    means = [metric.factor * value.mean for value in values]
    dots = {"color": GREY, "fmt": "o", "markersize": 4.5, "capsize": 2.0, "linewidth": 1.0}
    bars = errors(values, metric.factor)
    axes.errorbar([0.0] * len(means), means, bars, **dots)  # type: ignore[arg-type]
    low, high = axes.get_ylim()
    gap = 0.043 * (high - low)
    places = spread_out(means, gap, low + gap / 2.0, high - gap / 2.0)
    for point, mean, place in zip(points, means, places, strict=True):
        axes.plot([0.05, 0.16], [mean, place], color=GREY, linewidth=0.6)
        shown = f"{point.name}, {metric.short(mean)} {metric.unit}".rstrip()
        axes.text(0.19, place, shown, va="center", fontsize=8)
    axes.set_ylim(low, high)
    axes.set_xlim(-0.1, 1.6)
    axes.set_xticks([])
    label(axes, "Controls, noiseless", "", "", grid="y")
    axes.spines["bottom"].set_visible(False)


def _shifts(curves: Sequence[Curve]) -> list[float]:
    """Return sidewards shifts so that no two curves' marks stand on each other."""
    places = sorted({x for curve in curves for x in curve.x})
    step = min((b - a for a, b in pairwise(places)), default=1.0)
    middle = (len(curves) - 1) / 2.0
    return [0.6 * min(step, 1.0) * (i - middle) / len(curves) for i in range(len(curves))]


def _differences(axes: Axes, curve: Curve, shift: float) -> None:
    colour, points, factor = colour_of(curve), paired_points(curve), curve.metric.factor
    x = [place + shift for place, _ in points]
    means = [factor * paired.difference.mean for _, paired in points]
    bars = errors([paired.difference for _, paired in points], factor)
    line = {"linestyle": LINES[curve.style % len(LINES)], "linewidth": 0.7, "alpha": 0.6}
    axes.plot(x, means, color=colour, **line)  # type: ignore[arg-type]
    axes.errorbar(x, means, bars, fmt="none", ecolor=colour, capsize=2.0, linewidth=1.0)
    for verdict in VERDICTS:
        chosen = [i for i, (_, paired) in enumerate(points) if paired.significant is verdict]
        mark = {"marker": marker_of(curve), "markersize": 5.5, "linestyle": ""}
        face = {True: colour, False: "white", None: "#cccccc"}[verdict]
        axes.plot(
            [x[i] for i in chosen],
            [means[i] for i in chosen],
            color=colour,
            markerfacecolor=face,
            **mark,  # type: ignore[arg-type]
        )
    sample = {"linestyle": line["linestyle"], "marker": marker_of(curve), "label": curve.name}
    axes.plot([], [], color=colour, **sample)  # type: ignore[arg-type]


def _verdict_entries(axes: Axes) -> Entries:
    faces = {True: GREY, False: "white", None: "#cccccc"}
    return [
        (axes.plot([], [], "o", color=GREY, markerfacecolor=faces[verdict])[0], name)
        for verdict, name in VERDICTS.items()
    ]


def _law_entry(axes: Axes) -> Entries:
    line = axes.plot([], [], color=GREY, linewidth=1.0, dashes=(2, 2))[0]
    return [(line, "fitted law")]
