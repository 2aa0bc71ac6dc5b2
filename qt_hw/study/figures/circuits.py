"""Figures of what shots do to a vector, and of how well a generator approximates weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qt_hw.study.figures.style import (
    GREY,
    colour_of,
    errors,
    figure,
    joined,
    label,
    legend,
    marker_of,
    shots_axis,
    title,
)
from qt_hw.study.figures.views import Curve, Setting, condition_name, intervals
from qt_hw.study.statistics.intervals import Interval
from qt_hw.study.statistics.sizes import Sizes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "approximation_figure",
    "sampling_figure",
]

SAMPLING = {
    "total_variation": ("Total variation distance to the exact vector", "total variation"),
    "empty_bins": ("Outcomes that were never seen", "share of all outcomes"),
}


def sampling_figure(setting: Setting) -> Figure:
    """Return total variation distance and share of empty bins, measured and by theory."""
    metrics = [m for m in SAMPLING if any(intervals(c, m)[0] for c in setting.curves)]
    drawn = figure(4.4 * len(metrics) + 0.4, 4.6)
    panels = drawn.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        curves = [curve for curve in setting.curves if intervals(curve, metric)[0]]
        for curve in curves:
            _measured(axes, curve, metric)
        shots_axis(axes, curves)
        label(axes, SAMPLING[metric][0], "shots (log scale)", SAMPLING[metric][1])
        if metric == "total_variation":
            _decimal_log_scale(axes)
    theory = panels[0].plot([], [], color=GREY, linewidth=1.0, dashes=(2, 2))[0]
    legend(drawn, panels, [(theory, "expected from the shots alone")])
    title(drawn, "What shots and noise do to the vector", setting)
    return drawn


def _measured(axes: Axes, curve: Curve, metric: str) -> None:
    x, values = intervals(curve, metric)
    colour = colour_of(curve)
    kind = "trained" if curve.kind == "train" else "evaluated"
    means = [value.mean for value in values]
    face = colour if curve.style == 0 else "white"
    look = {"marker": marker_of(curve), "markersize": 5.0, "markerfacecolor": face}
    look |= {"fillstyle": "left" if curve.kind == "train" else "full"}
    look |= {"linestyle": "", "capsize": 2.0, "label": f"{kind}: {curve.name}"}
    axes.errorbar(x, means, errors(values), color=colour, **look)  # type: ignore[arg-type]
    x, values = intervals(curve, f"expected_{metric}")
    axes.plot(x, [v.mean for v in values], color=colour, linewidth=1.0, dashes=(2, 2))


def _decimal_log_scale(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def approximation_figure(sizes: Sequence[Sizes]) -> Figure:
    """Return relative error and accuracy of generated weights against the size of the target."""
    drawn = figure(9.2, 4.4)
    error, accuracy = drawn.subplots(1, 2)
    conditions = [size.condition for size in sizes]
    for colour, size in enumerate(sizes):
        name = condition_name(size.condition, conditions) or "generated weights"
        joined(error, size.n_weights, size.relative_error, "", colour, 0)
        joined(accuracy, size.n_weights, _percent(size.test_accuracy), name, colour, 0)
        given = f"{name}: given weights" if len(sizes) > 1 else "given weights (the target itself)"
        joined(accuracy, size.n_weights, _percent(size.target_test_accuracy), given, colour, 1)
    for axes in (error, accuracy):
        _weights_axis(axes, sizes)
    label(error, "Approximation error", "weights of the target (log scale)", "relative error")
    error.set_ylim(bottom=0.0)
    label(accuracy, "Test accuracy", "weights of the target (log scale)", "test accuracy (%)")
    legend(drawn, [accuracy])
    drawn.suptitle("Generated weights against target size", fontsize=12)
    return drawn


def _weights_axis(axes: Axes, sizes: Sequence[Sizes]) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log", base=2)
    places = sorted({n for size in sizes for n in size.n_weights})
    axes.set_xticks(places, [f"{n:,}" for n in places])
    axes.xaxis.set_minor_locator(NullLocator())


def _percent(values: Sequence[Interval]) -> list[Interval]:
    return [replace(v, mean=100.0 * v.mean, low=100.0 * v.low, high=100.0 * v.high) for v in values]
