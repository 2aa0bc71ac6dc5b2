"""Figures of evaluations: the measured vector against the ideal one, and results side by side.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.tasks.metric import ACCURACY, Metric
from qt_hw.training.figures import BLUE, GREY, ORANGE, probability_vector, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bar_limits", "draw_results", "draw_vector", "result_bars"]

_ROOM = 0.05  # of the span of the values, beyond an end without a bound
_BESIDE = 0.12  # of the axis, for the number beside the longest bar


def draw_vector(
    folder: Path,
    measured: NDArray[np.float64],
    ideal: NDArray[np.float64],
    result: Mapping[str, Any],
) -> None:
    """Write the measured vector of one evaluation against the ideal one into ``folder``."""
    name = f"{'rehearsal of ' if result['rehearsal'] else ''}{result['backend']}"
    expected = result["total_variation_of_shots"]
    figure = probability_vector(measured, ideal, result["shots"], name, expected)
    save(figure, folder / "probabilities")


def draw_results(stem: Path, columns: Sequence[Mapping[str, Any]], metric: Metric) -> None:
    """Write the bars of ``columns`` (see ``table.columns``) to ``stem`` .png and .svg."""
    save(result_bars(columns, metric), stem)


def result_bars(columns: Sequence[Mapping[str, Any]], metric: Metric = ACCURACY) -> Figure:
    """Return one bar for each run and evaluation: ``metric`` on the test data, with its value.

    For an accuracy the line at each bar's end spans one standard error of the test set,
    ``√(a (1 − a) / N)``; other metrics are no shares of independent samples and have none.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 0.9 + 0.5 * len(columns)), layout="constrained")
    axes = figure.subplots()
    names = [_name(column) for column in columns]
    values = np.array([metric.factor * column[metric.test] for column in columns])
    errors = _standard_errors(columns) if metric == ACCURACY else None
    colours = [_colour(column) for column in columns]
    place = [float(i) for i in range(len(columns))]
    axes.barh(place, values, xerr=errors, color=colours, height=0.62, ecolor="black")
    ends = np.maximum(values if errors is None else values + errors, 0.0)
    _value_axis(axes, metric, values, ends)
    axes.set_yticks(place, names)
    axes.invert_yaxis()
    note = "" if errors is None else ", with one standard error of the test set"
    axes.set_xlabel(metric.axis + note)
    axes.set_title(metric.heading, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    return figure


def _standard_errors(columns: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Return one standard error of each accuracy, in percent."""
    values = np.array([100.0 * column["test_accuracy"] for column in columns])
    samples = np.array([column["test_samples"] for column in columns])
    errors: NDArray[np.float64] = np.sqrt(values * (100.0 - values) / samples)
    return errors


def _value_axis(
    axes: Axes, metric: Metric, values: NDArray[np.float64], ends: NDArray[np.float64]
) -> None:
    """Write each value beside the end of its bar, and set the limits of the axis."""
    # An error bar beyond the metric's bound would only move the ticks: there is room for numbers.
    ends = ends if metric.high is None else np.minimum(ends, metric.high)
    low, high = bar_limits(metric, [*values, *ends])
    gap = 0.01 * (high - low)
    for at, (value, end) in enumerate(zip(values, ends, strict=True)):
        shown = f"{metric.short(value)} {metric.unit}".rstrip()
        axes.text(end + gap, at, shown, va="center", fontsize=9)
    axes.set_xlim(low, high + _BESIDE * (high - low))
    if metric.low is not None and metric.high is not None:
        axes.set_xticks(np.linspace(low, high, 6))


def bar_limits(metric: Metric, values: Iterable[float]) -> tuple[float, float]:
    """Return the ends of an axis for bars, which begin at 0.

    They are the natural bounds of the metric; where it has none, or an interval goes beyond them,
    0, or a little beyond the values.

    Args:
        metric: The metric.
        values: As they are shown, with the ends of their error bars.

    >>> bar_limits(Metric(key="nse", label="NSE", high=1.0), [0.9, -3.1])
    (-3.3, 1.0)
    >>> bar_limits(Metric(key="error", label="track error", unit="km", low=0.0), [40.0, 100.0])
    (0.0, 105.0)
    """
    shown = [0.0, *map(float, values)]
    low, high = min(shown), max(shown)
    room = _ROOM * (high - low) or 1.0
    first = low - room if low < 0.0 else 0.0
    last = high + room if high > 0.0 or low == high else 0.0
    if metric.low is not None and metric.low <= low:
        first = min(metric.low, 0.0)
    if metric.high is not None and high <= metric.high:
        last = max(metric.high, 0.0)
    return round(first, 9), round(last, 9)


def _name(column: Mapping[str, Any]) -> str:
    if column["kind"] == "evaluation":
        return f"{column['name']}\n{column['backend']}"
    return str(column["name"])


def _colour(column: Mapping[str, Any]) -> str:
    if column["kind"] == "evaluation":
        return ORANGE
    return GREY if column["name"] == "noiseless" else BLUE
