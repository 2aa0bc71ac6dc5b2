"""Tables in colour and bars: shots against noise, and what mitigation changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qt_hw.hardware.figures import bar_limits
from qt_hw.study.figures.style import (
    COLOURS,
    GREY,
    HATCHES,
    band,
    errors,
    figure,
    label,
    legend,
    title,
)
from qt_hw.study.figures.views import KINDS, Curve, Setting, intervals, ticks
from qt_hw.tasks import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["heat", "heat_figure", "mitigated_places", "mitigation_figure", "mitigation_limits"]


def heat(
    curves: Sequence[Curve], all_curves: Sequence[Curve]
) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """Return names of rows and columns and the mean headline metric as shown; NaN: not known.

    There is a row for each of ``curves`` and a column for each shot count of ``all_curves``.
    """
    places, columns = ticks(all_curves)
    values = np.full((len(curves), len(places)), np.nan)
    for row, curve in enumerate(curves):
        for x, value in zip(*intervals(curve, curve.metric.test), strict=True):
            values[row, places.index(x)] = curve.metric.factor * value.mean
    return [curve.name for curve in curves], columns, values


def heat_figure(setting: Setting) -> Figure:
    """Return the mean of the headline metric, shots × noise, with the number in each cell."""
    kinds = setting.kinds()
    heats = {kind: heat(setting.of_kind(kind), setting.curves) for kind in kinds}
    rows = [len(names) for names, _, _ in heats.values()]
    widest = max(len(columns) for _, columns, _ in heats.values())
    drawn = figure(3.6 + 0.62 * widest, 1.2 + 0.42 * sum(rows) + 0.9 * len(kinds))
    panels = drawn.subplots(len(kinds), 1, squeeze=False, height_ratios=rows)[:, 0]
    known = np.concatenate([values[np.isfinite(values)] for _, _, values in heats.values()])
    span = (float(known.min()), float(known.max()))
    for axes, kind in zip(panels, kinds, strict=True):
        image = _cells(axes, *heats[kind], span, setting.metric)
        label(axes, KINDS[kind], "shots", "")
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
    drawn.colorbar(image, ax=list(panels), label=f"mean {setting.metric.axis}", aspect=30)
    title(drawn, "Shots × noise", setting)
    return drawn


def _cells(
    axes: Axes,
    names: Sequence[str],
    columns: Sequence[str],
    values: NDArray[np.float64],
    span: tuple[float, float],
    metric: Metric,
) -> AxesImage:
    low, high = span
    colours = "cividis" if metric.higher_is_better else "cividis_r"
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            dark = metric.sign * (value - (low + high) / 2.0) < 0.0
            colour = "white" if dark else "black"
            text = metric.short(value)
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(len(columns)), columns)
    axes.tick_params(length=0)
    return image


def mitigated_places(setting: Setting) -> list[tuple[str, list[Curve]]]:
    """Return a title and the curves of each place that was measured raw and mitigated."""
    found: dict[tuple[str, str], list[Curve]] = {}
    for curve in setting.curves:
        found.setdefault((curve.kind, curve.place), []).append(curve)
    return [
        (f"{KINDS[kind]}: {place}", sorted(curves, key=lambda curve: curve.style))
        for (kind, place), curves in found.items()
        if len({curve.mitigation for curve in curves}) > 1
    ]


def mitigation_figure(setting: Setting) -> Figure:
    """Return the headline metric raw and mitigated, one panel for each backend and noise."""
    places = mitigated_places(setting)
    drawn = figure(8.6, 0.8 + 2.7 * len(places))
    panels = drawn.subplots(len(places), 1, sharey=True, squeeze=False)[:, 0]
    for axes, (name, curves) in zip(panels, places, strict=True):
        if setting.twin_value is not None:
            band(axes, setting.twin_value, setting.metric.factor, "noiseless twin")
        _bars(axes, curves, setting.metric)
        label(axes, name, "shots", setting.metric.axis, grid="y")
    panels[0].set_ylim(*mitigation_limits(setting, places))
    legend(drawn, panels)
    title(drawn, "Mitigation", setting)
    return drawn


def mitigation_limits(
    setting: Setting, places: Sequence[tuple[str, Sequence[Curve]]]
) -> tuple[float, float]:
    """Return the ends of the axis that the bars of all ``places`` share, in the shown unit."""
    metric = setting.metric
    drawn = [curve for _, curves in places for curve in curves]
    values = [v for curve in drawn for v in intervals(curve, metric.test)[1]]
    values += [] if setting.twin_value is None else [setting.twin_value]
    return bar_limits(metric, [metric.factor * end for v in values for end in (v.low, v.high)])


def _bars(axes: Axes, curves: Sequence[Curve], metric: Metric) -> None:
    places, columns = ticks(curves)
    width = 0.8 / len(curves)
    for i, curve in enumerate(curves):
        x, values = intervals(curve, metric.test)
        at = [places.index(place) + width * (i - (len(curves) - 1) / 2.0) for place in x]
        colour = GREY if curve.style == 0 else COLOURS[(curve.style - 1) % len(COLOURS)]
        axes.bar(
            at,
            [metric.factor * value.mean for value in values],
            width,
            yerr=errors(values, metric.factor),
            color=colour,
            edgecolor="white",
            hatch=HATCHES[curve.style % len(HATCHES)],
            error_kw={"elinewidth": 0.9, "capsize": 1.5},
            label="raw" if curve.style == 0 else curve.mitigation,
        )
    axes.set_xticks(range(len(columns)), columns)
